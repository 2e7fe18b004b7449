"""Thumbs on single answers, offered where pairs are wanted: what the commands say of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from publius.audit.gold import read_gold
from publius.labels.importing import LabelsRequest, import_labels
from publius.labels.ratings.table import read_ratings
from publius.sources.column_names import ColumnNames
from publius.sources.examples import read_preferences
from publius.sources.judges.replies import read_labelled_replies
from publius.sources.judges.thumbs import thumbs_in
from publius.sources.pairs import survey_pairs
from publius.sources.prompts import PromptFile
from publius.sources.rows import DataSource


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def thumb(number: int, label: Any = True, **more: Any) -> dict[str, Any]:
    return {"prompt": f"Question {number}?", "completion": f"Answer {number}.", "label": label, **more}


OFFERS: dict[str, Callable[[Path], object]] = {
    "import": lambda path: import_labels(LabelsRequest(DataSource(str(path)), path.parent / "to")),
    "import as trl": lambda path: import_labels(
        LabelsRequest(DataSource(str(path)), path.parent / "to", format="trl")
    ),
    "gold": lambda path: read_gold([str(path)]),
    "pairs": lambda path: survey_pairs(PromptFile(path)),
    "one answer mapped": lambda path: survey_pairs(PromptFile(path, columns={"response_a": "completion"})),
    "agreement": read_ratings,
    "training": lambda path: read_preferences(DataSource(str(path))).require("rows to train on"),
}


@pytest.mark.parametrize("offer", OFFERS)
def test_thumbs_are_named_with_what_they_are_for(tmp_path: Path, offer: str):
    path = written(tmp_path / "t.jsonl", *(thumb(n, n % 2 > 0) for n in range(3)))
    with pytest.raises(DataError) as error:
        OFFERS[offer](path)
    said = str(error.value)
    assert "where a prompt has answers with both labels (0 of 3 prompts)" in said
    assert f"publius train judge --labelled {path} --to DIR" in said
    assert f"publius check RULES.yaml --replies {path} --by label" in said
    assert "TRL's KTOTrainer (the file as it is)" in said
    assert "response_b=response_a" not in said


def test_prompts_with_both_labels_are_counted_with_what_pairs_them(tmp_path: Path):
    path = written(tmp_path / "t.jsonl", thumb(1), thumb(1, False, completion="No."), thumb(2))
    with pytest.raises(DataError) as error:
        OFFERS["import"](path)
    assert f"(1 of 2 prompts: publius train dpo --data {path} --to DIR)" in str(error.value)
    assert len(read_preferences(DataSource(str(path))).rows) == 1


@pytest.mark.parametrize(("up", "down"), [("up", "down"), (1, 0), ("like", "dislike"), (True, False)])
def test_thumbs_in_columns_of_other_names_are_mapped(tmp_path: Path, up: Any, down: Any):
    rows = [{"question": f"Why {n}?", "reply": f"So {n}.", "thumbs": (down, up)[n % 2]} for n in range(4)]
    path = written(tmp_path / "t.jsonl", *rows)
    with pytest.raises(DataError) as error:
        OFFERS["import"](path)
    said = str(error.value)
    assert f"--labelled {path} --to DIR --columns completion=reply,label=thumbs" in said
    assert "--by thumbs" in said
    names = ColumnNames({"completion": "reply", "label": "thumbs"})
    found = read_labelled_replies(DataSource(str(path)), names).rows
    assert [row.good for row in found] == [False, True, False, True]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "chosen": "b", "rejected": "c", "label": True},
        {"prompt": "a", "response_a": "b", "response_b": "c", "label": True},
        {"prompt": "a", "completion": "b", "label": "sports"},
        {"prompt": "a", "completion": "b"},
        {"text": "a", "label": 1},
    ],
)
def test_other_rows_are_no_thumbs(row: dict[str, Any]):
    assert thumbs_in([row]) is None


def test_one_of_two_answers_keeps_our_name_in_the_suggested_columns(tmp_path: Path):
    path = written(tmp_path / "t.jsonl", {"prompt": "Why?", "answer_x": "So.", "response_a": "No."})
    with pytest.raises(DataError) as error:
        survey_pairs(PromptFile(path))
    assert str(error.value).endswith("--columns response_b=answer_x")
