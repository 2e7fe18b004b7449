"""Splits of a data set as those of a run: mapped, found by name, and named where they are not read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from core.errors import ConfigError, DataError
from publius.config.run_file import PromptsConfig, load_run_config
from publius.sources.pairs import read_pair_rows
from publius.sources.prompt_survey import survey
from publius.sources.prompts import PromptFile, read_prompts
from publius.sources.splits.mapping import held_out_splits, unread_splits
from tests.publius.invoking import here


def saved(folder: Path, **splits: int) -> Path:
    datasets = pytest.importorskip("datasets")
    named = {
        name: datasets.Dataset.from_list([{"q": f"{name} question {n}?"} for n in range(rows)])
        for name, rows in splits.items()
    }
    datasets.DatasetDict(named).save_to_disk(str(folder / "asked"))
    return folder / "asked"


def test_each_split_of_the_run_has_its_split_of_the_data_set(tmp_path: Path):
    source = saved(tmp_path, train=3, heldout=2, extra=1)
    mapping = {"train": "train[:2]", "preference": "train[2:]", "test": "heldout", "all": "extra"}
    found = list(read_prompts(PromptFile(source, split=mapping, columns={"prompt": "q"})))
    assert [prompt.split for prompt in found] == ["train"] * 2 + ["preference"] + ["test"] * 2 + [None]
    assert found[3].messages[0].content == "heldout question 0?"


def test_missing_split_is_named_with_those_that_there_are(tmp_path: Path):
    source = saved(tmp_path, train=1, heldout=1)
    with pytest.raises(DataError, match=r"prompts.split: train or heldout"):
        list(read_prompts(PromptFile(source, split={"test": "held"})))


def test_pairs_are_of_one_split(tmp_path: Path):
    source = saved(tmp_path, train=1, heldout=1)
    with pytest.raises(ConfigError, match="pairs are of one split"):
        list(read_pair_rows(PromptFile(source, split={"train": "train"})))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "heldout"), {"train": "train", "test": "heldout"}),
        (("train", "validation", "test"), {"train": "train", "test": "test"}),
        (("train", "other", "eval"), {"train": "train", "test": "eval"}),
        (("questions", "held_out"), {"train": "questions", "test": "held_out"}),
        (("train", "other"), None),
        (("test", "validation"), None),
        (("one", "two", "test"), None),
    ],
)
def test_held_out_splits_are_found_by_their_names(
    tmp_path: Path, names: tuple[str, ...], expected: dict[str, str] | None
):
    assert held_out_splits(saved(tmp_path, **dict.fromkeys(names, 1))) == expected


def test_splits_that_are_not_read_are_named(tmp_path: Path):
    source = saved(tmp_path, train=3, heldout=2, extra=1)
    line = unread_splits(source, None, None)
    assert line.startswith("asked: the split train was read; others: heldout (2 rows), extra (1 row); ")
    assert "{train: train, test: heldout}" in line
    assert line.startswith(unread_splits(source, in_run_file=False))
    assert unread_splits(source, None, "train") == ""
    config = PromptsConfig.model_validate({"path": source, "columns": {"prompt": "q"}})
    assert survey(config).unread_splits == line
    assert unread_splits(saved(tmp_path / "one", train=1), None, None) == ""
    (tmp_path / "file.jsonl").write_text('{"prompt": "q"}\n')
    assert unread_splits(tmp_path / "file.jsonl", None, None) == ""
    assert held_out_splits(tmp_path / "missing") is None


def test_folder_of_files_named_by_split_is_mapped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / f"{name}.jsonl").write_text(f'{{"prompt": "{name}?"}}\n')
    mapping = held_out_splits(folder)
    assert mapping == {"train": "train", "test": "test"}
    found = read_prompts(PromptFile(folder, split=mapping))
    assert Counter(prompt.split for prompt in found) == {"train": 1, "test": 1}


def test_init_writes_the_mapping_and_says_so(tmp_path: Path):
    source = saved(tmp_path, train=3, heldout=2, extra=1)
    done = here("init", tmp_path / "desk", "--prompts", source, "--columns", "prompt=q")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "the split train is for training and heldout is held out" in said
    assert "not read: extra (1 row)" in said
    assert "5 used: 3 train, 0 preference, 2 test" in said
    assert "no prompt is held out" not in said
    config = load_run_config(tmp_path / "desk" / "run.yaml")
    assert config.prompts.split == {"train": "train", "test": "heldout"}


def test_check_names_the_split_that_it_did_not_read(tmp_path: Path):
    source = saved(tmp_path, train=3, heldout=2)
    rules = tmp_path / "rules.yaml"
    rules.write_text("name: r\nprinciples: [The reply is kind.]\n")
    done = here("check", rules, "--prompts", source, "--columns", "prompt=q")
    said = " ".join(done.stdout.split())
    assert "3 prompts of 3 rows" in said
    assert "asked: the split train was read; others: heldout (2 rows)" in said
