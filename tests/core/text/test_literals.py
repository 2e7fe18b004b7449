"""Numbers in cells: a decimal comma is one only where it can mean nothing else."""

from __future__ import annotations

import pytest

from core.text.literals import float_of, has_decimal_comma, may_be_thousands


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2,5", 2.5),
        (" 4,25 ", 4.25),
        ("-0,125", -0.125),
        ("1234,567", 1234.567),
        ("1.234,50", 1234.5),
        ("3", 3),
    ],
)
def test_a_decimal_comma_is_read(text: str, number: float):
    assert float_of(text) == number
    assert has_decimal_comma(text) == ("," in text)
    assert not may_be_thousands(text)


@pytest.mark.parametrize("text", ["1,000", "12,345", "1,234.5", "2,5,3", "a,5", ",", "2,"])
def test_any_other_comma_is_no_number(text: str):
    assert not has_decimal_comma(text)
    with pytest.raises(ValueError, match="could not convert"):
        float_of(text)


def test_only_three_digits_may_be_thousands():
    assert [may_be_thousands(text) for text in ("1,000", "0,125", "2,5", 1000)] == [True, False, False, False]
