"""Weights in NF4, and the precision that a GPU is given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import EngineError, MissingExtraError
from engines.config import EngineConfig, ModelConfig
from engines.hf.loading import load_classifier, load_model
from engines.loading import locate, pick_dtype
from engines.vllm.setup import host_load
from tests.training import jobs
from tests.training.jobs import OPTIM, SMALL, answered, train
from training.config import OptimConfig
from training.job import TrainingJob
from training.methods import Method
from training.policy import load_policy
from training.sft import train_sft

pytest.importorskip("bitsandbytes")


@pytest.fixture(scope="module")
def folder(tiny_model: Any, tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with rows of 64 numbers, the block that shares a scale."""
    from engines.tokenization import CHATML

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model(attention="sdpa", hidden_size=64, initializer_range=0.1).save_pretrained(folder)
    tiny_tokenizer(CHATML).save_pretrained(folder)
    return folder


def nf4(folder: Path, **own: Any) -> ModelConfig:
    return ModelConfig.model_validate({"id": str(folder), **{"quantization": "nf4", **own}})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_linear_layers_are_stored_in_four_bits(folder: Path, dtype: str):
    import torch
    from bitsandbytes.nn import Linear4bit

    model: Any = load_model(locate(nf4(folder)), dtype, "cpu")
    layer = model.model.layers[0]
    assert type(layer.mlp.up_proj) is Linear4bit
    assert layer.mlp.up_proj.weight.dtype == torch.uint8
    assert layer.mlp.up_proj.weight.numel() == 64 * 64 // 2
    assert layer.mlp.up_proj.weight.quant_type == "nf4"
    assert layer.mlp.up_proj.weight.compress_statistics
    assert layer.mlp.up_proj.compute_dtype == getattr(torch, dtype)
    # Narrow models keep their attention, all models their head.
    assert type(layer.self_attn.q_proj) is torch.nn.Linear
    assert type(model.lm_head) is torch.nn.Linear


def test_score_head_is_not_quantized(folder: Path):
    import torch

    classifier: Any = load_classifier(locate(nf4(folder)), "float32", "cpu", 0)
    assert type(classifier.score) is torch.nn.Linear
    assert classifier.score.weight.dtype == torch.float32


@pytest.mark.parametrize(
    "method",
    ["sft", pytest.param("reward", marks=pytest.mark.long), pytest.param("dpo", marks=pytest.mark.long)],
)
def test_adapter_trains_on_quantized_weights(method: Method, folder: Path, tmp_path: Path):
    losses = {}
    for kind in (None, "nf4"):
        own = jobs.job(method, tmp_path / f"{kind}", str(folder))
        own = replace(
            own, epochs=1.0, policy=ModelConfig.model_validate({"id": f"{folder}", "quantization": kind})
        )
        if method == "sft":
            train_sft(answered(4), own)
        elif method == "dpo":
            jobs.train_dpo(jobs.pairs(4), own, jobs.DPO)
        else:
            jobs.train_reward(jobs.pairs(4), own, jobs.RewardConfig())
        row = json.loads((own.folder / "metrics.jsonl").read_text().splitlines()[0])
        losses[kind] = row["loss"]
    assert losses["nf4"] == pytest.approx(losses[None], rel=0.05)


def test_ppo_trains_on_quantized_weights(folder: Path, tmp_path: Path):
    own = replace(jobs.job("ppo", tmp_path, str(folder)), policy=nf4(folder))
    task = jobs.RLTask(jobs.asked(4), [jobs.WeightedReward(jobs.Vowels())])
    jobs.train_ppo(task, own, jobs.PPO.model_copy(update={"steps": 1}))
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert row["policy/grad_norm"] > 0
    assert abs(row["objective/kl"]) < 1e-5


@pytest.mark.filterwarnings("error:.*autograd kernel:UserWarning")
def test_gradients_pass_through_quantized_layers_after_an_evaluation(folder: Path):
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    policy: Any = load_policy(nf4(folder), SMALL, "cpu", 0)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:  # at 0, the lower layers' matrices would have no gradient
            torch.nn.init.normal_(weight, std=0.02)
    ids = torch.arange(10, 30).unsqueeze(0)

    def gradients() -> dict[str, torch.Tensor]:
        policy.zero_grad()
        policy(input_ids=ids, labels=ids).loss.backward()
        return {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}

    with torch.inference_mode():  # as the check of packed rows, before the first step
        policy.eval()(input_ids=ids)
    quantized = gradients()
    for module in list(policy.modules()):
        for name, child in module.named_children():
            if type(child) is Linear4bit:
                plain = torch.nn.Linear(child.in_features, child.out_features, bias=False)
                state = child.weight.quant_state
                plain.weight = torch.nn.Parameter(dequantize_4bit(child.weight, state), requires_grad=False)
                setattr(module, name, plain)
    plain = gradients()
    assert plain.keys() == quantized.keys()
    assert all(torch.allclose(quantized[name], plain[name], atol=1e-5) for name in plain)


@pytest.mark.long
def test_trained_adapter_stays_beside_quantized_weights(folder: Path, tmp_path: Path):
    import torch

    train("sft", tmp_path, str(folder), count=4)
    config = nf4(folder, adapter=str(tmp_path))
    merged: Any = load_model(locate(config), "float32", "cpu")
    trained: Any = load_policy(nf4(folder), SMALL, "cpu", 0, tmp_path)
    ids = torch.arange(10, 30).unsqueeze(0)
    with torch.inference_mode():
        assert torch.allclose(merged(input_ids=ids).logits, trained(input_ids=ids).logits, atol=1e-5)
        with trained.disable_adapter():
            assert not torch.allclose(merged(input_ids=ids).logits, trained(input_ids=ids).logits, atol=1e-3)


@pytest.mark.long
def test_adapter_of_sft_keeps_float32_in_a_bfloat16_training(folder: Path, tmp_path: Path):
    import torch
    from safetensors.torch import load_file

    optim = OptimConfig.model_validate({**OPTIM.model_dump(), "bf16": True})
    model = nf4(folder, dtype="bfloat16")
    train_sft(answered(4), TrainingJob("sft", tmp_path, model, SMALL, optim, 1e-3, 1.0, 0, "cpu"))
    weights = load_file(tmp_path / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def test_quantized_model_has_another_identity(folder: Path):
    plain, quantized = locate(ModelConfig(id=str(folder))), locate(nf4(folder))
    assert plain.identity != quantized.identity
    assert plain.name == quantized.name


def test_vllm_refuses_in_one_line(folder: Path):
    with pytest.raises(EngineError, match=r"vLLM cannot quantize a model to nf4.*engine\.kind=transformers"):
        host_load(locate(nf4(folder)), "float32", "cpu", EngineConfig(kind="vllm"), 128)


def test_missing_package_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises((MissingExtraError, EngineError), match=r"pip install .*\[nf4\]'"):
        load_model(locate(nf4(folder)), "float32", "cpu")


def test_gpu_without_bfloat16_gets_float16(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has, expected in ((True, "bfloat16"), (False, "float16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, has=has: has)
        assert pick_dtype("auto", "cuda") == expected
        assert pick_dtype("auto", "auto") == expected
        assert pick_dtype("auto", "cpu") == "float32"
        assert pick_dtype("bfloat16", "cuda") == "bfloat16"


def test_weights_are_loaded_onto_their_device(folder: Path, monkeypatch: pytest.MonkeyPatch):
    import torch
    import transformers

    seen: list[Any] = []

    def from_pretrained(*args: Any, **options: Any) -> Any:
        seen.append(options["device_map"])
        return torch.nn.Linear(1, 1)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    files = locate(ModelConfig(id=str(folder)))
    load_model(files, "float32", "cuda")
    load_model(files, "float32", "cuda", device_map="auto")
    load_model(files, "float32", "cpu", device_map="auto")
    assert seen == [{"": 3}, "auto", {"": "cpu"}]


@pytest.mark.slow
@pytest.mark.long
def test_first_loss_of_the_embedded_model_is_within_five_per_cent(embedded_files: Any, tmp_path: Path):
    from core.records import Message
    from training.examples import AnsweredPrompt

    told = {
        "What should I do about a leaking tap?": "Turn off the water, then replace the washer in the tap.",
        "Is it safe to eat raw chicken?": "No. Raw chicken may carry salmonella, so cook it first.",
        "How do I say no to my boss?": "Thank them, say what you cannot take on, and offer another time.",
        "Tell me about Paris.": "Paris is the capital of France. It lies on the Seine.",
    }
    rows = [
        AnsweredPrompt(question, (Message(role="user", content=question),), answer)
        for question, answer in told.items()
    ]
    losses = []
    for kind in (None, "nf4"):
        model = ModelConfig.model_validate({"id": "embedded", "quantization": kind})
        to = tmp_path / f"{kind}"
        train_sft(rows, TrainingJob("sft", to, model, SMALL, OPTIM, 1e-4, 1.0, 0, "cpu"))
        losses.append(json.loads((to / "metrics.jsonl").read_text().splitlines()[0])["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
