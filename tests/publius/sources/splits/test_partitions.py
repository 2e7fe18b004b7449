"""Folders of several files: the file of each row, and columns from the names of folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from publius.sources.prompt_survey import survey
from publius.sources.prompts import PromptFile, read_prompt_rows
from publius.sources.rows import DataSource, read_rows


@pytest.fixture(autouse=True)
def _own_data_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def written(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet, table = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow").Table
        parquet.write_table(table.from_pylist(list(rows)), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_partition_is_a_column_and_a_row_is_named_by_its_file(tmp_path: Path, ending: str):
    folder = tmp_path / "events"
    written(folder / "month=2026-08" / f"part.{ending}", {"prompt": "One?"}, {"prompt": "Two?"})
    written(folder / "month=2026-09" / f"part.{ending}", {"prompt": "Three?"}, {"prompt": " "})
    source = PromptFile(folder, columns={"tags": "month"}, keep=["month"])
    assert survey(source).carried(["month"]) == {"month": "string"}
    rows = list(read_prompt_rows(source))
    assert [row.parsed.prompt.tags for row in rows if row.parsed] == [("2026-08",)] * 2 + [("2026-09",)]
    assert rows[2].place == f"events/month=2026-09/part.{ending} row 1"
    assert (rows[3].place, rows[3].detail) == (
        f"events/month=2026-09/part.{ending} row 2",
        "prompt has white space only",
    )
    assert [row.reason for row in read_prompt_rows(PromptFile(folder, where={"month": "2026-09"}))][:2] == [
        "left out by prompts.where month = 2026-09"
    ] * 2


def test_a_column_of_the_files_goes_before_the_partition(tmp_path: Path):
    written(tmp_path / "d" / "lang=de" / "a.parquet", {"prompt": "One?", "lang": "fr"})
    assert [row.values["lang"] for row in read_rows(DataSource(str(tmp_path / "d"), split="train"))] == ["fr"]


def test_values_are_numbers_if_all_are_and_a_slice_keeps_its_files(tmp_path: Path):
    for year, month in ((2025, "08"), (2026, "__HIVE_DEFAULT_PARTITION__")):
        rows = [{"prompt": f"{year} {n}?"} for n in range(3)]
        written(tmp_path / "d" / f"year={year}" / f"month={month}" / "a%20b.parquet", *rows)
    found = list(read_rows(DataSource(str(tmp_path / "d"), split="train[2:5]")))
    assert [(row.values["year"], row.values["month"]) for row in found] == [
        (2025, "08"),
        (2026, None),
        (2026, None),
    ]
    assert [row.file.rpartition(" ")[2] for row in found] == ["3", "1", "2"]
    assert [row.id for row in found] == ["row 1", "row 2", "row 3"]


def test_rows_of_one_file_keep_their_places(tmp_path: Path):
    written(tmp_path / "d" / "train.parquet", {"prompt": "One?"})
    (row,) = read_prompt_rows(PromptFile(tmp_path / "d"))
    assert row.place == "d row 1"


def test_what_is_empty_in_a_conversation_is_told(tmp_path: Path):
    turns = [{"role": "user", "content": " "}]
    written(tmp_path / "p.jsonl", {"messages": turns}, {"messages": []}, {"prompt": ""})
    details = [row.detail for row in read_prompt_rows(PromptFile(tmp_path / "p.jsonl"))]
    assert details[:2] == ["the last message in messages has no text", "messages is empty"]
    assert details[2] == "prompt has no text"
