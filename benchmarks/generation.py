"""How fast the engine writes: tokens per second against `generate` of transformers, same model, same batch.

    python benchmarks/generation.py [--prompts 32] [--new-tokens 64] [--repeats 3] [--model ID] [--json PATH]

Both answer the same demo prompts in one process, by turns, and the medians are compared; the peer gets all
prompts as one left-padded batch. Tokens are counted up to the end of each answer, so that padding after an
early end counts for neither. Everything is timed from text to text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from core.chat import turns_of
from core.records import Prompt, Sampling
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.loading import load_tokenizer, locate, pick_device
from engines.protocols import GenerationRequest
from publius.sources.prompts import read_prompts

DEMO = Path(__file__).parents[1] / "prompts" / "demo" / "prompts.jsonl"
KINDS = {"greedy": Sampling(temperature=0.0), "top_p 0.95": Sampling(temperature=1.0, top_p=0.95)}

Writer = Callable[[list[Prompt], Sampling, int], int]
"""Answers prompts and returns how many tokens it wrote."""


def our_writer(engine: TransformersEngine) -> Writer:
    """Return a writer that asks the engine, all prompts at once."""

    async def ask(requests: list[GenerationRequest]) -> int:
        answers = await asyncio.gather(*(engine.generate(request) for request in requests))
        return sum(answer.completion_tokens for answer in answers)

    def write(prompts: list[Prompt], sampling: Sampling, seed: int) -> int:
        requests = [
            GenerationRequest(turns_of(prompt.messages), sampling, seed + i, "benchmark")
            for i, prompt in enumerate(prompts)
        ]
        return asyncio.run(ask(requests))

    return write


def their_writer(config: ModelConfig) -> Writer:
    """Return a writer that calls `generate` on one left-padded batch."""
    files = locate(config)
    tokenizer: Any = load_tokenizer(files)
    tokenizer.padding_side = "left"
    device = pick_device("auto")
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model: Any = AutoModelForCausalLM.from_pretrained(files.folder, dtype=dtype).to(device).eval()

    def write(prompts: list[Prompt], sampling: Sampling, seed: int) -> int:
        torch.manual_seed(seed)
        batch = tokenizer.apply_chat_template(
            [[message.model_dump() for message in prompt.messages] for prompt in prompts],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        ).to(device)
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        found = model.generate(
            **batch,
            max_new_tokens=sampling.max_new_tokens,
            **(drawn if sampling.temperature > 0 else {"do_sample": False}),
        )
        written = found[:, batch["input_ids"].shape[1] :]
        tokenizer.batch_decode(written, skip_special_tokens=True)
        return sum(length(row, tokenizer.eos_token_id) for row in written.tolist())

    return write


def length(row: list[int], end: int) -> int:
    """Return the number of tokens up to the end of the answer, that one included."""
    return row.index(end) + 1 if end in row else len(row)


def speeds(
    writers: dict[str, Writer], prompts: list[Prompt], sampling: Sampling, repeats: int
) -> dict[str, float]:
    """Return each writer's median tokens per second; they take turns, after one unmeasured round."""
    found: dict[str, list[float]] = {name: [] for name in writers}
    for repeat in range(repeats + 1):
        for name, write in writers.items():
            start = time.perf_counter()
            tokens = write(prompts, sampling, 1000 * repeat)
            if repeat > 0:
                found[name].append(tokens / (time.perf_counter() - start))
    return {name: median(values) for name, values in found.items()}


def main() -> None:
    """Measure, print the table and write it as JSON if asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    config = ModelConfig(id=arguments.model)
    prompts = list(read_prompts(DEMO))[: arguments.prompts]
    engine = TransformersEngine(config, EngineConfig(max_batch=len(prompts), max_batch_tokens=2**20))
    writers = {"publius": our_writer(engine), "transformers": their_writer(config)}
    rows = []
    print(f"{'':12}{'publius':>12}{'transformers':>14}{'ratio':>8}   tokens/s")
    for kind, sampling in KINDS.items():
        limited = sampling.model_copy(update={"max_new_tokens": arguments.new_tokens})
        found = speeds(writers, prompts, limited, arguments.repeats)
        ratio = found["publius"] / found["transformers"]
        print(f"{kind:12}{found['publius']:12.1f}{found['transformers']:14.1f}{ratio:8.2f}")
        rows.append({"kind": kind, **found, "ratio": ratio, "unit": "tokens/s"})
    engine.close()
    if arguments.json:
        setting = {"prompts": len(prompts), "new_tokens": arguments.new_tokens, "repeats": arguments.repeats}
        setting |= {
            "model": arguments.model,
            "threads": torch.get_num_threads(),
            "device": pick_device("auto"),
        }
        arguments.json.write_text(json.dumps({"setting": setting, "results": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
