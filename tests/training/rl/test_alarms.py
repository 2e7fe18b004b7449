"""What the figures of a training must look like for an alarm."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest

from training.history import best_step, is_exhausted
from training.rl.alarms import account_of, alarms_of, best_gold_step, gold_losses, is_over
from training.rl.config import GRPOConfig, PPOConfig

CONFIG = PPOConfig()


def row(step: int, **figures: float) -> dict[str, Any]:
    usual = {"objective/kl": 1.0, "completions/mean_length": 100.0}
    shares = dict.fromkeys(("clipped_ratio", "repetitive", "boilerplate"), 0.1)
    named = {name.replace("__", "/"): value for name, value in figures.items()}
    return {"step": step, **usual, **{f"completions/{name}": s for name, s in shares.items()}, **named}


def watched(step: int, reward: float, gold: float) -> dict[str, Any]:
    return {"step": step, "eval/reward": reward, "eval/gold": gold, "eval/gold/error": 0.3}


def test_a_quiet_training_raises_no_alarm():
    history = [row(1), watched(1, 1.0, 1.0), row(2, completions__mean_length=149), watched(2, 2.0, 2.0)]
    assert alarms_of(history, CONFIG) == []
    assert alarms_of([], CONFIG) == []


@pytest.mark.parametrize(
    ("figures", "name", "text"),
    [
        ({"completions__mean_length": 151}, "length", "answers have 151 tokens on average, up from 100"),
        (
            {"completions__boilerplate": 0.41},
            "boilerplate",
            "the same phrase: 41 %, up from 10 % in the first",
        ),
        ({"completions__repetitive": 0.9}, "repetitive", "repetitive answers: 90 %"),
        ({"completions__clipped_ratio": 0.5}, "clipped_ratio", "answers truncated at max_new_tokens: 50 %"),
    ],
)
def test_an_answer_shape_that_drifts_is_an_alarm(figures: dict[str, float], name: str, text: str):
    (alarm,) = alarms_of([row(1), row(2), row(3, **figures), row(4, **figures)], CONFIG)
    assert (alarm.name, alarm.step, alarm.ends) == (name, 3, False)
    assert text in alarm.text


def test_switched_off_alarms_leave_only_what_ends_training():
    off = CONFIG.model_copy(update={"alarms": "off"})
    history = [row(1), row(2, completions__mean_length=900, objective__kl=99)]
    assert {alarm.name for alarm in alarms_of(history, CONFIG)} == {"length", "kl"}
    assert {alarm.name for alarm in alarms_of(history, off)} == {"kl"}


def test_too_much_divergence_ends_training_whatever_alarms_say():
    (alarm,) = alarms_of([row(1), row(2, objective__kl=15.1)], CONFIG)
    assert (alarm.name, alarm.step, alarm.ends) == ("kl", 2, True)
    assert alarms_of([row(1), row(2, objective__kl=15.1)], CONFIG.model_copy(update={"stop_kl": None})) == []


def test_gold_that_falls_while_the_reward_rises_twice_in_a_row_is_an_alarm():
    falling = [watched(0, 1, 5), watched(5, 2, 6), watched(10, 3, 4.5), watched(15, 4, 4.2)]
    (alarm,) = alarms_of(falling, CONFIG)
    assert (alarm.name, alarm.step) == ("gold", 15)
    assert alarm.text == (
        "the gold reward fell from 6 at step 5 to 4.2 (standard error of the fall: 0.42) while the "
        "reward rose, in 2 evaluations in a row"
    )
    assert alarms_of(falling[:3], CONFIG) == []


def test_a_fall_within_golds_own_error_is_no_alarm():
    assert alarms_of([watched(0, 1, 5), watched(1, 2, 4.9), watched(2, 3, 4.8)], CONFIG) == []


def test_a_slow_fall_is_an_alarm_once_it_is_beyond_the_error_of_the_best():
    # The error is 0.3 sqrt(2) = 0.42. Step 12 is the first whose fall exceeds its threshold of 2.71 errors.
    slowly = [watched(n, n, 5 - 0.1 * n) for n in range(16)]
    (alarm,) = alarms_of(slowly, CONFIG)
    assert alarm.step == 13
    assert "from 5 at step 0 to 3.7" in alarm.text


# Gold by prompt


def by_prompt(step: int, reward: float, golds: list[float | None]) -> dict[str, Any]:
    """The row of an evaluation as the loop saves it."""
    known = [gold for gold in golds if gold is not None]
    error = stdev(known) / len(known) ** 0.5
    return {
        "step": step,
        "eval/reward": reward,
        "eval/gold": fmean(known),
        "eval/gold/error": error,
        "gold_by_prompt": golds,
    }


BETWEEN = [10.0 * n for n in range(8)]
"""Golds of prompts that differ far more than an evaluation from the next."""
NOISE = [0.1, -0.1, 0.2, -0.2, 0.1, -0.1, 0.2, -0.2]


def course(*falls: float) -> list[dict[str, Any]]:
    """Return evaluations in which each prompt's gold falls by that much, and noise of 0.1 to 0.2."""
    rows = []
    for number, fall in enumerate(falls):
        noise = NOISE if number % 2 else [-x for x in NOISE]
        golds = [g - fall + x for g, x in zip(BETWEEN, noise, strict=True)]
        rows.append(by_prompt(number, number, golds))
    return rows


def test_differences_between_prompts_do_not_hide_a_fall():
    (alarm,) = alarms_of(course(0, 1, 1), CONFIG)
    assert (alarm.name, alarm.step) == ("gold", 2)
    # The errors of the means are 8.7: unpaired, the fall of 1 would be nothing.
    assert course(0)[0]["eval/gold/error"] > 8
    without = [{k: v for k, v in row.items() if k != "gold_by_prompt"} for row in course(0, 1, 1)]
    assert alarms_of(without, CONFIG) == []


def test_error_of_a_fall_is_that_of_its_mean_over_prompts():
    first = by_prompt(0, 0, [1.0, 2.0, 3.0])
    rows = [first, *(by_prompt(n, n, [0.9, 1.85, 2.95]) for n in (1, 2))]
    (alarm,) = alarms_of(rows, CONFIG.model_copy(update={"alarm_evals": 1}))
    # Falls of 0.1, 0.15 and 0.05: mean 0.1, sample standard deviation 0.05, error 0.05 / sqrt(3) = 0.0289.
    assert "standard error of the fall: 0.029)" in alarm.text


def test_gold_that_only_wavers_is_no_alarm():
    assert alarms_of(course(0, 0.05, 0.1, 0, 0.05, 0.1), CONFIG) == []


def test_prompts_unscored_in_one_of_the_evaluations_are_skipped():
    rows = course(0, 1, 1)
    rows[1]["gold_by_prompt"][0] = None
    rows[2]["gold_by_prompt"][7] = None
    assert [alarm.step for alarm in alarms_of(rows, CONFIG)] == [2]
    for row in rows[1:]:
        row["gold_by_prompt"][1:] = [None] * 7
    assert alarms_of(rows, CONFIG) == []  # one prompt in common has no error


def test_evaluations_of_an_older_checkpoint_are_compared_without_pairing():
    old, new = watched(0, 0, 5), course(10, 10)
    gold = new[0]["eval/gold"]
    rows = [
        {**old, "eval/gold": gold + 1.0},
        *({**row, "step": n, "eval/reward": n} for n, row in enumerate(new, 1)),
    ]
    assert alarms_of(rows, CONFIG) == []
    rows[0]["eval/gold"] = gold + 100
    assert [alarm.step for alarm in alarms_of(rows, CONFIG)] == [2]


def simulated(
    generator: np.random.Generator, within: float, noise: str, fall: float, looks: int = 20, prompts: int = 50
) -> list[dict[str, Any]]:
    """Return the evaluations of a training whose reward rises steadily.

    Gold has variance 1 over answers, of which `within` lies within prompts. That part is drawn again at each
    evaluation, or is a random walk that has parted by as much at the end. Gold falls linearly by `fall`.
    """
    if noise == "drawn":
        parts = generator.normal(0, within**0.5, (looks, prompts))
    else:
        parts = generator.normal(0, (2 * within / (looks - 1)) ** 0.5, (looks, prompts)).cumsum(axis=0)
    between = generator.normal(0, (1 - within) ** 0.5, prompts)
    golds = between + parts - fall * np.linspace(0, 1, looks)[:, None]
    return [by_prompt(10 * n, 0.1 * n, row.tolist()) for n, row in enumerate(golds)]


def alarm_rate(trainings: int, within: float, noise: str, fall: float) -> float:
    generator = np.random.default_rng(0)
    return fmean(bool(alarms_of(simulated(generator, within, noise, fall), CONFIG)) for _ in range(trainings))


def test_few_of_some_simulated_trainings_alarm_falsely_and_nearly_all_that_fall_do():
    assert alarm_rate(100, 0.3, "drawn", 0.0) <= 0.08
    assert alarm_rate(30, 0.3, "drawn", 0.5) >= 0.9


@pytest.mark.long
@pytest.mark.parametrize("noise", ["drawn", "walk"])
@pytest.mark.parametrize(
    ("within", "drawn", "walked"), [(0.1, 0.99, 0.99), (0.3, 0.97, 0.92), (0.7, 0.75, 0.58)]
)
def test_at_most_a_twentieth_of_simulated_trainings_alarm_falsely(
    noise: str, within: float, drawn: float, walked: float
):
    assert alarm_rate(1500, within, noise, 0.0) <= 0.05
    assert alarm_rate(500, within, noise, 0.5) >= (drawn if noise == "drawn" else walked)


def test_gold_that_falls_with_the_reward_is_no_sign_of_gaming():
    assert alarms_of([watched(0, 3, 3), watched(1, 2, 2), watched(2, 1, 1)], CONFIG) == []


def test_best_step_is_the_first_with_the_highest_gold():
    history = [watched(0, 0, 1), watched(5, 0, 3), row(6), watched(10, 0, 3), watched(15, 0, 2)]
    assert best_step(gold_losses(history)) == 5
    assert best_step(gold_losses([row(1)])) is None


def test_patience_ends_where_gold_brings_nothing_new():
    history = [watched(0, 0, 1), watched(1, 0, 3), watched(2, 0, 2), watched(3, 0, 3)]
    assert is_exhausted(gold_losses(history), 2)
    assert not is_exhausted(gold_losses(history), 3)
    assert not is_exhausted(gold_losses(history), None)


def test_gold_and_alarms_decide_how_a_training_goes_on():
    history = [watched(0, 0, 3), row(1), row(2, completions__mean_length=300), watched(2, 0, 2)]
    assert best_gold_step(history, CONFIG.model_copy(update={"keep": "best"})) == 0
    assert best_gold_step(history, CONFIG) is None
    assert not is_over(history, CONFIG)
    assert account_of(history, CONFIG)["alarms"] == ["length"]
    assert account_of(history, CONFIG)["warnings"][0].startswith("step 2: answers have 300 tokens")
    for ended in ({"alarms": "stop"}, {"patience": 1}):
        assert is_over(history, CONFIG.model_copy(update=ended))


def test_messages_name_the_setting_of_the_method():
    (alarm,) = alarms_of([row(1, objective__kl=99)], GRPOConfig())
    assert alarm.text.endswith("above grpo.stop_kl")
