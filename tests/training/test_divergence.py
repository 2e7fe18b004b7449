"""Losses of a policy per token, beside a plain forward pass of transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engines.config import ModelConfig
from engines.trees import Tree
from training.config import LoraConfig
from training.divergence import mean_losses, without_adapter
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


@pytest.mark.parametrize("tokens", [1, 8, 1024])
def test_losses_are_those_of_transformers_in_the_order_of_the_rows(tiny_folder: Path, tokens: int):
    policy = load_policy(ModelConfig(id=str(tiny_folder)), LoraConfig(r=2, alpha=4), "cpu", 0)
    scorer = PolicyScorer(policy, Tree(ROWS[0].prompt_ids, (ROWS[0].answer_ids,)))
    done: list[int] = []
    found = mean_losses(scorer, policy, ROWS, tokens, done.append)
    assert found == pytest.approx([plain_loss(tiny_folder, row) for row in ROWS], abs=1e-5)
    assert sum(done) == len(ROWS)


def test_an_adapter_changes_the_loss_and_switched_off_it_does_not(tiny_folder: Path):
    policy = load_policy(ModelConfig(id=str(tiny_folder)), LoraConfig(r=2, alpha=4), "cpu", 0)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(1))
    scorer = PolicyScorer(policy, Tree(ROWS[0].prompt_ids, (ROWS[0].answer_ids,)))
    plain = [plain_loss(tiny_folder, row) for row in ROWS]
    with without_adapter(policy):
        assert mean_losses(scorer, policy, ROWS, 64) == pytest.approx(plain, abs=1e-5)
    assert mean_losses(scorer, policy, ROWS, 64) != pytest.approx(plain, abs=1e-2)
