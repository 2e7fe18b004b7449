"""SFT on edits with a tiny model: its loss is the formula, and little else changes than what was edited."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.adapter import WEIGHTS
from engines.config import ModelConfig
from tests.training.jobs import OPTIM, SMALL, answered, job
from training.config import SFTConfig
from training.edits.encode import EncodedEdit, encode_edits
from training.edits.objective import EditObjective
from training.edits.train import train_edits
from training.examples import AnsweredPrompt
from training.packed import PolicyScorer
from training.policy import load_encoder, load_policy, save_adapter

EDITS = SFTConfig.model_validate({"from": "samples", "learn": "edits", "anchor": 0.5})


def edited(count: int = 8) -> list[AnsweredPrompt]:
    """Return answers that were begun with `Well:`."""
    rows = answered(count)
    drafts = [f"{row.answer} and so on and so forth {row.id}" for row in rows]
    return [
        replace(row, answer=f"Well: {draft}", drafts=(draft,))
        for row, draft in zip(rows, drafts, strict=True)
    ]


def rows_of(folder: Path, count: int = 8) -> list[EncodedEdit]:
    return encode_edits(edited(count), load_encoder(ModelConfig(id=str(folder))), OPTIM).rows


def logprobs(policy: Any, row: EncodedEdit) -> torch.Tensor:
    """Return the log-probabilities (A, V) before each answer token, by the model's own forward pass."""
    ids = torch.tensor([[*row.prompt_ids, *row.answer_ids]])
    logits = policy(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1]
    found: torch.Tensor = logits.log_softmax(dim=-1)
    return found


def by_formula(policy: Any, reference: list[torch.Tensor], rows: list[EncodedEdit]) -> torch.Tensor:
    """Return the losses (B,), written out."""
    mean = sum(len(row.answer_ids) for row in rows) / len(rows)
    losses = []
    for row, before in zip(rows, reference, strict=True):
        now, learned = logprobs(policy, row), torch.tensor(row.learned)
        chosen = now.gather(-1, torch.tensor(row.answer_ids)[:, None])[:, 0]
        kl = (before.exp() * (before - now)).sum(dim=-1)
        losses.append((-chosen[learned].sum() + EDITS.anchor * kl[~learned].sum()) / mean)
    return torch.stack(losses)


def moved(policy: Any) -> None:
    """Change the policy's adapter."""
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B.default" in name:
                weight.copy_(torch.randn(weight.shape, generator=drawn) * 0.05)


@pytest.mark.parametrize("starts", [False, True])
def test_loss_and_gradient_are_the_formula(tiny_folder: Path, tmp_path: Path, starts: bool) -> None:
    rows = rows_of(tiny_folder, 5)
    config = ModelConfig(id=str(tiny_folder))
    start = None
    if starts:
        before: Any = load_policy(config, SMALL, "cpu", 3)
        moved(before)
        start = tmp_path / "start"
        start.mkdir()
        save_adapter(before, start, str(tiny_folder))
    policy: Any = load_policy(config, SMALL, "cpu", 0, start)
    policy.double()
    reference = [logprobs(policy, row).detach() for row in rows]
    scorer = PolicyScorer(policy, max(rows, key=len).tree)
    mean = sum(len(row.answer_ids) for row in rows) / len(rows)
    objective = EditObjective(policy, scorer, EDITS.anchor, mean)
    first, metrics = objective.losses(policy, rows)
    assert metrics["edits/kl"].abs().max() < 1e-12  # the policy has not moved yet
    drawn = torch.Generator().manual_seed(2)
    trained = {name: weight for name, weight in policy.named_parameters() if ".default" in name}
    with torch.no_grad():
        for weight in trained.values():
            weight.add_(torch.randn(weight.shape, generator=drawn, dtype=weight.dtype) * 0.05)
    losses, _ = objective.losses(policy, rows)
    expected = by_formula(policy, reference, rows)
    assert (losses - expected).abs().max() < 1e-9
    assert (losses - first).abs().max() > 1e-3
    found = torch.autograd.grad(losses.sum(), list(trained.values()))
    wanted = torch.autograd.grad(expected.sum(), list(trained.values()))
    assert max((a - b).abs().max().item() for a, b in zip(found, wanted, strict=True)) < 1e-9
    assert max(slope.abs().max().item() for slope in wanted) > 1e-4


def test_edit_is_learned_and_a_finished_job_is_reused(tiny_folder: Path, tmp_path: Path) -> None:
    own = job("sft", tmp_path / "sft", str(tiny_folder), learning_rate=1e-2)
    result = train_edits(edited(), own, EDITS)
    history = [json.loads(line) for line in (tmp_path / "sft/metrics.jsonl").read_text().splitlines()]
    assert result.steps == len(history) == 4
    assert history[-1]["edits/nll"] < history[0]["edits/nll"]
    assert history[0]["edits/kl"] == pytest.approx(0, abs=1e-5)
    weights = (tmp_path / "sft" / WEIGHTS).read_bytes()
    train_edits(edited(), own, EDITS)
    assert (tmp_path / "sft" / WEIGHTS).read_bytes() == weights


def test_training_goes_on_from_an_adapter(tiny_folder: Path, tmp_path: Path) -> None:
    first = job("sft", tmp_path / "first", str(tiny_folder), learning_rate=1e-2)
    train_edits(edited(), first, EDITS)
    own = job("sft", tmp_path / "second", str(tiny_folder), start=first.folder, learning_rate=1e-2)
    train_edits(edited(), own, EDITS)
    rows = [json.loads(line) for line in (own.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["edits/kl"] == pytest.approx(0, abs=1e-5)  # held to where it started
    assert (own.folder / WEIGHTS).read_bytes() != (first.folder / WEIGHTS).read_bytes()


def test_anchor_is_part_of_the_job(tiny_folder: Path, tmp_path: Path) -> None:
    weights = []
    for anchor in (0.0, 5.0):
        own = job("sft", tmp_path / f"{anchor}", str(tiny_folder), learning_rate=1e-2)
        train_edits(edited(), own, EDITS.model_copy(update={"anchor": anchor}))
        weights.append((own.folder / WEIGHTS).read_bytes())
    assert weights[0] != weights[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learn": "edits"}, "only sampled answers"),
        ({"learn": "edits", "from": "samples", "finetuning": "full"}, "without its adapter"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SFTConfig.model_validate(settings)
