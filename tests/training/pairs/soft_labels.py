"""Soft against hard labels on pairs whose true probability is known.

An answer is six letters, and its worth the number of `a`s less that of `b`s. A pair's label is the
Bradley-Terry probability of the true worths. Hard labels say only which answer is the likelier better one,
as data sets of `chosen` and `rejected` do. Both trainings see the same pairs in the same order for the same
number of steps.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from core.records import Message
from engines.config import ModelConfig
from evaluation.reward.calibration import calibration_metrics
from evaluation.reward.metrics import ScoredPair, cross_entropy, pair_columns, sigmoid
from publius.models.reward_model import scored_by
from training.config import LoraConfig, OptimConfig, RewardConfig
from training.examples import PreferencePair
from training.job import TrainingJob
from training.pairs.reward import train_reward

PAIRS, HELD_OUT, SEEDS = 320, 320, 5
STUDENT_T = 2.776
"""97.5 % point of Student's t with 4 degrees of freedom, for intervals over 5 seeds."""
OPTIM = OptimConfig(batch_size=32, micro_tokens=4096, warmup=0.0, checkpoint_every=1000)


class Quality(NamedTuple):
    """How near the model's probabilities come to the true ones on held-out pairs."""

    log_loss: float
    """Cross-entropy to the true probability, nats."""
    ece: float


def worth(answer: str) -> float:
    return 0.5 * (answer.count("a") - answer.count("b"))


def known_pairs(count: int, seed: int) -> list[PreferencePair]:
    """Return pairs with their true probability, the likelier better answer first."""
    chance = random.Random(seed)
    asked = (Message(role="user", content="Well?"),)
    pairs: list[PreferencePair] = []
    while len(pairs) < count:
        one, two = ("".join(chance.choice("abc") for _ in range(6)) for _ in range(2))
        if worth(one) != worth(two):
            better, worse = sorted((one, two), key=worth, reverse=True)
            p = float(sigmoid(worth(better) - worth(worse)))
            pairs.append(PreferencePair(f"{len(pairs)}", asked, better, worse, p))
    return pairs


def quality(folder: Path, model: str, pairs: Sequence[PreferencePair]) -> Quality:
    from engines.hf.reward_model import load_reward_model

    scored: list[ScoredPair]
    scored, _ = scored_by(load_reward_model(folder, "cpu", ModelConfig(id=model)), pairs, OPTIM)
    columns = pair_columns(scored)
    losses = cross_entropy(columns.margins, columns.labels)
    figures = calibration_metrics(columns.margins, columns.labels, columns.weights)
    return Quality(float(losses.mean()), figures.ece)


def both(model: str, folder: Path, seed: int) -> tuple[Quality, Quality]:
    """Return what soft and hard labels give on one draw of pairs."""
    pairs, unseen = known_pairs(PAIRS, seed), known_pairs(HELD_OUT, 1000 + seed)
    found = []
    for name, labelled in (("soft", pairs), ("hard", [replace(pair, p_chosen=1.0) for pair in pairs])):
        lora = LoraConfig(r=8, alpha=16)
        own = TrainingJob(
            "reward", folder / f"{name}-{seed}", ModelConfig(id=model), lora, OPTIM, 1e-2, 5.0, seed, "cpu"
        )
        train_reward(labelled, own, RewardConfig(center=0.0))
        found.append(quality(own.folder, model, unseen))
    return found[0], found[1]


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean over seeds with its 95 % interval."""
    mean = statistics.fmean(differences)
    half = STUDENT_T * statistics.stdev(differences) / len(differences) ** 0.5
    return mean, mean - half, mean + half
