"""How much faster decoding on a CPU is with weights that oneDNN packs once, by the number of rows.

    python benchmarks/packed_weights.py [--rows 1 8 24 64] [--dtype float32|bfloat16] [--repeats 7]
        [--clock cpu|wall] [--model ID] [--json PATH]

Milliseconds of all linear layers of the decoder stack, of the output head, and of a whole step behind the
demo's prompts, for weights laid out by columns and for packed ones. Both take turns after a round that is
not measured; medians. `--clock cpu` takes the processor time of this process, for a machine that others use.
Set OMP_NUM_THREADS for the number of threads.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from engine_loop import CLOCKS
from generation import DEMO

from core.chat import turns_of
from core.records import Sampling
from engines.config import ModelConfig
from engines.hf.decoding import DecodingBatch, DecodingRow
from engines.hf.loading import load_model
from engines.hf.prefixes import PrefixStore
from engines.hf.weights.packed import PackedLinear
from engines.loading import load_tokenizer, locate
from engines.tokenization import TurnEncoder
from publius.sources.prompts import read_prompts

WAYS = ("columns", "packed")
PARTS = ("layers", "head", "step")


def works(model: Any, rows: int, prompts: list[tuple[int, ...]]) -> dict[str, Callable[[], object]]:
    """Return what is timed of a model, for a number of rows."""
    head, width = model.get_output_embeddings(), model.config.get_text_config().hidden_size
    kinds = (torch.nn.Linear, PackedLinear)
    linears = [one for one in model.modules() if isinstance(one, kinds) and one is not head]
    inputs = {size: torch.randn(rows, size).to(model.dtype) for size in {one.in_features for one in linears}}
    last = torch.randn(rows, width).to(model.dtype)
    batch = DecodingBatch(model, frozenset(), lambda _: "", prefixes=PrefixStore(0))
    sampling = Sampling(temperature=0.0, max_new_tokens=10_000)
    batch.admit([DecodingRow(ids, sampling, 0) for ids in islice(cycle(prompts), rows)])
    return {
        "layers": lambda: [linear(inputs[linear.in_features]) for linear in linears],
        "head": lambda: head(last),
        "step": batch.step,
    }


def measure(models: dict[str, Any], rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the medians of each part in milliseconds, for both ways, and their ratios."""
    files = locate(ModelConfig(id=options.model))
    encoder = TurnEncoder(load_tokenizer(files), {}, files.name)
    prompts = [encoder.encode(turns_of(prompt.messages), "").ids for prompt in read_prompts(DEMO)]
    clock, found = CLOCKS[options.clock], {part: {way: [] for way in WAYS} for part in PARTS}
    with torch.inference_mode():
        todo = {way: works(models[way], rows, prompts) for way in WAYS}
        for repeat in range(options.repeats + 1):
            for part in PARTS:
                for way in WAYS:
                    start = clock()
                    todo[way][part]()
                    if repeat:
                        found[part][way].append(1000 * (clock() - start))
    medians = {part: {way: median(times) for way, times in ways.items()} for part, ways in found.items()}
    return {
        part: {**times, "ratio": times["columns"] / times["packed"], "unit": "ms"}
        for part, times in medians.items()
    }


def main() -> None:
    """Measure, print a line for each number of rows and write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8, 24, 64])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    files = locate(ModelConfig(id=options.model))
    models = {way: load_model(files, options.dtype, "cpu", pack_weights=way == "packed") for way in WAYS}
    results = {}
    for rows in options.rows:
        found = results[rows] = measure(models, rows, options)
        shown = (
            f"{part} {times['columns']:.1f} {times['packed']:.1f} ({times['ratio']:.2f})"
            for part, times in found.items()
        )
        print(f"{rows:4} rows, ms by columns, packed (ratio):  " + "   ".join(shown), flush=True)
    if options.json:
        setting = {name: getattr(options, name) for name in ("dtype", "repeats", "clock", "model")}
        setting["threads"] = torch.get_num_threads()
        options.json.write_text(json.dumps({"setting": setting, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
