"""The losses of DPO by their formulas and at step 0, and the warning that chosen answers fall."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.config import ModelConfig
from tests.training.jobs import OPTIM, SMALL, job, pairs
from training.config import DPOConfig
from training.examples import PreferencePair, encode_pair
from training.history import CHOSEN_RATIO
from training.logprobs import answer_logprobs, collate
from training.packed import PolicyScorer
from training.pairs.dpo import train_dpo
from training.pairs.dpo_objective import DPOObjective
from training.policy import load_encoder, load_policy

QUICK = OPTIM.model_copy(update={"checkpoint_every": 100})


def first_step(
    rows: list[PreferencePair], folder: Path, model: Path, config: DPOConfig, start: Path | None = None
) -> dict[str, float]:
    """The figures of the first step, before which policy and reference are the same."""
    own = job("dpo", folder, str(model), start, optim=QUICK)
    train_dpo(rows, replace(own, epochs=1.0), config)
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize("loss", ["sigmoid", "robust", "ipo"])
def test_every_loss_is_its_formula_on_the_log_ratios_to_the_reference(tiny_folder: Path, loss: Any):
    model = ModelConfig(id=str(tiny_folder))
    policy: Any = load_policy(model, SMALL, "cpu", 0)
    encoder = load_encoder(model)
    rows = [
        replace(encode_pair(encoder, pair), p_chosen=p, weight=w, reference=reference)
        for pair, p, w, reference in zip(
            pairs(3),
            (0.9, 0.5, 0.2),
            (1.0, 0.5, 2.0),
            ((-30.0, -140.0), (-50.0, -120.0), (-60.0, -150.0)),
            strict=True,
        )
    ]
    config = DPOConfig(loss=loss, beta=0.2, flipped=0.1)
    with torch.no_grad():
        losses, figures = DPOObjective(config, PolicyScorer(policy, rows[0].tree)).losses(policy, rows)
        ratios = [
            [answer_logprobs(policy, collate([side])).item() - reference for side, reference in sides]
            for sides in (zip((row.chosen, row.rejected), row.reference, strict=True) for row in rows)
        ]
    for number, (row, (chosen, rejected)) in enumerate(zip(rows, ratios, strict=True)):
        if loss == "ipo":  # on means over tokens, not on sums
            margin = chosen / len(row.chosen.answer_ids) - rejected / len(row.rejected.answer_ids)
            wins, loses = (margin - 2.5) ** 2, (margin + 2.5) ** 2
        else:
            wins, loses = (math.log1p(math.exp(-sign * 0.2 * (chosen - rejected))) for sign in (1, -1))
        p = (row.p_chosen - 0.1) / 0.8 if loss == "robust" else row.p_chosen
        expected = row.weight * (p * wins + (1 - p) * loses)
        assert losses[number].item() == pytest.approx(expected, rel=1e-4)
        assert figures["rewards/chosen"][number].item() == pytest.approx(0.2 * chosen, rel=1e-4)
        assert figures["rewards/rejected"][number].item() == pytest.approx(0.2 * rejected, rel=1e-4)
        assert figures["rewards/accuracies"][number].item() == float(chosen > rejected)
        per_token = chosen / len(row.chosen.answer_ids)
        assert figures[CHOSEN_RATIO][number].item() == pytest.approx(per_token, rel=1e-4)


@pytest.mark.parametrize("p", [0.6, 1.0])
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DPOConfig(), math.log(2)),
        (DPOConfig(loss="robust", flipped=0.2), math.log(2)),
        (DPOConfig(loss="ipo", beta=0.1), 25.0),  # (1 / (2 beta))^2
    ],
    ids=["sigmoid", "robust", "ipo"],
)
def test_the_first_loss_is_that_of_no_margin(
    tiny_folder: Path, tmp_path: Path, config: DPOConfig, expected: float, p: float
):
    rows = [replace(pair, weight=0.5) for pair in pairs(4, p=p)]
    first = first_step(rows, tmp_path, tiny_folder, config)
    assert first["loss"] == pytest.approx(0.5 * expected, rel=1e-5)
    assert first["logratios/chosen_per_token"] == pytest.approx(0.0, abs=1e-6)


def test_the_sft_term_is_the_chosen_answers_mean_negative_log_probability_per_token(
    tiny_folder: Path, tmp_path: Path
):
    rows = pairs(4)
    first = first_step(rows, tmp_path, tiny_folder, DPOConfig(sft_coef=0.25))
    model = ModelConfig(id=str(tiny_folder))
    policy: Any = load_policy(model, SMALL, "cpu", 0)
    chosen = [encode_pair(load_encoder(model), pair).chosen for pair in rows]
    with torch.no_grad():
        logprobs = answer_logprobs(policy, collate(chosen))
    per_token = -logprobs / torch.tensor([len(row.answer_ids) for row in chosen])
    assert first["loss"] == pytest.approx(math.log(2) + 0.25 * per_token.mean().item(), rel=1e-5)
    assert first["logps/chosen"] == pytest.approx(logprobs.mean().item(), rel=1e-5)


def test_the_share_of_flipped_labels_changes_the_robust_loss_alone(tiny_folder: Path, tmp_path: Path):
    plain, same, robust = (
        first_step(pairs(4), tmp_path / f"{number}", tiny_folder, config)["grad_norm"]
        for number, config in enumerate(
            [DPOConfig(), DPOConfig(flipped=0.2), DPOConfig(loss="robust", flipped=0.2)]
        )
    )
    assert same == plain
    # The slope at no margin is beta * (1/2 - q), with q = 0.9 or (0.9 - 0.2) / 0.6.
    assert robust / plain == pytest.approx(((0.9 - 0.2) / 0.6 - 0.5) / (0.9 - 0.5), rel=1e-4)


def test_a_training_whose_chosen_answers_fall_says_so(tiny_folder: Path, tmp_path: Path):
    # Labels of 0 teach to prefer the other answer, and the chosen ones become less likely.
    own = replace(job("dpo", tmp_path / "falls", str(tiny_folder), optim=QUICK, learning_rate=1e-2), epochs=4)
    result = train_dpo(pairs(p=0.0), own, DPOConfig())
    assert result.steps == 12
    (warning,) = result.warnings
    assert warning.startswith("from step 1")
    assert "nats per token less likely than at the start" in warning
    assert "dpo.sft_coef" in warning
    assert "\n" not in warning
    found = train_dpo(pairs(p=0.0), own, DPOConfig())
    assert found.seconds == 0
    assert found.warnings == result.warnings


@pytest.mark.parametrize(
    ("p", "config"),
    [(0.0, DPOConfig(chosen_fall=None)), (0.0, DPOConfig(chosen_fall=100.0)), (1.0, DPOConfig(sft_coef=1.0))],
    ids=["no alarm", "small fall", "rise"],
)
def test_a_training_without_such_a_fall_says_nothing(
    tiny_folder: Path, tmp_path: Path, p: float, config: DPOConfig
):
    own = replace(job("dpo", tmp_path, str(tiny_folder), optim=QUICK, learning_rate=1e-2), epochs=4)
    assert train_dpo(pairs(p=p), own, config).warnings == ()
