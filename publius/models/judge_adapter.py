"""The adapter of a trained judge: which gold labels it learns from, and the model with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.digests import derive_uniform
from core.errors import DataError
from core.notices import counted, note
from engines.judge.model import StateSource
from engines.judge.rows import QuestionRow
from engines.judge.settings import ADAPTER_FOLDER
from engines.protocols import ChoiceRequest
from training.judge.adapter import JudgeAdapterConfig, JudgedExample, JudgedLabel, train_judge_adapter
from training.judge.choice import FOLDS, balanced
from training.judge.probe import GoldLabel

_SHARE = 0.75
"""Share of the prompts that the adapter learns from; the probe is fitted on the others."""
_TOGETHER = 8
"""Largest number of labels of one reply in an example."""


def adapted(
    source: StateSource,
    labels: Sequence[GoldLabel],
    rows: Mapping[int, QuestionRow],
    asked: ChoiceRequest,
    folder: Path,
    config: JudgeAdapterConfig,
    seed: int,
) -> tuple[StateSource, list[GoldLabel]]:
    """Train an adapter on three quarters of the prompts; return the model with it, and the other labels.

    On replies that the adapter was trained on, its states look more certain than on others: a probe fitted
    on them would be miscalibrated, and its cross-validation too good.

    Args:
        source: the model.
        labels: the gold labels.
        rows: the questions by their number.
        asked: any of the questions: the answers Yes and No continue it.
        folder: the judge's folder.
        config: how the adapter is trained.
        seed: seed of the division of the prompts and of the training.

    Raises:
        DataError: if too few prompts are left for the probe.
        EngineError: if the model cannot be trained, or does not answer Yes and No in one token.
        MissingExtraError: if peft is not installed.
    """
    learned: list[GoldLabel] = []
    left: list[GoldLabel] = []
    for label in labels:
        is_learned = derive_uniform(seed, "adapter", label.group) < _SHARE
        (learned if is_learned else left).append(label)
    prompts = len({label.group for label in left})
    if not learned or prompts < FOLDS:
        raise DataError(
            f"with an adapter, gold labels of {counted(prompts, 'prompt')} are left for the probe",
            where="--lora",
            accepted=f"labels of at least {4 * FOLDS} prompts",
        )
    yes, no = source.choice_tokens(asked)
    note(f"the adapter learns from {counted(len(learned), 'label')}, the probe from {len(left):,}")
    to = folder / ADAPTER_FOLDER
    train_judge_adapter(
        judged_examples(balanced(learned), rows, seed),
        source.config,
        to,
        config,
        seed=seed,
        device=source.device,
        answers=(yes, no),
    )
    return source.with_adapter(to), left


def judged_examples(
    labels: Sequence[GoldLabel], rows: Mapping[int, QuestionRow], seed: int
) -> list[JudgedExample]:
    """Return gold labels as examples; those of one reply under several principles share an example.

    Args:
        labels: the gold labels.
        rows: the questions by their number.
        seed: seed of which labels of a reply are learned together, if it has many.
    """
    by_reply: dict[tuple[int, ...], list[GoldLabel]] = {}
    for label in labels:
        row = rows[label.first]
        by_reply.setdefault(row.ids[: row.stop], []).append(label)
    found = []
    for own in by_reply.values():
        own.sort(key=lambda label: derive_uniform(seed, "together", label.first))
        found += [own[start : start + _TOGETHER] for start in range(0, len(own), _TOGETHER)]
    return [JudgedExample(tuple(_judged(label, rows) for label in group)) for group in found]


def _judged(label: GoldLabel, rows: Mapping[int, QuestionRow]) -> JudgedLabel:
    numbers = [number for number in (label.first, label.second) if number is not None]
    return JudgedLabel(tuple(rows[number].ids for number in numbers), label.target, label.weight)
