"""Edits that break a check: what fails afterwards, how they vary, and where none is known."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.gold.breaking import broken, cut_short
from tests.constitution.gold.test_drawing import TEXTS

CHECK: TypeAdapter[Check] = TypeAdapter(Check)
ANSWER = (
    "Water the basil less often, and use a pot with holes. The soil should dry out between two waterings. "
    "Put it on a bright sill."
)
LIST = "- Water it less.\n- Give it more light.\n- Use a pot with holes."


def check(kind: str, value: Any) -> Check:
    return CHECK.validate_python({"kind": kind, "value": value})


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("max_words", 40, ANSWER),
        ("min_words", 15, ANSWER),
        ("max_sentences", 4, ANSWER),
        ("min_sentences", 3, ANSWER),
        ("max_sentence_words", 12, ANSWER),
        ("max_sentence_words", 60, ANSWER),
        ("max_characters", 200, ANSWER),
        ("max_list_items", 4, ANSWER),
        ("min_characters", 120, ANSWER),
        ("not_regex", "!", ANSWER),
        ("not_regex", ";", ANSWER),
        ("not_regex", r"\(", ANSWER),
        ("not_regex", r"\b[A-Z]{2,}\b", ANSWER),
        ("not_regex", r"\d", ANSWER),
        ("not_regex", "(?i)as an AI", ANSWER),
        ("regex", r"basil", ANSWER),
        ("contains", ["basil", "pot"], ANSWER),
        ("contains_any", ["basil", "sage"], ANSWER),
        ("contains_none", ["honestly"], ANSWER),
        ("starts_with", ["Water"], ANSWER),
        ("ends_with", ["sill"], ANSWER),
        ("not_starts_with", ["Sure"], ANSWER),
        ("not_ends_with", ["Good luck"], ANSWER),
        ("max_grade", 8, ANSWER),
        ("min_grade", 1, ANSWER),
        ("json", {"type": "string"}, f'"{ANSWER}"'),
        ("language", "en", ANSWER),
        ("format", "prose", ANSWER),
        ("format", "list", LIST),
        ("person", "third", ANSWER),
        ("person", "second", "You water it. The soil dries out."),
        ("person", "first", "I water it. The soil dries out."),
        ("ends_with_question", False, ANSWER),
        ("ends_with_question", True, f"{ANSWER} What do you think?"),
        ("phrase_list", "flattery", ANSWER),
        ("refusal", False, ANSWER),
        ("refusal", True, "I'm sorry, but I cannot help with that request."),
    ],
)
def test_an_edit_fails_the_check(kind: str, value: Any, text: str):
    rule = check(kind, value)
    assert evaluate(rule, text).passed
    for seed in range(3):
        edited = broken(rule, text, TEXTS, seed=seed)
        assert edited is not None
        assert not evaluate(rule, edited).passed
        assert edited == broken(rule, text, TEXTS, seed=seed)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("not_regex", "!"),
        ("phrase_list", "flattery"),
        ("ends_with_question", False),
        ("contains_none", ["so"]),
    ],
)
def test_several_edits_are_drawn(kind: str, value: Any):
    assert len({broken(check(kind, value), ANSWER, seed=seed) for seed in range(12)}) > 2


def test_an_answer_that_fails_is_returned_as_it_is():
    assert broken(check("not_regex", "basil"), ANSWER) == ANSWER


def test_none_where_no_edit_is_known():
    assert broken(check("language", "en"), ANSWER) is None  # without an answer in another language
    assert broken(check("not_regex", r"(?<=zzz)zz\Z(?!)"), ANSWER) is None


def test_shortened_answers_are_beginnings():
    first, cut = cut_short(ANSWER)
    assert ANSWER.startswith(first)
    assert first.endswith(".")
    assert ANSWER.startswith(cut)
    assert not cut.endswith(".")
    assert (first, cut) == cut_short(ANSWER)
    assert cut_short("Yes.") == ()
