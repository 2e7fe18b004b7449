"""Our trainers against TRL's where labels are 0 or 1: losses, gradients, weights of 20 steps, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.hf.attention import register
from training.config import DPOConfig
from training.examples import EncodedAnswer, EncodedPair
from training.logprobs import answer_logprobs, collate
from training.packed import PolicyScorer
from training.pairs.dpo_objective import DPOObjective
from training.pairs.reward_objective import RewardObjective
from training.steps.objective import ObjectiveTrainer

STEPS, PAIRS, RATE = 20, 4, 0.05
Step = Callable[[int], torch.Tensor]
"""Runs forward and backward of the step of a number, and returns the loss."""


def message(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def rows() -> list[dict[str, Any]]:
    words = ["short", "a longer answer", "yes", "it depends on what you mean by that", "no", "perhaps"]
    return [
        {
            "prompt": message("user", f"question {i} " * (1 + i % 4)),
            "chosen": message("assistant", words[i % 6]),
            "rejected": message("assistant", words[(i * 5 + 2) % 6] + "."),
        }
        for i in range(STEPS * PAIRS)
    ]


def settings(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": PAIRS,
        "report_to": [],
        "max_length": None,
    }


def trl_step(trainer: Any) -> Step:
    trainer.current_gradient_accumulation_steps = 1
    data = trainer.train_dataset

    def step(number: int) -> torch.Tensor:
        batch = trainer.data_collator([data[i] for i in range(number * PAIRS, (number + 1) * PAIRS)])
        return trainer.training_step(trainer.model, batch)

    return step


def our_step(model: Any, objective: Any, pairs: Sequence[EncodedPair], folder: Path) -> Step:
    from transformers import TrainingArguments

    arguments = TrainingArguments(output_dir=str(folder), use_cpu=True, report_to=[])
    trainer = ObjectiveTrainer(model, arguments, pairs, (), objective, batch_size=PAIRS, tokens=200)
    return lambda number: trainer.training_step(
        model, {"pairs": pairs[number * PAIRS : (number + 1) * PAIRS]}
    )


def in_double(model: Any) -> Any:
    """The model in float64 throughout: the norms of transformers work in float32 whatever the weights are."""
    for name, module in list(model.named_modules()):
        if name.endswith("norm"):
            norm = torch.nn.RMSNorm(module.weight.shape[0], module.variance_epsilon)
            norm.weight = module.weight
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, norm)
    return model.double()


def twin(model: Any) -> Any:
    """The same weights, with the attention that packed rows need."""
    own = type(model)._from_config(copy.deepcopy(model.config), attn_implementation=register())
    own = in_double(own)
    own.load_state_dict(model.state_dict())
    return own


class DoubleHead:
    """What TRL's output head computes, in the type of the hidden states; its own tiles are float32 always."""

    @staticmethod
    def apply(
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: None,
        labels: torch.Tensor,
        temperature: float,
        *rest: Any,
    ) -> tuple[torch.Tensor | None, ...]:
        assert bias is None
        logits = hidden @ weight.t() / temperature
        logprobs = logits.log_softmax(dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        top = logits.argmax(dim=-1) == labels
        return logprobs, torch.zeros_like(logprobs), None, logits.mean(dim=-1), top


def require_equal_training(theirs: Any, ours: Any, their_step: Step, own_step: Step) -> None:
    """Step by step the same loss and gradients, and at the end the same weights."""
    optimizers = [torch.optim.SGD(model.parameters(), lr=RATE) for model in (theirs, ours)]
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    names = dict(theirs.named_parameters())
    for number in range(STEPS):
        expected, found = their_step(number).double(), own_step(number).double()
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)
        for name, parameter in ours.named_parameters():
            gradient = names[name].grad
            assert (parameter.grad - gradient).norm() <= 1e-6 * gradient.norm() + 1e-12, name
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    after = ours.state_dict()
    assert max((after[name] - value).abs().max().item() for name, value in before.items()) > 1e-3
    for name, value in theirs.state_dict().items():
        assert (after[name] - value).abs().max().item() < 1e-5, name


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (DPOConfig(beta=0.1), {"loss_type": ["sigmoid"], "beta": 0.1}),
        (DPOConfig(loss="ipo", beta=0.2), {"loss_type": ["ipo"], "beta": 0.2}),
        (
            DPOConfig(loss="robust", beta=0.1, flipped=0.2),
            {"loss_type": ["robust"], "label_smoothing": 0.2, "beta": 0.1},
        ),
    ],
    ids=["sigmoid", "ipo", "robust"],
)
def test_dpo_trains_as_trl_does(
    config: DPOConfig,
    options: dict[str, Any],
    tiny_model: Any,
    tiny_tokenizer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    import trl.trainer.utils
    from datasets import Dataset
    from trl import DPOConfig as TRLConfig
    from trl import DPOTrainer

    from engines.tokenization import CHATML

    monkeypatch.setattr(trl.trainer.utils, "_ChunkedLogProbFunction", DoubleHead)
    policy, reference = (in_double(tiny_model(seed, "sdpa", initializer_range=0.2)) for seed in (1, 2))
    ours = twin(policy)
    trainer = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=TRLConfig(**settings(tmp_path), **options),
        train_dataset=Dataset.from_list(rows()),
        processing_class=tiny_tokenizer(CHATML),
    )
    pairs = [with_reference(pair_of(row), reference) for row in trainer.train_dataset]
    objective = DPOObjective(config, PolicyScorer(ours, pairs[0].tree))
    step = our_step(ours, objective, pairs, tmp_path)
    require_equal_training(policy, ours, trl_step(trainer), step)


def pair_of(row: dict[str, Any]) -> EncodedPair:
    prompt = tuple(row["prompt_ids"])
    sides = (EncodedAnswer(prompt, tuple(row[name])) for name in ("chosen_ids", "rejected_ids"))
    return EncodedPair("pair", *sides, p_chosen=1.0, weight=1.0)


def with_reference(pair: EncodedPair, reference: Any) -> EncodedPair:
    with torch.no_grad():
        chosen, rejected = answer_logprobs(reference, collate([pair.chosen, pair.rejected])).tolist()
    return replace(pair, reference=(chosen, rejected))


@pytest.mark.parametrize("center", [0.0, 0.01])
@pytest.mark.parametrize("margins", [False, True], ids=["without margins", "with margins"])
def test_a_reward_model_trains_as_trl_does(
    center: float, margins: bool, tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
):
    from datasets import Dataset
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    from engines.tokenization import CHATML

    config = tiny_model(1, "sdpa").config
    config.num_labels, config.initializer_range = 1, 0.2
    torch.manual_seed(3)
    policy = in_double(LlamaForSequenceClassification(config))
    ours = twin(policy)
    given = [{**row, "margin": (number % 3) / 2} if margins else row for number, row in enumerate(rows())]
    trainer = RewardTrainer(
        model=policy,
        args=RewardConfig(**settings(tmp_path), center_rewards_coefficient=center or None),
        train_dataset=Dataset.from_list(given),
        processing_class=tiny_tokenizer(CHATML),
    )
    pairs = [scored_pair_of(row) for row in trainer.train_dataset]
    step = our_step(ours, RewardObjective(ours, center, packed=True), pairs, tmp_path)
    require_equal_training(policy, ours, trl_step(trainer), step)


def scored_pair_of(row: dict[str, Any]) -> EncodedPair:
    """A pair of whole conversations, whose shared beginning is the prompt."""
    chosen, rejected = tuple(row["chosen_ids"]), tuple(row["rejected_ids"])
    shared = next(n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b)
    prompt = chosen[:shared]
    sides = (EncodedAnswer(prompt, chosen[shared:]), EncodedAnswer(prompt, rejected[shared:]))
    return EncodedPair("pair", *sides, p_chosen=1.0, weight=1.0, margin=row.get("margin", 0.0))
