"""Damaged rows of every form are read or excluded with a reason; what is read survives a round trip."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import PubliusError
from labelers.formats.source import Row
from publius.sources.examples import DataSource, TrainingRows, read_answers, read_preferences
from tests.labelers.formats.reading import imported, rows_of
from tests.labelers.formats.test_fixtures import FORMATS
from tests.labelers.formats.test_fuzz import damaged
from tests.publius.sources.test_public_forms import ANSWERS, PREFERENCES
from training.examples import AnsweredPrompt, PreferencePair

BATCH = 20
ROWS = int(os.environ.get("PUBLIUS_FUZZ_ROWS", "600"))
"""Damaged rows of the long form."""
WORDS = ("Sí — naïve 日本語", "42", "17.0", " \u00a0x", "a\u2028b", "<|im_end|>", "\n\nHuman: x")


def strings(value: Any) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def written(path: Path, rows: list[Any]) -> DataSource:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return DataSource(str(path))


def forms() -> list[tuple[str, list[Any]]]:
    """Every form with its rows, each with texts of its own."""
    found = []
    for name, (row, _) in [*PREFERENCES.items(), *ANSWERS.items()]:
        texts = [
            json.loads(json.dumps(row).replace("tea", json.dumps(f"{word} {n}")[1:-1]))
            for n, word in enumerate(WORDS)
        ]
        found.append((name, [row, *texts]))
    return [*found, *((name, [row.values for row in rows_of(name)]) for name in sorted(FORMATS))]


def is_accounted_for(data: TrainingRows[Any], rows: list[Any]) -> bool:
    """Whether every row is among the examples or the excluded rows, by its id or its place."""
    if any("helpsteer2" in note for note in data.notes):
        return True  # several rows are one set of pairs, by the id of the first
    seen = {row.id for row in (*data.rows, *data.excluded)}
    seen |= {row.id.partition(".")[0] for row in data.rows}
    return all(f"r{n}" in seen or f"rows.jsonl:{n}" in seen for n in range(1, len(rows) + 1))


def check_preferences(rows: list[Any], folder: Path) -> int:
    data = read_preferences(written(folder / "rows.jsonl", rows))
    assert is_accounted_for(data, rows)
    by_id = {row["id"]: "\n".join(strings(row)) for row in rows if isinstance(row, dict)}
    for pair in data.rows:
        assert 0.5 <= pair.p_chosen <= 1
        assert pair.chosen != pair.rejected
        text = by_id.get(pair.id.partition(".")[0])
        if text is not None and "[" not in text and "Human:" not in text:
            assert pair.chosen.strip() in text
            assert pair.rejected.strip() in text
    assert again(data.rows, folder) == data.rows
    return len(data.rows)


def again(pairs: list[PreferencePair], folder: Path) -> list[PreferencePair]:
    """The pairs, written as the columns that `publius export` writes and read again."""
    if not pairs:
        return []
    rows = [
        {"id": pair.id, "prompt": [m.model_dump() for m in pair.prompt], "p_chosen": pair.p_chosen}
        | {name: [{"role": "assistant", "content": getattr(pair, name)}] for name in ("chosen", "rejected")}
        | {"weight": pair.weight, "margin": pair.margin, **pair.groups}
        | {"finished_chosen": pair.chosen_finished, "finished_rejected": pair.rejected_finished}
        for pair in pairs
    ]
    return read_preferences(written(folder / "again.jsonl", rows)).rows


def check_answers(rows: list[Any], folder: Path) -> int:
    data: TrainingRows[AnsweredPrompt] = read_answers(written(folder / "rows.jsonl", rows))
    assert is_accounted_for(data, rows)
    assert all(answer.prompt[-1].role == "user" and answer.answer.strip() for answer in data.rows)
    bad = {row["id"] for row in rows if isinstance(row, dict) and row.get("label") is False}
    assert not bad & {row.id.partition(".")[0] for row in data.rows}
    return len(data.rows)


def check_import(rows: list[Any], folder: Path) -> int:
    labels = imported([Row(n, row) for n, row in enumerate(rows, start=1)], folder)
    assert labels.tally.kept + labels.tally.dropped_rows == len(rows)
    return labels.tally.kept


def fuzz(total: int, folder: Path) -> dict[str, int]:
    draw, done = random.Random(total), 0
    kept = {"preferences": 0, "answers": 0, "import": 0}
    everything = forms()
    while done < total:
        _, rows = everything[(done // BATCH) % len(everything)]
        batch = [damaged(Row(1, draw.choice(rows)), draw).values for _ in range(BATCH)]
        batch[0] = json.loads(json.dumps(draw.choice(rows)))  # by which the form is recognised
        for number, row in enumerate(batch, start=1):
            if isinstance(row, dict):
                row["id"] = f"r{number}"
        for name, check in (
            ("preferences", check_preferences),
            ("answers", check_answers),
            ("import", check_import),
        ):
            own = folder / f"{done}-{name}"
            own.mkdir()
            try:
                kept[name] += check(json.loads(json.dumps(batch)), own)
            except PubliusError as error:
                assert str(error).count("\n") == 0  # noqa: PT017
        done += BATCH
    return kept


def test_some_damaged_rows_are_read_or_excluded(tmp_path: Path):
    assert all(fuzz(80, tmp_path).values())


@pytest.mark.long
def test_damaged_rows_are_read_or_excluded(tmp_path: Path):
    kept = fuzz(ROWS, tmp_path)
    assert min(kept.values()) > ROWS / 40, kept
