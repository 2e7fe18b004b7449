"""Signs that a policy games its reward, read from the logged figures of a training.

A reward model, or any reward that can be computed, is a stand-in for what is wanted (Gao et al. 2022, arXiv
2210.10760). Optimised for long, the stand-in goes on rising while the real thing falls; often the answers
only became longer, or all carry one phrase that pays. What is decided here follows from the history alone,
which is part of every checkpoint: a training that was killed decides as one that ran through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.history import best_step, is_exhausted
from training.rl.config import RLConfig

KL = "objective/kl"
LENGTH = "completions/mean_length"
SHARES = {
    "completions/clipped_ratio": "answers cut at max_new_tokens",
    "completions/repetitive": "repetitive answers",
    "completions/boilerplate": "answers with one and the same phrase",
}
EVAL_REWARD, EVAL_GOLD, EVAL_ERROR = "eval/reward", "eval/gold", "eval/gold/error"
"""The last is the standard error of gold's mean over prompts."""

_MetricsRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A sign that training goes wrong."""

    name: str
    step: int
    text: str
    """What was seen, in a line."""
    ends: bool = False
    """Whether training stops whatever `alarms` says."""


def alarms_of(history: Sequence[_MetricsRow], config: RLConfig) -> list[Alarm]:
    """Return the alarms that the figures give, each kind once, at the step where it was first seen.

    With `alarms: off` only what ends training is looked for.
    """
    steps = [row for row in history if KL in row]
    evaluations = [row for row in history if EVAL_GOLD in row and EVAL_REWARD in row]
    found = [
        _diverged(steps, config),
        _length(steps, config),
        *(_risen(steps, name, what, config) for name, what in SHARES.items()),
        _parted(evaluations, config),
    ]
    return [alarm for alarm in found if alarm is not None and (alarm.ends or config.alarms != "off")]


def _diverged(steps: Sequence[_MetricsRow], config: RLConfig) -> Alarm | None:
    for row in steps:
        if config.stop_kl is not None and row[KL] > config.stop_kl:
            limit = f"{config.method}.stop_kl"
            text = f"the divergence from the reference is {row[KL]:.3g} nats per answer, above {limit}"
            return Alarm("kl", row["step"], text, ends=True)
    return None


def _length(steps: Sequence[_MetricsRow], config: RLConfig) -> Alarm | None:
    for row in steps:
        first = steps[0][LENGTH]
        if row[LENGTH] > config.alarm_length * first:
            text = f"answers have {row[LENGTH]:.0f} tokens on average, {first:.0f} in the first step"
            return Alarm("length", row["step"], text)
    return None


def _risen(steps: Sequence[_MetricsRow], name: str, what: str, config: RLConfig) -> Alarm | None:
    for row in steps:
        first = steps[0][name]
        if row[name] > first + config.alarm_share:
            text = f"{what}: {100 * row[name]:.0f} %, {100 * first:.0f} % in the first step"
            return Alarm(name.rpartition("/")[2], row["step"], text)
    return None


def _parted(evaluations: Sequence[_MetricsRow], config: RLConfig) -> Alarm | None:
    """Return the alarm that reward rose and gold fell, by more than its error, so many looks in a row."""
    run = 0
    for number in range(1, len(evaluations)):
        before, now = evaluations[number - 1], evaluations[number]
        parted = now[EVAL_REWARD] > before[EVAL_REWARD] and now[EVAL_GOLD] < before[EVAL_GOLD]
        run = run + 1 if parted else 0
        start = evaluations[number - run]
        if run >= config.alarm_evals and start[EVAL_GOLD] - now[EVAL_GOLD] > now[EVAL_ERROR]:
            text = (
                f"gold fell from {start[EVAL_GOLD]:.3g} to {now[EVAL_GOLD]:.3g} while the reward rose, "
                f"{run} evaluations in a row"
            )
            return Alarm("gold", now["step"], text)
    return None


def gold_losses(history: Sequence[_MetricsRow]) -> list[tuple[int, float]]:
    """Return step and negated gold of each evaluation, in order: as of a loss, the lowest is the best."""
    return [(int(row["step"]), -float(row[EVAL_GOLD])) for row in history if EVAL_GOLD in row]


class ByGold:
    """How a training against rewards goes on, by the signs above and by gold.

    Args:
        config: when it ends, and which weights are the result.
    """

    def __init__(self, config: RLConfig) -> None:
        self._config = config

    def alarms(self, history: Sequence[_MetricsRow]) -> list[Alarm]:
        """Return the alarms so far."""
        return alarms_of(history, self._config)

    def account(self, history: Sequence[_MetricsRow]) -> dict[str, list[str]]:
        """Return the alarms as a training's figures record them: as warnings, and by name."""
        alarms = self.alarms(history)
        told = [f"step {alarm.step}: {alarm.text}" for alarm in alarms]
        return {"warnings": told, "alarms": [alarm.name for alarm in alarms]}

    def best(self, history: Sequence[_MetricsRow]) -> int | None:
        """Return the step with the highest gold where that is kept; None keeps the last."""
        return best_step(gold_losses(history)) if self._config.keep == "best" else None

    def is_over(self, history: Sequence[_MetricsRow]) -> bool:
        """Return whether training ends here."""
        ends = any(alarm.ends or self._config.alarms == "stop" for alarm in self.alarms(history))
        return ends or is_exhausted(gold_losses(history), self._config.patience)
