"""Estimate a run: its stages are run on engines that only count what they are asked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from constitution.loader import load_constitution
from core.notices import note
from core.progress import silent
from core.store.cache import RequestCache
from core.store.files import is_there
from core.terminal.interrupts import run_interruptibly
from publius.authoring.estimating.budgets import budgets_of, served_engines
from publius.authoring.estimating.certain import CertainRequests
from publius.authoring.estimating.dry import DryEngine, RequestLedger, dry_maker
from publius.authoring.estimating.lengths import RECENT, AnswerLengths
from publius.authoring.estimating.prices import prices_of
from publius.authoring.estimating.result import RunEstimate
from publius.authoring.estimating.rows import estimated_rows, stoppable
from publius.authoring.estimating.speeds import known_speed
from publius.authoring.estimating.stages import DryStages, planned_trainings
from publius.authoring.estimating.typical import TypicalPrompts
from publius.config.run_file import load_run_config
from publius.runs.engines import EngineMaker, EngineRole, Engines, make_engine, roles_in_use
from publius.runs.estimates import plan_digest, remember_estimate
from publius.runs.folder import identify
from publius.runs.inputs import digest_lines
from publius.runs.manifest import MANIFEST, usable_manifest
from publius.runs.previews import servers_asked
from publius.runs.project import has_cache, open_cache
from publius.runs.temporary import TemporaryRun
from publius.stages.base import Stage
from publius.stages.prompts import PromptIngestion
from publius.stages.runner import planned_stages
from publius.stages.scoring import require_scored_answers

MOST_PROMPTS = 1_000
"""Prompts on which a stage is run; of more, a sample of this size stands for all."""
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
        copied = _copy_records(own, work)
        run = stack.enter_context(TemporaryRun(work, own, config, constitution, identity, planned))
        require_scored_answers(run, stages)
        ingestion(run)

        @lru_cache(None)
        def dry_engine(role: EngineRole) -> DryEngine:
            engine = maker(config.models.of(role), engines.settings(role))
            assert isinstance(engine, DryEngine)
            return engine

        begun = _is_begun(own) and not copied
        certain = CertainRequests(run, engines, dry_engine, MOST_PROMPTS, begun, len(cache) if cache else 0)
        dry = DryStages(run, engines, ledger, lengths, dry_engine, certain)
        note(f"estimating {', '.join(stages)}")
        with silent():
            for stage in stages:
                run_interruptibly(dry.stage(stage))
            sent = dict(ledger.sent)  # before typical prompts are counted, which nobody sends
            rows = run_interruptibly(estimated_rows(dry, TypicalPrompts(run, engines, ledger, dry_engine)))
        budgets = budgets_of(config, rows, servers_asked(project, own))
        found = RunEstimate(
            name=config.name,
            plan=plan_digest(identity, config.models),
            prompts=_by_split(run),
            sampled=MOST_PROMPTS if any(certain.factor(f.prompts) > 1 for f in dry.facts.values()) else None,
            stages=stages,
            rows=rows if all(budget.suffices for budget in budgets) else tuple(map(stoppable, rows)),
            trainings=tuple(dry.trainings),
            scored=dry.scored,
            lengths=lengths,
            excluded={stage: reasons for stage in stages if (reasons := run.excluded(stage))},
            prices=prices,
            speed=speed,
            spent_before=_spent(own),
            served=frozenset(served_engines(config)),
            budgets=budgets,
            sent=sent,
        )
    remember_estimate(project, found.as_json())
    return found


def _copy_records(own: Path, work: Path) -> bool:
    """Copy the records of a run that has begun, unless only a sample of its prompts will be looked at."""
    prompts = own / "prompts.jsonl"
    if not is_there(prompts) or digest_lines(prompts).lines > MOST_PROMPTS:
        return False
    for name in _RECORDS:
        if (own / name).is_file():
            shutil.copyfile(own / name, work / name)
    return True


def _is_begun(own: Path) -> bool:
    return any((own / name).is_file() for name in _RECORDS)


def _spent(own: Path) -> dict[str, dict[str, float]]:
    """Return the requests, tokens and seconds that a run has spent so far, by stage."""
    manifest = usable_manifest(own / MANIFEST)
    stages = {} if manifest is None else manifest["stages"]
    return {
        stage: {**entry["requests"], "seconds": entry.get("seconds", 0.0)}
        for stage, entry in stages.items()
        if entry.get("requests")
    }


def _by_split(run: TemporaryRun) -> dict[str, int]:
    found: dict[str, int] = {}
    for prompt in run.prompts:
        found[str(prompt.split)] = found.get(str(prompt.split), 0) + 1
    return dict(sorted(found.items()))
