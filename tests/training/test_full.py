"""Full fine-tuning: the loss of a plain model, whole models on disk, and what starts from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from engines.config import ModelConfig
from engines.loading import locate
from tests.training.jobs import BY_EXAMPLES, OPTIM, answered, job, pairs
from training.config import DPOConfig, RewardConfig, SFTConfig
from training.job import TrainingJob, TrainingResult
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.policy import load_encoder
from training.sft import train_sft


def full_job(
    method: Method, folder: Path, model: Path, start: Path | None = None, **optim: Any
) -> TrainingJob:
    own = job(method, folder, str(model), start, OPTIM.model_copy(update=optim))
    return replace(own, epochs=1.0, finetuning="full")


def train_full(own: TrainingJob, count: int = 4) -> TrainingResult:
    if own.method == "sft":
        return train_sft(answered(count), own)
    if own.method == "reward":
        return train_reward(pairs(count), own, RewardConfig())[0]
    return train_dpo(pairs(count), own, DPOConfig())


def mixture(beside: Path, to: Path) -> Path:
    """A tiny mixture of experts with the tokenizer of another model."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(beside).to_dict()
    shape = {
        name: config[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "eos_token_id")
    }
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 1}
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.MixtralConfig(**shape, **heads, **experts)
    )
    model.save_pretrained(to)
    transformers.AutoTokenizer.from_pretrained(beside).save_pretrained(to)
    return to


def first_row(folder: Path) -> dict[str, float]:
    row: dict[str, float] = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    return row


def plain_loss(method: Method, model: Path) -> float:
    """The loss of the first step by transformers alone: one row at a time, eager, no adapter."""
    import torch
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(model, attn_implementation="eager").eval()
    encoder = load_encoder(ModelConfig(id=str(model)))
    if method == "dpo":  # with equal policies the margin is 0, whatever the label
        return float(torch.tensor(2.0).log())
    from training.examples import encode_answer

    total, tokens = 0.0, 0
    for example in answered(4):
        row = encode_answer(encoder, example.prompt, example.answer)
        ids = torch.tensor([[*row.prompt_ids, *row.answer_ids]])
        logits = plain(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1]
        found = torch.nn.functional.cross_entropy(logits, torch.tensor(row.answer_ids), reduction="sum")
        total, tokens = total + found.item(), tokens + len(row.answer_ids)
    return total / tokens


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_first_loss_is_that_of_the_plain_model(method: Method, lively: Path, tmp_path: Path):
    train_full(full_job(method, tmp_path, lively))
    assert first_row(tmp_path)["loss"] == pytest.approx(plain_loss(method, lively), abs=1e-5)


@pytest.mark.parametrize(
    "method", ["sft", *(pytest.param(name, marks=pytest.mark.long) for name in BY_EXAMPLES[1:])]
)
def test_result_is_a_whole_model_that_transformers_loads(method: Method, lively: Path, tmp_path: Path):
    import torch
    import transformers

    result = train_full(full_job(method, tmp_path, lively))
    kind = "SequenceClassification" if method == "reward" else "CausalLM"
    auto = getattr(transformers, f"AutoModelFor{kind}")
    before = auto.from_pretrained(lively, **({"num_labels": 1} if method == "reward" else {}))
    after, found = auto.from_pretrained(result.folder, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    old = before.state_dict()
    moved = [name for name, weight in after.state_dict().items() if not torch.equal(weight, old[name])]
    assert any("embed_tokens" in name for name in moved)
    assert any("mlp" in name for name in moved)
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.folder)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "a"}])
    assert not (result.folder / "adapter_config.json").exists()


def test_identity_of_a_trained_model_is_that_of_its_files_alone(lively: Path, tmp_path: Path):
    train_full(full_job("sft", tmp_path, lively))
    before = locate(ModelConfig(id=str(tmp_path))).identity
    (tmp_path / "card.json").write_text("{}")
    result = json.loads((tmp_path / "training.json").read_text())
    (tmp_path / "training.json").write_text(json.dumps(result | {"seconds": 99}))
    assert locate(ModelConfig(id=str(tmp_path))).identity == before


@pytest.mark.long
def test_full_and_adapter_are_different_jobs_and_replace_each_other(lively: Path, tmp_path: Path):
    full = full_job("sft", tmp_path, lively)
    train_full(full)
    train_sft(answered(4), replace(full, finetuning="lora"))
    assert (tmp_path / "adapter_config.json").exists()
    assert (tmp_path / "adapter_model.safetensors").exists()
    assert not (tmp_path / "config.json").exists()
    assert not (tmp_path / "model.safetensors").exists()
    train_full(full)
    assert (tmp_path / "config.json").exists()
    assert not (tmp_path / "adapter_model.safetensors").exists()


@pytest.mark.long
def test_full_fine_tuning_continues_from_an_adapter(lively: Path, tmp_path: Path):
    start = tmp_path / "sft"
    train_sft(answered(4), job("sft", start, str(lively), learning_rate=1e-2))
    for method in ("dpo", "reward"):
        train_full(full_job(method, tmp_path / method, lively, start))
        assert (tmp_path / method / "model.safetensors").exists()
    # The reference is the model with the adapter: the first margin is 0.
    assert first_row(tmp_path / "dpo")["loss"] == pytest.approx(plain_loss("dpo", lively), abs=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("family", ["Llama", "Mixtral"])
def test_resumed_training_gives_the_same_weights(family: str, lively: Path, tmp_path: Path):
    from safetensors.torch import load_file

    model = lively if family == "Llama" else mixture(lively, tmp_path / "mixture")
    own = full_job("sft", tmp_path / "whole", model, checkpoint_every=2)
    train_sft(answered(24), own)
    own = replace(own, folder=tmp_path / "cut")

    class Killed(BaseException):
        pass

    def killed(callback: Any, args: Any, state: Any, *rest: Any, **_: Any) -> None:
        if state.global_step == 3:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.callbacks.FolderCallback.on_step_end", killed)
        with pytest.raises(Killed):
            train_sft(answered(24), own)
    assert (own.folder / "checkpoints" / "checkpoint-2" / "model.safetensors").exists()
    train_sft(answered(24), own)
    whole, cut = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all((whole[name] == cut[name]).all() for name in whole)


@pytest.mark.long
def test_finished_model_is_copied_from_another_run(lively: Path, tmp_path: Path):
    own = full_job("sft", tmp_path / "one" / "sft", lively)
    train_full(own)
    again = replace(own, folder=tmp_path / "two" / "sft", siblings=(own.folder,))
    assert train_full(again).seconds == 0
    one, two = (locate(ModelConfig(id=str(entry.folder))).identity for entry in (own, again))
    assert one == two


def test_quantized_weights_are_not_trained(lively: Path, tmp_path: Path):
    own = full_job("sft", tmp_path, lively)
    own = replace(own, policy=ModelConfig(id=str(lively), quantization="nf4"))
    with pytest.raises(ConfigError, match=r"sft\.finetuning: quantized weights cannot be trained"):
        train_full(own)


def test_learning_rate_is_a_tenth_unless_set():
    assert SFTConfig.model_validate({"finetuning": "full"}).learning_rate == pytest.approx(1e-5)
    assert DPOConfig.model_validate({"finetuning": "full"}).learning_rate == pytest.approx(5e-7)
    named = {"finetuning": "full", "learning_rate": 3e-5}
    assert SFTConfig.model_validate(named).learning_rate == 3e-5
    with pytest.raises(ValueError, match="members must be 1"):
        RewardConfig.model_validate({"finetuning": "full", "members": 2})
