"""Train an adapter that answers whether a reply fulfils a principle: Yes or No, behind the question.

The adapter learns the log-odds of Yes against No,

    s = log p(Yes | question) - log p(No | question),

by the cross-entropy of sigmoid(s) to a label of a reply, and of sigmoid(s_1 - s_2) to a label of a pair
(Bradley and Terry 1952). The model with the adapter is a labeler in mode `pointwise` on every engine; a probe
on its hidden states is a trained judge as on the bare model.

Shapes: `B` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.lazy import require
from engines.config import ModelConfig
from engines.trees import Tree
from training.checkpoints import TrainingFolder
from training.config import LoraConfig, OptimConfig
from training.fit import fit, one_gpu_arguments
from training.job import TrainingJob
from training.policy import TRAIN_EXTRA, load_policy

if TYPE_CHECKING:
    import torch

    from training.packed import PolicyScorer
    from training.steps.objective import BatchMetrics


@dataclass(frozen=True)
class JudgeAdapterConfig:
    """How the adapter is trained."""

    learning_rate: float = 5e-4
    """Peak learning rate."""
    epochs: float = 1.0
    """Number of passes over the labels."""


@dataclass(frozen=True, slots=True)
class JudgedExample:
    """A gold label with its questions: one about a reply alone, two about those of a pair."""

    questions: tuple[Tree, ...]
    """Each question with the answers Yes and No, as token ids."""
    target: float
    """Probability that the reply fulfils the principle, or that the first one does so better."""
    weight: float

    @property
    def packed_tokens(self) -> int:
        """Number of tokens of all questions and answers."""
        return sum(map(len, self.questions))


class JudgeObjective:
    """Cross-entropy of the log-odds of Yes, or of their difference, to the labels.

    Args:
        scorer: log-probabilities under the policy.
    """

    def __init__(self, scorer: PolicyScorer) -> None:
        self._scorer = scorer

    def losses(self, model: Any, rows: Sequence[JudgedExample]) -> tuple[torch.Tensor, BatchMetrics]:
        """Return the weighted losses (B,) and the metrics `accuracy` and `nll` to log."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        trees = [tree for row in rows for tree in row.questions]
        yes, no = self._scorer(model, trees).view(-1, 2).unbind(dim=1)
        log_odds = iter((yes - no).unbind())
        own = [[next(log_odds) for _ in row.questions] for row in rows]
        scores = torch.stack([found[0] - found[1] if len(found) > 1 else found[0] for found in own])
        target = scores.new_tensor([row.target for row in rows])
        losses = binary_cross_entropy_with_logits(scores, target, reduction="none")
        metrics = {"accuracy": ((scores > 0) == (target > 0.5)).float(), "nll": losses.detach()}
        return losses * scores.new_tensor([row.weight for row in rows]), metrics

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return no warnings: the figures on labels that were not trained on show a judge's problems."""
        return ()


def train_judge_adapter(
    examples: Sequence[JudgedExample],
    model: ModelConfig,
    folder: Path,
    config: JudgeAdapterConfig,
    *,
    seed: int,
    device: str,
) -> Path:
    """Train an adapter on gold labels and return its folder.

    An interrupted training of the same examples resumes from its newest checkpoint; a finished one is reused.

    Args:
        examples: the gold labels.
        model: the model that the adapter is for.
        folder: output folder.
        config: how it is trained.
        seed: seed of the adapter and of the order of the examples.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        EngineError: if the model cannot be loaded or trained, or the loss is not finite.
        MissingExtraError: if peft is not installed.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, TRAIN_EXTRA)
    optim = OptimConfig(batch_size=16)
    job = TrainingJob.of("judge", folder, model, config, LoraConfig(), optim, seed=seed, device=device)

    def make(arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        from transformers import TrainingArguments

        from training.packed import PolicyScorer
        from training.steps.objective import ObjectiveTrainer

        policy: Any = load_policy(job.policy, job.adapter, job.device, job.seed)
        longest = max((tree for example in examples for tree in example.questions), key=len)
        return ObjectiveTrainer(
            policy,
            one_gpu_arguments(TrainingArguments, arguments),
            examples,
            (),
            JudgeObjective(PolicyScorer(policy, longest)),
            batch_size=job.optim.batch_size,
            tokens=job.optim.micro_tokens,
        )

    fit(job, job.digest(examples, ()), len(examples), make)
    return folder
