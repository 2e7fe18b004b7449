"""Mutated rows of prompts: each is read or skipped with a reason, and what is read is exported as it was."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import PubliusError
from publius.runs.dataset import OWN_COLUMNS, export_run
from publius.runs.manifest import read_manifest
from publius.sources.prompt_survey import survey
from publius.sources.prompts import PromptFile, PromptRow, read_prompt_rows
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import RUN, Recorder, record_lines, write_project

COUNT = int(os.environ.get("PUBLIUS_FUZZED_ROWS", "600"))

HH = "\n\nHuman: Where is row {n}?\n\nAssistant: Here.\n\nHuman: And {n} more?\n\nAssistant: There."
TALK = [("system", "Be kind to {n}."), ("user", "Hi {n}"), ("assistant", "Yes."), ("user", "Why {n}?")]


def valid_row(draw: random.Random, n: int) -> dict[str, Any]:
    """Return a valid row in one of the forms that are read."""
    chat = [{"role": role, "content": text.format(n=n)} for role, text in TALK[draw.randrange(2) :]]
    answer = {"role": "assistant", "content": "Because."}
    shares = [
        {"from": {"user": "human", "assistant": "gpt"}.get(m["role"], m["role"]), "value": m["content"]}
        for m in [*chat, answer]
    ]
    hh = HH.format(n=n)
    forms: list[dict[str, Any]] = [
        {"prompt": f"What is {n}?"},
        {"prompt": chat},
        {"messages": [*chat, answer]},
        {"conversations": shares},
        {"question": f"Who was number {n}?", "answer": "Nobody."},
        {"instruction": f"Sum up text {n}.", "input": "A short text."},
        {"instruction": f"And {n}?", "history": [["Hi", "Hello."]]},
        {"query": f"{n} eggs"},
        {"text": f"Say {n}."},
        {"chosen": hh, "rejected": hh.replace("There", "Nowhere")},
        {"prompt": hh.removesuffix(" There.")},
        {"system": "Be brief.", "prompt": f"List {n} things."},
    ]
    own = {"ticket": f"T-{n}", "tags": ["a", "b"][: draw.randrange(3)], "score": n / 7, "seen": n % 2 == 0}
    return draw.choice(forms) | {name: value for name, value in own.items() if draw.random() < 0.5}


ODD: list[Any] = [
    None, "", "  ", 0, -1, 10**400, 1.5, float("nan"), float("inf"), True, [], {}, [[]], [None],
    {"a": None}, "null", "NaN", "\ud800", "\u0000", "\u202e", "\u2028line", "é" * 50, "\U0001f600", "1.0",
    "[]", "[{", "{}", "\n\nHuman:", "\n\nHuman: Hi\n\nAssistant:", "\n\nAssistant: Hi", "<|im_start|>user",
    "x" * 5000, [{"role": "user"}], [{"from": "human"}], [{"role": "user", "content": ["a"]}],
    {"role": "user", "content": "x"},
]  # fmt: skip


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


def mutated(draw: random.Random, value: Any) -> Any:
    """Return a value with one change at a random place."""
    roll = draw.random()
    if isinstance(value, dict) and value and roll < 0.8:
        key = draw.choice(list(value))
        if roll < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if roll < 0.2:
            return {(k.upper() if k == key else k): v for k, v in value.items()}
        return {**value, key: mutated(draw, value[key])}
    if isinstance(value, list) and value and roll < 0.8:
        at = draw.randrange(len(value))
        if roll < 0.15:
            return value[:at] + value[at + 1 :]
        return [*value[:at], mutated(draw, value[at]), *value[at + 1 :]]
    return nested(draw.choice((3, 40, 400))) if roll > 0.97 else draw.choice(ODD)


def fuzzed_file(draw: random.Random, path: Path, count: int) -> int:
    """Write valid, mutated and broken lines; return how many of them are rows."""
    written = []
    for n in range(count):
        row: Any = valid_row(draw, n)
        for _ in range(draw.choice((0, 0, 1, 1, 2, 4))):
            row = mutated(draw, row)
        line = json.dumps(row)
        if draw.random() < 0.03:
            line = draw.choice((line[:-1], f"{line}{line}", line[1:], "[" * 5000, "nul", "\xff"))
        written.append(line)
    path.write_bytes("\n".join(written).encode("latin-1", "replace"))
    return sum(bool(line.strip()) for line in written)


@pytest.mark.long
def test_every_row_is_used_or_excluded_and_what_is_used_is_exported_as_it_was(tmp_path: Path):
    draw = random.Random(7)
    run_file = write_project(tmp_path, run=RUN.replace("rounds: 2", "rounds: 1"))
    path, samples = tmp_path / "prompts.jsonl", set[str]()
    rows = fuzzed_file(draw, path, COUNT)
    settings = ("split={train: 1, preference: 0, test: 0}", "label.principles=1")
    folder = execute(RunRequest(run_file, settings), Recorder()).folder
    stage, summary = read_manifest(folder)["stages"]["prompts"], read_manifest(folder)["prompts"]
    lines = record_lines(folder)
    skipped = [e for e in map(json.loads, lines["exclusions.jsonl"]) if e["stage"] == "prompts"]
    assert summary["rows"] == rows == len(lines["prompts.jsonl"]) + len(skipped)
    assert stage["records"] == len(lines["prompts.jsonl"]) > rows / 4
    assert sum(stage["left_out"].values()) == len(skipped) > rows / 20

    used = {
        str(as_json(row)): row for row in reversed(list(read_prompt_rows(PromptFile(path)))) if row.parsed
    }
    export_run(folder, tmp_path / "to")
    for line in exported_lines(tmp_path / "to" / "soft"):
        sample = json.loads(line)
        row = used[str(sample["prompt"])]  # KeyError: a prompt was changed on its way
        ticket = row.values.get("ticket")
        if isinstance(ticket, str) and "\ud800" not in ticket:
            assert sample[OWN_COLUMNS]["ticket"] == ticket
        samples.add(str(sample["prompt"]))
    assert len(samples) > rows / 4


def exported_lines(folder: Path) -> Iterator[str]:
    for path in folder.glob("*.jsonl"):
        yield from path.read_text(encoding="utf-8").split("\n")[:-1]


def as_json(row: PromptRow) -> list[dict[str, str]]:
    assert row.parsed is not None
    return [message.model_dump() for message in row.parsed.prompt.messages]


@pytest.mark.long
@pytest.mark.parametrize("name", ["p.csv", "p.json", "p.txt", "p.jsonl.gz", "p.parquet"])
def test_damaged_file_of_any_kind_is_read_or_refused_in_one_line(tmp_path: Path, name: str):
    draw, path = random.Random(name), tmp_path / name
    valid = b'prompt,tags\n"Hi, you",a\nAgain,"b;c"\n' if name != "p.json" else b'[{"prompt": "Hi"}]'
    for _ in range(40):
        content = bytearray(valid)
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(len(content))
            content[at : at + draw.randrange(3)] = draw.choice(
                (b"\xff", b'"', b"\n", b"\0", b"[", b"\xef\xbb\xbf")
            )
        path.write_bytes(content)
        with contextlib.suppress(PubliusError):
            found = survey(PromptFile(path))
            assert found.rows == found.usable + found.reasons.total()
