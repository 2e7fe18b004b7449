"""Which examples are held out from a training."""

from __future__ import annotations

import pytest

from core.records import Message
from publius.sources.held_out import held_out_of
from training.examples import PreferencePair


def pairs_of(*questions: str) -> list[PreferencePair]:
    return [
        PreferencePair(f"{number}", (Message(role="user", content=question),), "yes", "no", 1.0)
        for number, question in enumerate(questions)
    ]


def numbered(count: int) -> list[PreferencePair]:
    return pairs_of(*(f"Question number {number}?" for number in range(count)))


def test_about_the_share_is_held_out_and_every_example_stands_on_one_side():
    pairs = numbered(1000)
    train, held_out = held_out_of(pairs, 0.1, "reward")
    assert 70 < len(held_out) < 130
    assert sorted((*train, *held_out), key=lambda pair: int(pair.id)) == pairs
    assert held_out_of(pairs, 0.1, "dpo")[1] != held_out


@pytest.mark.parametrize("count", [2, 3, 24])
@pytest.mark.parametrize("share", [1e-9, 0.1, 0.5, 1 - 1e-9])
def test_neither_side_is_empty_where_there_are_several_prompts(count: int, share: float):
    train, held_out = held_out_of(numbered(count), share, "reward")
    assert train
    assert held_out
    assert len(train) + len(held_out) == count


def test_nothing_is_held_out_without_a_share_or_of_one_prompt():
    pairs = numbered(24)
    assert held_out_of(pairs, 0.0, "reward") == (pairs, [])
    for number in range(20):
        same = pairs_of(f"Number {number}?", f"number {number}")
        assert held_out_of(same, 0.5, "reward") == (same, [])
    assert held_out_of([], 0.5, "reward") == ([], [])


def test_prompts_of_the_same_words_stand_on_one_side():
    pairs = [*numbered(50), *pairs_of(*(f"question  NUMBER {number}" for number in range(50)))]
    train, held_out = (
        {pair.prompt[0].content.casefold().split()[2].strip("?") for pair in side}
        for side in held_out_of(pairs, 0.4, "reward")
    )
    assert train
    assert held_out
    assert train.isdisjoint(held_out)


def test_other_prompts_do_not_move_one_to_the_other_side():
    few, many = (held_out_of(numbered(count), 0.3, "reward")[1] for count in (100, 200))
    assert few == [pair for pair in many if int(pair.id) < 100]
