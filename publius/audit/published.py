"""`publius benchmark`: a published evaluation of a language model, a reward model or a judge."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from core.chat import turns_of
from core.concurrency import for_each
from core.digests import derive_seed
from core.errors import ConfigError, DataError, RequestError
from core.notices import note, warn
from core.progress import progress
from core.records import Answer, Metric
from core.rewards import Reward
from core.store.files import os_errors, write_atomic
from core.terminal.interrupts import run_interruptibly
from engines.cached import CachedEngine
from engines.protocols import GenerationRequest
from evaluation.config import BASE, EvalSampling
from evaluation.metrics import metrics_of
from evaluation.published.asking import BEFORE_LETTER, judged_pairs_of_items, rewarded, scored_options
from evaluation.published.formats import (
    BENCHMARKS,
    OPTION_BENCHMARKS,
    XSTEST,
    BenchmarkItem,
    items_of,
)
from evaluation.published.scoring import ScoredItem, benchmark_metrics
from evaluation.refusals.measures import RefusalFindings
from evaluation.refusals.prompts import RefusalPrompts, refusal_prompts
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from labelers.rewards import ModelReward
from publius.models.examples_used import prompt_key, trained_prompts
from publius.runs.engines import EngineMaker, conversations, make_engine
from publius.runs.one_model import engine_settings, one_model
from publius.sources.rows import DataSource, read_rows, with_split
from publius.stages.judges.trained import judged_constitution
from publius.stages.quality.before import trained_on_line

RESULT_FILE = "benchmark.json"
_ACCEPTS = {
    **dict.fromkeys((*OPTION_BENCHMARKS, XSTEST), ("--model",)),
    "rewardbench": ("--reward", "--judge"),
    "rewardbench-2": ("--reward",),
    "judgebench": ("--judge", "--reward"),
}


@dataclass(frozen=True)
class BenchmarkRequest:
    """A published evaluation, and the one model to evaluate."""

    name: str
    data: DataSource
    model: str | None = None
    """A language model."""
    reward: Path | None = None
    """A reward model."""
    judge: str | None = None
    """A judge, which compares replies under the constitution."""
    constitution: str = ""
    rows: int | None = None
    to: Path | None = None
    """Folder for the result with every item; None for none."""
    engine: str = "transformers"
    max_new_tokens: int | None = None
    """Longest answer to a prompt of XSTest; None for that of an evaluation."""

    def require_one_model(self) -> str:
        """Return the name of the model. Raises ConfigError if it is not one of a kind that is accepted."""
        if self.name not in BENCHMARKS:
            what = f"unknown benchmark {self.name!r}"
            raise ConfigError(what, where="NAME", accepted=", ".join(BENCHMARKS))
        given = {"--model": self.model, "--reward": self.reward, "--judge": self.judge}
        named = [option for option, value in given.items() if value is not None]
        accepted = _ACCEPTS[self.name]
        if len(named) != 1 or named[0] not in accepted:
            found = " and ".join(named) or "no model"
            raise ConfigError(f"{found} for {self.name}", where="NAME", accepted=" or ".join(accepted))
        if self.max_new_tokens is not None and self.name != XSTEST:
            what = f"{self.name} has no answers that are written"
            raise ConfigError(what, where="--max-new-tokens", accepted=f"it with {XSTEST}")
        return str(given[named[0]])


@dataclass(frozen=True)
class MeasuredBenchmark:
    """The result of a published evaluation."""

    name: str
    model: str
    metrics: tuple[Metric, ...]
    """The headline first."""
    excluded: dict[str, int]
    """Number of items that could not be scored, or have no verdict, by reason."""
    items: tuple[dict[str, Any], ...] = ()
    """The scores or responses of every item, for the file."""

    def as_json(self) -> dict[str, Any]:
        """Return the result without its items as JSON-able values."""
        return {
            "benchmark": self.name,
            "model": self.model,
            "metrics": [metric.model_dump(mode="json", exclude_none=True) for metric in self.metrics],
            "left_out": self.excluded,
        }


def run_benchmark(request: BenchmarkRequest, make: EngineMaker = make_engine) -> MeasuredBenchmark:
    """Evaluate one model on the data of a published evaluation.

    Raises:
        ConfigError: the benchmark is unknown, or the model is of another kind.
        DataError: the data is not that of the benchmark, or no item can be scored.
        EngineError: the model cannot be loaded, or cannot answer with single letters.
    """
    model = request.require_one_model()
    measured = _xstest(request, model, make) if request.name == XSTEST else _items(request, model, make)
    if request.to is not None:
        with os_errors(request.to):
            request.to.mkdir(parents=True, exist_ok=True)
            content = {**measured.as_json(), "items": measured.items}
            write_atomic(request.to / RESULT_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        note(f"result: {request.to / RESULT_FILE}")
    return measured


def _items(request: BenchmarkRequest, model: str, make: EngineMaker) -> MeasuredBenchmark:
    rows = ((row.id, row.values) for row in read_rows(with_split(request.data)))
    items = items_of(request.name, islice(rows, request.rows))
    if request.reward is not None:
        found = _by_reward(items, ModelReward(request.reward, "benchmark"))
    else:
        with one_model(model, Path(), make, request.engine) as engine:
            found = run_interruptibly(_by_engine(request, items, engine, model))
    scored, skipped = found
    if not scored:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in skipped.items())
        raise DataError(f"no item can be scored ({reasons})", where=request.data.name)
    listed = tuple(
        {"id": one.item.id, "subset": one.item.subset, "scores": one.scores, "right": one.item.right,
         "credit": one.credit}
        for one in scored
    )  # fmt: skip
    return MeasuredBenchmark(
        request.name, model, benchmark_metrics(request.name, scored), dict(skipped), listed
    )


def _by_reward(items: Sequence[BenchmarkItem], reward: Reward) -> tuple[list[ScoredItem], Counter[str]]:
    with progress("benchmark", len(items)) as task:
        return rewarded(items, reward, task.advance)


async def _by_engine(
    request: BenchmarkRequest, items: Sequence[BenchmarkItem], engine: CachedEngine, model: str
) -> tuple[list[ScoredItem], Counter[str]]:
    at_once = conversations(engine_settings("scripted" if model == "scripted" else request.engine))
    with progress("benchmark", len(items)) as task:
        if request.judge is None:
            letters = tuple(sorted({letter for item in items for letter in item.candidates}))
            engine.require_choices(BEFORE_LETTER, letters)
            return await scored_options(items, engine, at_once, task.advance)
        constitution = judged_constitution(load_constitution(request.constitution), Path(model))
        judge = AILabeler(constitution, engine, LabelConfig())
        return await judged_pairs_of_items(items, judge, at_once, task.advance)


def _xstest(request: BenchmarkRequest, model: str, make: EngineMaker) -> MeasuredBenchmark:
    """Answer XSTest's prompts greedily and classify the answers by rules."""
    found = refusal_prompts(request.data.name)
    prompts = RefusalPrompts(found.source, found.prompts[: request.rows], found.skipped)
    known = trained_prompts(Path(model)) if Path(model).is_dir() else None
    if same := sum(prompt_key(one.prompt.messages) in (known or ()) for one in prompts.prompts):
        warn(trained_on_line(model, same, len(prompts.prompts)))
    with one_model(model, Path(), make, request.engine) as engine:
        answers, skipped = run_interruptibly(_answered(request, prompts, engine, model))
    if not answers:
        raise DataError(f"no prompt was answered ({dict(skipped)})", where=request.data.name)
    findings = RefusalFindings.of(prompts, answers)
    series = list(findings.series())
    metrics, _ = metrics_of(series, {prompt for one in series for prompt in one.values}, 0)
    named = [metric.model_copy(update={"name": metric.name.removeprefix(f"{BASE}.")}) for metric in metrics]
    listed = tuple(response.as_json() for response in findings.responses)
    return MeasuredBenchmark(request.name, model, tuple(named), dict(skipped), listed)


async def _answered(
    request: BenchmarkRequest, prompts: RefusalPrompts, engine: CachedEngine, model: str
) -> tuple[list[Answer], Counter[str]]:
    sampling = EvalSampling()
    if request.max_new_tokens is not None:
        sampling = sampling.model_copy(update={"max_new_tokens": request.max_new_tokens})
    answers: list[Answer] = []
    skipped: Counter[str] = Counter()
    with progress("benchmark", len(prompts.prompts)) as task:

        async def work(place: int) -> None:
            prompt = prompts.prompts[place].prompt
            seed = derive_seed(0, prompt.id, "benchmark")
            asked = GenerationRequest(turns_of(prompt.messages), sampling, seed, "benchmark")
            try:
                answers.append(Answer.of(BASE, prompt, await engine.generate(asked)))
            except RequestError as error:
                skipped[error.reason] += 1
            task.advance()

        at_once = conversations(engine_settings("scripted" if model == "scripted" else request.engine))
        await for_each(iter(range(len(prompts.prompts))), work, at_once)
    return answers, skipped
