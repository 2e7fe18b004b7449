"""Tokens per second beside a busy process, as a share of those on the machine alone.

    python benchmarks/contention.py [--work generation|training] [--rounds 3] [--busy 1] [--json PATH]

`generation` answers demo prompts greedily through the transformers engine. `training` runs forward and
backward passes of a LoRA adapter. Each runs in two processes: `publius` with the default settings, and
`fixed` with one thread per core and OpenMP's own waiting, as torch runs by default. They take turns, alone
and beside processes that keep a core busy each; the ratio is the median over the rounds. The machine should
have no other load: the last columns say how many cores other processes used.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from core.machine import OtherLoad, usable_cores

DEMO = Path(__file__).parents[1] / "prompts" / "demo" / "prompts.jsonl"
POLICIES = ("publius", "fixed")
_SPINNING_BY_DEFAULT = "300000"
"""Spins of a waiting thread in GNU OpenMP if nothing is set."""

Work = Callable[[], int]
"""Does a piece of work and returns the number of its tokens."""


def generation(prompts: int, new_tokens: int) -> Work:
    """Return work that answers prompts greedily, all at once."""
    from core.chat import turns_of
    from core.records import Sampling
    from engines.config import EngineConfig, ModelConfig
    from engines.hf.engine import TransformersEngine
    from engines.protocols import GenerationRequest
    from publius.sources.prompts import read_prompts

    engine = TransformersEngine(ModelConfig(id="embedded"), EngineConfig())
    sampling = Sampling(temperature=0.0, max_new_tokens=new_tokens)
    requests = [
        GenerationRequest(turns_of(prompt.messages), sampling, 0, "benchmark")
        for prompt in list(read_prompts(DEMO))[:prompts]
    ]

    async def answers() -> int:
        found = await asyncio.gather(*(engine.generate(request) for request in requests))
        return sum(answer.completion_tokens for answer in found)

    return lambda: asyncio.run(answers())


def training(rows: int, tokens: int) -> Work:
    """Return work that runs forward and backward passes of a LoRA adapter over rows of equal length."""
    import torch
    from peft import LoraConfig, get_peft_model

    from engines.config import ModelConfig
    from engines.hf.loading import load_model
    from engines.loading import locate

    base: Any = load_model(locate(ModelConfig(id="embedded")), "float32", "cpu")
    policy: Any = get_peft_model(base, LoraConfig(r=16, target_modules="all-linear"))
    ids = torch.randint(1000, 40000, (rows, tokens), generator=torch.Generator().manual_seed(0))

    def step() -> int:
        policy(input_ids=ids, labels=ids).loss.backward()
        return ids.numel()

    return step


_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
"""A program that is busy for as long as its parent lives."""


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep `count` processes busy for the duration of the block."""
    started = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


class Worker:
    """A process that does the work under one policy whenever it is asked.

    Args:
        policy: one of `POLICIES`.
        options: options of the benchmark.
    """

    def __init__(self, policy: str, options: argparse.Namespace) -> None:
        cores = str(len(usable_cores()))
        fixed = {"OMP_NUM_THREADS": cores, "GOMP_SPINCOUNT": _SPINNING_BY_DEFAULT}
        sizes = ["--prompts", str(options.prompts), "--new-tokens", str(options.new_tokens)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", "--work", options.work, *sizes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(fixed if policy == "fixed" else {})},
        )
        self.measure()  # loads the model

    def measure(self) -> tuple[float, float]:
        """Do the work once; return tokens per second and the number of cores that other processes used."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        rate, others = map(float, self._process.stdout.readline().split())
        return rate, others

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def serve(options: argparse.Namespace) -> None:
    """Do the work for each line of standard input, and write what `Worker.measure` returns."""
    make = generation if options.work == "generation" else training
    work = make(options.prompts, options.new_tokens)
    load = OtherLoad(usable_cores())
    for _ in sys.stdin:
        load.measure()
        started = time.perf_counter()
        tokens = work()
        print(tokens / (time.perf_counter() - started), load.measure(), flush=True)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Return the median tokens per second of each policy, alone and beside busy processes."""
    workers = {name: Worker(name, options) for name in options.policy}
    alone: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
    beside: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
    for _ in range(options.rounds):
        for name, worker in workers.items():
            alone[name].append(worker.measure())
            with busy_processes(options.busy):
                beside[name].append(worker.measure())
    for worker in workers.values():
        worker.close()
    return {
        name: {
            "alone": median(rate for rate, _ in alone[name]),
            "beside": median(rate for rate, _ in beside[name]),
            "ratio": median(b / a for (a, _), (b, _) in zip(alone[name], beside[name], strict=True)),
            "other_cores_alone": median(others for _, others in alone[name]),
            "other_cores_beside": median(others for _, others in beside[name]),
        }
        for name in workers
    }


def main() -> None:
    """Measure, print the table and write it as JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", choices=("generation", "training"), default="generation")
    parser.add_argument("--policy", choices=POLICIES, nargs="+", default=list(POLICIES))
    parser.add_argument("--prompts", type=int, default=24, help="prompts, or rows of a training step")
    parser.add_argument("--new-tokens", type=int, default=48, help="tokens of an answer, or of a row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="number of busy processes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    results = measured(options)
    print(f"{'':10}{'alone':>10}{f'beside {options.busy}':>10}{'ratio':>8}   tokens/s, cores used by others")
    for name, row in results.items():
        others = f"{row['other_cores_alone']:.2f}, {row['other_cores_beside']:.2f}"
        print(f"{name:10}{row['alone']:10.1f}{row['beside']:10.1f}{row['ratio']:8.2f}   {others}")
    if options.json:
        names = ("work", "prompts", "new_tokens", "rounds", "busy")
        setting = {name: getattr(options, name) for name in names} | {"cores": len(usable_cores())}
        setting["unit"] = "tokens/s"
        options.json.write_text(json.dumps({"setting": setting, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
