"""Train an adapter that answers whether a reply fulfils a principle: Yes or No, behind the question.

The adapter learns the log-odds of Yes against No,

    s = log p(Yes | question) - log p(No | question),

by the cross-entropy of sigmoid(s) to a label of a reply, and of sigmoid(s_1 - s_2) to a label of a pair
(Bradley and Terry 1952). The model with the adapter is a labeler in mode `pointwise` on every engine; a probe
on its hidden states is a trained judge as on the bare model.

Labels of one reply are learned together: their questions have the conversation and the reply in common, which
are computed once.

Shapes: `B` examples, `N` labels, `Q` questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.lazy import require
from engines.config import ModelConfig
from engines.trees import Tree, prefix_groups, prefix_tree
from training.checkpoints import TrainingFolder
from training.config import LoraConfig, OptimConfig
from training.fit import fit, one_gpu_arguments
from training.job import TrainingJob
from training.policy import TRAIN_EXTRA, load_policy

if TYPE_CHECKING:
    import torch

    from training.steps.objective import BatchMetrics

_LABELS = 16
"""Labels per optimizer step, about."""
_LEAST_EXAMPLES = 4
"""Smallest number of examples per optimizer step."""


@dataclass(frozen=True)
class JudgeAdapterConfig:
    """How the adapter is trained."""

    learning_rate: float = 5e-4
    """Peak learning rate."""
    epochs: float = 1.0
    """Number of passes over the labels."""


@dataclass(frozen=True, slots=True)
class JudgedLabel:
    """A gold label with its questions as token ids: one about a reply alone, two about those of a pair."""

    questions: tuple[tuple[int, ...], ...]
    target: float
    """Probability that the reply fulfils the principle, or that the first one does so better."""
    weight: float


@dataclass(frozen=True, slots=True)
class JudgedExample:
    """Gold labels whose questions begin alike, such as those of one reply under several principles."""

    labels: tuple[JudgedLabel, ...]

    @property
    def questions(self) -> list[tuple[int, ...]]:
        """The questions of all labels."""
        return [question for label in self.labels for question in label.questions]

    @property
    def packed_tokens(self) -> int:
        """Number of tokens of all questions; what they have in common counts once."""
        return sum(map(len, _trees(self.questions)[0]))


class JudgeScorer:
    """Log-odds of one answer against another behind questions.

    Args:
        policy: the model, not wrapped.
        answers: token ids of the answer and of its opposite.
        probe: a question, on which packed and padded rows are compared.
    """

    def __init__(self, policy: Any, answers: tuple[int, int], probe: tuple[int, ...]) -> None:

        from training.packed import PolicyScorer

        self._answers = answers
        self._scorer = PolicyScorer(policy, Tree(probe, self._branches))

    def __call__(self, model: Any, questions: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Return the log-odds (Q,) in nats."""
        import torch

        from engines.hf.packing import pack

        if not self._scorer.packed:
            each = self._scorer(model, [Tree(question, self._branches) for question in questions])
            return each.view(-1, 2) @ each.new_tensor([1.0, -1.0])
        trees, order = _trees(questions)
        row = pack(trees, next(model.parameters()).device)
        # Only what stands behind each question is predicted, so the logits of all other tokens are left out.
        logits = model(**row.inputs(), logits_to_keep=row.ends).logits[0]
        own, other = self._answers
        found: torch.Tensor = logits[:, own].float() - logits[:, other].float()
        return found[torch.tensor(order, device=found.device).argsort()]

    @property
    def _branches(self) -> tuple[tuple[int, ...], ...]:
        return tuple((token,) for token in self._answers)


class JudgeObjective:
    """Cross-entropy of the log-odds of Yes, or of their difference, to the labels.

    Args:
        scorer: log-odds of Yes under the policy.
        size: mean number of labels per example, by which losses are divided.
    """

    def __init__(self, scorer: JudgeScorer, size: float) -> None:
        self._scorer, self._size = scorer, size

    def losses(self, model: Any, rows: Sequence[JudgedExample]) -> tuple[torch.Tensor, BatchMetrics]:
        """Return the weighted losses (B,), and per example the mean `accuracy` and `nll` to log."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        labels = [label for row in rows for label in row.labels]
        log_odds = iter(self._scorer(model, [q for row in rows for q in row.questions]).unbind())
        own = [[next(log_odds) for _ in label.questions] for label in labels]
        scores = torch.stack([found[0] - found[1] if len(found) > 1 else found[0] for found in own])
        target = scores.new_tensor([label.target for label in labels])
        losses = binary_cross_entropy_with_logits(scores, target, reduction="none")
        sizes = torch.tensor([len(row.labels) for row in rows], device=scores.device)
        owner = torch.arange(len(rows), device=scores.device).repeat_interleave(sizes)
        weights = scores.new_tensor([label.weight for label in labels]) / self._size
        metrics = {"accuracy": ((scores > 0) == (target > 0.5)).float(), "nll": losses.detach()}
        nothing = scores.new_zeros(len(rows))
        means = {name: nothing.index_add(0, owner, values) / sizes for name, values in metrics.items()}
        return nothing.index_add(0, owner, losses * weights), means

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return no warnings: the figures on labels that were not trained on show a judge's problems."""
        return ()


def _trees(questions: Sequence[tuple[int, ...]]) -> tuple[list[Tree], list[int]]:
    """Return questions as trees by their common beginnings, and the index of each one's question."""
    groups = prefix_groups(questions)
    trees = [prefix_tree([questions[index] for index in group]) for group in groups]
    return trees, [index for group in groups for index in group]


def train_judge_adapter(
    examples: Sequence[JudgedExample],
    model: ModelConfig,
    folder: Path,
    config: JudgeAdapterConfig,
    *,
    seed: int,
    device: str,
    answers: tuple[int, int],
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
        answers: token ids of Yes and of No.

    Raises:
        EngineError: if the model cannot be loaded or trained, or the loss is not finite.
        MissingExtraError: if peft is not installed.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, TRAIN_EXTRA)
    labels = sum(len(example.labels) for example in examples)
    size = labels / max(1, len(examples))
    # A step needs several replies: labels of one reply alone say more about it than about principles.
    optim = OptimConfig(batch_size=max(_LEAST_EXAMPLES, round(_LABELS / max(1.0, size))))
    job = TrainingJob.of("judge", folder, model, config, LoraConfig(), optim, seed=seed, device=device)

    def make(arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        from transformers import TrainingArguments

        from training.steps.objective import ObjectiveTrainer

        policy: Any = load_policy(job.policy, job.adapter, job.device, job.seed)
        longest = max((question for example in examples for question in example.questions), key=len)
        return ObjectiveTrainer(
            policy,
            one_gpu_arguments(TrainingArguments, arguments),
            examples,
            (),
            JudgeObjective(JudgeScorer(policy, answers, longest), size),
            batch_size=job.optim.batch_size,
            tokens=job.optim.micro_tokens,
        )

    fit(job, job.digest(examples, ()), len(examples), make)
    return folder
