"""Length in preference pairs: what is said of it, and when nothing is."""

from __future__ import annotations

from core.records import Message
from publius.sources.pair_lengths import length_leaning
from training.examples import PreferencePair


def pair(number: int, chosen: int, rejected: int, p: float = 0.9) -> PreferencePair:
    """Return a pair whose answers have these numbers of words."""
    prompt = (Message(role="user", content=f"Question {number}"),)
    return PreferencePair(str(number), prompt, "word " * chosen, "word " * rejected, p)


def test_systematically_longer_answers_are_said_with_figures():
    pairs = [pair(n, 20, 10) for n in range(18)] + [pair(n, 5, 10) for n in range(18, 20)]
    found = length_leaning(pairs)
    assert found is not None
    assert "chosen answers are longer than rejected ones in 90 % of 20 pairs" in found
    assert "18.5 against 10.0 words" in found


def test_systematically_shorter_answers_are_said_too():
    assert "shorter" in (length_leaning(pair(n, 5, 10) for n in range(12)) or "")


def test_chance_few_pairs_ties_and_equal_lengths_say_nothing():
    assert length_leaning([]) is None
    assert length_leaning(pair(n, 20, 10) for n in range(4)) is None
    assert length_leaning(pair(n, *((20, 10) if n % 2 else (10, 20))) for n in range(40)) is None
    assert length_leaning(pair(n, 20, 10, p=0.5) for n in range(40)) is None
    assert length_leaning(pair(n, 10, 10) for n in range(40)) is None
    assert length_leaning(pair(0, 20, 10) for _ in range(40)) is None  # one prompt is one cluster
