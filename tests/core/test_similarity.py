"""Near duplicates: 2 M / N on words, worked by hand."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest

from core.similarity import are_near_duplicates


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        ("one two three four", "one two three four", 1.0),
        ("one two three four", "one two three five", 0.75),
        ("one two three four", "one two", 2 * 2 / 6),
        ("one two three four", "four three two one", 2 * 1 / 8),  # order counts
        ("one one one one", "one", 2 * 1 / 5),
        ("one two", "three four", 0.0),
    ],
)
def test_share_is_twice_the_common_words_over_all_words(first: str, second: str, share: float):
    assert SequenceMatcher(None, first.split(), second.split()).ratio() == pytest.approx(share)
    assert are_near_duplicates(first, second, share)
    assert not are_near_duplicates(first, second, share + 0.01)


def test_white_space_does_not_count():
    assert are_near_duplicates("one two\n\n three", " one\ttwo three\n", 1.0)


def test_case_and_punctuation_do_count():
    assert not are_near_duplicates("Yes, it is.", "yes it is", 0.9)


def test_a_word_that_occurs_often_still_counts():
    # difflib would leave words out that make up more than 1 % of a long text, unless told not to.
    common = " ".join(["the word"] * 150)
    assert are_near_duplicates(f"one {common}", f"now two {common}", 0.99)


def test_two_empty_texts_are_the_same():
    assert are_near_duplicates("", "", 1.0)


def test_an_empty_text_is_like_no_other():
    assert not are_near_duplicates("", "word", 0.01)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_cheap_bounds_never_change_the_answer(threshold: float):
    words = ["a", "b", "c", "d", "e", "f"]
    texts = [" ".join(words[i:j] * k) for i in range(4) for j in range(i, 7) for k in (1, 2)]
    for first in texts:
        for second in texts:
            exact = SequenceMatcher(None, first.split(), second.split(), autojunk=False).ratio()
            assert are_near_duplicates(first, second, threshold) == (exact >= threshold)
