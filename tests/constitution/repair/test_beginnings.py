"""Beginnings of answers: a model that continues them meets the check."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.repair.beginnings import insertions, openings
from constitution.repair.patterns import example_of

CHECK: TypeAdapter[Check] = TypeAdapter(Check)
ANSWER = "Water the basil less often. The soil should dry out first. Give it more light."


def check(kind: str, value: Any) -> Check:
    return CHECK.validate_python({"kind": kind, "value": value})


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("starts_with", ["Short answer:", "In short"], ("Short answer:", "In short")),
        ("format", "list", ("-", "1.")),
        ("format", "prose", ()),
        ("json", {"type": "object", "properties": {"answer": {"type": "string"}}}, ('{"answer": "',)),
        ("json", {"type": "object", "properties": {"score": {"type": "number"}}}, ('{"score":',)),
        ("json", {"properties": {"a": True}}, ('{"a":',)),
        ("regex", r"^\*\*.+\*\*", ("**",)),
        ("regex", r"^#{1,3} \w+", ("#",)),
        ("json", {"type": "array", "items": {"type": "string"}}, ('["',)),
        ("json", {"type": "array", "items": {"type": "object"}}, ('[{"',)),
        ("json", {"type": "number"}, ()),
        ("language", "fr", ("Voici",)),
        ("language", "en", ()),
        ("person", "first", ("I", "We")),
        ("regex", r"\AVerdict: (yes|no)\b", ("Verdict: yes",)),
        ("regex", r"because", ()),
        ("max_words", 20, ()),
    ],
)
def test_opening_is_what_the_check_begins_with(kind: str, value: Any, expected: tuple[str, ...]) -> None:
    assert tuple(opening.rstrip() for opening in openings([check(kind, value)])) == expected


@pytest.mark.parametrize(
    ("kind", "value", "ending"),
    [
        ("contains_any", ["for example", "for instance"], "First. For example"),
        ("contains", ["zinc", "iron"], "First. Zinc and iron"),
        ("ends_with_question", True, "Would you"),
        ("regex", r"(?m)^Why: ", "\n\nWhy:"),
        ("regex", r"\n\n\S", "\n\n"),
        ("person", "first", "First. I"),
    ],
)
def test_insertion_keeps_first_sentences(kind: str, value: Any, ending: str) -> None:
    found = insertions([check(kind, value)], "First. Second one. Third one.")
    assert found
    assert all(text.startswith("First.") for text in found)
    assert any(text.endswith(ending) for text in found)


def test_too_short_answer_is_continued() -> None:
    (found,) = insertions([check("min_words", 50)], ANSWER)
    assert found == f"{ANSWER}\n\n"


def test_check_that_passes_asks_for_no_insertion() -> None:
    assert insertions([check("contains_any", ["soil"])], ANSWER) == ()


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        (r"(?m)^Why: ", "Why: "),
        (r"(?:yes|no), (?:of course|never)", "yes, of course"),
        (r"\d{3}-\d{4}", "111-1111"),
        (r".*source:.*", "source:"),
        (r"[A-C]\)", "A)"),
        (r"x+y?z{2,}", "xzz"),
        (r"(?i)\bnote\b", "note"),
        (r".*", None),
        (r"^$", None),
    ],
)
def test_pattern_has_a_short_example(pattern: str, example: str | None) -> None:
    assert example_of(pattern) == example
    assert example is None or re.search(pattern, example)


def test_opening_of_a_pattern_passes_its_check() -> None:
    rule = check("regex", r"^(?:Step|Part) 1: ")
    (opening,) = openings([rule])
    assert evaluate(rule, f"{opening} Open the box.").passed
