"""The soft DPO loss: worked numbers, gradient, minimum, and equality with TRL where labels are hard."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from training.examples import EncodedAnswer
from training.logprobs import answer_logprobs, collate
from training.losses import soft_dpo_loss

LABELS = [0.5, 0.62, 0.75, 0.95, 1.0]


def loss_at(margin: float, p: float, beta: float) -> torch.Tensor:
    ratio = torch.tensor([margin], dtype=torch.float64)
    return soft_dpo_loss(ratio, torch.zeros_like(ratio), torch.tensor([p], dtype=torch.float64), beta)


def test_worked_number():
    # beta * margin = 0.2: sigmoid = 0.549834, so 0.7 * 0.598139 + 0.3 * 0.798139
    assert loss_at(2.0, 0.7, 0.1).item() == pytest.approx(0.6581389, abs=1e-7)


@pytest.mark.parametrize("p", LABELS)
def test_loss_is_log_two_where_policy_and_reference_agree(p: float):
    assert loss_at(0.0, p, 0.1).item() == pytest.approx(math.log(2), abs=1e-12)


@pytest.mark.parametrize("p", LABELS)
def test_gradient_at_equal_policies_is_beta_times_half_minus_label(p: float):
    chosen = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    rejected = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    soft_dpo_loss(chosen, rejected, torch.tensor([p], dtype=torch.float64), 0.1).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.item() == pytest.approx(0.1 * (0.5 - p), abs=1e-12)
    assert rejected.grad.item() == pytest.approx(-0.1 * (0.5 - p), abs=1e-12)


@pytest.mark.parametrize("p", [0.5, 0.62, 0.75, 0.95])
@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
def test_minimum_lies_at_the_label_s_logit_over_beta(p: float, beta: float):
    best = math.log(p / (1 - p)) / beta
    at_best = loss_at(best, p, beta).item()
    assert at_best < loss_at(best - 0.01, p, beta).item()
    assert at_best < loss_at(best + 0.01, p, beta).item()
    margin = torch.tensor([best], dtype=torch.float64, requires_grad=True)
    label = torch.tensor([p], dtype=torch.float64)
    soft_dpo_loss(margin, torch.zeros_like(margin), label, beta).sum().backward()
    assert margin.grad is not None
    assert margin.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_a_label_and_its_mirror_image_are_the_same_pair_turned_round():
    a, b = torch.tensor([1.3], dtype=torch.float64), torch.tensor([-0.4], dtype=torch.float64)
    p = torch.tensor([0.8], dtype=torch.float64)
    turned = soft_dpo_loss(b, a, 1 - p, 0.3).item()
    assert soft_dpo_loss(a, b, p, 0.3).item() == pytest.approx(turned, abs=1e-12)


def test_large_margins_stay_finite():
    for margin in (-1e5, 1e5):
        assert math.isfinite(loss_at(margin, 0.9, 0.1).item())


@pytest.mark.slow  # TRL alone takes seconds to import
def test_equals_trl_sigmoid_dpo_where_every_label_is_one(
    tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any
):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from engines.tokenization import CHATML

    def message(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    words = ["short", "a longer answer", "yes", "it depends on what you mean by that", "no"]
    rows = [
        {
            "prompt": message("user", f"question {i} " * (1 + i % 3)),
            "chosen": message("assistant", words[i % 5]),
            "rejected": message("assistant", words[(i + 2) % 5]),
        }
        for i in range(8)
    ]
    policy, reference = (tiny_model(seed, "sdpa", initializer_range=0.2).double() for seed in (1, 2))
    trainer = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=DPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=8,
            report_to=[],
            beta=0.1,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(CHATML),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(policy, dict(batch)).double()

    encoded = collate([*_rows(batch)])
    with torch.no_grad():
        ratios = answer_logprobs(policy, encoded) - answer_logprobs(reference, encoded)
    chosen, rejected = ratios.chunk(2)
    ours = soft_dpo_loss(chosen, rejected, torch.ones_like(chosen), 0.1).mean()
    assert ratios.abs().max() > 0.1  # the two models do differ
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def _rows(batch: dict[str, torch.Tensor]) -> list[EncodedAnswer]:
    """The rows of a batch as TRL made it, whatever side it pads on."""
    rows = []
    for ids, mask, completion in zip(
        batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True
    ):
        prompt = ids[(mask == 1) & (completion == 0)]
        answer = ids[(mask == 1) & (completion == 1)]
        rows.append(EncodedAnswer(tuple(prompt.tolist()), tuple(answer.tolist())))
    return rows
