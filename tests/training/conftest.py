"""Trainings of tiny models, one after the other in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.config import ModelConfig
from tests.training.jobs import asked
from training.config import LoraConfig, OptimConfig
from training.examples import AnsweredPrompt
from training.job import TrainingJob
from training.sft import train_sft


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Run on one thread: tiny models gain nothing from a second one, and lose much where a core is busy."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def lively(tiny_model: Any, tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose head is large enough that an adapter can make it say anything."""
    from engines.tokenization import CHATML

    folder = tmp_path_factory.mktemp("models") / "lively"
    tiny_model(attention="sdpa", initializer_range=0.3).save_pretrained(folder)
    tiny_tokenizer(CHATML).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def brief(lively: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that ends its answers: three to five of ten letters, other ones for each prompt."""
    folder = tmp_path_factory.mktemp("brief")
    words = ["".join("abcdefghij"[(7 * i + 3 * k) % 10] for k in range(3 + i % 3)) for i in range(16)]
    rows = [
        AnsweredPrompt(f"{i}", prompt.messages, word)
        for i, (prompt, word) in enumerate(zip(asked(16), words, strict=True))
    ]
    optim = OptimConfig(batch_size=8, warmup=0, schedule="constant", max_length=256, stop_grad_norm=None)
    lora = LoraConfig(r=4, alpha=8)
    model = ModelConfig(id=str(lively))
    train_sft(rows * 4, TrainingJob("sft", folder, model, lora, optim, 3e-2, 10.0, 0, "cpu"))
    return folder
