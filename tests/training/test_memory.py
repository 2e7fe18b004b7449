"""Training without enough memory ends in one line that names the settings to change."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from core.errors import EngineError
from engines.trees import Tree
from tests.training.jobs import OPTIM, SMALL, job, pairs, train
from training.config import DPOConfig
from training.methods import METHODS, Method
from training.pairs.dpo import train_dpo

CPU = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes."
GPU = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB.\nMore about it."
)
FACTS = " (tried to allocate 2.00 GiB)"
EXAMPLES = "a smaller optim.max_length (now 128), optim.gradient_checkpointing=true"
SETTINGS = {
    "sft": f"a smaller optim.micro_tokens (now 300) or optim.micro_batch (now 2), {EXAMPLES}",
    "reward": f"a smaller optim.micro_tokens (now 300), {EXAMPLES}",
    "dpo": f"a smaller optim.micro_tokens (now 300), {EXAMPLES}",
    "ppo": "a smaller optim.micro_tokens (now 300), optim.gradient_checkpointing=true",
    "rloo": "a smaller optim.micro_tokens (now 300), optim.gradient_checkpointing=true",
    "grpo": "a smaller optim.micro_tokens (now 300), optim.gradient_checkpointing=true",
    "distill": "a smaller optim.micro_tokens (now 300), optim.gradient_checkpointing=true",
}


def failing(before: Any, turn: int, error: RuntimeError) -> Any:
    """Return a function that fails for want of memory at one of its calls."""
    turns = count(1)

    def run(*args: Any, **options: Any) -> Any:
        if next(turns) == turn:
            raise error
        return before(*args, **options)

    return run


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_no_memory_at_a_step_names_the_settings_of_the_method(
    method: Method, device: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch

    error = torch.OutOfMemoryError(GPU) if device == "gpu" else RuntimeError(CPU)
    monkeypatch.setattr(torch.Tensor, "backward", failing(torch.Tensor.backward, 3, error))
    with pytest.raises(EngineError) as caught:
        train(method, tmp_path / "to", str(tiny_folder), count=8)
    assert str(caught.value) == (
        f"{tmp_path / 'to'}: out of memory in {method} training{FACTS}; accepted: {SETTINGS[method]}"
    )


def test_a_setting_that_is_on_is_not_advised(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch

    monkeypatch.setattr(torch.Tensor, "backward", failing(torch.Tensor.backward, 1, RuntimeError(CPU)))
    optim = OPTIM.model_copy(update={"gradient_checkpointing": True})
    with pytest.raises(EngineError) as caught:
        train_dpo(pairs(8), job("dpo", tmp_path, str(tiny_folder), optim=optim), DPOConfig())
    (problem,) = caught.value.problems
    assert problem.accepted == "a smaller optim.micro_tokens (now 300), a smaller optim.max_length (now 128)"


def test_no_memory_while_answers_are_drawn_names_the_size_of_their_batch(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch

    from training.rl.rollouts import LiveSampler

    # Not a step of the decoder: the check of the loaded model takes some too, how many hangs on the CPU.
    error = torch.OutOfMemoryError(GPU)
    monkeypatch.setattr(LiveSampler, "_decode", failing(LiveSampler._decode, 1, error))
    with pytest.raises(EngineError) as caught:
        train("grpo", tmp_path, str(tiny_folder), count=8)
    assert str(caught.value) == (
        f"{tmp_path}: out of memory in sampling answers{FACTS}; accepted: a smaller grpo.max_batch (now 64), "
        "a smaller grpo.max_new_tokens (now 8)"
    )


def test_no_memory_for_the_probe_is_not_taken_for_a_model_that_cannot_be_packed(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch

    from engines.config import ModelConfig
    from engines.hf.reward_model import is_packable
    from training.packed import PolicyScorer
    from training.policy import load_policy, load_reward_policy

    probe, model = Tree((1, 5, 6), ((7, 8), (9, 2))), ModelConfig(id=str(tiny_folder))
    policy = load_policy(model, SMALL, "cpu", 0)
    scorer = load_reward_policy(model, SMALL, "cpu", 0)
    for module in ("training.packed", "engines.hf.reward_model"):
        monkeypatch.setattr(f"{module}.pack", failing(None, 1, torch.OutOfMemoryError(GPU)))
    with pytest.raises(torch.OutOfMemoryError):
        PolicyScorer(policy, probe)
    with pytest.raises(torch.OutOfMemoryError):
        is_packable(scorer, probe)
