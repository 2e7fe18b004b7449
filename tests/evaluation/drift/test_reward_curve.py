"""The best-of-n curve of a reward model: which prompts it is based on, and its points by hand."""

from __future__ import annotations

import itertools
import math

import pytest

from constitution.checks.kinds import MaxWords
from constitution.schema import Constitution, Principle
from core.records import Message, Prompt
from evaluation.drift.reward_curve import RewardedAnswer, reward_curve, share_of_checks

REWARDS = {"a": [0.3, -1.0, 2.0, 0.0], "b": [1.0, 1.5, -0.5, 0.2]}
CHECKS = {"a": [1.0, 1.0, 0.0, 0.5], "b": [0.0, 1.0, 1.0, 0.0]}


def answers(rewards: dict[str, list[float]] = REWARDS) -> list[RewardedAnswer]:
    return [
        RewardedAnswer(prompt, number, f"{prompt}{number}", reward, CHECKS[prompt][number])
        for prompt, given in rewards.items()
        for number, reward in enumerate(given)
    ]


def test_points_are_means_over_all_choices_of_n():
    found = reward_curve(answers(), "sft", 4)
    assert [point.n for point in found.points] == [1, 2, 4]
    for point in found.points:
        chosen = [
            max(choice, key=lambda place: REWARDS[prompt][place])
            for prompt in REWARDS
            for choice in itertools.combinations(range(4), point.n)
        ]
        prompts = [prompt for prompt in REWARDS for _ in range(math.comb(4, point.n))]
        reward = sum(REWARDS[p][place] for p, place in zip(prompts, chosen, strict=True)) / len(chosen)
        checks = sum(CHECKS[p][place] for p, place in zip(prompts, chosen, strict=True)) / len(chosen)
        assert (point.proxy.value, point.gold.value) == (pytest.approx(reward), pytest.approx(checks))
        assert point.kl == pytest.approx(math.log(point.n) - (point.n - 1) / point.n)


def test_prompts_without_all_rewards_are_counted():
    given = [*answers()[:3], *answers()[4:], RewardedAnswer("c", 0, "", None, 1.0)]
    found = reward_curve(given, "base", 4, excluded={"no answer": 2})
    assert found.prompts == 1
    assert found.excluded == {
        "no answer": 2,
        "fewer answers than asked for": 1,
        "the reward model cannot score an answer": 1,
    }


def test_no_prompt_leaves_no_point():
    found = reward_curve([], "base", 4)
    assert (found.prompts, found.points) == (0, ())
    assert found.as_json()["points"] == []


def test_share_of_checks_counts_those_in_scope():
    constitution = Constitution(
        name="two",
        principles=(
            Principle(id="short", text="Short.", check=MaxWords(kind="max_words", value=2)),
            Principle(
                id="tiny", text="Tiny.", check=MaxWords(kind="max_words", value=1), applies_to={"tags": ["x"]}
            ),
            Principle(id="kind", text="Kind."),
        ),
    )
    plain = Prompt.of((Message(role="user", content="q"),), split="test")
    tagged = Prompt.of((Message(role="user", content="q"),), split="test", tags=("x",))
    assert share_of_checks(constitution, plain, "two words") == 1.0
    assert share_of_checks(constitution, tagged, "two words") == 0.5
    without = constitution.model_copy(update={"principles": constitution.principles[2:]})
    assert share_of_checks(without, plain, "two words") is None
