"""Soft DPO from pairs to an adapter, on a tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import DataError, EngineError, RunStateError
from core.records import Message
from engines.adapter import WEIGHTS
from engines.config import ModelConfig
from tests.training.jobs import DPO, OPTIM, SMALL, job, pairs, train
from training.divergence import answer_divergences
from training.examples import PreferencePair, encode_pair
from training.pairs.dpo import train_dpo
from training.policy import load_encoder, load_policy


def metrics_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_policy_learns_to_prefer_what_is_labelled_so(tiny_folder: Path, tmp_path: Path):
    result = train("dpo", tmp_path / "dpo", str(tiny_folder))
    steps = metrics_of(tmp_path / "dpo")
    assert result.steps == len(steps) == 6
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[-1]["rewards/margins"] > 0
    assert result.excluded == ()


def test_every_step_writes_its_metrics(tiny_folder: Path, tmp_path: Path):
    train("dpo", tmp_path / "dpo", str(tiny_folder))
    for number, step in enumerate(metrics_of(tmp_path / "dpo"), start=1):
        assert step["step"] == number
        assert {"loss", "grad_norm", "learning_rate", "rewards/chosen", "rewards/accuracies"} <= step.keys()


def test_from_an_sft_adapter_the_divergence_is_zero_at_step_zero(tiny_folder: Path, tmp_path: Path):
    sft = tmp_path / "sft"
    train("sft", sft, str(tiny_folder))
    train("dpo", tmp_path / "dpo", str(tiny_folder), start=sft)
    first = metrics_of(tmp_path / "dpo")[0]
    assert first["loss"] == pytest.approx(0.6931472, abs=1e-6)
    assert first["rewards/chosen"] == pytest.approx(0.0, abs=1e-6)
    assert first["rewards/rejected"] == pytest.approx(0.0, abs=1e-6)
    # Not trivially so: the SFT model, which is the reference, is not the base model.
    model = ModelConfig(id=str(tiny_folder))
    policy: Any = load_policy(model, SMALL, "cpu", 0, sft)
    rows = [encode_pair(load_encoder(model), pair).chosen for pair in pairs(4)]
    assert all(found.kl > 1e-4 for found in answer_divergences(policy, rows, rows))


def test_a_fresh_adapter_changes_nothing(tiny_folder: Path):
    model = ModelConfig(id=str(tiny_folder))
    policy: Any = load_policy(model, SMALL, "cpu", 0)
    rows = [encode_pair(load_encoder(model), pair).chosen for pair in pairs(4)]
    found = [divergence.kl for divergence in answer_divergences(policy, rows, rows)]
    assert found == pytest.approx([0.0] * 4, abs=1e-9)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tiny_folder: Path, tmp_path: Path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        own = replace(job("dpo", tmp_path / name, str(tiny_folder)), seed=seed)
        train_dpo(pairs(), own, DPO)
    a, b, c = ((tmp_path / name / WEIGHTS).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_adapter_loads_in_plain_peft(tiny_folder: Path, tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    train("dpo", tmp_path / "dpo", str(tiny_folder))
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    ids = torch.tensor([[1, 5, 6, 7]])
    before = base(input_ids=ids).logits
    trained = PeftModel.from_pretrained(base, tmp_path / "dpo")
    assert not torch.allclose(trained(input_ids=ids).logits, before)


def test_a_weight_of_zero_teaches_nothing(tiny_folder: Path, tmp_path: Path):
    silent = [replace(pair, weight=0.0) for pair in pairs()]
    train_dpo(silent, job("dpo", tmp_path / "dpo", str(tiny_folder)), DPO)
    assert all(step["loss"] == 0 and step["grad_norm"] == 0 for step in metrics_of(tmp_path / "dpo"))


def test_micro_batches_do_not_change_the_loss(tiny_folder: Path, tmp_path: Path):
    losses = []
    for tokens in (16, 150, 100_000):  # every pair alone, two together, a whole step
        optim = OPTIM.model_copy(update={"micro_tokens": tokens})
        train_dpo(pairs(), job("dpo", tmp_path / f"{tokens}", str(tiny_folder), optim=optim), DPO)
        losses.append([step["loss"] for step in metrics_of(tmp_path / f"{tokens}")])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0] == pytest.approx(losses[2], abs=1e-5)


def test_what_cannot_be_used_is_left_out_with_its_reason(tiny_folder: Path, tmp_path: Path):
    good = pairs(8)
    unusable = [
        replace(good[0], id="tie", p_chosen=0.52),
        replace(good[0], id="cut", chosen_finished=False),
        replace(good[0], id="long", rejected="word " * 200),
        PreferencePair("odd", (Message(role="assistant", content="I begin."),) * 2, "a", "b", 0.9),
    ]
    result = train_dpo([*good, *unusable], job("dpo", tmp_path / "dpo", str(tiny_folder)), DPO)
    reasons = {row.id: row.reason for row in result.excluded}
    assert reasons["tie"] == "within dpo.min_margin of a tie"
    assert reasons["cut"] == "the chosen answer was cut before its end"
    assert reasons["long"] == "longer than optim.max_length"
    assert result.examples + len(result.excluded) == 12


def test_pair_at_exactly_the_margin_is_not_within_it(tiny_folder: Path, tmp_path: Path):
    config = DPO.model_copy(update={"min_margin": 0.1})
    data = [*pairs(2, p=0.6), *(replace(pair, id=f"near {n}") for n, pair in enumerate(pairs(2, p=0.599)))]
    result = train_dpo(data, job("dpo", tmp_path / "dpo", str(tiny_folder)), config)
    assert result.examples == 2  # 0.6 - 0.5 is below 0.1 in floats
    assert {row.id for row in result.excluded} == {"near 0", "near 1"}


def test_no_preferences_is_one_clear_line(tiny_folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no preferences to train on"):
        train_dpo([], job("dpo", tmp_path / "dpo", str(tiny_folder)), DPO)
    with pytest.raises(DataError, match=r"12 excluded: within dpo\.min_margin of a tie"):
        train_dpo(pairs(p=0.51), job("dpo", tmp_path / "dpo", str(tiny_folder)), DPO)


def test_a_loss_that_is_no_number_stops_training_and_no_checkpoint_holds_it(
    tiny_folder: Path, tmp_path: Path
):
    # A learning rate at which float32 overflows: the real thing, not a patched loss.
    own = job("dpo", tmp_path / "dpo", str(tiny_folder), learning_rate=1e30)
    with pytest.raises(EngineError, match=r"(loss|grad_norm) is (nan|inf) at step \d") as caught:
        train_dpo(pairs(), own, DPO)
    assert "dpo.learning_rate" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "dpo" / "training.json").exists()


def test_too_little_disk_is_told_before_the_first_step(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(RunStateError, match="not enough disk space for the checkpoints: 0 MiB free"):
        train("dpo", tmp_path / "dpo", str(tiny_folder))
    assert metrics_missing(tmp_path / "dpo")


def metrics_missing(folder: Path) -> bool:
    return not (folder / "metrics.jsonl").exists()


def test_a_finished_training_is_found_and_not_repeated(tiny_folder: Path, tmp_path: Path):
    first = train("dpo", tmp_path / "dpo", str(tiny_folder))
    changed = (tmp_path / "dpo" / WEIGHTS).stat().st_mtime_ns
    second = train("dpo", tmp_path / "dpo", str(tiny_folder))
    assert second.seconds == 0
    assert second.steps == first.steps
    assert (tmp_path / "dpo" / WEIGHTS).stat().st_mtime_ns == changed


def test_other_data_trains_anew(tiny_folder: Path, tmp_path: Path):
    train("dpo", tmp_path / "dpo", str(tiny_folder))
    before = (tmp_path / "dpo" / WEIGHTS).read_bytes()
    train_dpo(pairs(p=0.7), job("dpo", tmp_path / "dpo", str(tiny_folder)), DPO)
    assert (tmp_path / "dpo" / WEIGHTS).read_bytes() != before


def test_the_same_job_of_another_run_is_taken_over(tiny_folder: Path, tmp_path: Path):
    train("dpo", tmp_path / "one", str(tiny_folder))
    own = replace(job("dpo", tmp_path / "two", str(tiny_folder)), siblings=(tmp_path / "one",))
    result = train_dpo(pairs(), own, DPO)
    assert result.seconds == 0
    assert (tmp_path / "two" / WEIGHTS).read_bytes() == (tmp_path / "one" / WEIGHTS).read_bytes()
    assert metrics_of(tmp_path / "two") == metrics_of(tmp_path / "one")


def test_unknown_lora_targets_are_named(tiny_folder: Path, tmp_path: Path):
    own = job("dpo", tmp_path / "dpo", str(tiny_folder))
    own = replace(own, lora=SMALL.model_copy(update={"targets": ("no_such_module",)}))
    with pytest.raises(EngineError, match=r"lora\.targets"):
        train_dpo(pairs(), own, DPO)
