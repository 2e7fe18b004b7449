"""Alarms: signs of reward hacking in the logged metrics of a training job.

Any reward that can be computed is a proxy for the true objective (Gao et al. 2022, arXiv 2210.10760).
Optimised for long enough, the proxy keeps rising while the true objective falls; often the answers only
became longer, or all repeat one phrase that the reward favours. Decisions depend only on the history, which
is part of every checkpoint, so an interrupted and an uninterrupted job decide alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.statistics.paired import MeanDifference, paired_difference
from training.history import best_step, is_exhausted
from training.rl.config import RLConfig

KL = "objective/kl"
LENGTH = "completions/mean_length"
SHARES = {
    "completions/clipped_ratio": "answers truncated at max_new_tokens",
    "completions/repetitive": "repetitive answers",
    "completions/boilerplate": "answers with the same phrase",
}
EVAL_REWARD, EVAL_GOLD, EVAL_ERROR = "eval/reward", "eval/gold", "eval/gold/error"
"""Names of metrics; the last is the standard error of gold's mean over prompts."""
GOLD_BY_PROMPT = "gold_by_prompt"
"""Key of a row in the history, not a metric: the gold reward of each held-out prompt, None if unscored."""

_LEVEL = 0.04
"""The n-th evaluation after the first is tested at the level 0.04 / n. Of simulated trainings with 20
evaluations whose gold does not move, at most 5 % then raise a false alarm (docs/methods.md)."""

_MetricsRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A sign that training is going wrong."""

    name: str
    step: int
    text: str
    """The observation, in one line."""
    ends: bool = False
    """True if training stops regardless of `alarms`."""


def alarms_of(history: Sequence[_MetricsRow], config: RLConfig) -> list[Alarm]:
    """Return the alarms of a history, each kind once, at the step where it first occurred.

    With `alarms: off`, only those that end training.
    """
    steps = [row for row in history if KL in row]
    evaluations = [row for row in history if EVAL_GOLD in row and EVAL_REWARD in row]
    found = [
        _diverged(steps, config),
        _length(steps, config),
        *share_alarms(steps, SHARES, config.alarm_share),
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
            text = f"answers have {row[LENGTH]:.0f} tokens on average, up from {first:.0f} in the first step"
            return Alarm("length", row["step"], text)
    return None


def share_alarms(steps: Sequence[_MetricsRow], names: Iterable[str], rise: float) -> list[Alarm]:
    """Return an alarm for each of these `SHARES` that rose by more than `rise` since the first step."""
    found = []
    for name in names:
        first = steps[0][name] if steps else 0.0
        risen = next((row for row in steps if row[name] > first + rise), None)
        if risen is not None:
            shown = f"{100 * risen[name]:.0f} %, up from {100 * first:.0f} % in the first step"
            found.append(Alarm(name.rpartition("/")[2], risen["step"], f"{SHARES[name]}: {shown}"))
    return found


def _parted(evaluations: Sequence[_MetricsRow], config: RLConfig) -> Alarm | None:
    """Return the alarm that gold is below its best for `alarm_evals` evaluations, although the reward rose.

    The fall must be significant in a one-sided paired t test over the prompts. The comparison with the best
    evaluation so far, and not with the previous one, also detects a slow fall, which is within the noise from
    one evaluation to the next.
    """
    best, run = 0, 0
    for number in range(1, len(evaluations)):
        start, now = evaluations[best], evaluations[number]
        fall = _fall(start, now)
        # Each evaluation is another chance of a false alarm, so later ones need more evidence.
        parted = now[EVAL_REWARD] > start[EVAL_REWARD] and fall.is_positive(_LEVEL / number)
        run = run + 1 if parted else 0
        if run >= config.alarm_evals:
            text = (
                f"the gold reward fell from {start[EVAL_GOLD]:.3g} at step {start['step']} to "
                f"{now[EVAL_GOLD]:.3g} (standard error of the fall: {fall.error:.2g}) while the reward rose, "
                f"in {run} evaluations in a row"
            )
            return Alarm("gold", now["step"], text)
        if now[EVAL_GOLD] > start[EVAL_GOLD]:
            best = number
    return None


def _fall(before: _MetricsRow, now: _MetricsRow) -> MeanDifference:
    """Return the fall of gold, paired by prompt; prompts unscored in either evaluation are skipped.

    Both evaluations have the same prompts and seeds, so differences between prompts cancel. Checkpoints of
    older versions have no gold by prompt; the fall then has the larger error of two independent means.
    """
    earlier, later = before.get(GOLD_BY_PROMPT), now.get(GOLD_BY_PROMPT)
    if earlier is None or later is None:
        error = math.hypot(before[EVAL_ERROR], now[EVAL_ERROR])
        return MeanDifference(before[EVAL_GOLD] - now[EVAL_GOLD], error)
    return paired_difference(earlier, later)


def gold_losses(history: Sequence[_MetricsRow]) -> list[tuple[int, float]]:
    """Return step and negated gold of each evaluation, in order: like losses, the lowest is the best."""
    return [(int(row["step"]), -float(row[EVAL_GOLD])) for row in history if EVAL_GOLD in row]


def account_of(history: Sequence[_MetricsRow], config: RLConfig) -> dict[str, list[str]]:
    """Return the alarms in the form that a training result records: as warnings, and by name."""
    alarms = alarms_of(history, config)
    warnings = [f"step {alarm.step}: {alarm.text}" for alarm in alarms]
    return {"warnings": warnings, "alarms": [alarm.name for alarm in alarms]}


def best_gold_step(history: Sequence[_MetricsRow], config: RLConfig) -> int | None:
    """Return the step with the highest gold reward with `keep: best`; else None, and the last is used."""
    return best_step(gold_losses(history)) if config.keep == "best" else None


def is_over(history: Sequence[_MetricsRow], config: RLConfig) -> bool:
    """Return whether training ends here: by an alarm, or because patience is exhausted."""
    ends = any(alarm.ends or config.alarms == "stop" for alarm in alarms_of(history, config))
    return ends or is_exhausted(gold_losses(history), config.patience)
