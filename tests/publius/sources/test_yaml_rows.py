"""A YAML list is rows, as a JSON list is."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from core.errors import DataError
from publius.sources.label_rows import label_rows
from publius.sources.prompts import PromptFile, read_prompts
from publius.sources.rows import DataSource, read_rows

ROWS = "- {n: 0, prompt: 'Why?', split: train}\n- {n: 1, prompt: 'How?', split: test}\n"


@pytest.mark.parametrize("name", ["q.yaml", "q.yml", "q.yaml.gz"])
def test_a_list_of_mappings_is_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(ROWS.encode()) if name.endswith(".gz") else ROWS.encode())
    found = [(prompt.messages[-1].content, prompt.split) for prompt in read_prompts(path)]
    assert found == [("Why?", "train"), ("How?", "test")]
    assert [row.values["n"] for row in read_rows(DataSource(str(path)))] == [0, 1]
    assert [(row.number, row.values["n"]) for row in label_rows(DataSource(str(path)))] == [(1, 0), (2, 1)]


def test_a_list_of_texts_is_prompts(tmp_path: Path) -> None:
    path = tmp_path / "q.yaml"
    path.write_text("- Why?\n- 'How?'\n")
    assert [prompt.messages[-1].content for prompt in read_prompts(path)] == ["Why?", "How?"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("- &x {prompt: Why?}\n- *x\n", "not supported"),
        ("- {prompt: Why?\n", "q.yaml:1:3: not valid YAML"),
        ("Why?\n", "no list of rows"),
        ("", "the file is empty"),
    ],
)
def test_other_yaml_is_refused_with_its_place(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "q.yaml"
    path.write_text(content)
    with pytest.raises(DataError, match=what):
        list(read_prompts(PromptFile(path)))
