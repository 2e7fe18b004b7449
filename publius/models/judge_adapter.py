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
from engines.trees import Tree
from training.judge.adapter import JudgeAdapterConfig, JudgedExample, train_judge_adapter
from training.judge.choice import FOLDS, balanced
from training.judge.probe import GoldLabel

_SHARE = 0.75
"""Share of the prompts that the adapter learns from; the probe is fitted on the others."""


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
    answers = tuple((token,) for token in source.choice_tokens(asked))

    def example(label: GoldLabel) -> JudgedExample:
        numbers = [number for number in (label.first, label.second) if number is not None]
        trees = tuple(Tree(rows[number].ids, answers) for number in numbers)
        return JudgedExample(trees, label.target, label.weight)

    note(f"the adapter learns from {counted(len(learned), 'label')}, the probe from {len(left):,}")
    to = folder / ADAPTER_FOLDER
    train_judge_adapter(
        [example(label) for label in balanced(learned)],
        source.config,
        to,
        config,
        seed=seed,
        device=source.device,
    )
    return source.with_adapter(to), left
