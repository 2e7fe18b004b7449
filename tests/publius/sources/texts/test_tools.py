"""Conversations with calls of tools: skipped with the setting's name, or read without the turns of tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from publius.runs.dataset import export_run
from publius.runs.manifest import read_manifest
from publius.sources.prompts import PromptFile, read_prompt_rows
from tests.publius.invoking import here
from tests.publius.projects import CONSTITUTION

CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "profile"}}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": '{"lang": "en"}'}


def turn(role: str, text: str, **more: object) -> dict[str, object]:
    return {"role": role, "content": text, **more}


LOOKED_UP = [
    turn("user", "hi"),
    CALL,
    RESULT,
    turn("assistant", "Hello! Where to?"),
    turn("user", "To Quito?"),
]
READ = ["user: hi", "assistant: Hello! Where to?", "user: To Quito?"]
USE = {"type": "tool_use", "id": "c1", "name": "profile", "input": {}}
USED = {"type": "tool_result", "tool_use_id": "c1", "content": "en"}
TOOL_TURNS = {
    "looked up": (LOOKED_UP, READ),
    "answered": ([*LOOKED_UP, turn("assistant", "Yes.")], READ),
    "said beside the call": (
        [turn("user", "hi"), CALL | {"content": "One moment."}, RESULT, *LOOKED_UP[3:]],
        ["user: hi", "assistant: One moment.\n\nHello! Where to?", "user: To Quito?"],
    ),
    "parts": (
        [
            turn("user", "hi"),
            {"role": "assistant", "content": [USE]},
            {"role": "user", "content": [USED]},
            *LOOKED_UP[3:],
        ],
        READ,
    ),
    "answered with a tool": (
        [turn("user", "To Quito?"), CALL, RESULT, turn("assistant", "At 8.")],
        "the answer to the last question was made with a tool",
    ),
    "never answered": (
        [turn("user", "hi"), CALL, RESULT, turn("user", "To Quito?")],
        "without its tool turns, two turns of the user follow each other",
    ),
}


@pytest.mark.parametrize("name", TOOL_TURNS)
@pytest.mark.parametrize("as_text", [False, True])
def test_tool_turns_are_left_out_where_a_conversation_is_left(tmp_path: Path, name: str, as_text: bool):
    messages, expected = TOOL_TURNS[name]
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": json.dumps(messages) if as_text else messages}) + "\n")
    (row,) = read_prompt_rows(PromptFile(path, tools="drop"))
    if isinstance(expected, str):
        assert (row.parsed, row.reason) == (None, expected)
        return
    assert row.parsed is not None
    assert [f"{one.role}: {one.content}" for one in row.parsed.prompt.messages] == expected
    assert row.tools == 2


def test_conversations_with_tools_are_counted_and_the_reason_names_the_setting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "chats.jsonl"
    rows = [[*LOOKED_UP[:-1], turn("user", f"To {place}?")] for place in ("Quito", "Kyoto")]
    path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in [*rows, [turn("user", "Hm?")]]))
    done = here("init", tmp_path / "skips", "--prompts", path)
    assert "2 skipped: the conversation contains tool calls (--tools drop leaves them out)" in done.stderr
    done = here("init", tmp_path / "drops", "--prompts", path, "--tools", "drop")
    assert "3 prompts of 3 rows" in done.stderr
    assert "2 conversations lost 2 tool turns each" in done.stderr
    ran = here("compare", tmp_path / "drops" / "run.yaml", "--set", "engine.kind=scripted")
    assert "prompts: 2 conversations lost 2 tool turns each" in ran.stderr, ran.stderr
    assert here("init", tmp_path / "x", "--tools", "drop").returncode == 2


SHARED = [
    {"from": "human", "value": "hi"},
    {"from": "function_call", "value": "{}"},
    {"from": "observation", "value": "en"},
    {"from": "gpt", "value": "Hello! Where to?"},
    {"from": "human", "value": "To Quito?"},
]
PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": "x.png"}]}
CALLED = "the conversation contains tool calls"
IN_RUN = f"{CALLED} (prompts.tools: drop leaves them out)"
REASONS = {
    "calls": (LOOKED_UP, IN_RUN),
    "roles of ShareGPT": (SHARED, IN_RUN),
    "parts": (TOOL_TURNS["parts"][0], IN_RUN),
    "answered with a tool": (TOOL_TURNS["answered with a tool"][0], CALLED),
    "a picture as well": ([PICTURE, *LOOKED_UP[1:]], "a message has parts that are not text"),
    "another role as well": (
        [turn("narrator", "Night."), *SHARED],
        "a message has a role other than system, user, assistant",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_setting_is_named_for_every_form_of_calls_where_it_reads_the_rest(tmp_path: Path, name: str):
    messages, reason = REASONS[name]
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": messages}) + "\n")
    (row,) = read_prompt_rows(PromptFile(path, tools="skip"))
    assert (row.parsed, row.reason) == (None, reason)
    assert (reason != IN_RUN) or "rename" not in row.detail
    (dropped,) = read_prompt_rows(PromptFile(path, tools="drop"))
    assert (dropped.parsed is not None) == (reason == IN_RUN)
    (unset,) = read_prompt_rows(PromptFile(path))
    assert "drop leaves" not in unset.reason


def test_a_command_without_the_option_names_the_run_file(tmp_path: Path):
    (tmp_path / "chats.jsonl").write_text(
        f"{json.dumps({'messages': SHARED})}\n{json.dumps({'prompt': 'Hm?'})}\n"
    )
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    done = here("check", tmp_path / "c.yaml", "--prompts", tmp_path / "chats.jsonl")
    said = f"1 skipped: {CALLED} (prompts.tools: drop in a run file leaves them out)"
    assert said in " ".join(done.stdout.split())


def test_pairs_and_their_card_say_which_turns_were_left_out(tmp_path: Path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [
        {
            "prompt": [*LOOKED_UP[:-1], turn("user", f"To {place}?")],
            "chosen": f"Yes, {place}.",
            "rejected": "Hm.",
        }
        for place in ("Quito", "Kyoto", "Ghent")
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    command = ("label", "--pairs", pairs, "--constitution", tmp_path / "c.yaml", "--engine", "scripted")
    refused = here(*command, "--to", tmp_path)
    assert refused.returncode == 2
    assert "(--set prompts.tools=drop leaves them out)" in refused.stderr
    done = here(*command, "--to", tmp_path, "--set", "prompts.tools=drop")
    assert "pairs: 3 conversations lost 2 tool turns each" in done.stderr, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert read_manifest(folder)["stages"]["compare"]["records"] == 3
    export_run(folder, tmp_path / "data")
    assert (
        "3 pairs used; 3 conversations lost 2 tool turns each."
        in (tmp_path / "data" / "README.md").read_text()
    )
