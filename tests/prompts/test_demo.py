"""The demo prompts are what the documentation says they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from core.records import Prompt
from prompts.sources import normalised
from publius.sources.prompts import read_prompts

DEMO = Path(__file__).parents[2] / "prompts" / "demo" / "prompts.jsonl"


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return list(read_prompts(DEMO))


def test_there_are_96_for_training_and_48_for_testing(prompts: list[Prompt]):
    assert Counter(prompt.split for prompt in prompts) == {"train": 96, "test": 48}


def test_each_has_one_of_three_tags_in_the_same_shares_in_both_splits(prompts: list[Prompt]):
    assert {len(prompt.tags) for prompt in prompts} == {1}
    found = Counter((prompt.split, *prompt.tags) for prompt in prompts)
    assert found == {
        ("train", "everyday"): 48,
        ("train", "borderline"): 24,
        ("train", "tempting"): 24,
        ("test", "everyday"): 24,
        ("test", "borderline"): 12,
        ("test", "tempting"): 12,
    }


def test_none_is_there_twice_not_even_in_other_words_order(prompts: list[Prompt]):
    assert len({prompt.id for prompt in prompts}) == 144
    assert len({normalised(prompt.messages) for prompt in prompts}) == 144
    assert len({" ".join(sorted(set(normalised(prompt.messages).split()))) for prompt in prompts}) == 144


def test_some_are_conversations_and_all_end_with_the_user(prompts: list[Prompt]):
    assert any(len(prompt.messages) > 1 for prompt in prompts)
    assert {prompt.messages[-1].role for prompt in prompts} == {"user"}


def test_all_are_short_enough_for_a_small_model(prompts: list[Prompt]):
    assert max(len(normalised(prompt.messages).split()) for prompt in prompts) < 200
