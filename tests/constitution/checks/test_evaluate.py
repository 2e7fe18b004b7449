"""Machine checks: worked numbers for every kind, and the rule that only a pass scores 1."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from constitution.checks.evaluate import SEARCHED_CHARACTERS, CheckResult, count_words, evaluate
from constitution.checks.kinds import Check

ADAPTER: TypeAdapter[Check] = TypeAdapter(Check)


def result(kind: str, value: object, text: str) -> CheckResult:
    if isinstance(value, list):
        value = tuple(value)
    return evaluate(ADAPTER.validate_python({"kind": kind, "value": value}), text)


@pytest.mark.parametrize(
    ("kind", "value", "text", "passed", "score"),
    [
        ("max_words", 4, "one two three four", True, 1.0),
        ("max_words", 4, "one two three four five", False, 0.8),
        ("max_words", 1, "", True, 1.0),
        ("min_words", 4, "one two three", False, 0.75),
        ("min_words", 4, "one two three four five", True, 1.0),
        ("min_words", 4, "", False, 0.0),
        ("regex", r"\d{4}", "in 1788", True, 1.0),
        ("regex", r"\d{4}", "in 178", False, 0.0),
        ("not_regex", "x", "abc", True, 1.0),
        ("not_regex", "x", "axbxcx", False, 0.25),
        ("contains", ["yes", "thank you"], "Thank  You. Yes!", True, 1.0),
        ("contains", ["yes", "thank you"], "Yes, thanks.", False, 0.5),
        ("contains", ["yes"], "yesterday", False, 0.0),
        ("contains_none", ["As an AI", "Certainly!"], "It is an aid.", True, 1.0),
        ("contains_none", ["As an AI", "Certainly!"], "CERTAINLY! As an\nAI, no.", False, 1 / 3),
        ("contains_none", ["I'd be happy to"], "I’d be happy to help.", False, 0.5),
    ],
)
def test_worked_numbers(kind, value, text, passed, score):
    assert result(kind, value, text) == CheckResult(passed, pytest.approx(score))


WORD_COUNTS = {
    "": 0,
    "  \n": 0,
    "a well-known fact": 3,
    "one - two — three": 3,
    "* item\n* item": 2,
    "3 €": 1,
}
OTHER_SCRIPTS = {"don't": 1, "слово и дело": 3, "नमस्ते दुनिया": 2, "一句话": 1}


@pytest.mark.parametrize(("text", "words"), [*WORD_COUNTS.items(), *OTHER_SCRIPTS.items()])
def test_words_are_runs_that_hold_a_letter_or_digit(text, words):
    assert count_words(text) == words


@pytest.mark.parametrize(
    ("phrase", "text", "present"),
    [
        ("art", "a work of ART.", True),
        ("art", "a smart start", False),
        ("STRASSE", "die Straße", True),
        ("Certainly!", "Certainly!Here", True),
        ("c++", "C++ and C", True),
        ("c++", "objc++", False),
        ("人工", "我是人工智能", True),
        ("a.c", "abc", False),
    ],
)
def test_phrases_match_as_whole_words_without_case(phrase, text, present):
    assert result("contains", [phrase], text).passed is present


def test_only_a_pass_scores_one():
    for limit in range(1, 40):
        for words in range(80):
            for kind in ("max_words", "min_words"):
                found = result(kind, limit, "w " * words)
                assert found.passed == (found.score == 1.0)
                assert found.passed == (words <= limit if kind == "max_words" else words >= limit)
                assert 0.0 <= found.score <= 1.0


def test_patterns_see_only_the_beginning_of_a_long_text():
    late = "a" * SEARCHED_CHARACTERS + "x"
    assert not result("regex", "x", late).passed
    assert result("regex", "x", late[1:]).passed
    assert result("not_regex", "x", late).passed


def test_an_empty_match_counts_as_a_match():
    assert result("not_regex", "x*", "").score == 0.5
