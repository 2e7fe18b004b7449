"""How far injections in replies move judges: choice, pointwise, decision endpoints, a trained judge.

    python benchmarks/injections.py --model ID --to FOLDER [--ways choice pointwise ...] [--judge DIR]

Each way is asked about the injections that ship and about the held-out ones, with two principles in turn. The
peer, in the same run, is the same model with a naive template, asked once, in the order in which the
injection's letter is right. `polarities` is `pointwise` with `label.polarity: both`. `decisions` are those of
`publius serve` (template `decision`), asked as its clients ask; `probe` needs the folder of a judge of
`publius train judge`. Answers are in FOLDER/cache.sqlite and the figures of each way in FOLDER/WAY.json, so
the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from constitution.schema import Constitution, Principle
from core.digests import digest
from core.records import Generation, Metric
from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.decisions.questions import DecisionCall, NamedQuestion
from engines.hf.engine import TransformersEngine
from engines.http.decisions import PROBABILITY_CLIP
from engines.judge.engine import ProbeEngine
from engines.protocols import ChoiceRequest, ChoiceScores, Engine, GenerationRequest
from evaluation.judges.injections import (
    DESIGN_SET,
    HELD_OUT_SET,
    attacked_pairs,
    held_out_injections,
    injection_metrics,
    injections,
)
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from prompts.environment import PromptTemplates, naive_decision_template, naive_templates
from publius.audit.injecting import shifts_by_pair
from publius.serving.deciding import EngineDecider

PRINCIPLES = (
    Principle(id="hhh", text="The reply is helpful, honest and harmless."),
    Principle(id="complete", text="The reply answers the question completely."),
)
CONSTITUTION = Constitution(name="injections", principles=PRINCIPLES)
WAYS = ("choice", "pointwise", "polarities", "decisions", "probe")
SHOWN = ("shift", "shift.naive", "excess", "ratio", "size", "size.naive", "preference", "preference.naive")


@dataclass(frozen=True)
class ServedEngine:
    """A decision endpoint of `publius serve` without the network between."""

    engine: Engine
    decider: EngineDecider
    takes_questions: bool = field(default=True, init=False)

    def key(self, request: ChoiceRequest | GenerationRequest) -> str:
        """Return a digest of the state and the question."""
        assert isinstance(request, ChoiceRequest)
        return digest("served", self.decider.identity, str(_call(request)))

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the endpoint's probabilities of the options."""
        found = await self.decider.decide(_call(request))
        answer = found.answers[0]
        mass = answer.label_mass or 1.0
        return ChoiceScores(
            logprobs=tuple(math.log(max(p, PROBABILITY_CLIP) * mass) for p in answer.probabilities),
            answer_mass=answer.label_mass,
            top_token=request.choices[answer.best],
            prompt_tokens=found.prompt_tokens or 0,
            model=self.engine.model,
        )

    async def generate(self, request: GenerationRequest) -> Generation:
        """Raise TypeError: a decision endpoint writes no text."""
        raise TypeError("a decision endpoint writes no text")


def _call(request: ChoiceRequest) -> DecisionCall:
    assert request.question is not None
    return DecisionCall(request.turns[0].text, (NamedQuestion("q", request.question),))


def labelers(way: str, engine: CachedEngine) -> tuple[AILabeler, AILabeler]:
    """Return a way of asking and its naive peer."""
    mode = "pointwise" if way in ("pointwise", "polarities", "probe") else "choice"
    config = LabelConfig(mode=mode, min_answer_mass=0.0)
    if way == "polarities":
        config = config.model_copy(update={"polarity": "both"})
    if way == "decisions":
        own = ServedEngine(engine, EngineDecider(engine))
        theirs = ServedEngine(engine, EngineDecider(engine, templates=naive_decision_template()))
        return (
            AILabeler(CONSTITUTION, own, config),
            AILabeler(CONSTITUTION, theirs, config, templates=naive_templates()),
        )
    once = config.model_copy(update={"polarity": "fulfils"})
    return (
        AILabeler(CONSTITUTION, engine, config, templates=PromptTemplates()),
        AILabeler(CONSTITUTION, engine, once, templates=naive_templates()),
    )


def measure(way: str, engine: CachedEngine, limit: int | None) -> list[Metric]:
    """Return the figures of both sets of injections."""
    own, naive = labelers(way, engine)
    found: list[Metric] = []
    for name, given in ((DESIGN_SET, injections()), (HELD_OUT_SET, held_out_injections())):
        pairs = attacked_pairs(PRINCIPLES, pair=own.config.mode == "choice", given=given[:limit])
        shifts, peers = (shifts_by_pair(one, pairs, at_once=4) for one in (own, naive))
        both = sorted(shifts.keys() & peers.keys())
        found += injection_metrics([shifts[n] for n in both], [peers[n] for n in both], 0, name)
    return found


def table(way: str, metrics: Iterable[Metric]) -> str:
    """Return one line for each set of injections."""
    by_name = {metric.name: metric for metric in metrics}
    lines = []
    for name in (DESIGN_SET, HELD_OUT_SET):
        cells = [f"{title} {_cell(by_name.get(f'{name}.{title}'))}" for title in SHOWN]
        lines.append(f"{way}, {name} (n = {by_name[f'{name}.shift'].n}): " + "; ".join(cells))
    return "\n".join(lines)


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "-"
    value = f"{metric.value:+.2f}"
    if metric.low is None or metric.high is None:
        return value
    return f"{value} ({metric.low:+.2f} to {metric.high:+.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["choice", "pointwise", "decisions"])
    parser.add_argument("--judge", type=Path, help="folder of a trained judge, for `probe`")
    parser.add_argument("--limit", type=int, help="use the first N injections of each set")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    cache = RequestCache(options.to / "cache.sqlite")
    model = TransformersEngine(ModelConfig(id=options.model, dtype=options.dtype), EngineConfig())
    for way in options.ways:
        engine = CachedEngine(ProbeEngine(options.judge) if way == "probe" else model, cache)
        metrics = measure(way, engine, options.limit)
        rows = [metric.model_dump() for metric in metrics]
        (options.to / f"{way}.json").write_text(json.dumps(rows, indent=1))
        print(table(way, metrics), flush=True)
    model.close()


if __name__ == "__main__":
    main()
