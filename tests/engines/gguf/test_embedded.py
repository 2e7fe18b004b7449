"""The embedded model as GGUF: the same greedy answers in 16 bits, and nearly the same probabilities in 8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engines.config import ModelConfig
from engines.embedded import EMBEDDED_NAME
from engines.gguf.writer import GGUFType, write_gguf
from engines.loading import load_tokenizer, locate

pytestmark = [pytest.mark.long, pytest.mark.slow]

THINGS = ("rain", "bread", "the moon", "a bicycle", "snow", "tea", "a clock", "the sea")
ASKED = (
    "What is {}?", "Tell me about {}.", "Why do people like {}?", "Write a short poem about {}.",
    "Give me three facts about {}.", "How would you explain {} to a child?",
)  # fmt: skip


def read_back(folder: Path, kind: GGUFType) -> Any:
    import transformers

    files = locate(ModelConfig(id=EMBEDDED_NAME))
    write_gguf(files.folder, load_tokenizer(files), folder / "model.gguf", kind, "embedded")
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="model.gguf", dtype=torch.float32
    ).eval()


def test_answers_and_probabilities_are_those_of_the_source(tmp_path: Path, reference_model: Any):
    tokenizer: Any = load_tokenizer(locate(ModelConfig(id=EMBEDDED_NAME)))
    talks = [[{"role": "user", "content": asked.format(thing)}] for asked in ASKED for thing in THINGS]
    tokenizer.padding_side = "left"
    prompts = tokenizer.apply_chat_template(
        talks, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    greedy = {**prompts, "max_new_tokens": 16, "do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    answers = reference_model.generate(**greedy)
    same = (read_back(tmp_path, "f16").generate(**greedy) == answers).all(dim=1)
    assert float(same.float().mean()) >= 0.95
    seen = torch.cat([prompts["attention_mask"], torch.ones(len(answers), 16, dtype=torch.long)], dim=1)
    with torch.inference_mode():
        p, q = (
            model(answers[:8], attention_mask=seen[:8]).logits.log_softmax(-1)
            for model in (reference_model, read_back(tmp_path, "q8_0"))
        )
    assert float((p.exp() * (p - q)).sum(-1)[seen[:8].bool()].mean()) <= 0.01
