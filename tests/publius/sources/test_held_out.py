"""Prompts held out to compare checkpoints on."""

from __future__ import annotations

import pytest

from core.records import Message, Prompt
from publius.sources.held_out import validation_bound, validation_draw


def prompts_of(count: int, form: str = "Question {}?") -> list[Prompt]:
    return [Prompt.of((Message(role="user", content=form.format(number)),)) for number in range(count)]


def held_out(prompts: list[Prompt], count: int) -> set[str]:
    bound = validation_bound(prompts, count)
    return {prompt.id for prompt in prompts if validation_draw(prompt) <= bound}


@pytest.mark.parametrize(
    ("prompts", "count", "expected"),
    [(200, 32, 32), (48, 32, 12), (5, 32, 1), (2, 32, 1), (1, 32, 0), (0, 32, 0)],
)
def test_as_many_as_asked_for_are_held_out_but_at_most_a_quarter(prompts: int, count: int, expected: int):
    assert len(held_out(prompts_of(prompts), count)) == expected


def test_order_of_the_prompts_does_not_matter():
    prompts = prompts_of(100)
    assert held_out(prompts, 8) == held_out(prompts[::-1], 8)


def test_prompts_with_the_same_words_are_on_one_side_and_count_once():
    prompts = prompts_of(100)
    twice = [*prompts, *prompts_of(100, "question {} !")]
    assert len(held_out(twice, 8)) == 16
    assert held_out(prompts, 8) < held_out(twice, 8)


def test_more_prompts_replace_few():
    before, after = held_out(prompts_of(1000), 32), held_out(prompts_of(1100), 32)
    assert len(before & after) >= 24
