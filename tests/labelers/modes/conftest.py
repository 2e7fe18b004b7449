"""A small judge that computes: a random model whose tokenizer has the offered answers as single tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.tokenization import CHATML
from tests.labelers.modes.cases import OFFERED


@pytest.fixture(scope="package")
def tiny_engine(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[..., Any],
    tiny_tokenizer: Callable[..., Any],
) -> Iterator[TransformersEngine]:
    """A random model of float32 weights with a byte tokenizer that has the answers as single tokens."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(vocab_size=272, max_position_embeddings=8192).save_pretrained(folder)
    tokenizer = tiny_tokenizer(chat_template=CHATML)
    tokenizer.add_tokens(list(OFFERED))
    tokenizer.save_pretrained(folder)
    engine = TransformersEngine(ModelConfig(id=str(folder)), EngineConfig(device="cpu"))
    yield engine
    engine.close()
