"""Estimate a run: its stages are run on engines that only count what they are asked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from constitution.loader import load_constitution
from core.digests import derive_uniform
from core.notices import note
from core.progress import silent
from core.records import Prompt
from core.store.cache import RequestCache
from core.store.files import is_there
from core.terminal.interrupts import run_interruptibly
from publius.authoring.estimating.bounds import CallBounds
from publius.authoring.estimating.dry import AskedRequests, DryEngine, RequestLedger, dry_maker
from publius.authoring.estimating.lengths import RECENT, AnswerLengths
from publius.authoring.estimating.prices import prices_of
from publius.authoring.estimating.result import Bounds, CallEstimate, RunEstimate
from publius.authoring.estimating.speeds import known_speed
from publius.authoring.estimating.stages import DryStages, planned_trainings
from publius.config.run_file import load_run_config
from publius.runs.engines import EngineMaker, Engines, make_engine, roles_in_use
from publius.runs.estimates import plan_digest, remember_estimate
from publius.runs.folder import identify
from publius.runs.inputs import digest_lines
from publius.runs.manifest import MANIFEST, usable_manifest
from publius.runs.project import has_cache, open_cache
from publius.runs.temporary import TemporaryRun
from publius.stages.base import Stage
from publius.stages.prompts import PromptIngestion
from publius.stages.runner import planned_stages
from publius.stages.scoring import require_scored_answers

MOST_PROMPTS = 1_000
"""Prompts on which the stages are run; of more, a sample of this size stands for all."""
_CRITIC, _LABELER = ("critique", "revision"), ("label", "reward")
_RECORDS = (
    "traces.jsonl",
    "samples.jsonl",
    "comparisons.jsonl",
    "added_comparisons.jsonl",
    "judgments.jsonl",
    "exclusions.jsonl",
)
"""Records of a run that has begun: its stages continue from them."""


@dataclass(frozen=True)
class EstimateRequest:
    """A run file, and what its estimate is based on."""

    run_file: Path
    overrides: Sequence[str] = ()
    stages: Sequence[Stage] = ()
    """Stages to estimate; if empty, all stages that the run file asks for."""
    rate: float | None = None
    """Generated tokens per second; None for the speed of earlier runs."""
    prices: Path | None = None
    """Table of prices; None for `prices.yaml` beside the run file, if there is one."""


def estimate_run(
    request: EstimateRequest, make: EngineMaker = make_engine, lengths: AnswerLengths | None = None
) -> RunEstimate:
    """Estimate a run before it runs, and remember the estimate for when it has run.

    The stages run on engines that load no weights (`dry.py`), in a temporary folder. Answers in the project's
    request cache are used, and records of a run that has begun; nothing is sent to a model.

    Args:
        request: the run file, and what the estimate is based on.
        make: builds the engines, whose keys and tokenizers are used.
        lengths: expected lengths of answers; if not given, those that the project's cache measured.

    Raises:
        PubliusError: for any error that the user can fix, as the run itself would raise it.
    """
    config = load_run_config(request.run_file, request.overrides)
    stages = tuple(request.stages or planned_stages(config))
    project = request.run_file.resolve().parent
    prices = prices_of(config, project, request.prices)
    speed = known_speed(project, config, request.rate)
    ingestion = PromptIngestion(config.prompts, config.split)
    ingestion.check()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="publius-")))
        cache = stack.enter_context(open_cache(project)) if has_cache(project) else None
        ledger = RequestLedger()
        lengths = lengths or AnswerLengths(cache.recent(RECENT) if cache else ())
        scratch = stack.enter_context(RequestCache(folder / "cache.sqlite"))
        maker = dry_maker(make, ledger, lengths, cache)
        engines = Engines(config.models, config.engine, scratch, maker, roles_in_use(config))
        constitution = load_constitution(config.constitution)
        identity = identify(config, constitution, engines.identities())
        own = project / "runs" / f"{config.name}-{identity.digest[:8]}"
        planned = planned_trainings(stages, config.train)
        work = folder / "runs" / own.name
        work.mkdir(parents=True)
        _copy_records(own, work)
        run = stack.enter_context(TemporaryRun(work, own, config, constitution, identity, planned))
        require_scored_answers(run, stages)
        ingestion(run)
        factor = _narrow(run)
        policy = maker(config.models.policy, config.engine.for_model(config.models.policy))
        assert isinstance(policy, DryEngine)
        dry = DryStages(run, engines, ledger, lengths, policy, factor)
        note(f"estimating {', '.join(stages)}")
        with silent():
            for stage in stages:
                run_interruptibly(dry.stage(stage))
        found = RunEstimate(
            name=config.name,
            plan=plan_digest(identity, config.models),
            prompts=_by_split(run),
            sampled=None if factor == 1.0 else MOST_PROMPTS,
            stages=stages,
            rows=tuple(_rows(ledger, CallBounds(config, constitution), dry)),
            trainings=tuple(dry.trainings),
            scored=dry.scored,
            lengths=lengths,
            excluded={stage: reasons for stage in stages if (reasons := run.excluded(stage))},
            prices=prices,
            speed=speed,
            spent_before=_spent(own),
        )
    remember_estimate(project, found.as_json())
    return found


def _copy_records(own: Path, work: Path) -> None:
    """Copy the records of a run that has begun, unless only a sample of its prompts will be looked at."""
    prompts = own / "prompts.jsonl"
    if is_there(prompts) and digest_lines(prompts).lines <= MOST_PROMPTS:
        for name in _RECORDS:
            if (own / name).is_file():
                shutil.copyfile(own / name, work / name)


def _spent(own: Path) -> dict[str, dict[str, float]]:
    """Return the requests, tokens and seconds that a run has spent so far, by stage."""
    manifest = usable_manifest(own / MANIFEST)
    stages = {} if manifest is None else manifest["stages"]
    return {
        stage: {**entry["requests"], "seconds": entry.get("seconds", 0.0)}
        for stage, entry in stages.items()
        if entry.get("requests")
    }


def _narrow(run: TemporaryRun) -> float:
    """Let the stages work on a sample of the prompts if there are many; return what each one stands for."""
    total = len(run.prompts)
    if total <= MOST_PROMPTS:
        return 1.0
    draws = sorted((derive_uniform("estimate", prompt.id), prompt.id) for prompt in run.prompts)
    chosen = {prompt_id for _, prompt_id in draws[:MOST_PROMPTS]}

    def narrow(prompts: Iterator[Prompt]) -> Iterator[Prompt]:
        return (prompt for prompt in prompts if prompt.id in chosen)

    run.narrow = narrow
    return total / len(chosen)


def _by_split(run: TemporaryRun) -> dict[str, int]:
    found: dict[str, int] = {}
    for prompt in run.prompts:
        found[str(prompt.split)] = found.get(str(prompt.split), 0) + 1
    return dict(sorted(found.items()))


def _rows(ledger: RequestLedger, bounds: CallBounds, dry: DryStages) -> Iterator[CallEstimate]:
    """Yield the requests of the dry run with their bounds, and those that other answers would lead to."""
    config = bounds.config
    for stage, prompts in dry.prompts.items():
        seen = {key: row for key, row in ledger.rows.items() if key[0] == stage}
        for purpose in bounds.unseen(stage):
            if not any(key[1] == purpose for key in seen):
                seen[stage, purpose, dry.policy.model] = AskedRequests()
        for (_, purpose, model), row in seen.items():
            calls = bounds.of(stage, purpose, row.asked, row.reused, prompts)
            limit = row.most_generated / row.asked if row.asked else config.sample.sampling.max_new_tokens
            writes = purpose not in _LABELER
            generated = Bounds(
                calls.fewest if writes else 0, row.generated_tokens, calls.most * limit if writes else 0
            )
            yield CallEstimate(
                stage,
                _role(stage, purpose),
                purpose,
                model,
                Bounds(calls.fewest, row.asked, calls.most),
                row.reused,
                row.prompt_tokens,
                generated,
                row.by_characters,
            )


def _role(stage: str, purpose: str) -> str:
    if purpose in _CRITIC:
        return "critic"
    if purpose in _LABELER:
        return "judge" if stage in ("eval", "choose") else "labeler"
    return "policy"
