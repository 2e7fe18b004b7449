"""What is usual or better beside a bound is advice; what contradicts it, or is exempt, leaves no check."""

from __future__ import annotations

import pytest

from constitution.asked.rules import asked_checks

ADVICE = {
    "No more than 120 words; 5 sentences are usually enough.": (
        "max_words",
        120,
        "5 sentences are usually enough",
    ),
    "No more than 120 words, ideally 3 sentences.": ("max_words", 120, "ideally 3 sentences"),
    "At most 120 words (better 80).": ("max_words", 120, "better 80"),
    "At most 120 words but ideally 80.": ("max_words", 120, "ideally 80"),
    "Max. 90 words. Usually 60 are enough.": ("max_words", 90, "usually 60 are enough"),
    "Not more than 200 words, usually 100 suffice.": ("max_words", 200, "usually 100 suffice"),
    "At most 150 words (ideally 80 to 100).": ("max_words", 150, "ideally 80 to 100"),
    "Replies have at most 5 sentences; two or three are normally enough.": (
        "max_sentences",
        5,
        "two or three are normally enough",
    ),
    "Answers have at most 700 characters (ideally fewer than 500).": (
        "max_characters",
        700,
        "ideally fewer than 500",
    ),
    "Use at most 100 words. Shorter is better.": ("max_words", 100, "shorter is better"),
    "At least 50 words; 80 is better.": ("min_words", 50, "80 is better"),
}
NONE = """
Usually at most 120 words.
At most 120 words, usually.
Usually 60 words are enough.
About 120 words; 5 sentences are usually enough.
At most 120 words; 150 are usually enough.
At most 120 words (better 150).
At least 50 words; shorter is better.
At most 120 words, better 150 for complaints.
At most 120 words (200 for complaints).
At most 120 words, 200 words for complaints.
At most 120 words; longer is fine for complaints.
At most 120 words; if they ask about tariffs, 200 words are enough.
At most 3 sentences (4 are fine).
At most 80 words (if possible).
At most 120 words; usually a list.
No emojis (unless the customer uses them).
""".strip().splitlines()


@pytest.mark.parametrize("text", ADVICE)
def test_advice_beside_a_bound_is_not_covered_and_leaves_its_check(text: str):
    asked = asked_checks(text)
    assert asked is not None
    kind, value, left = ADVICE[text]
    assert [(line.kind, line.value) for line in asked.checks] == [(kind, value)]
    assert (asked.whole, asked.left) == (False, (left,))


@pytest.mark.parametrize("text", NONE)
def test_a_bound_that_is_only_usual_or_has_an_exception_has_no_check(text: str):
    assert asked_checks(text) is None


@pytest.mark.parametrize(
    "text", ["No emojis (even if the customer uses them).", "No emojis (some see boxes)."]
)
def test_other_words_in_brackets_change_nothing(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert asked.whole


def test_dates_are_left_to_a_model():
    assert asked_checks("Dates are written like 3 November 2026, not 03.11. or 11/3.") is None
