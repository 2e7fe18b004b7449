"""YAML as we write it: what is read back is what was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.text.yaml_file import parse_yaml
from core.text.yaml_writing import yaml_text

TEXTS = [
    "1e5",
    "1.10",
    "-.5",
    "0x1f",
    "007",
    "true",
    "no",
    "null",
    "~",
    "",
    " led",
    "a: b",
    "# no",
    "2024-01-01",
]
TEXTS += [
    "one\ntwo\n",
    "\n\nlate",
    "trailing \n",
    "\ufeffbom",
    "tab\there",
    "- item",
    "'",
    '"',
    "*",
    "&a",
    "naïve 选择",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_stays_the_text_that_it_was(text):
    value = {"text": text, "list": [text, {"deep": [text]}]}
    assert parse_yaml(yaml_text(value), Path("x.yaml")).value == value


def test_numbers_and_constants_stay_what_they_are():
    value = {"whole": 3, "float": 0.1, "small": 1e-07, "large": 1e20, "yes": True, "none": None, "empty": []}
    assert parse_yaml(yaml_text(value), Path("x.yaml")).value == value


def test_texts_of_several_lines_are_written_as_blocks():
    assert yaml_text({"text": "one\ntwo\n"}) == "text: |\n  one\n  two\n"


def test_a_value_that_occurs_twice_is_written_twice():
    tags = ["a", "b"]
    value = {"one": tags, "two": [tags, {"three": tags}]}
    assert parse_yaml(yaml_text(value), Path("c.yaml")).value == value
