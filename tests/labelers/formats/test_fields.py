"""Values of imported files: accepted ones, and rejected ones with a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.conversations import shown
from core.errors import RequestError
from labelers.formats import fields


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("a", "first"),
        ("Response B", "second"),
        ("response_1", "first"),
        ("model_b", "second"),
        ("TEXT_A", "first"),
        ("left", "first"),
        ("tie", "tie"),
        ("tie (bothbad)", "both_bad"),
        ("both-bad", "both_bad"),
        ("Both Bad", "both_bad"),
        ("skipped", "skip"),
        ("option2", "second"),
    ],
)
def test_words_for_outcomes(word: str, outcome: str):
    assert fields.outcome_of(word) == outcome


@pytest.mark.parametrize("value", ["1", 1, 0, "c", "better", "", None, ["a"], True, "response_3", "1a"])
def test_what_is_no_outcome_is_refused(value: Any):
    with pytest.raises(RequestError, match="the verdict is not recognised"):
        fields.outcome_of(value)


def test_tie_and_both_bad_are_told_apart():
    assert fields.outcome_of("tie") != fields.outcome_of("tie (bothbad)")


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3.0), ("4.5", 4.5), (" 2 ", 2.0), (-0.5, -0.5), ("1,5", 1.5)]
)
def test_numbers_may_be_text(value: Any, number: float):
    assert fields.number_of(value, "x") == number


@pytest.mark.parametrize("value", ["N/A", "", None, True, float("nan"), "inf", [1], 10**400, "1,5,2"])
def test_what_is_no_number_is_refused(value: Any):
    with pytest.raises(RequestError, match="x is not a number"):
        fields.number_of(value, "x")


def test_a_comma_before_three_digits_is_refused():
    with pytest.raises(RequestError, match="x may be in thousands or have a decimal comma"):
        fields.number_of("1,000", "x")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (3, "3"),
        (3.0, "3"),
        ("ann", "ann"),
        ({"id": 4, "email": "bo@example.org"}, "bo@example.org"),
        ({"id": 4}, "4"),
        (["expert_3"], "expert_3"),
        (["gpt-4", "pair-v2"], "gpt-4/pair-v2"),
        (None, None),
        ("", None),
        ({}, None),
        (float("nan"), None),
    ],
)
def test_people_go_by_number_name_or_object(value: Any, name: str | None):
    assert fields.annotator_name(value) == name


@pytest.mark.parametrize(
    "value", ["2024-01-02T03:04:05+00:00", "2024-01-02T03:04:05Z", 1704164645, 1704164645000, "1704164645.0"]
)
def test_times_are_iso_or_seconds_or_milliseconds(value: Any):
    assert fields.moment_of(value) == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("value", ["yesterday", "2024-13-01", 1e300, [], "12:00"])
def test_what_is_no_time_is_refused(value: Any):
    with pytest.raises(RequestError, match="time cannot be read"):
        fields.moment_of(value)


def test_half_a_character_is_refused():
    with pytest.raises(RequestError, match="the text contains an unpaired surrogate"):
        fields.text_of("\ud800", "comment")


def test_a_value_of_many_levels_is_shown():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep).startswith(("a deeply nested list", "[["))
