"""Baselines: antisymmetric, cross-validated, and right where a rule or a word decides."""

from __future__ import annotations

from dataclasses import replace

from core.records import Comparison, Prompt
from evaluation.judges.baselines import bag_of_words, baselines
from evaluation.judges.gold import GoldPair
from evaluation.judges.measures import baseline_rights
from tests.evaluation.judges.pairs import gold_pair


def share(pairs: list[GoldPair], leanings: tuple[float, ...]) -> float:
    return sum(baseline_rights(pairs, leanings)) / len(pairs)


def test_longest_and_shortest_are_complementary():
    pairs = [gold_pair(n, "short", "a longer answer") for n in range(4)]
    found = baselines(pairs, seed=0)
    assert share(pairs, found["longest"]) == 0.0
    assert share(pairs, found["shortest"]) == 1.0


def test_answers_of_equal_length_are_undecided():
    pair = gold_pair(0, "abc", "xyz")
    found = baselines([pair], seed=0)
    assert found["longest"] == found["shortest"] == (0.0,)
    assert baseline_rights([pair], found["longest"]) == [0.5]


def test_first_is_the_place_in_the_data():
    pair = gold_pair(0)
    shown = replace(pair, shown_first="b" if pair.better == "a" else "a")
    assert baseline_rights([shown], baselines([shown], 0)["first"]) == [0.0]


def test_bag_of_words_learns_a_word_from_other_prompts():
    pairs = [gold_pair(n, f"please wait {n}", f"go away {n}") for n in range(60)]
    assert share(pairs, bag_of_words(pairs, seed=0)) == 1.0


def test_bag_of_words_learns_nothing_from_the_pair_itself():
    # The label of each prompt can be known from its own pairs only: its words occur in no other prompt.
    pairs = [
        gold_pair(n, f"same{n // 4} good{n // 4}", f"same{n // 4} bad{n // 4} x{n}", prompt=n // 4)
        for n in range(80)
    ]
    assert share(pairs, bag_of_words(pairs, seed=0)) == 0.5


def test_swapping_all_answers_swaps_all_predictions():
    pairs = [gold_pair(n, f"kind words {n % 7}", f"rude words {n % 5}") for n in range(40)]
    swapped = [_swapped(pair) for pair in pairs]
    one, two = bag_of_words(pairs, seed=0), bag_of_words(swapped, seed=0)
    assert all(abs(x + y) < 1e-9 for x, y in zip(one, two, strict=True))


def test_few_pairs_are_no_error():
    assert bag_of_words([], seed=0) == ()
    assert bag_of_words([gold_pair(0)], seed=0) == (0.0,)


def _swapped(pair: GoldPair) -> GoldPair:
    c = pair.comparison
    turned = Comparison(
        id=c.id,
        prompt=Prompt.of(c.prompt.messages),
        response_a=c.response_b,
        response_b=c.response_a,
        origin_a=c.origin_b,
        origin_b=c.origin_a,
    )
    return GoldPair(turned, "b" if pair.better == "a" else "a")
