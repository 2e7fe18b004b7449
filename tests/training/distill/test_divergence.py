"""The divergence per token: worked numbers, TRL's functions, gradients, and memory in chunks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from core.lazy import require
from tests.training.rl.test_trl_parity import without_vllm
from training.distill import divergence
from training.distill.divergence import TokenDivergence, token_divergence

TOKENS, WIDTH, VOCABULARY = 13, 8, 50
BETAS = (0.0, 0.1, 0.5, 0.9, 1.0)
TEMPERATURES = (1.0, 0.7, 2.0)


class Given:
    """Random states of student and teacher, an output head and answer tokens."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        drawn = torch.Generator().manual_seed(3)
        self.student = torch.randn(TOKENS, WIDTH, generator=drawn, dtype=dtype).requires_grad_()
        self.teacher = torch.randn(TOKENS, WIDTH, generator=drawn, dtype=dtype)
        self.head = torch.nn.Linear(WIDTH, VOCABULARY, bias=False, dtype=dtype)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(VOCABULARY, WIDTH, generator=drawn, dtype=dtype))
        self.head.requires_grad_(requires_grad=False)
        self.tokens = torch.randint(VOCABULARY, (TOKENS,), generator=drawn)

    def logits(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.head(self.student), self.head(self.teacher)

    def ours(self, beta: float, temperature: float, *, logits: bool = False) -> TokenDivergence:
        student, teacher = self.logits() if logits else (self.student, self.teacher)
        head = None if logits else self.head
        return token_divergence(student, teacher, head, self.tokens, beta=beta, temperature=temperature)


def gradient(loss: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, of)[0]


def test_worked_numbers():
    probs = torch.tensor([[0.5, 0.25, 0.25]]).double(), torch.tensor([[0.25, 0.5, 0.25]]).double()
    student, teacher = (p.log() for p in probs)
    found = {
        beta: token_divergence(student, teacher, None, torch.tensor([0]), beta=beta)
        for beta in (0.0, 0.5, 1.0)
    }
    assert found[1.0].divergence.item() == pytest.approx(0.25 * math.log(2))
    assert found[0.0].divergence.item() == pytest.approx(0.25 * math.log(2))
    # m = (0.375, 0.375, 0.25): each side is half log(4/3) + quarter log(2/3)
    assert found[0.5].divergence.item() == pytest.approx(0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3))
    assert found[0.0].kl.item() == pytest.approx(0.25 * math.log(2))
    assert found[0.0].entropy.item() == pytest.approx(1.5 * math.log(2))
    assert found[0.0].logprobs.item() == pytest.approx(-math.log(2))


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("beta", BETAS)
def test_value_and_gradient_are_those_of_trls_published_formula(
    beta: float, temperature: float, logits: bool
):
    with without_vllm():
        from trl.experimental.gkd import GKDTrainer

    given = Given()
    found = given.ours(beta, temperature, logits=logits).divergence
    expected = GKDTrainer.generalized_jsd_loss(
        *given.logits(), beta=beta, temperature=temperature, num_items_in_batch=TOKENS
    )
    assert found.sum().item() / TOKENS == pytest.approx(expected.item(), rel=1e-10)
    slopes = gradient(found.sum() / TOKENS, given.student), gradient(expected, given.student)
    assert (slopes[0] - slopes[1]).abs().max() < 1e-12
    assert slopes[1].abs().max() > 1e-3


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("beta", BETAS)
def test_loss_and_gradient_are_those_of_trls_distillation_trainer(beta: float, temperature: float):
    with without_vllm():
        trainer: Any = require("trl.trainer.distillation_trainer", "train")
    given = Given()
    mask = torch.ones(1, TOKENS)
    expected, entropy, count = trainer._chunked_divergence_loss(
        given.student[None],
        given.teacher[None],
        given.head.weight,
        given.head.weight,
        mask,
        beta,
        temperature=temperature,
    )
    found = given.ours(beta, temperature)
    assert count == TOKENS
    assert found.divergence.mean().item() == pytest.approx(expected.item(), abs=1e-5)
    assert found.entropy.sum().item() == pytest.approx(entropy.item(), rel=1e-5)
    slopes = gradient(found.divergence.mean(), given.student), gradient(expected, given.student)
    assert (slopes[0] - slopes[1]).abs().max() < 1e-5


@pytest.mark.parametrize("beta", BETAS)
def test_gradient_is_the_derivative(beta: float):
    given = Given()
    assert torch.autograd.gradcheck(
        lambda student: (
            token_divergence(
                student, given.teacher, given.head, given.tokens, beta=beta, temperature=0.7
            ).divergence
        ),
        (given.student,),
    )


@pytest.mark.parametrize("beta", BETAS)
def test_equal_distributions_have_no_divergence_and_no_gradient(beta: float):
    given = Given()
    found = token_divergence(given.student, given.student.detach(), given.head, given.tokens, beta=beta)
    assert found.divergence.abs().max() < 1e-12
    assert gradient(found.divergence.sum(), given.student).abs().max() < 1e-12


@pytest.mark.parametrize("beta", BETAS)
def test_chunks_change_nothing(beta: float, monkeypatch: pytest.MonkeyPatch):
    whole, parts = Given(), Given()
    expected = whole.ours(beta, 0.7)
    monkeypatch.setattr(divergence, "_CHUNK_ELEMENTS", 3 * VOCABULARY)
    found = parts.ours(beta, 0.7)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)
    slopes = (gradient(f.divergence.sum(), g.student) for f, g in ((expected, whole), (found, parts)))
    assert torch.allclose(*slopes, rtol=0, atol=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_a_token_that_both_models_exclude_counts_nothing(beta: float):
    given = Given()
    student, teacher = (torch.cat([logits, logits[:, :1]], dim=1) for logits in given.logits())
    student[:, -1] = teacher[:, -1] = -torch.inf
    found = token_divergence(student, teacher, None, given.tokens, beta=beta).divergence
    assert torch.allclose(found, given.ours(beta, 1.0).divergence)
    assert gradient(found.sum(), given.student).isfinite().all()


def test_a_policy_that_is_not_a_number_is_not_hidden():
    given = Given()
    with torch.no_grad():
        given.student[2] = torch.nan
    assert given.ours(1.0, 1.0).divergence.isnan().nonzero().tolist() == [[2]]


def test_logits_of_bfloat16_are_not_rounded():
    given = Given(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = given.ours(1.0, 1.0).divergence
    assert found.dtype == torch.float32
    wide = (
        states.detach().double() @ given.head.weight.double().t() for states in (given.student, given.teacher)
    )
    expected = token_divergence(*wide, None, given.tokens, beta=1.0).divergence
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-5)
