"""What fits into the time allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import ConfigError
from publius.authoring.steering.plan import Planner, Recipe, Sizes, described
from publius.authoring.steering.subject import Signal
from publius.authoring.steering.timing import Speed

SPEED = Speed(generated_per_s=150, trained_per_s=400, answer_tokens=120, prompt_tokens=40, load_s=2)
RECIPE = Recipe(
    draws=2,
    draw_tokens=100,
    attempts=1,
    sft_epochs=3,
    pair_samples=2,
    dpo_epochs=1,
    rounds=2,
    validation=32,
    steps=100,
    rollouts=16,
)


def planner(signal: Signal = "checks", speed: Speed = SPEED, **own: object) -> Planner:
    return Planner(signal, RECIPE, speed, **own)  # type: ignore[arg-type]


def test_seconds_of_the_parts_follow_from_tokens_and_speed():
    plan = planner().of(Sizes(train=50, validation=10, test=20, rounds=2))
    # 50 prompts, 2 draws and one taught answer, 100 tokens each, at 150 a second
    assert plan.parts["sample"] == pytest.approx(50 * 3 * 100 / 150)
    assert plan.parts["sft"] == pytest.approx(8 + 2 + 3 * 50 * 140 * 1.35 / 400)
    # a round: 2 answers for each prompt, and both trained on, with the reference's pass
    assert plan.round_s == pytest.approx(100 * 120 / 150 + 2 * 50 * 160 * 1.35 / 400 + 2 * 2)
    assert plan.parts["dpo"] == pytest.approx(2 * plan.round_s)
    assert plan.reserve_s == pytest.approx(plan.parts["choose"] + plan.parts["eval"])
    assert plan.seconds == pytest.approx(sum(plan.parts.values()))


def test_with_several_checks_answers_are_begun_twice():
    plan = planner(checks=3).of(Sizes(train=50, validation=10, test=20, rounds=0))
    assert plan.parts["sample"] == pytest.approx(50 * 4 * 100 / 150)


def test_answers_that_were_timed_are_not_asked_again():
    sizes = Sizes(train=50, validation=10, test=20, rounds=0)
    timed = planner(speed=replace(SPEED, answered=32)).of(sizes)
    assert planner().of(sizes).parts["eval"] - timed.parts["eval"] == pytest.approx(20 * 120 / 150)


@pytest.mark.parametrize("minutes", [8, 10, 15, 20, 60, 600])
@pytest.mark.parametrize("signal", ["checks", "mixed", "judged"])
def test_the_plan_fits_into_the_time_that_is_left(minutes: float, signal: Signal):
    left_s = 60 * minutes - 40
    plan = planner(signal).plan(train=96, test=48, left_s=left_s, minutes=minutes)
    assert plan.seconds <= 0.9 * left_s
    assert plan.sizes.train + plan.sizes.validation <= 96
    assert plan.sizes.validation <= (plan.sizes.train + plan.sizes.validation) / 4 + 1


def test_more_time_never_gives_a_smaller_plan():
    plans = [planner().plan(96, 48, 60 * m - 40, m).sizes for m in range(8, 60)]
    amounts = [(p.rounds, p.train, p.test) for p in plans]
    assert amounts == sorted(amounts)
    assert amounts[-1] == (RECIPE.rounds, 72, 48)


def test_ten_times_the_speed_gives_the_whole_recipe():
    fast = replace(SPEED, generated_per_s=1500, trained_per_s=4000)
    plan = planner(speed=fast).plan(96, 48, 860, 15)
    assert plan.sizes == Sizes(train=72, validation=24, test=48, rounds=2)


def test_no_check_means_distillation_and_pairs_only_with_a_labeler():
    alone, judged = (
        planner("judged", pairs_by_labeler=named).plan(96, 48, 860, 15) for named in (False, True)
    )
    assert list(alone.parts) == ["start", "distill", "choose", "eval"]
    assert (alone.sizes.rounds, judged.sizes.rounds) == (0, 1)
    assert "dpo" in judged.parts


def test_too_little_time_says_the_least_that_is_enough():
    with pytest.raises(ConfigError) as caught:
        planner().plan(96, 48, left_s=80, minutes=2)
    (problem,) = caught.value.problems
    assert problem.where == "--minutes"
    assert "150 and trains on 400 tokens/s" in problem.what
    least = float((problem.accepted or "").removeprefix("at least ").partition(",")[0])
    assert planner().plan(96, 48, 60 * least - 40, least).sizes.train >= 16
    with pytest.raises(ConfigError):
        planner().plan(96, 48, 60 * (least - 2) - 40, least - 2)


def test_few_prompts_are_all_used():
    plan = planner().plan(train=24, test=8, left_s=3000, minutes=60)
    assert plan.sizes == Sizes(train=18, validation=6, test=8, rounds=2)


def test_lines_name_every_part_with_its_minutes():
    first, second = described(planner().plan(96, 48, 1700, 30))
    assert first.endswith("72 prompts to train on, 24 to choose the checkpoint, 48 held out")
    assert [part in second for part in ("sample 2:24", "sft", "dpo in 2 rounds", "choose", "eval")] == [
        True
    ] * 5


@pytest.mark.parametrize("train", [*range(24, 100), 144, 500])
def test_with_enough_time_every_prompt_is_used_in_rounds(train: int):
    sizes = planner().plan(train=train, test=40, left_s=1e6, minutes=2e4).sizes
    assert sizes.train + sizes.validation == train
    assert sizes.rounds == RECIPE.rounds
