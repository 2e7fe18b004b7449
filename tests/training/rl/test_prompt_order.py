"""The order in which prompts are asked."""

from __future__ import annotations

from training.rl.task import prompt_at


def test_each_pass_asks_every_prompt_once_in_an_order_of_its_own():
    first, second = ([prompt_at(7, place, 20) for place in range(start, start + 20)] for start in (0, 20))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert first != [prompt_at(8, place, 20) for place in range(20)]
    assert first == [prompt_at(7, place, 20) for place in range(20)]
