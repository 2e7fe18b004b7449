"""Labels and episodes per hour on 1 to 64 GPUs, by a model of throughput. Nothing is measured here.

    python benchmarks/scaling.py [--set NAME=VALUE ...] [--json PATH]

The inputs are properties of a model and a GPU, sizes of texts, and the driver's processor time a label, which
`benchmarks/labeler_speed.py` measures. Each is printed, and `--set` replaces it. Rates follow from rooflines:

- prefill is bound by arithmetic: tokens/s = flops x mfu / (2 x weights); a token of training costs 3 such;
- decoding is bound by memory: a step of B answers reads all weights and B caches of the mean context, and B
  is what fits into the memory beside the trainer's weights, the sampler's and the trainer's reserve;
- a label reads `label_tokens` (its texts in both orders, once), and the driver spends `driver_ms` on it;
- an episode is an answer of `answer_tokens` to `prompt_tokens`, scored by machine checks, read once by the
  reference and learned from once; a step of `rollouts` episodes also waits `hand_over_s` for the adapter, and
  for the longest answer, which is drawn alone at the end. Each GPU has a process and a sampler of its own.

Labels scale until the driver's event loop is busy, unless shards have drivers of their own. Steps of
reinforcement learning scale until the longest answer and the hand-over dominate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

GPUS = (1, 2, 4, 8, 16, 32, 64)
_HOUR_S = 3600.0
_FP16 = 2
_PASSES_OF_TRAINING = 3
"""A backward pass costs about two forward passes."""


@dataclass(frozen=True)
class Inputs:
    """What the model of throughput assumes."""

    weights: float = 8e9
    """Number of weights of the policy and of the labeler, in 16 bits."""
    cache_bytes: float = 131_072
    """Bytes of the key-value cache a token: 32 layers, 8 heads of width 128, 16 bits."""
    flops: float = 989e12
    """Peak of a GPU in 16 bits, floating-point operations a second (data sheet of an H100 SXM)."""
    bandwidth: float = 3.35e12
    """Bytes a second of a GPU's memory (the same data sheet)."""
    memory: float = 80e9
    """Bytes of a GPU's memory."""
    mfu: float = 0.4
    """Share of the peak that prefill and training reach."""
    memory_use: float = 0.6
    """Share of the bandwidth that decoding reaches."""
    reserve: float = 0.25
    """Share of the memory that the sampler leaves to the update."""
    most: int = 512
    """Most answers drawn together on a GPU."""
    label_tokens: float = 1_500
    """Tokens computed for a label: both orders of a comparison, shared text once."""
    driver_ms: float = 2.1
    """Processor milliseconds of the driver a label (measured, on one core of this project's machine)."""
    prompt_tokens: float = 300
    answer_tokens: float = 400
    longest_answer: float = 512
    """`max_new_tokens`: the last answer of a step is this long."""
    rollouts: int = 1_024
    """Episodes of a step, on all GPUs together."""
    hand_over_s: float = 2.0
    """Seconds a step to write the adapter and have the sampler load it."""
    usd_per_gpu_hour: float = 2.5


@dataclass(frozen=True)
class Throughput:
    """What the model says about a number of GPUs."""

    gpus: int
    labels_per_hour: float
    """With one driver."""
    labels_sharded: float
    """With a driver for each GPU."""
    usd_per_1000_labels: float
    """With a driver for each GPU."""
    episodes_per_hour: float
    usd_per_1000_episodes: float
    waiting: float
    """Share of a step in which GPUs wait for the longest answer and the adapter."""


def prefill_rate(inputs: Inputs) -> float:
    """Return tokens a second that one GPU reads."""
    return inputs.flops * inputs.mfu / (2 * inputs.weights)


def answers_together(inputs: Inputs) -> float:
    """Return how many answers one GPU draws at once: what fits into its memory, and at most `most`."""
    room = inputs.memory * (1 - inputs.reserve) - 2 * _FP16 * inputs.weights
    if room <= 0:
        raise SystemExit("a trainer and a sampler with these weights do not fit one GPU")
    return min(inputs.most, room / (_context(inputs) * inputs.cache_bytes))


def step_s(inputs: Inputs, together: float) -> float:
    """Return the seconds in which each of some answers gets a token, on one GPU."""
    read = _FP16 * inputs.weights + together * _context(inputs) * inputs.cache_bytes
    return max(read / (inputs.bandwidth * inputs.memory_use), together / prefill_rate(inputs))


def throughput(inputs: Inputs, gpus: int) -> Throughput:
    """Return labels and episodes per hour."""
    by_gpus = gpus * prefill_rate(inputs) / inputs.label_tokens
    by_driver = 1000 / inputs.driver_ms
    labels, sharded = (min(by_gpus, drivers * by_driver) * _HOUR_S for drivers in (1, gpus))
    own = inputs.rollouts / gpus
    waves = own / min(own, answers_together(inputs))
    drawing = waves * inputs.answer_tokens * step_s(inputs, own / waves)
    tail = (inputs.longest_answer - inputs.answer_tokens) * step_s(inputs, 1)
    tokens = own * (inputs.prompt_tokens + inputs.answer_tokens)
    learning = tokens * (1 + _PASSES_OF_TRAINING) / prefill_rate(inputs)
    waiting = tail + inputs.hand_over_s
    whole = drawing + learning + waiting
    episodes = inputs.rollouts / whole * _HOUR_S
    price = gpus * inputs.usd_per_gpu_hour * 1000
    return Throughput(gpus, labels, sharded, price / sharded, episodes, price / episodes, waiting / whole)


def _context(inputs: Inputs) -> float:
    """Return the mean context of an answer while it is drawn, in tokens."""
    return inputs.prompt_tokens + inputs.answer_tokens / 2


def table(rows: Sequence[Throughput]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| GPUs | labels per hour, one driver | labels per hour, sharded | US$ per 1,000 labels "
        "| episodes per hour | US$ per 1,000 episodes | share of a step spent waiting |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.gpus} | {row.labels_per_hour:,.0f} | {row.labels_sharded:,.0f} "
            f"| {row.usd_per_1000_labels:.3f} | {row.episodes_per_hour:,.0f} "
            f"| {row.usd_per_1000_episodes:.2f} | {100 * row.waiting:.0f} % |"
        )
    return "\n".join(lines)


def inputs_of(changes: Sequence[str]) -> Inputs:
    """Return the inputs with some replaced, each as NAME=VALUE."""
    known, changed = {field.name for field in fields(Inputs)}, dict[str, float]()
    for change in changes:
        name, _, value = change.partition("=")
        if name not in known:
            raise SystemExit(f"--set {change}: no such input; accepted: {', '.join(sorted(known))}")
        changed[name] = float(value)
    return replace(Inputs(), **changed)  # type: ignore[arg-type]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the inputs and the table; write both as JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    inputs = inputs_of(given.changes)
    rows = [throughput(inputs, gpus) for gpus in GPUS]
    for name, value in asdict(inputs).items():
        print(f"{name} = {value:g}")
    print(f"\nprefill {prefill_rate(inputs):,.0f} tokens/s a GPU")
    together = answers_together(inputs)
    decoding = together / step_s(inputs, together)
    print(f"decoding {decoding:,.0f} tokens/s a GPU, {together:.0f} answers at once\n")
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps({"inputs": asdict(inputs), "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
