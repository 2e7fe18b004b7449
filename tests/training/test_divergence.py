"""Losses and divergence of a policy per token, beside a plain forward pass of transformers."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.config import ModelConfig
from engines.trees import Tree
from training.config import LoraConfig
from training.divergence import answer_divergences, mean_losses, shared_tokens, without_adapter
from training.examples import EncodedAnswer
from training.packed import PolicyScorer
from training.policy import load_policy

ROWS = [
    EncodedAnswer((5, 6, 7), (8, 9)),
    EncodedAnswer((5,), (9, 10, 11, 12, 13)),
    EncodedAnswer((4, 4), (3,)),
]


def plain_loss(folder: Path, row: EncodedAnswer) -> float:
    """The loss that transformers itself gives, with the prompt masked."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([[*row.prompt_ids, *row.answer_ids]])
    labels = ids.clone()
    labels[0, : len(row.prompt_ids)] = -100
    with torch.inference_mode():
        return float(model(input_ids=ids, labels=labels).loss)


def adapted(folder: Path) -> Any:
    """A policy whose adapter changes its answers."""
    policy: Any = load_policy(ModelConfig(id=str(folder)), LoraConfig(r=2, alpha=4), "cpu", 0)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(1))
    return policy


def scorer_of(policy: Any) -> PolicyScorer:
    return PolicyScorer(policy, Tree(ROWS[0].prompt_ids, (ROWS[0].answer_ids,)))


def distributions(policy: Any, row: EncodedAnswer) -> torch.Tensor:
    """The log-probabilities (A, V) at an answer's tokens, from one row alone."""
    ids = torch.tensor([[*row.prompt_ids, *row.answer_ids]])
    with torch.inference_mode():
        logits = policy(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1]
    return torch.log_softmax(logits, dim=-1)


@pytest.mark.parametrize("tokens", [1, 8, 1024])
def test_losses_are_those_of_transformers_in_the_order_of_the_rows(tiny_folder: Path, tokens: int):
    policy = load_policy(ModelConfig(id=str(tiny_folder)), LoraConfig(r=2, alpha=4), "cpu", 0)
    scorer = PolicyScorer(policy, Tree(ROWS[0].prompt_ids, (ROWS[0].answer_ids,)))
    done: list[int] = []
    found = mean_losses(scorer, policy, ROWS, tokens, done.append)
    assert found == pytest.approx([plain_loss(tiny_folder, row) for row in ROWS], abs=1e-5)
    assert sum(done) == len(ROWS)


def test_an_adapter_changes_the_loss_and_switched_off_it_does_not(tiny_folder: Path):
    policy = adapted(tiny_folder)
    scorer = PolicyScorer(policy, Tree(ROWS[0].prompt_ids, (ROWS[0].answer_ids,)))
    plain = [plain_loss(tiny_folder, row) for row in ROWS]
    with without_adapter(policy):
        assert mean_losses(scorer, policy, ROWS, 64) == pytest.approx(plain, abs=1e-5)
    assert mean_losses(scorer, policy, ROWS, 64) != pytest.approx(plain, abs=1e-2)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("adapter", [True, False])
@pytest.mark.parametrize("system", [(3, 4, 5), tuple(range(3, 43))])
def test_the_divergence_sums_over_the_vocabulary_and_comes_with_the_loss_of_base(
    tiny_folder: Path, packed: bool, adapter: bool, system: tuple[int, ...]
):
    policy = adapted(tiny_folder)
    scorer = scorer_of(policy) if packed else None
    assert scorer is None or (scorer.packed and scorer.head is not None)
    seen = [EncodedAnswer((*system, *row.prompt_ids), row.answer_ids) for row in ROWS]
    assert shared_tokens(seen) == (len(system) if len(system) == 40 else 0)
    found = answer_divergences(policy, seen, ROWS, adapter=adapter, scorer=scorer)
    for own, row, divergence in zip(seen, ROWS, found, strict=True):
        with nullcontext() if adapter else without_adapter(policy):
            ours = distributions(policy, own)
        with without_adapter(policy):
            theirs = distributions(policy, row)
        assert divergence.kl == pytest.approx(float((ours.exp() * (ours - theirs)).sum(-1).mean()), abs=1e-5)
        assert divergence.kl > 1e-4
        assert divergence.base_loss == pytest.approx(plain_loss(tiny_folder, row), abs=1e-5)


def test_another_model_is_compared_with_the_base_given(tiny_folder: Path):
    policy, other = adapted(tiny_folder), adapted(tiny_folder)
    with torch.no_grad():
        other.get_input_embeddings().weight.mul_(1.5)
    found = answer_divergences(policy, ROWS, ROWS, base=other, scorer=scorer_of(policy))
    for row, divergence in zip(ROWS, found, strict=True):
        ours = distributions(policy, row)
        with without_adapter(other):
            theirs = distributions(other, row)
        assert divergence.kl == pytest.approx(float((ours.exp() * (ours - theirs)).sum(-1).mean()), abs=1e-5)
