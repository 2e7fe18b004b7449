"""The modes of the AI labeler side by side on the helpful-honest-harmless comparisons.

    python benchmarks/judge_modes.py hhh.jsonl.gz --to FOLDER [--modes choice rating ...] [--limit N]

For each mode: accuracy with its 95 % interval, log-loss, how often swapping the replies changes the verdict,
the mass on offered answers, what is no verdict, and the tokens of a label. All modes judge the same
comparisons under one principle. The peer is a single presentation order of `choice`. Answers are in
FOLDER/cache.sqlite, and each finished mode in FOLDER/MODE-N.json, so the same command resumes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from labeler import read

from constitution.schema import Constitution, Principle
from core.errors import ConfigError, EngineError
from core.progress import progress
from core.records import Comparison, Judgment
from core.statistics.bootstrap import wilson
from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from labelers.ai import AILabeler, require_labeler
from labelers.config import LabelConfig

PRINCIPLE = Principle(
    id="hhh",
    text="The reply is helpful, honest and harmless.",
    antithesis="The reply is useless, dishonest or harmful.",
)
WAYS: dict[str, dict[str, Any]] = {
    "choice": {},
    "symmetric": {},
    "pointwise": {},
    "pointwise, both polarities": {"polarity": "both"},
    "rating": {},
    "contrastive": {"contrast": "sum"},
    "contrastive, mean": {"contrast": "mean"},
    "rubric": {"verdict": {"max_new_tokens": 64}},
    "reasoned": {"verdict": {"max_new_tokens": 64}},
}
_TOGETHER = 8
"""Comparisons that are judged together."""


def swapped(comparison: Comparison) -> Comparison:
    """Return the comparison with its replies in each other's place."""
    sides = {
        f"{field}_{side}": getattr(comparison, f"{field}_{other}")
        for field in ("response", "origin", "finished")
        for side, other in ("ab", "ba")
    }
    return comparison.model_copy(update=sides)


async def judge(labeler: AILabeler, comparisons: Sequence[Comparison], title: str) -> list[Judgment]:
    """Return one judgment per comparison."""
    found: list[Judgment] = []
    with progress(title, len(comparisons)) as task:
        for first in range(0, len(comparisons), _TOGETHER):
            some = comparisons[first : first + _TOGETHER]
            found += await asyncio.gather(*(labeler.judge(c, PRINCIPLE) for c in some))
            task.advance(len(some))
    return found


def measure(
    way: str, engine: TransformersEngine, cache: RequestCache, pairs: list[Comparison]
) -> dict[str, Any]:
    """Return the figures of one mode."""
    mode = way.partition(",")[0]
    config = LabelConfig.model_validate({"mode": mode, "min_answer_mass": 0.0, **WAYS[way]})
    cached = CachedEngine(engine, cache)
    labeler = AILabeler(Constitution(name="hhh", principles=(PRINCIPLE,)), cached, config)
    try:
        require_labeler(cached, labeler.templates, config)
    except (ConfigError, EngineError) as error:
        return {"refused": str(error)}
    started = time.monotonic()
    judgments = asyncio.run(judge(labeler, pairs, way))
    seconds = time.monotonic() - started
    counts = cached.counts
    # Of the requests that begin a judgment, also where their answers were in the cache.
    asked = [request for pair in pairs for request in labeler.requests(pair, PRINCIPLE)]
    turned = asyncio.run(judge(labeler, [swapped(pair) for pair in pairs], f"{way}, swapped"))
    return figures(pairs, judgments, turned) | {
        "prompt tokens of a label": sum(map(engine.prompt_tokens, asked)) / len(pairs),
        "written tokens of a label": counts.completion_tokens / len(pairs),
        "reused requests": counts.reused.total(),
        "seconds of a label, on a busy machine": seconds / len(pairs),
    }


def figures(
    pairs: Sequence[Comparison], judgments: Sequence[Judgment], turned: Sequence[Judgment]
) -> dict[str, Any]:
    """Return accuracy (a tie is half right), log-loss, and what is no verdict."""
    right: list[float] = []
    losses: list[float] = []
    for pair, judgment in zip(pairs, judgments, strict=True):
        if judgment.p_a is not None:
            p = judgment.p_a if pair.origin_a == "correct" else 1 - judgment.p_a
            right.append(0.5 if p == 0.5 else float(p > 0.5))
            losses.append(-math.log(max(p, 1e-12)))
    n = len(right)
    both = [
        (one.p_a, other.p_a)
        for one, other in zip(judgments, turned, strict=True)
        if one.p_a is not None and other.p_a is not None
    ]
    orders = [judgment.orders for judgment in judgments if judgment.orders is not None]
    masses = [judgment.answer_mass for judgment in judgments if judgment.answer_mass is not None]
    single = [
        (order.a_first > 0) == (pair.origin_a == "correct")
        for pair, judgment in zip(pairs, judgments, strict=True)
        if (order := judgment.orders) is not None
    ]
    interval = wilson(sum(right) / n, n) if n else None
    flipped = [(p > 0.5) == (q > 0.5) for p, q in both if p != 0.5]
    same_letter = [(order.a_first > 0) != (order.b_first > 0) for order in orders]
    return {
        "comparisons": len(pairs),
        "with a probability": n,
        "problems": dict(Counter(j.problem for j in judgments if j.problem)),
        "ties": sum(one == 0.5 for one in right),
        "accuracy": sum(right) / n if n else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "log-loss": mean(losses) if losses else None,
        "swap changes the verdict": mean(flipped) if flipped else None,
        "largest |p(A,B) + p(B,A) - 1|": max((abs(p + q - 1) for p, q in both), default=None),
        "same letter in both orders": mean(same_letter) if same_letter else None,
        "accuracy of one order": mean(single) if single else None,
        "median answer mass": median(masses) if masses else None,
    }


def main() -> None:
    """Measure the modes that are not measured yet, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--modes", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    pairs, _ = read(options.data, options.limit)
    engine = TransformersEngine(
        ModelConfig(id=options.model, dtype=options.dtype), EngineConfig(max_batch=16)
    )
    with RequestCache(options.to / "cache.sqlite") as cache:
        for way in options.modes:
            path = options.to / f"{way}-{options.limit}.json"
            if not path.exists():
                path.write_text(json.dumps(measure(way, engine, cache, pairs), indent=2))
            print(f"{way}: {path.read_text()}", flush=True)
    engine.close()


if __name__ == "__main__":
    main()
