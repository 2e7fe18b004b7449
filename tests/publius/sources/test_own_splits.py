"""A column `split` of a file: `dev` and `test` are not mixed, and `prompts.split` maps the rows' words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import ConfigError, DataError
from publius.authoring.given import parse_splits
from publius.sources.prompt_survey import survey
from publius.sources.prompts import PromptFile, read_prompt_rows
from publius.stages.prompts import warn_if_all_held_out


def written(folder: Path, *splits: str | None) -> Path:
    path = folder / "q.jsonl"
    rows = [{"prompt": f"Question {number}", "set": split} for number, split in enumerate(splits)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


COLUMNS = {"split": "set"}


@pytest.mark.parametrize("word", ["dev", "validation", "val", "dev_small"])
def test_rows_for_development_beside_test_rows_are_refused(tmp_path: Path, word: str) -> None:
    path = written(tmp_path, word, word, "test")
    with pytest.raises(DataError) as caught:
        survey(PromptFile(path, columns=COLUMNS))
    assert f"{word} (2), test (1)" in str(caught.value)
    assert f"prompts.split: {{train: {word}, test: test}}" in str(caught.value)


@pytest.mark.parametrize("splits", [("dev", "dev"), ("train", "dev"), ("train", "test"), ("heldout", "test")])
def test_other_words_are_read_as_before(tmp_path: Path, splits: tuple[str, ...]) -> None:
    found = list(read_prompt_rows(PromptFile(written(tmp_path, *splits), columns=COLUMNS)))
    survey(PromptFile(tmp_path / "q.jsonl", columns=COLUMNS))
    expected = ["train" if word == "train" else "test" for word in splits]
    assert [row.parsed and row.parsed.prompt.split for row in found] == expected


def test_with_rows_for_training_it_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    survey(PromptFile(written(tmp_path, "train", "dev", "test"), columns=COLUMNS))
    assert "rows of dev are held out as test" in caplog.text


def test_prompts_split_maps_the_words_of_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, "dev", "test", "other", "fold", None)
    splits = {"train": "dev", "test": "test", "all": "fold"}
    found = list(read_prompt_rows(PromptFile(path, columns=COLUMNS, split=splits)))
    assert [row.parsed and row.parsed.prompt.split for row in found] == ["train", "test", None, None, None]
    assert [row.parsed is not None for row in found] == [True, True, False, True, False]
    assert found[2].reason == "the split of the row is not in prompts.split"
    assert survey(PromptFile(path, columns=COLUMNS, split=splits)).usable == 3


def test_a_text_file_has_no_splits(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text("One?\nTwo?\n")
    with pytest.raises(DataError, match="no subsets or splits"):
        list(read_prompt_rows(PromptFile(path, split={"train": "dev"})))


def test_the_option_of_init() -> None:
    assert parse_splits(["train=dev,test=test"]) == {"train": "dev", "test": "test"}
    for wrong in ("train", "dev=train", "train=a,train=b"):
        with pytest.raises(ConfigError):
            parse_splits([wrong])


def test_a_warning_if_all_prompts_are_held_out(caplog: pytest.LogCaptureFixture) -> None:
    warn_if_all_held_out({"train": 0, "preference": 3, "test": 2})
    assert not caplog.text
    warn_if_all_held_out({"train": 0, "preference": 0, "test": 24})
    assert "all 24 prompts are held out" in caplog.text
