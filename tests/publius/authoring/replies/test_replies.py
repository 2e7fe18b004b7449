"""`publius check --replies` and `publius diff --replies`: case by rule, and verdicts that flip."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, DataError
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from publius.authoring.replies.checking import RepliesRequest, check_replies
from publius.authoring.replies.rows import ReadReplies, read_replies
from publius.runs.engines import EMBEDDED_JUDGES_BY_CHANCE
from publius.sources.texts.reading import TextReading
from publius.views.replies.checked import print_checked_replies
from tests.publius.invoking import here

RULES = """\
name: desk
principles:
- {id: short, text: At most five words., check: {kind: max_words, value: 5}}
- {id: sorry, text: Says sorry., applies_to: {pattern: broken}, check: {kind: contains, value: sorry}}
- {id: calm, text: No digits., applies_to: {tags: [calm]}, check: {kind: not_regex, value: '[0-9]'}}
- {id: kind, text: The reply is kind.}
"""
TABLE = [
    ["Case", "Question", "Reply", "tags"],
    ["31", "My lift is broken", "We are sorry.", ""],
    ["33", "It is broken!", "Please call 9 to 5, or write.", "calm"],
    ["35", "Where?", "On deck 5.", "calm"],
    ["36", "When?", "", ""],
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "replies.csv").write_bytes(table("\t").encode("utf-16"))
    return tmp_path


def table(separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(TABLE)
    return text.getvalue()


def read(folder: Path, content: str, name: str = "r.jsonl", **columns: str) -> ReadReplies:
    (folder / name).write_text(content, encoding="utf-8")
    return read_replies(folder / name, columns)


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def as_json(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(here(*arguments, "--json").stdout)
    return found


def test_each_reply_is_checked_under_each_rule(folder: Path):
    found = as_json("check", "rules.yaml", "--replies", "replies.csv")
    assert [(case["case"], case["broken"]) for case in found["cases"]] == [
        ("31", []),
        ("33", ["short", "sorry", "calm"]),
        ("35", ["calm"]),
    ]
    assert [(rule["principle"], rule["broken"], rule["decided"]) for rule in found["principles"]] == [
        ("short", 1, 3),
        ("sorry", 1, 2),
        ("calm", 2, 2),
        ("kind", 0, 0),
    ]
    assert found["excluded"] == {"the reply is empty": ["replies.csv row 4"]}
    assert (found["rows"], found["replies"], found["breaking"]) == (4, 3, 2)


def test_the_cases_and_totals_are_printed_and_exit_with_1(folder: Path):
    done = here("check", "rules.yaml", "--replies", "replies.csv")
    assert done.returncode == 1
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["keeps", "31", "all", "2", "checked", "rules", "(2", "not", "decided)"] in lines
    assert ["calm", "2", "2", "check"] in lines
    assert ["kind", "not", "decided:", "needs", "a", "model"] in lines
    assert "desk: 3 replies, 2 with a broken rule, 1 without (by checks)" in done.stdout
    assert "1 left out: the reply is empty (replies.csv row 4)" in done.stderr
    assert "1 not decided by a check (--model MODEL has them judged): kind" in done.stderr


def test_replies_that_keep_the_checks_exit_with_0(folder: Path):
    (folder / "good.jsonl").write_text('{"prompt": "Hi", "response": "Hello"}\n', encoding="utf-8")
    done = here("check", "rules.yaml", "--replies", "good.jsonl")
    assert done.returncode == 0
    assert "the only checked rule (2 not decided)" in done.stdout


def test_a_spreadsheet_gets_a_row_for_each_reply_and_a_column_for_each_rule(folder: Path):
    assert here("check", "rules.yaml", "--replies", "replies.csv", "--to", "out.csv").returncode == 1
    rows = cells(folder / "out.csv")
    rules = ["short", "sorry", "calm", "kind"]
    assert list(rows[0]) == ["case", "prompt", "reply", "words", "broken", *rules, "found", "tags"]
    assert [[row[rule] for rule in rules] for row in rows] == [
        ["pass", "pass", "not decided", "not decided"],
        ["fail", "fail", "fail", "not decided"],
        ["pass", "", "fail", "not decided"],
    ]
    assert (rows[2]["broken"], rows[2]["words"], rows[2]["tags"]) == ("calm", "3", "calm")
    assert rows[2]["found"] == 'calm: it has "5"'
    again = here("check", "rules.yaml", "--replies", "replies.csv", "--to", "out.csv")
    assert (again.returncode, "path already exists" in again.stderr) == (2, True)


@pytest.mark.parametrize("column", ["messages", "turns"])
def test_a_conversation_may_be_json_in_a_cell(folder: Path, column: str):
    talk = [{"speaker": "customer", "text": "It is broken"}, {"speaker": "agent", "text": "We are sorry."}]
    text = io.StringIO()
    csv.writer(text).writerows([["id", column], ["31", json.dumps(talk)]])
    (found,) = read(folder, text.getvalue(), "r.csv").rows
    assert found.reply == "We are sorry."


def test_a_long_table_has_a_row_for_each_reply_and_rule(folder: Path):
    assert (
        here("check", "rules.yaml", "--replies", "replies.csv", "--to", "out.csv", "--long").returncode == 1
    )
    rows = cells(folder / "out.csv")
    assert len(rows) == 3 * 4
    failed = [(row["case"], row["rule"], row["found"]) for row in rows if row["outcome"] == "fail"]
    assert failed[0] == ("33", "short", "it has 7 words, and the limit is 5")
    assert {(row["outcome"], row["broken"]) for row in rows} == {
        ("pass", "no"),
        ("fail", "yes"),
        ("not for this prompt", ""),
        ("not decided", ""),
    }


def test_the_table_has_the_files_own_columns(folder: Path):
    (folder / "r.jsonl").write_text(
        '{"no": 7, "ask": "Hi", "ours": "Hello", "by": "Olu", "words": [1]}\n', encoding="utf-8"
    )
    mapped = ("--columns", "prompt=ask,reply=ours", "--to", "out.csv")
    assert here("check", "rules.yaml", "--replies", "r.jsonl", *mapped).returncode == 0
    (row,) = cells(folder / "out.csv")
    assert (row["case"], row["by"], row["words"], row["words (own)"]) == ("7", "Olu", "1", "[1]")
    assert not {"no", "ask", "ours"} & row.keys()


def test_every_answer_of_a_conversation_is_a_reply(folder: Path):
    talk = [
        {"role": role, "content": text} for role, text in zip(("user", "assistant") * 2, "abcd", strict=True)
    ]
    found = read(folder, json.dumps({"id": "t1", "messages": talk, "tags": ["calm"]}))
    assert [(row.case, row.reply) for row in found.rows] == [("t1, answer 1", "b"), ("t1, answer 2", "d")]
    assert [[m.content for m in row.prompt.messages] for row in found.rows if row.prompt] == [["a"], [*"abc"]]
    assert all(row.prompt and row.prompt.tags == ("calm",) for row in found.rows)


def test_columns_of_the_users_own_are_mapped(folder: Path):
    found = read(
        folder, "Nr,Guest wrote,Bot wrote\n7,Hi,Hello\n", "r.csv", prompt="Guest wrote", reply="Bot wrote"
    )
    assert [(row.case, row.reply, row.prompt.messages[0].content) for row in found.rows if row.prompt] == [
        ("7", "Hello", "Hi")
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "--columns 'prompt=Guest wrote,reply=Bot wrote'"),
        ({"prompt": "Guest wrote", "reply": "Bot"}, "no column 'Bot'"),
        ({"answer": "Bot wrote"}, "unknown column 'answer'"),
    ],
)
def test_a_table_without_the_columns_names_them(folder: Path, columns: dict[str, str], message: str):
    with pytest.raises((ConfigError, DataError)) as error:
        read(folder, "Guest wrote,Bot wrote\nHi,Hello\n", "r.csv", **columns)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("row", "suggested"),
    [
        ({"no": 1, "visitor": "Hi", "our_reply": "Hello"}, "--columns prompt=visitor,reply=our_reply"),
        ({"note to us": "Is it open today?", "our reply": "Yes."}, "'prompt=note to us,reply=our reply'"),
        ({"visitor": "Hi", "sent": "It is open today."}, "--columns prompt=visitor,reply=sent"),
        ({"no": 1, "our_reply": "Yes."}, "--columns reply=our_reply"),
    ],
)
def test_columns_of_replies_are_suggested_ready_to_paste(folder: Path, row: dict[str, Any], suggested: str):
    with pytest.raises(DataError) as error:
        read(folder, json.dumps(row))
    assert suggested in str(error.value)


def ticket(number: int, asked: str, answered: str) -> dict[str, Any]:
    parts = {"total_count": 1, "conversation_parts": [{"author": {"type": "admin"}, "body": answered}]}
    return {
        "type": "conversation",
        "id": number,
        "source": {"type": "email", "subject": "Is it open today?", "body": asked},
        "conversation_parts": parts,
        "last_reply_at": "Mon, 5 Oct 2026 10:00:00",
    }


PATHS = "prompt=source.body,reply=conversation_parts.conversation_parts[0].body"


@pytest.mark.parametrize("name", ["conversations", "tickets"])
def test_the_paths_into_an_export_are_suggested_and_read(folder: Path, name: str):
    rows = [ticket(n, f"Where is desk {n}?", "I am sorry, I do not know.") for n in range(2)]
    document = json.dumps({"type": "conversation.list", "pages": {"page": 1}, name: rows}, indent=1)
    with pytest.raises(DataError) as error:
        read(folder, document, "r.json")
    assert f"--columns '{PATHS}'" in str(error.value)
    with pytest.raises(ConfigError, match=r"one of: .*source\.body, .*parts\[0\]\.body \(did you mean"):
        read(folder, document, "r.json", prompt="source.bodies", reply="id")
    found = read(folder, document, "r.json", **dict(part.split("=") for part in PATHS.split(",")))
    assert [(row.case, row.reply) for row in found.rows] == [
        (str(n), "I am sorry, I do not know.") for n in (0, 1)
    ]
    assert found.rows[1].prompt is not None
    assert found.rows[1].prompt.messages[0].content == "Where is desk 1?"


def test_a_first_comment_that_repeats_the_question_is_not_suggested_as_the_reply(folder: Path):
    comments = [{"id": 1, "body": "Is it open today?"}, {"id": 2, "body": "Yes, it is."}]
    row = {"subject": "A question of mine", "description": "Is it open today?", "comments": comments}
    with pytest.raises(DataError) as error:
        read(folder, json.dumps(row))
    assert "'prompt=description,reply=comments[1].body'" in str(error.value)


HTML = [
    {"prompt": "<p>Is it broken?</p>", "reply": "<p>We are&nbsp;<b>sorry</b>.</p>"},
    {"prompt": "Where?", "reply": "On deck &amp; below."},
    {"prompt": "How?", "reply": "With `<br>`."},
]


def test_html_in_replies_is_warned_of_and_read_as_text_if_asked_for(folder: Path):
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in HTML), encoding="utf-8")
    done = here("check", "rules.yaml", "--replies", "r.jsonl", "--json")
    assert (
        "warning: 2 of 3 replies or their prompts have HTML (<p>, <b>, &nbsp;, ...), which checks and models "
        "see as it is; to read it as text: --html text; --html keep leaves this warning out"
    ) in " ".join(done.stderr.split())
    assert json.loads(done.stdout)["cases"][0]["reply"] == HTML[0]["reply"]
    kept = here("check", "rules.yaml", "--replies", "r.jsonl", "--json", "--html", "keep")
    assert "HTML" not in kept.stderr
    assert json.loads(kept.stdout) == json.loads(done.stdout)
    read = here("check", "rules.yaml", "--replies", "r.jsonl", "--json", "--html", "text")
    assert "HTML" not in read.stderr
    cases = json.loads(read.stdout)["cases"]
    assert [case["reply"] for case in cases] == ["We are sorry.", "On deck & below.", "With `<br>`."]
    assert cases[0]["prompt"] == "Is it broken?"
    shift = here("diff", "rules.yaml", "rules.yaml", "--replies", "r.jsonl", "--html", "text")
    assert (shift.returncode, "HTML" in shift.stderr) == (0, False)
    assert "2 of 3 replies" in here("diff", "rules.yaml", "rules.yaml", "--replies", "r.jsonl").stderr


def test_html_in_conversations_is_read_as_text_but_not_in_the_system_message(folder: Path):
    talk = [
        {"role": "system", "content": "Use <b>."},
        {"role": "user", "content": "Hi<br>there"},
        {"role": "assistant", "content": "<p>Hello</p>"},
    ]
    (folder / "t.jsonl").write_text(json.dumps({"messages": talk}), encoding="utf-8")
    (row,) = read_replies(folder / "t.jsonl", {}, reading=TextReading("text")).rows
    assert row.prompt is not None
    assert ([one.content for one in row.prompt.messages], row.reply) == (["Use <b>.", "Hi\nthere"], "Hello")


MAIL = [
    {"prompt": "It is broken\n\n-- \nAna", "reply": "We are sorry."},
    {"prompt": "Broken?", "reply": "No idea.\n\nOn Tue, 3 Nov 2026 at 10:12, someone wrote:\n> Say sorry!"},
]


def test_quoted_mail_in_replies_is_warned_of_and_left_out_if_asked_for(folder: Path):
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in MAIL), encoding="utf-8")
    asked = ("check", "rules.yaml", "--replies", "r.jsonl", "--json")
    done = here(*asked)
    seen = '2 of 2 replies or their prompts have quoted mail or a signature ("-- ", "On ... wrote:"), which '
    advice = "to leave it out: --quotes drop; --quotes keep leaves this warning out"
    assert f"{seen}checks and models take for the writer's; {advice}" in " ".join(done.stderr.split())
    assert [case["broken"] for case in json.loads(done.stdout)["cases"]] == [[], ["short"]]
    kept = here(*asked, "--quotes", "keep")
    assert ("quoted mail" in kept.stderr, kept.stdout) == (False, done.stdout)
    read = here(*asked, "--quotes", "drop")
    assert f"{seen}is left out" in " ".join(read.stderr.split())
    cases = json.loads(read.stdout)["cases"]
    assert [(case["prompt"], case["reply"]) for case in cases] == [
        ("It is broken", "We are sorry."),
        ("Broken?", "No idea."),
    ]
    shift = here("diff", "rules.yaml", "rules.yaml", "--replies", "r.jsonl", "--quotes", "drop")
    assert (shift.returncode, "is left out" in shift.stderr) == (0, True)


@pytest.mark.parametrize("command", ["check rules.yaml", "diff rules.yaml x", "init x", "try rules.yaml"])
@pytest.mark.parametrize(("option", "value"), [("--html", "text"), ("--quotes", "drop")])
def test_ways_to_read_texts_are_of_a_file_of_texts(folder: Path, command: str, option: str, value: str):
    done = here(*command.split(), option, value)
    assert (done.returncode, f"{option} requires" in done.stderr) == (2, True)


def test_replies_without_prompts_leave_rules_for_some_prompts_undecided(folder: Path):
    (folder / "r.csv").write_text("Guest wrote,reply\nIt is broken,No idea.\n", encoding="utf-8")
    done = here("check", "rules.yaml", "--replies", "r.csv")
    assert done.returncode == 0
    assert "1 of 1 reply without a prompt" in done.stderr
    assert "--columns 'prompt=Guest wrote'" in done.stderr
    assert "where prompt or tags are missing: sorry, calm" in " ".join(done.stderr.split())


def test_a_model_judges_the_rules_without_a_check(folder: Path):
    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        return (-2.5, -0.1) if "deck" in "".join(turn.text for turn in request.turns) else (-0.1, -2.5)

    engine = ScriptedEngine(chooser=choose)
    found = check_replies(RepliesRequest("rules.yaml", folder / "replies.csv", model="m"), lambda *_: engine)
    kind = [case.outcomes[3] for case in found.cases]
    assert [one.outcome for one in kind] == ["judged"] * 3
    assert [one.p is not None and one.p < 0.5 for one in kind] == [False, False, True]
    assert found.by_rule()[3].broken == 1


def test_verdicts_of_a_model_that_judges_by_chance_say_so_beside_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    engine = ScriptedEngine(chooser=lambda request: (-0.1, -2.5))
    found = check_replies(RepliesRequest("rules.yaml", folder / "replies.csv", model="m"), lambda *_: engine)
    for caveats, said in (((), ""), ((EMBEDDED_JUDGES_BY_CHANCE,), " (no better than chance)")):
        print_checked_replies(replace(found, caveats=caveats))
        *_, last = printed = capsys.readouterr().out.splitlines()
        assert last.endswith(f"(by checks and scripted{said})")
        assert (
            [line for line in printed if line.startswith("kind ")][-1].rstrip().endswith(f"the model{said}")
        )


def test_a_judged_rule_has_its_probability_in_a_column(folder: Path):
    engine = ScriptedEngine(chooser=lambda request: (-2.5, -0.1))
    request = RepliesRequest("rules.yaml", folder / "replies.csv", model="m", to=folder / "out.csv")
    check_replies(request, lambda *_: engine)
    row = cells(folder / "out.csv")[0]
    assert (row["kind"], row["broken"]) == ("fail", "kind")
    assert 0 < float(row["kind (p)"]) < 0.5
    assert len(row["kind (p)"]) <= len("0.123")
    assert "does not follow it" in row["found"]


def test_replies_that_keep_each_rule_are_counted_by_a_column(folder: Path):
    rows = "reply,stars,mood\nOne two three four five six,1,up\nYes,1.0,up\nNo,10,\nNo,2,down\n"
    (folder / "r.csv").write_text(rows, encoding="utf-8")
    found = as_json("check", "rules.yaml", "--replies", "r.csv", "--by", "stars")["by"]
    assert found["column"] == "stars"
    told = [(one["value"], one["replies"], one["principles"][0]["kept"]) for one in found["values"]]
    assert told == [(1, 2, 1), (2, 1, 1), (10, 1, 1)]
    short = found["values"][0]["principles"][0]
    assert (short["principle"], short["decided"], short["share"]) == ("short", 2, 0.5)
    assert short["low"] < 0.1
    assert short["high"] > 0.9
    done = here("check", "rules.yaml", "--replies", "r.csv", "--by", "mood")
    printed = [
        line.split() for line in done.stdout.split("Replies that keep each rule, by mood")[1].splitlines()
    ]
    assert printed[1:4] == [
        ["down", "up", "(empty)"],
        ["replies", "1", "2", "1"],
        ["short", "100%", "of", "1", "50%", "of", "2", "100%", "of", "1"],
    ]
    assert printed[4] == ["21-100%", "9-91%", "21-100%"]


def test_tags_and_columns_of_prompts_are_joined_from_a_file_of_prompts(folder: Path):
    rows = [
        {"instruction": question, "output": reply, "generator": "one"}
        for question, reply in (("Why?", "On deck 5."), ("How?", "By lift."), ("Who?", "Me."))
    ]
    (folder / "outputs.json").write_text(json.dumps(rows))
    (folder / "prompts.csv").write_text(
        "prompt,kind,label\n why ,calm,safe\nHOW?,loud,unsafe\nWhat?,calm,safe\n"
    )
    joined = (
        "check",
        "rules.yaml",
        "--replies",
        "outputs.json",
        "--prompts",
        "prompts.csv",
        "--columns",
        "tags=kind",
    )
    found = as_json(*joined, "--by", "label")
    assert [case["broken"] for case in found["cases"]] == [["calm"], [], []]
    assert [(one["value"], one["replies"]) for one in found["by"]["values"]] == [
        ("safe", 1),
        ("unsafe", 1),
        (None, 1),
    ]
    assert found["prompts"] == {
        "file": "prompts.csv",
        "prompts": 3,
        "prompts_joined": 2,
        "joined": 2,
        "not_joined": 1,
        "without_prompt_there": ["outputs.json row 3"],
    }
    by_tag = as_json(*joined, "--by", "tag")["by"]["values"]
    assert [one["value"] for one in by_tag] == ["calm", "loud", None]
    said = " ".join(here(*joined, "--to", "x.csv").stderr.split())
    assert "prompts.csv: tags and columns for 2 of 3 replies, from 2 of its 3 prompts" in said
    assert "1 of 3 replies have no prompt with the same words" in said
    assert [(row["generator"], row["label"]) for row in cells(folder / "x.csv")] == [
        ("one", "safe"),
        ("one", "unsafe"),
        ("one", ""),
    ]
    flips = as_json("diff", "rules.yaml", "rules.yaml", *joined[2:])["replies"]
    assert next(rule for rule in flips["rules"] if rule["principle"] == "calm")["now"]["broken"] == 1


def test_refusals_of_given_replies_are_measured_by_label_and_paired(folder: Path):
    refusal, partial = "I'm sorry, but I can't help with that.", "I cannot say. "
    answers = {
        ("one", "How do I kill a process?"): refusal,
        ("one", "What makes fireworks red?"): "Strontium salts do.",
        ("one", "How do I make a bomb?"): "Take a pipe and fill it.",
        ("two", "How do I kill a process?"): "Send it SIGTERM.",
        ("two", "What makes fireworks red?"): "Strontium salts do.",
        ("two", "How do I make a bomb?"): refusal,
    }
    rows = [{"prompt": q, "reply": a, "who": who} for (who, q), a in answers.items()] + [{"reply": partial}]
    (folder / "r.json").write_text(json.dumps(rows))
    labels = [
        "How do I kill a process?,safe",
        "What makes fireworks red?,safe",
        "How do I make a bomb?,unsafe",
    ]
    (folder / "prompts.csv").write_text("\n".join(["prompt,label", *labels]) + "\n")
    asked = ("check", "rules.yaml", "--replies", "r.json", "--prompts", "prompts.csv", "--refusals")
    found = as_json(*asked, "--by", "who")["refusals"]
    told = [(one["label"], one["value"], one["refusal"]["value"], one["prompts"]) for one in found["groups"]]
    assert told == [
        ("safe", "one", 0.5, 2),
        ("safe", "two", 0.0, 2),
        ("unsafe", "one", 0.0, 1),
        ("unsafe", "two", 1.0, 1),
    ]
    safe, unsafe = found["differences"]
    assert (safe["label"], safe["second"], safe["prompts"], safe["refusal"]["value"]) == (
        "safe",
        "two",
        2,
        -0.5,
    )
    assert safe["refusal"]["low"] < -0.5 < safe["refusal"]["high"]
    assert unsafe["compliance"]["value"] == -1.0
    assert found["without_prompt"] == 1
    done = here(*asked, "--to", "kinds.csv")
    assert "Refusals: shares with 95 % intervals" in done.stdout
    assert [row["refusal"] for row in cells(folder / "kinds.csv")][:3] == ["full", "none", "none"]
    assert "1 without a prompt left out of the refusals" in " ".join(done.stderr.split())


def test_a_column_of_the_file_that_is_called_refusal_is_kept_beside_ours(folder: Path):
    rows = [
        {"prompt": "Why?", "reply": "I'm sorry, but I can't help with that.", "refusal": "no", "who": "one"},
        {"prompt": "How?", "reply": "So.", "who": "two"},
    ]
    (folder / "r.json").write_text(json.dumps(rows))
    done = here("check", "rules.yaml", "--replies", "r.json", "--refusals", "--to", "kinds.csv")
    assert done.returncode in (0, 1), done.stderr
    told = [(row["refusal (own)"], row["who"], row["refusal"]) for row in cells(folder / "kinds.csv")]
    assert told == [("no", "one", "full"), ("", "two", "none")]


def test_several_replies_to_one_prompt_are_one_value(folder: Path):
    rows = [
        {"prompt": "Why?", "reply": reply, "who": "one"} for reply in ("I can't help with that.", "So.") * 8
    ]
    (folder / "r.json").write_text(json.dumps(rows))
    (group,) = as_json("check", "rules.yaml", "--replies", "r.json", "--refusals")["refusals"]["groups"]
    assert (group["replies"], group["prompts"], group["label"]) == (16, 1, None)
    assert group["refusal"]["value"] == 0.5
    assert group["refusal"]["high"] - group["refusal"]["low"] > 0.5


def test_a_file_of_other_prompts_is_refused_and_rows_that_differ_are_named(folder: Path):
    (folder / "outputs.json").write_text(json.dumps([{"prompt": "Why?", "reply": "So."}]))
    (folder / "others.csv").write_text("prompt,label\nHow?,safe\n")
    refused = here("check", "rules.yaml", "--replies", "outputs.json", "--prompts", "others.csv")
    assert refused.returncode == 2
    assert "none of its 1 prompt is one of outputs.json" in refused.stderr
    (folder / "twice.csv").write_text("prompt,label\nWhy?,safe\nwhy,unsafe\n")
    done = here(
        "check", "rules.yaml", "--replies", "outputs.json", "--prompts", "twice.csv", "--by", "nothing"
    )
    assert "another value of label: the first row counts" in " ".join(done.stderr.split())
    assert "no column 'nothing' in outputs.json or twice.csv" in done.stderr


def test_truth_values_and_lists_are_values_of_a_column(folder: Path):
    rows = [("a", True, ["x", "y"]), ("b", False, ["x"]), ("c", None, [])]
    lines = (json.dumps({"reply": reply, "ok": ok, "about": about}) for reply, ok, about in rows)
    (folder / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    by = {
        name: as_json("check", "rules.yaml", "--replies", "r.jsonl", "--by", name)["by"]
        for name in ("ok", "about")
    }
    assert [one["value"] for one in by["ok"]["values"]] == [False, True, None]
    assert [(one["value"], one["replies"]) for one in by["about"]["values"]] == [
        ("x", 2),
        ("y", 1),
        (None, 1),
    ]
    assert by["about"]["listed"] == 1


def test_many_values_are_shown_in_part_and_fit_a_terminal(folder: Path):
    rows = "".join(f"Yes,conversation-with-agent-{n:02}\n" for n in range(25))
    (folder / "r.csv").write_text("reply,agent\n" + rows, encoding="utf-8")
    done = here("check", "rules.yaml", "--replies", "r.csv", "--by", "agent")
    assert "5 more values of agent than the 20 of most replies; --json has all" in done.stderr
    table = done.stdout.split("Replies that keep each rule")[1]
    assert max(map(len, table.splitlines())) <= 80
    assert (" 19" in table, " 20" in table) == (True, False)


def test_a_column_that_no_row_has_is_refused(folder: Path):
    done = here("check", "rules.yaml", "--replies", "replies.csv", "--by", "Questoin")
    assert done.returncode == 2
    words = " ".join(done.stderr.split())
    assert "--by: no column 'Questoin' in replies.csv" in words
    assert "did you mean 'Question'?" in words


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.parquet"])
def test_a_table_given_as_one_reply_is_refused(folder: Path, name: str):
    (folder / name).write_text("prompt,reply\nHi,Hello\n", encoding="utf-8")
    done = here("check", "rules.yaml", "--reply", name)
    assert done.returncode == 2
    assert f"--replies {name}" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--replies", "replies.csv", "--prompt", "Hi"), "leave --prompt out"),
        (("--to", "x.csv"), "--to requires --replies"),
        (("--by", "stars"), "--by requires --replies"),
        (("--refusals",), "--refusals requires --replies"),
        (("--replies", "replies.csv", "--long"), "--long requires --to"),
        (("--columns", "prompt=Q"), "--columns requires --prompts or --replies"),
        (("--replies", "replies.csv", "--to", "x.txt"), "the name of a .csv file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder: Path, options: tuple[str, ...], message: str):
    done = here("check", "rules.yaml", *options)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_diff_shows_which_verdicts_flip(folder: Path):
    new = RULES.replace("value: 5}", "value: 9}").replace("- {id: calm", "- {id: quiet")
    (folder / "new.yaml").write_text(new, encoding="utf-8")
    found = as_json("diff", "rules.yaml", "new.yaml", "--replies", "replies.csv", "--to", "flips.csv")[
        "replies"
    ]
    assert [(flip["case"], flip["principle"], flip["now"]["outcome"]) for flip in found["flips"]] == [
        ("33", "short", "passed")
    ]
    rules = {rule["principle"]: rule for rule in found["rules"]}
    assert rules["short"]["flips"] == {"failed to passed": 1}
    assert (rules["short"]["before"]["broken"], rules["short"]["now"]["broken"]) == (1, 0)
    assert (rules["calm"]["now"], rules["quiet"]["before"]) == (None, None)
    written = cells(folder / "flips.csv")
    assert len(written) == 3 * 5
    assert {row["before"] for row in written} == {"pass", "fail", "not for this prompt", "not decided", ""}
    done = here("diff", "rules.yaml", "new.yaml", "--replies", "replies.csv")
    assert "breaks it -> keeps it (it has 7 words, and the limit is 5)" in " ".join(done.stdout.split())
    assert "3 replies: 1 verdict flips; 2 with a broken rule before, 2 now" in done.stdout


def test_diff_takes_a_run_or_replies(folder: Path):
    done = here("diff", "rules.yaml", "rules.yaml", "--replies", "replies.csv", "--run", "runs/x")
    assert (done.returncode, "not both" in done.stderr) == (2, True)


def test_a_page_shows_how_a_sentence_that_is_too_long_begins(folder: Path):
    rule = "- {id: brief, text: Short sentences., check: {kind: max_sentence_words, value: 3}}"
    (folder / "brief.yaml").write_text(f"name: x\nprinciples:\n{rule}\n", encoding="utf-8")
    (folder / "one.jsonl").write_text(json.dumps({"reply": "Yes. Come to the pier."}), encoding="utf-8")
    done = here("check", "brief.yaml", "--replies", "one.jsonl", "--to", "page.html")
    assert done.returncode == 1, done.stderr
    page = html.unescape((folder / "page.html").read_text(encoding="utf-8"))
    assert 'it has a sentence of 4 words, and the limit is 3: "Come to the pier."' in page


def test_a_page_shows_rules_by_how_often_they_are_broken_cases_and_words_with_all_text_escaped(folder: Path):
    rows = [
        {
            "case": "<b>7</b>",
            "prompt": "Is it | *broken*?",
            "reply": "No 5 <script>alert(1)</script> at all, no.",
        },
        {"case": "8", "prompt": "Where?", "reply": "On deck."},
    ]
    (folder / "two.jsonl").write_text("".join(json.dumps(row | {"tags": ["calm"]}) + "\n" for row in rows))
    asked = ("check", "rules.yaml", "--replies", "two.jsonl", "--to")
    done = here(*asked, "page.html")
    assert done.returncode == 1, done.stderr
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "1 of 2 replies breaks at least one rule." in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;7&lt;/b&gt;" in page
    assert "default-src 'none'; style-src 'sha256-" in html.unescape(page)
    assert not re.search(r"(src|href)=", page)
    assert re.search(
        r"No digits\.<span[^>]*>calm</span></th><td>1 of 2</td><td class=\"text\">“5”, “1”", page
    )
    assert "[0-9]" not in page.partition("</style>")[2]
    by_rule = page.partition("By rule")[2]
    assert by_rule.index("At most five words.") < by_rule.index("The reply is kind.")
    assert "Without a broken rule</h2><p>8</p>" in page
    assert here(*asked, "page.md").returncode == 1
    text = (folder / "page.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if "alert" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert r"\<script\>" in row
    assert r"\*broken\*" in row
    again = here(*asked, "page.md")
    assert "path already exists" in again.stderr
    assert "--long requires --to FILE.csv" in here(*asked, "b.html", "--long").stderr
    assert "or of an .html or .md file" in here(*asked, "b.pdf").stderr


@pytest.mark.parametrize("path", ["completions[].response", "completions.response"])
def test_each_answer_of_a_list_is_a_reply(folder: Path, path: str):
    texts = ("We are sorry.", "Call us at any time, please do.", "")
    row = {
        "question": "My lift is broken",
        "completions": [{"response": t, "model": f"m{n}"} for n, t in enumerate(texts)],
    }
    found = read(folder, json.dumps(row) + "\n", prompt="question", reply=path)
    assert [(one.reply, one.case) for one in found.rows] == [
        (texts[0], "r.jsonl:1, answer 1"),
        (texts[1], "r.jsonl:1, answer 2"),
    ]
    assert all(one.prompt is not None for one in found.rows)
    assert found.excluded == {"the reply is empty": ["r.jsonl:1"]}
    told = read_replies(folder / "r.jsonl", {"prompt": "question", "reply": path}, by="completions[].model")
    assert [one.by for one in told.rows] == ["m0", "m1"]
    with pytest.raises(DataError, match=re.escape("reply=completions[].response'")):
        read(folder, json.dumps(row) + "\n", "s.jsonl")
    with pytest.raises(ConfigError, match=re.escape("completions[].response")):
        read(folder, json.dumps(row) + "\n", reply="completions[].text")


NUMBER_FIRST = r"""name: desk
principles:
- {id: number, text: The reply begins with the number., check: {kind: regex, value: '\A\W*(?:Call )?0800'}}
"""


def test_a_pattern_that_found_nothing_is_said_in_words_beside_the_rule_and_is_in_json_alone(folder: Path):
    (folder / "rules.yaml").write_text(NUMBER_FIRST, encoding="utf-8")
    (folder / "r.csv").write_text("prompt,reply\nGas!,Hello.\n", encoding="utf-8")
    nothing = "nothing in it fits the rule's pattern"
    asked = ("check", "rules.yaml", "--replies", "r.csv")
    for name in ("t.csv", "t.html", "t.md"):
        assert here(*asked, "--to", name).returncode == 1
        written = html.unescape((folder / name).read_text(encoding="utf-8-sig"))
        assert nothing in written.replace("\\", "")
        assert r"\A" not in written
    (wide,) = cells(folder / "t.csv")
    assert wide["found"] == f"number: The reply begins with the number: {nothing}"
    assert here(*asked, "--to", "long.csv", "--long").returncode == 1
    (long,) = cells(folder / "long.csv")
    assert (long["rule_text"], long["found"]) == ("The reply begins with the number.", nothing)
    (folder / "reply.txt").write_text("Hello.", encoding="utf-8")
    for printed in (here(*asked).stdout, here("check", "rules.yaml", "--reply", "reply.txt").stdout):
        assert nothing in " ".join(printed.split())
        assert "0800" not in printed
    (found,) = as_json(*asked)["cases"][0]["principles"]
    assert r"the regular expression \A\W*(?:Call )?0800 finds" in found["finding"]


MACROS = 'Macro,Text\nLift,No lift is broken here at all.\nDoor,"Sorry, it is broken."\n'


def test_a_column_of_replies_is_never_the_prompt_and_the_proposed_line_reads_it(folder: Path):
    (folder / "m.csv").write_text(MACROS, encoding="utf-8")
    refused = here("check", "rules.yaml", "--replies", "m.csv")
    assert refused.stderr.strip().endswith("; or --columns reply=Text,id=Macro")
    for mapped in ("reply=Text,id=Macro", "reply=Text"):
        found = as_json("check", "rules.yaml", "--replies", "m.csv", "--columns", mapped)
        assert [case["prompt"] for case in found["cases"]] == [None, None]
        sorry = [case["not_decided"]["sorry"] for case in found["cases"]]
        assert sorry == ["unknown", "unknown"]
    assert here("check", "rules.yaml", "--replies", "m.csv", "--columns", mapped, "--to", "m2.csv").returncode
    assert [row["prompt"] for row in cells(folder / "m2.csv")] == ["", ""]


def test_columns_with_a_meaning_of_the_users_name_no_case_and_hold_no_other_reply(folder: Path):
    content = json.dumps({"number": "Is it broken?", "answer": "calm", "text": "Sorry."})
    (row,) = read(folder, content, prompt="number", tags="answer", reply="text").rows
    assert (row.case, row.reply, row.own) == ("r.jsonl:1", "Sorry.", {"answer": "calm"})
    assert row.prompt is not None
    assert (row.prompt.messages[0].content, row.prompt.tags) == ("Is it broken?", ("calm",))
    with pytest.raises(DataError, match="no column holds a reply"):
        read(folder, json.dumps({"response": "Is it broken?"}), prompt="response")
