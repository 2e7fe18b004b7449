"""A small judge that computes: a random model whose tokenizer has the offered answers as single tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.tokenization import CHATML
from tests.labelers.modes.cases import OFFERED


@pytest.fixture(scope="package")
def tiny_judge(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[..., Any],
    tiny_tokenizer: Callable[..., Any],
) -> Path:
    """A random model of float32 weights with a byte tokenizer that has the answers as single tokens."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(vocab_size=272, max_position_embeddings=8192).save_pretrained(folder)
    tokenizer = tiny_tokenizer(chat_template=CHATML)
    tokenizer.add_tokens([answer for answer in OFFERED if answer.startswith(" ")])  # digits are bytes
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="package")
def tiny_engine(tiny_judge: Path) -> Iterator[TransformersEngine]:
    """The random model behind the engine."""
    engine = TransformersEngine(ModelConfig(id=str(tiny_judge)), EngineConfig(device="cpu"))
    yield engine
    engine.close()
