"""What the figures of a training must look like for an alarm."""

from __future__ import annotations

from typing import Any

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
    falling = [watched(0, 1, 5), watched(5, 2, 6), watched(10, 3, 5.5), watched(15, 4, 5.2)]
    (alarm,) = alarms_of(falling, CONFIG)
    assert (alarm.name, alarm.step) == ("gold", 15)
    assert alarm.text == "the gold reward fell from 6 to 5.2 while the reward rose, 2 evaluations in a row"
    assert alarms_of(falling[:3], CONFIG) == []


def test_a_fall_within_golds_own_error_is_no_alarm():
    assert alarms_of([watched(0, 1, 5), watched(1, 2, 4.9), watched(2, 3, 4.8)], CONFIG) == []
    slowly = [watched(n, n, 5 - 0.1 * n) for n in range(6)]
    assert [alarm.step for alarm in alarms_of(slowly, CONFIG)] == [4]


def test_one_good_evaluation_begins_the_count_anew():
    history = [watched(0, 1, 5), watched(1, 2, 4), watched(2, 3, 4.5), watched(3, 4, 4)]
    assert alarms_of(history, CONFIG) == []


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
