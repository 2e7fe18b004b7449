"""Estimate a run: its stages are run on engines that only count what they are asked."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from constitution.loader import load_constitution
from core.errors import ConfigError, DataError
from core.notices import counted, note
from core.progress import silent
from core.store.cache import RequestCache
from core.store.files import is_there, os_errors
from core.store.jsonl import sample_lines
from core.terminal.interrupts import run_interruptibly
from publius.authoring.estimating.budgets import budgets_of, served_engines
from publius.authoring.estimating.certain import CertainRequests
from publius.authoring.estimating.dry import DryEngine, RequestLedger, dry_maker
from publius.authoring.estimating.lengths import RECENT, AnswerLengths
from publius.authoring.estimating.prices import prices_of
from publius.authoring.estimating.result import RunEstimate, ScaledRows
from publius.authoring.estimating.rows import estimated_rows, stoppable
from publius.authoring.estimating.speeds import known_speed
from publius.authoring.estimating.stages import DryStages, TrainingCost, planned_trainings
from publius.authoring.estimating.typical import TypicalPrompts
from publius.config.run_file import RunConfig, load_stages_config
from publius.runs.engines import EngineMaker, EngineRole, Engines, make_engine, roles_in_use
from publius.runs.estimates import plan_digest, remember_estimate
from publius.runs.inputs import digest_lines
from publius.runs.manifest import MANIFEST, usable_manifest
from publius.runs.opening.identity import place_of
from publius.runs.previews import preview_pairs, servers_asked
from publius.runs.project import has_cache, open_cache
from publius.runs.temporary import TemporaryRun
from publius.stages.base import Stage
from publius.stages.compare import warn_of_unpaired
from publius.stages.prompts import PROMPTS_SUMMARY, PromptIngestion
from publius.stages.quality.refusing import refusal_prompts_of
from publius.stages.runner import planned_stages
from publius.stages.scoring import require_scored_answers
from publius.stages.training.usable import UsablePairs

MOST_PROMPTS = 1_000
"""Prompts on which a stage is run; of more, a sample of this size stands for all."""
MOST_ROWS = 5_000
"""Rows of a JSON Lines file that are imported; of more, a sample of this size stands for all."""
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
    rows: int | None = None
    """Number of rows like those of the run's prompts, for which they stand; None for those that there are.
    Nothing of such a run counts as done or in the cache, and its estimate is not remembered."""
    title: str = ""
    """Name of the run in the line that says that it is estimated; empty for the only one."""


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
    config = load_stages_config(request.run_file, request.overrides, request.stages)
    stages = tuple(request.stages or planned_stages(config))
    project = request.run_file.resolve().parent
    prices = prices_of(config, project, request.prices)
    speed = known_speed(project, config, request.rate)
    _require_no_limit(request, config)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="publius-")))
        ingestion, total_rows = _checked_ingestion(config, folder)
        cache = stack.enter_context(open_cache(project)) if has_cache(project) else None
        ledger = RequestLedger()
        lengths = lengths or AnswerLengths(cache.recent(RECENT) if cache else ())
        scratch = stack.enter_context(RequestCache(folder / "cache.sqlite"))
        answers = cache if request.rows is None else None
        maker = dry_maker(make, ledger, lengths, answers)
        engines = Engines(config.models, config.engine, scratch, maker, roles_in_use(config))
        constitution = load_constitution(config.constitution)
        own, identity = place_of(project, config, constitution, engines.identities())
        planned = planned_trainings(stages, config.train)
        work = folder / "runs" / own.name
        work.mkdir(parents=True)
        copied = request.rows is None and _copy_records(own, work)
        run = stack.enter_context(TemporaryRun(work, own, config, constitution, identity, planned))
        require_scored_answers(run, stages)
        ingestion(run)
        if "compare" in stages:
            warn_of_unpaired(run)
        if "eval" in stages:
            refusal_prompts_of(run)
        scaled = _scaled(run, total_rows, request.rows)
        scale = scaled.factor if scaled else 1.0

        @lru_cache(None)
        def dry_engine(role: EngineRole) -> DryEngine:
            engine = maker(config.models.of(role), engines.settings(role))
            assert isinstance(engine, DryEngine)
            return engine

        begun = request.rows is None and _is_begun(own) and not copied
        cached = len(answers) if answers else 0
        certain = CertainRequests(run, engines, dry_engine, MOST_PROMPTS, begun, cached, scale)
        dry = DryStages(run, engines, ledger, lengths, dry_engine, certain)
        note(f"estimating {request.title}{': ' if request.title else ''}{', '.join(stages)}")
        with silent():
            for stage in stages:
                run_interruptibly(dry.stage(stage))
            sent = dict(ledger.sent)  # before typical prompts are counted, which nobody sends
            rows = run_interruptibly(estimated_rows(dry, TypicalPrompts(run, engines, ledger, dry_engine)))
        previewed = _previewed(project, own.name) if "dpo" in stages else None
        budgets = budgets_of(config, rows, servers_asked(project, own))
        found = RunEstimate(
            name=config.name,
            plan=plan_digest(identity, config),
            prompts={split: round(scale * count) for split, count in _by_split(run).items()},
            sampled=MOST_PROMPTS
            if any(f.prompts > scale * MOST_PROMPTS for f in dry.facts.values())
            else None,
            scaled=scaled,
            stages=stages,
            rows=rows if all(budget.suffices for budget in budgets) else tuple(map(stoppable, rows)),
            trainings=tuple(_as_previewed(one, previewed, config) for one in dry.trainings),
            previewed=previewed,
            scored=dry.scored,
            lengths=lengths,
            excluded={
                stage: {reason: round(dry.factors[stage] * count) for reason, count in reasons.items()}
                for stage in stages
                if (reasons := run.excluded(stage))
            },
            prices=prices,
            speed=speed,
            spent_before=_spent(own) if request.rows is None else {},
            served=frozenset(served_engines(config)),
            budgets=budgets,
            sent=sent,
        )
    if request.rows is None:
        remember_estimate(project, found.as_json())
    return found


def _previewed(project: Path, run_name: str) -> UsablePairs | None:
    """Return the pairs of the last preview of a run, and which of them DPO can use; None without one."""
    found = preview_pairs(project, run_name)
    try:
        pairs = None if found is None else UsablePairs(**found)
    except TypeError:  # another version wrote it
        return None
    return pairs if pairs is not None and pairs.pairs else None


def _as_previewed(training: TrainingCost, previewed: UsablePairs | None, config: RunConfig) -> TrainingCost:
    """Return a training of DPO on the share of its pairs that a preview found usable; any other as it is."""
    if training.method != "dpo" or previewed is None:
        return training
    share = previewed.usable / previewed.pairs
    passes = config.optim.epochs if config.dpo.epochs is None else config.dpo.epochs
    examples = training.examples * share
    steps = math.ceil(passes * math.ceil(round(examples) / config.optim.batch_size))
    return replace(training, examples=examples, steps=steps, tokens=training.tokens * share)


def _require_no_limit(request: EstimateRequest, config: RunConfig) -> None:
    """Raise ConfigError for more rows with a limit on the prompts, which would take the first ones only."""
    if request.rows is not None and config.prompts.limit is not None:
        what = f"--estimate-for {request.rows:,}, but only {config.prompts.limit:,} prompts are used"
        raise ConfigError(what, where="prompts.limit", accepted="null: --set prompts.limit=null")


def _checked_ingestion(config: RunConfig, folder: Path) -> tuple[PromptIngestion, int | None]:
    """Return the import of the prompts, and the number of rows of the file if it imports a sample of them.

    Raises:
        DataError: if no row can be used.
        ConfigError: if a column does not exist.
    """
    prompts = config.prompts
    path = prompts.path.expanduser()
    note(f"reading the prompts of {path.name}")
    if prompts.limit is None and path.suffix in (".jsonl", ".ndjson") and path.is_file():
        sample = folder / "rows" / path.name
        sample.parent.mkdir()
        with os_errors(path):
            rows = sample_lines(path, sample, MOST_ROWS)
        if rows > MOST_ROWS:
            found = PromptIngestion(prompts.model_copy(update={"path": sample}), config.split)
            with contextlib.suppress(DataError, ConfigError):  # another row may have what the sample lacks
                found.check()
                note(f"a sample of {MOST_ROWS:,} of its {rows:,} rows stands for all")
                return found, rows
    found = PromptIngestion(prompts, config.split)
    found.check()
    return found, None


def _scaled(run: TemporaryRun, total: int | None, asked: int | None) -> ScaledRows | None:
    """Return for how many rows those that were imported stand; None if for themselves.

    Args:
        run: the run with its prompts.
        total: rows of the file, if a sample was imported.
        asked: rows for which an estimate is asked.

    Raises:
        ConfigError: if fewer rows are asked for than the file has.
    """
    summary = run.manifest[PROMPTS_SUMMARY]
    imported: int = summary["rows"]
    rows = total or imported
    if asked is not None and asked < rows:
        what = f"{asked:,}, but the file has {counted(rows, 'row')}"
        accepted = "as many rows or more; for fewer, --estimate with --set prompts.limit=N"
        raise ConfigError(what, where="--estimate-for", accepted=accepted)
    if asked is None and total is None:
        return None
    return ScaledRows(asked or rows, rows, imported, imported - sum(summary["splits"].values()))


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
