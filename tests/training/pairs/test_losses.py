"""Losses on soft labels: worked numbers, gradients, minima, and the papers' own where labels are hard."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training.examples import EncodedAnswer
from training.logprobs import answer_logprobs, collate
from training.pairs.losses import centering_loss, soft_dpo_loss, soft_ipo_loss, soft_reward_loss, unflipped

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


# IPO


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def slope(loss: Callable[[torch.Tensor], torch.Tensor], at: float) -> float:
    """The derivative of a loss of one margin."""
    margin = one(at).requires_grad_()
    loss(margin).sum().backward()
    assert margin.grad is not None
    return margin.grad.item()


def require_minimum(loss: Callable[[torch.Tensor], torch.Tensor], at: float) -> None:
    assert slope(loss, at) == pytest.approx(0.0, abs=1e-12)
    best = loss(one(at)).item()
    assert best < loss(one(at - 0.01)).item()
    assert best < loss(one(at + 0.01)).item()


def ipo_at(margin: torch.Tensor, p: float, beta: float) -> torch.Tensor:
    return soft_ipo_loss(margin + 0.4, torch.full_like(margin, 0.4), one(p), beta)


def test_worked_ipo_number():
    # 1 / (2 beta) = 2.5 and a margin of 2: 0.7 * 0.5^2 + 0.3 * 4.5^2
    assert ipo_at(one(2.0), 0.7, 0.2).item() == pytest.approx(6.25, abs=1e-12)


@pytest.mark.parametrize("margin", [-3.0, 0.0, 1.7])
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_ipo_of_a_sure_label_is_the_papers_square(margin: float, beta: float):
    assert ipo_at(one(margin), 1.0, beta).item() == pytest.approx((margin - 1 / (2 * beta)) ** 2, abs=1e-12)


@pytest.mark.parametrize("p", LABELS)
@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_ipo_s_minimum_lies_at_twice_the_label_less_one_over_twice_beta(p: float, beta: float):
    require_minimum(lambda margin: ipo_at(margin, p, beta), (2 * p - 1) / (2 * beta))


def test_ipo_of_a_pair_turned_round_is_the_same():
    a, b, p = one(1.3), one(-0.4), one(0.8)
    assert soft_ipo_loss(a, b, p, 0.3).item() == pytest.approx(
        soft_ipo_loss(b, a, 1 - p, 0.3).item(), abs=1e-12
    )


# Labels of which a share is flipped


def test_worked_unflipped_labels():
    labels = torch.tensor([0.0, 0.1, 0.5, 0.7, 0.9, 1.0], dtype=torch.float64)
    assert unflipped(labels, 0.1).tolist() == pytest.approx([-0.125, 0.0, 0.5, 0.75, 1.0, 1.125], abs=1e-12)


@pytest.mark.parametrize("p", LABELS)
def test_where_none_is_flipped_labels_stay(p: float):
    assert unflipped(one(p), 0.0).item() == p


@pytest.mark.parametrize("flipped", [0.05, 0.2, 0.45])
@pytest.mark.parametrize("margin", [-2.0, 0.0, 3.0])
def test_robust_loss_of_a_sure_label_is_the_papers(flipped: float, margin: float):
    # Chowdhury et al. 2024, equation 12
    straight, turned = (loss_at(sign * margin, 1.0, 0.5).item() for sign in (1, -1))
    expected = ((1 - flipped) * straight - flipped * turned) / (1 - 2 * flipped)
    found = soft_dpo_loss(one(margin), one(0.0), unflipped(one(1.0), flipped), 0.5).item()
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("flipped", [0.05, 0.3])
@pytest.mark.parametrize("p", [0.0, 0.3, 0.8, 1.0])
def test_robust_loss_over_flipped_labels_is_on_average_that_of_the_true_ones(flipped: float, p: float):
    # Each label is turned round with that probability.
    margin = one(1.7)
    seen = [soft_dpo_loss(margin, one(0.0), unflipped(one(q), flipped), 0.5).item() for q in (p, 1 - p)]
    average = (1 - flipped) * seen[0] + flipped * seen[1]
    assert average == pytest.approx(loss_at(1.7, p, 0.5).item(), abs=1e-12)


def test_robust_loss_has_its_minimum_at_the_unflipped_label():
    # 0.7 of which a tenth is flipped was 0.75.
    require_minimum(
        lambda margin: soft_dpo_loss(margin, one(0.0), unflipped(one(0.7), 0.1), 0.5), math.log(3) / 0.5
    )


def test_a_surer_label_than_flips_allow_has_no_minimum():
    def robust(margin: torch.Tensor) -> torch.Tensor:
        return soft_dpo_loss(margin, one(0.0), unflipped(one(0.95), 0.1), 1.0)

    assert all(slope(robust, at) < 0 for at in (-5.0, 0.0, 5.0, 50.0))


# Reward models


def reward_at(difference: torch.Tensor, p: float, margin: float = 0.0) -> torch.Tensor:
    return soft_reward_loss(difference - 0.3, torch.full_like(difference, -0.3), one(p), one(margin))


def test_worked_reward_number():
    # d - margin = 0.2: sigmoid = 0.549834, so 0.7 * 0.598139 + 0.3 * 0.798139
    assert reward_at(one(1.2), 0.7, 1.0).item() == pytest.approx(0.6581389, abs=1e-7)


@pytest.mark.parametrize("difference", [-2.0, 0.0, 0.5, 4.0])
@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_reward_loss_of_a_sure_label_is_the_papers(difference: float, margin: float):
    # Touvron et al. 2023, equation 2
    expected = math.log(1 + math.exp(margin - difference))
    assert reward_at(one(difference), 1.0, margin).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.62, 0.95])
@pytest.mark.parametrize("margin", [-1.0, 0.0, 2.0])
def test_reward_loss_has_its_minimum_at_margin_plus_the_label_s_logit(p: float, margin: float):
    require_minimum(lambda d: reward_at(d, p, margin), margin + math.log(p / (1 - p)))


def test_reward_loss_of_a_pair_turned_round_is_the_same():
    a, b, p, margin = one(1.3), one(-0.4), one(0.8), one(0.6)
    turned = soft_reward_loss(b, a, 1 - p, -margin).item()
    assert soft_reward_loss(a, b, p, margin).item() == pytest.approx(turned, abs=1e-12)


def test_reward_loss_sees_the_difference_alone():
    a, b, p, margin = one(1.3), one(-0.4), one(0.8), one(0.6)
    moved = soft_reward_loss(a + 7, b + 7, p, margin).item()
    assert soft_reward_loss(a, b, p, margin).item() == pytest.approx(moved, abs=1e-12)


def test_reward_loss_of_far_scores_stays_finite():
    for difference in (-1e5, 1e5):
        assert math.isfinite(reward_at(one(difference), 0.9).item())


def test_worked_centering():
    chosen, rejected = torch.tensor([2.0, 1.0, -1.0]), torch.tensor([1.0, -1.0, -1.0])
    assert centering_loss(chosen, rejected).tolist() == [9.0, 0.0, 4.0]


def test_centering_moves_both_scores_by_the_same_and_not_their_difference():
    chosen, rejected = one(2.0).requires_grad_(), one(1.0).requires_grad_()
    centering_loss(chosen, rejected).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.item() == rejected.grad.item() == 6.0


# Against TRL


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
