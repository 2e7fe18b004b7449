"""Evaluation on held-out prompts: the reward that is optimised, next to the gold reward, which is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from core.errors import EngineError
from core.rewards import Reward
from core.store.files import os_errors
from training.checkpoints import SAMPLES_FILE, TrainingFolder
from training.processes import gathered, process_rows
from training.rl.alarms import EVAL_ERROR, EVAL_GOLD, EVAL_REWARD
from training.rl.metrics import Metrics, answer_metrics, reward_metrics
from training.rl.reward_sum import RewardSum, reward_scores
from training.rl.rollouts import Rollout


class GoldEvaluation(NamedTuple):
    """The result of an evaluation on held-out prompts."""

    metrics: Metrics
    golds: list[float | None]
    """Gold reward of each answer, in the order of the prompts; None if unscored."""


def watched(rollouts: Sequence[Rollout], rewards: RewardSum, gold: Reward, where: str) -> GoldEvaluation:
    """Evaluate answers to held-out prompts; each process scores its share.

    Rewards are summed without normalising or clipping, which keeps evaluations comparable.

    Args:
        rollouts: one answer to each prompt, not scored yet.
        rewards: what is optimised.
        gold: a reward that is not optimised.
        where: the setting that names gold, for messages.

    Raises:
        EngineError: if gold scores none of the answers.
    """
    own = process_rows(rollouts)
    samples = [rollout.sample for rollout in own]
    pairs = list(zip(rewards.score(samples), reward_scores(gold, samples), strict=True))
    found: list[tuple[dict[str, float | None], float | None]] = gathered(pairs)
    scored = [replace(rollout, scores=row) for rollout, (row, _) in zip(rollouts, found, strict=True)]
    golds = [score for _, score in found]
    known = [score for score in golds if score is not None]
    if not known:
        raise EngineError("no answer to a held-out prompt could be scored", where=where)
    sums = [value for value in rewards.sums([row for row, _ in found]) if value is not None]
    metrics = {
        **({EVAL_REWARD: fmean(sums)} if sums else {}),
        EVAL_GOLD: fmean(known),
        EVAL_ERROR: stdev(known) / len(known) ** 0.5 if len(known) > 1 else 0.0,
        "eval/gold/missing": 1 - len(known) / len(found),
        **reward_metrics("eval", scored),
        **answer_metrics("eval", scored),
    }
    return GoldEvaluation(metrics, golds)


_SHOWN = 3
"""Answers of each step that are saved."""


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a JSON line to a file. Raises RunStateError if the disk is full."""
    with os_errors(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def write_samples(
    folder: TrainingFolder, step: int, rollouts: Sequence[Rollout], totals: Sequence[float | None]
) -> None:
    """Append the first answers of a step, with their rewards, to the folder's samples."""
    for rollout, total in list(zip(rollouts, totals, strict=True))[:_SHOWN]:
        row = {
            "step": step,
            "prompt": rollout.prompt.prompt.messages[-1].content,
            "answer": rollout.text,
            "finished": rollout.drawn.finished,
            "reward": total,
            "scores": rollout.scores,
        }
        append_row(folder.path / SAMPLES_FILE, row)
