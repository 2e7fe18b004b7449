"""Near duplicates: 2 M / N on words, worked by hand."""

from __future__ import annotations

import random
from difflib import SequenceMatcher

import pytest

from core.text.similarity import (
    are_near_duplicates,
    longest_common_run,
    near_duplicates,
    shared_words,
    with_similar,
    word_grams,
    words_of,
)


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


def grams(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[start : start + 4] for start in range(max(1, len(padded) - 3))}


def jaccard(first: str, second: str) -> float:
    one, two = grams(first), grams(second)
    return len(one & two) / len(one | two)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 1.0])
def test_near_duplicates_are_those_that_comparing_every_pair_finds(threshold: float):
    words = ["plain", "words", "kind", "short", "honest", "reply", "replies"]
    texts = list(dict.fromkeys(" ".join(words[(i * k) % 7] for i in range(3 + k)) for k in range(40)))
    texts += [f"{text} s" for text in texts]
    expected, alone = [], []
    for later, text in enumerate(texts):
        like = next((e for e in alone if jaccard(text, texts[e]) >= threshold), None)
        if like is None:
            alone.append(later)
        else:
            expected.append((later, like))
    assert list(near_duplicates(texts, threshold)) == expected
    assert len(alone) > 1


def test_near_duplicates_see_neither_case_nor_punctuation():
    assert list(near_duplicates(["Say it, plainly.", "other words here", "say IT plainly"], 1.0)) == [(2, 0)]


def test_ten_like_texts_give_nine_pairs():
    assert list(near_duplicates(["the same words"] * 10, 0.9)) == [(later, 0) for later in range(1, 10)]


def test_empty_and_one_letter_texts_are_compared_too():
    assert list(near_duplicates(["", "a", "", "a"], 0.9)) == [(2, 0), (3, 1)]


def test_words_have_neither_case_nor_apostrophes():
    assert words_of("Don’t say “IT’S”, well-meant") == ["dont", "say", "its", "well", "meant"]


def test_share_of_words_is_exact_from_the_bound_on_and_nothing_below_it():
    assert shared_words("one two three four", "one two three five", 0.7) == pytest.approx(0.75)
    assert shared_words("one two three four", "one two three five", 0.8) == 0.0
    assert shared_words("one two", "one two", 1.0) == 1.0


def test_grams_of_words_ignore_case_and_punctuation():
    assert word_grams("The cat, the dog and I.", 4) == {
        ("the", "cat", "the", "dog"),
        ("cat", "the", "dog", "and"),
        ("the", "dog", "and", "i"),
    }
    assert word_grams("Yes!", 4) == {("yes",)}
    assert word_grams("?!", 4) == {("?!",)}
    assert word_grams(" \n", 4) == frozenset()


def test_sets_are_similar_from_the_threshold_on():
    sets = [frozenset("abcd"), frozenset("bcde"), frozenset("cdef"), frozenset("xyz"), frozenset()]
    # a-b and b-c share 3 of 5 elements, a-c 2 of 6.
    assert with_similar(sets, 0.6) == [True, True, True, False, False]
    assert with_similar(sets, 0.61) == [False] * 5
    assert with_similar([frozenset("ab"), frozenset("bcd")], 0.25) == [True, True]


def test_similar_sets_are_those_of_a_comparison_of_all_pairs():
    generator = random.Random(7)
    for _ in range(60):
        sets = [frozenset(generator.choices("abcdefghij", k=generator.randint(0, 6))) for _ in range(14)]
        threshold = generator.choice([0.2, 0.5, 0.75, 1.0])
        plain = [
            any(
                i != j and one & two and len(one & two) >= threshold * len(one | two)
                for j, two in enumerate(sets)
            )
            for i, one in enumerate(sets)
        ]
        assert with_similar(sets, threshold) == plain


def test_longest_common_run_is_that_of_difflib():
    draw = random.Random(7)
    for _ in range(300):
        one, two = (draw.choices("abc", k=draw.randrange(12)) for _ in range(2))
        peer = SequenceMatcher(None, one, two, autojunk=False).find_longest_match()
        run = longest_common_run(" ".join(one), " ".join(two))
        assert run.size == peer.size
        assert one[run.start : run.start + run.size] == one[peer.a : peer.a + peer.size]


def test_longest_common_run_of_one_repeated_word_is_found():
    # A comparison of all pairs of positions would take minutes.
    assert longest_common_run("a " * 20_000, "b " + "a " * 19_000 + "c") == (0, 19_000)
