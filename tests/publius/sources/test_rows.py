"""Rows of data sets that `datasets` reads: saved folders, class labels, and names that are no data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from publius.sources.label_rows import label_rows
from publius.sources.rows import DataSource, read_rows, with_split

datasets = pytest.importorskip("datasets")
ROWS = [{"prompt": f"Q{i}?", "chosen": "Good.", "rejected": "Bad."} for i in range(4)]


@pytest.fixture(autouse=True)
def _own_data_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def values(name: Path | str, **asked: Any) -> list[Any]:
    return [row.values for row in read_rows(with_split(DataSource(str(name), **asked)))]


def test_saved_data_set_is_read(tmp_path: Path):
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    assert values(tmp_path / "saved") == ROWS
    assert values(tmp_path / "saved", split="train[1:3]") == ROWS[1:3]
    assert [row.values for row in label_rows(DataSource(str(tmp_path / "saved")))] == ROWS


def test_saved_splits_are_chosen_by_purpose(tmp_path: Path):
    table = datasets.Dataset.from_list
    datasets.DatasetDict(train=table(ROWS[:3]), test=table(ROWS[3:])).save_to_disk(tmp_path / "saved")
    assert values(tmp_path / "saved") == ROWS[:3]
    assert values(tmp_path / "saved", purpose="evaluate") == ROWS[3:]
    assert values(tmp_path / "saved", split="train[:50%]") == ROWS[:2]
    with pytest.raises(DataError, match="no split 'dev'; accepted: --split train or test"):
        values(tmp_path / "saved", split="dev")


def test_saved_subsets_are_named(tmp_path: Path):
    for name, rows in (("one", ROWS[:1]), ("two", ROWS[1:])):
        datasets.DatasetDict(train=datasets.Dataset.from_list(rows)).save_to_disk(tmp_path / "all" / name)
    assert values(tmp_path / "all", subset="two") == ROWS[1:]
    with pytest.raises(DataError, match="several subsets; accepted: --subset one or two"):
        values(tmp_path / "all")


def test_class_labels_are_read_by_name(tmp_path: Path):
    label = datasets.ClassLabel(names=["left", "right", "tie"])
    table = datasets.Dataset.from_dict({"verdict": [0, 2, -1, None]})
    table.cast_column("verdict", label).to_parquet(tmp_path / "labels.parquet")
    assert [row["verdict"] for row in values(tmp_path / "labels.parquet")] == ["left", "tie", None, None]


@pytest.mark.parametrize(
    "name",
    [
        "missing.csv.gz",
        "org/pairs.jsonl",
        "pairs.xlsx",
        "data\\pairs",
        "a b",
        "org/",
        "/x",
        "pairs.txt",
        "x.tar.gz",
    ],
)
def test_names_of_files_never_go_to_a_hub(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets, "load_dataset", pytest.fail)
    monkeypatch.setattr(datasets, "get_dataset_config_names", pytest.fail)
    with pytest.raises(DataError, match="no such file or folder"):
        values(name)


def test_pointer_in_place_of_a_parquet_file_is_named(tmp_path: Path):
    (tmp_path / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\nsize 5\n")
    with pytest.raises(DataError, match="Git LFS pointer"):
        values(tmp_path / "a.parquet")
