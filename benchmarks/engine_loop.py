"""How fast the local engines run conversations, and how many tokens an ensemble of principles computes.

    python benchmarks/engine_loop.py [--parts generate chain loop ensemble] [--engine transformers|vllm]
        [--prompts 64] [--new-tokens 48] [--repeats 3] [--clock cpu|wall] [--model ID]
        [--pack-weights yes|no] [--json PATH]

- generate: tokens per second at `--prompts` chat prompts at once, against one left-padded batch of
  transformers' `generate`.
- chain: draft, critique and revision of each prompt by the critique loop, against three batches of `generate`
  with the same templates, which write the peer's own texts.
- loop: the critique loop against the same requests sent flat, all at once.
- ensemble: tokens that the engine computes for one comparison under 16 principles in both orders, against
  2 P + 32 S for prefixes of P and questions of S tokens.

Decoding is greedy, and tokens count up to the end of an answer. Peers take turns after a short round that is
not measured; the ratio is the median of the rounds' ratios. Engines store no keys and values of an earlier
round. `--clock cpu` takes the processor time of this process, for a machine that others use; vLLM runs in
another process and needs `wall`. `--engine vllm` has the part `loop` alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from generation import DEMO, length
from transformers import AutoModelForCausalLM

from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.chat import Turn, turns_of
from core.records import Comparison, Generation, Prompt, Sampling
from critique.config import CritiqueConfig
from critique.guard import Standing
from critique.loop import CritiqueLoop
from critique.requests import AnswerToRevise, CriticRequests
from critique.strategies import principles_of_round
from engines.config import EngineConfig, ModelConfig
from engines.hf.decoding import pad_left
from engines.hf.engine import TransformersEngine
from engines.loading import load_tokenizer, locate, pick_device, pick_dtype
from engines.local_engine import LocalEngine
from engines.protocols import GenerationRequest
from engines.tokenization import TurnEncoder
from engines.trees import prefix_tree
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from prompts.environment import PromptTemplates
from publius.sources.prompts import read_prompts

PARTS = ("generate", "chain", "loop", "ensemble")
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}
PRESET = load_constitution("plain-and-brief")
TEXTS = tuple(f"The reply has at most {count} faults of its form." for count in range(16))
ENSEMBLE = Constitution(
    version="1",
    name="ensemble",
    principles=tuple(Principle(id=f"p{number}", text=text) for number, text in enumerate(TEXTS)),
)

Work = Callable[[Sequence[Prompt]], int]
"""Answers prompts and returns the number of tokens that it wrote."""


class Peer:
    """Transformers' own `generate`, on one left-padded batch at a time."""

    def __init__(self, model: ModelConfig, new_tokens: int) -> None:
        files, device = locate(model), pick_device("auto")
        dtype = getattr(torch, pick_dtype(model.dtype, "auto"))
        self._model: Any = AutoModelForCausalLM.from_pretrained(files.folder, dtype=dtype).to(device).eval()
        self._tokenizer: Any = load_tokenizer(files)
        self._encoder = TurnEncoder(self._tokenizer, model.chat_template_kwargs, files.name)
        self._new_tokens = new_tokens
        self._critic = CriticRequests(PRESET, PromptTemplates())

    def generate(self, prompts: Sequence[Prompt]) -> int:
        """Answer prompts."""
        return self._answers([(turns_of(prompt.messages), "") for prompt in prompts])[1]

    def chain(self, prompts: Sequence[Prompt]) -> int:
        """Draft, criticise and revise."""
        drafts, total = self._answers([(turns_of(prompt.messages), "") for prompt in prompts])
        unknown = Standing({}, frozenset(), 1.0)
        drawn = [principles_of_round("random", PRESET, prompt, unknown, (0, 1)) for prompt in prompts]
        abouts = [
            AnswerToRevise(prompt, draft, principles)
            for prompt, draft, principles in zip(prompts, drafts, drawn, strict=True)
            if principles
        ]
        asked = [self._critic.critique(about) for about in abouts]
        found, count = self._answers([(one.turns, one.begun) for one in asked])
        critiques = [f"{one.begun} {text}" for one, text in zip(asked, found, strict=True)]
        asked = [
            self._critic.revision(about, critique) for about, critique in zip(abouts, critiques, strict=True)
        ]
        return total + count + self._answers([(one.turns, one.begun) for one in asked])[1]

    def _answers(self, conversations: Sequence[tuple[tuple[Turn, ...], str]]) -> tuple[list[str], int]:
        """Return the texts of answers and the number of their tokens."""
        encoded = [self._encoder.encode(turns, prefill).ids for turns, prefill in conversations]
        ids, mask = pad_left(encoded, self._model.device)
        found = self._model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=self._new_tokens, do_sample=False
        )
        written = found[:, ids.shape[1] :]
        texts = self._tokenizer.batch_decode(written, skip_special_tokens=True)
        return texts, sum(length(row, self._tokenizer.eos_token_id) for row in written.tolist())


class Recording:
    """A generator that notes the requests to an engine and counts the tokens of its answers."""

    def __init__(self, engine: LocalEngine | None) -> None:
        self._engine = engine
        self.requests: list[GenerationRequest] = []
        self.tokens = 0

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the engine's answer."""
        assert self._engine is not None
        answer = await self._engine.generate(request)
        self.requests.append(request)
        self.tokens += answer.completion_tokens
        return answer


def built(options: argparse.Namespace) -> LocalEngine:
    """Return an engine whose model is loaded and that has seen no prompt of the benchmark."""
    engine: LocalEngine
    pack = {"yes": True, "no": False}.get(options.pack_weights)
    model = ModelConfig(id=options.model)
    config = EngineConfig(kind=options.engine, kv_cache_gib=2, pack_weights=pack)
    if options.engine == "vllm":
        from engines.vllm.engine import VllmEngine

        engine = VllmEngine(model, config)
    else:
        engine = TransformersEngine(model, config)
    hello = GenerationRequest((Turn("user", ("Hello",)),), Sampling(max_new_tokens=1), 0, "warm-up")
    asyncio.run(engine.generate(hello))
    return engine


def ask_all(engine: LocalEngine, requests: Sequence[GenerationRequest]) -> int:
    """Send requests all at once; return the number of tokens written."""

    async def ask() -> int:
        answers = await asyncio.gather(*map(engine.generate, requests))
        return sum(answer.completion_tokens for answer in answers)

    return asyncio.run(ask())


def loop_of(recording: Recording, new_tokens: int) -> CritiqueLoop:
    """Return a critique loop of one round that uses every draft, critique and revision."""
    limits = {"temperature": 0.0, "max_new_tokens": new_tokens}
    config: dict[str, Any] = {name: limits for name in ("draft", "critique", "revision")}
    config |= {"rounds": 1, "principles": "random", "early_stop": "off", "guard": False, "from_checks": False}
    return CritiqueLoop(PRESET, recording, recording, CritiqueConfig(**config))


def run_loop(loop: CritiqueLoop, prompts: Sequence[Prompt]) -> None:
    """Run the loop for all prompts at once."""

    async def trace() -> None:
        await asyncio.gather(*map(loop.trace, prompts))

    asyncio.run(trace())


def compare(options: argparse.Namespace, works: dict[str, Callable[[], Work]]) -> dict[str, Any]:
    """Return the median speed of each work in tokens per second, and the median ratio of first to second.

    Args:
        options: the options.
        works: for each name, what prepares the work, which is not measured.
    """
    prompts = list(read_prompts(DEMO))[: options.prompts]
    clock = CLOCKS[options.clock]
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(options.repeats + 1):
        for name, prepare in works.items():
            work = prepare()
            start = clock()
            tokens = work(prompts if repeat else prompts[:2])
            if repeat:
                speeds[name].append(tokens / (clock() - start))
    first, second = speeds.values()
    ratio = median(one / other for one, other in zip(first, second, strict=True))
    return {**{name: median(found) for name, found in speeds.items()}, "ratio": ratio, "unit": "tokens/s"}


class Engines:
    """Engines of the benchmark, of which one is open at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._open: LocalEngine | None = None
        self._flat: list[GenerationRequest] = []

    def fresh(self) -> LocalEngine:
        """Close the engine and return a new one."""
        self.close()
        self._open = built(self._options)
        return self._open

    def close(self) -> None:
        """Close the engine."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def flat(self) -> Work:
        """Return the work of answering prompts."""
        engine, new_tokens = self.fresh(), self._options.new_tokens
        sampling = Sampling(temperature=0.0, max_new_tokens=new_tokens)

        def work(prompts: Sequence[Prompt]) -> int:
            turns = [turns_of(prompt.messages) for prompt in prompts]
            return ask_all(engine, [GenerationRequest(one, sampling, 0, "draft") for one in turns])

        return work

    def chain(self) -> Work:
        """Return the work of the critique loop. Its requests are noted for `again`."""
        recording = Recording(self.fresh())
        loop = loop_of(recording, self._options.new_tokens)

        def work(prompts: Sequence[Prompt]) -> int:
            run_loop(loop, prompts)
            self._flat = recording.requests
            return recording.tokens

        return work

    def again(self) -> Work:
        """Return the work of sending the requests of the last loop all at once."""
        engine = self.fresh()
        return lambda prompts: ask_all(engine, self._flat)


def ensemble_tokens(options: argparse.Namespace) -> dict[str, Any]:
    """Return the tokens computed for one comparison under 16 principles in both orders, and their bound."""
    engine = built(options)
    assert isinstance(engine, TransformersEngine)
    prompts = list(read_prompts(DEMO))
    answers = tuple((f"{prompt.messages[-1].content} " * 4, "text") for prompt in prompts[1:3])
    comparison = Comparison.of(prompts[0], *answers)
    labeler = AILabeler(ENSEMBLE, engine, LabelConfig(principles=len(TEXTS)))
    bound = whole = 0
    for a_first in (True, False):
        asked = [labeler.request(comparison, p, a_first=a_first) for p in ENSEMBLE.principles]
        rows = [engine.encoder.encode(request.turns, request.prefill).ids for request in asked]
        bound += len(prefix_tree(rows))
        whole += sum(map(len, rows))
    before = engine.computed_tokens
    asyncio.run(labeler.label(comparison))
    computed = engine.computed_tokens - before
    engine.close()
    return {"computed": computed, "bound": bound, "unshared": whole, "ratio": computed / bound}


def main() -> None:
    """Measure the parts, print a line for each and write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS)
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--pack-weights", choices=("yes", "no"), help="default: by the processor")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    parts = options.parts or (["loop"] if options.engine == "vllm" else PARTS)
    if options.engine == "vllm" and (options.clock == "cpu" or set(parts) != {"loop"}):
        parser.error("--engine vllm has the part loop alone, and needs --clock wall")
    engines, new_tokens = Engines(options), options.new_tokens
    results: dict[str, dict[str, Any]] = {}
    for part in parts:
        if part == "ensemble":
            results[part] = ensemble_tokens(options)
        elif part == "loop":
            results[part] = compare(options, {"loop": engines.chain, "flat": engines.again})
        else:
            peer = Peer(ModelConfig(id=options.model), new_tokens)
            ours = engines.flat if part == "generate" else engines.chain
            theirs = peer.generate if part == "generate" else peer.chain
            results[part] = compare(options, {"publius": ours, "transformers": lambda theirs=theirs: theirs})
        engines.close()
        print(part, "  ".join(f"{key} {_shown(value)}" for key, value in results[part].items()), flush=True)
    if options.json:
        names = ("engine", "prompts", "new_tokens", "repeats", "clock", "model", "pack_weights")
        setting = {name: getattr(options, name) for name in names}
        setting |= {"threads": torch.get_num_threads(), "device": pick_device("auto")}
        text = json.dumps({"setting": setting, "results": results}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
