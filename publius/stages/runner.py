"""The runner: open the engines and the folder of a run, and run its stages in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from constitution.loader import load_constitution
from core.errors import ConfigError, NothingToLearnError, PubliusError, RunStateError
from core.notices import note, warn
from core.terminal.interrupts import run_interruptibly
from engines.endpoint.spending import merged_records
from evaluation.config import STEERED
from evaluation.gates.variants import gates_without_variant
from prompts.user_templates import user_templates
from publius.config.deadline import Deadline
from publius.config.run_file import (
    LABELER_REWARD,
    TRAINABLE,
    RunConfig,
    load_stages_config,
    untrainable,
)
from publius.models.training_job import training_job
from publius.runs.engines import EngineMaker, Engines, make_engine, open_engines
from publius.runs.estimates import attach_estimate
from publius.runs.folder import Run
from publius.runs.opening.resuming import open_run, remove_if_nothing_recorded
from publius.runs.parts.audited import judges_by_model
from publius.runs.parts.shards import Shard
from publius.runs.previews import preview_servers
from publius.stages.base import SHARED_STAGES, STAGES, Stage, StageResult
from publius.stages.compare import compare_stage, warn_of_unpaired
from publius.stages.critique import critique_stage
from publius.stages.evaluate import eval_stage
from publius.stages.judges.audits import attach_audit, warn_about_families
from publius.stages.label import label_stage, warn_about_labels
from publius.stages.outcome import RunOutcome
from publius.stages.prompts import PromptIngestion
from publius.stages.quality.best_of import require_checks_as_gold
from publius.stages.quality.choose import choose_stage
from publius.stages.quality.refusing import refusal_prompts_of
from publius.stages.sample import sample_stage
from publius.stages.scale.overlap import overlapping, run_overlapping
from publius.stages.scale.workers import workers_of
from publius.stages.scoring import require_scored_answers
from publius.stages.training.distill import distill_stage
from publius.stages.training.dpo import dpo_stage
from publius.stages.training.examples import reward_stage, sft_stage
from publius.stages.training.nothing import nothing_learned
from publius.stages.training.rl import grpo_stage, ppo_stage, rloo_stage
from training.checkpoints import RESULT
from training.job import require_possible
from training.methods import METHODS, ON_POLICY_METHODS, POLICY_METHODS, RL_METHODS
from training.processes import is_main, wait_for_all, world_size

_RUNNERS = {
    "critique": critique_stage,
    "sample": sample_stage,
    "sft": sft_stage,
    "compare": compare_stage,
    "label": label_stage,
    "reward": reward_stage,
    "dpo": dpo_stage,
    "ppo": ppo_stage,
    "rloo": rloo_stage,
    "grpo": grpo_stage,
    "distill": distill_stage,
    "choose": choose_stage,
    "eval": eval_stage,
}


_ROUND = ("compare", "label", "reward", "dpo")
"""The stages of a round, which is omitted as a whole."""


@dataclass(frozen=True)
class RunRequest:
    """A run file, and the stages to run."""

    run_file: Path
    overrides: Sequence[str] = ()
    stages: Sequence[Stage] = ()
    """Stages to run; if empty, all stages that the run file asks for."""
    resume: Path | None = None
    strict: bool = False
    """True to treat inconclusive gates as failed."""
    started_s: float | None = None
    """Start of the command by `time.monotonic`, from which `time.minutes` counts; None for now."""
    shard: Shard | None = None
    """The part of the run to do, in a folder of its own; None for the whole run."""


def execute(request: RunRequest, make: EngineMaker = make_engine) -> RunOutcome:
    """Run the requested stages in order and return the outcome.

    Raises:
        PubliusError: for any error that the user can fix. Completed work is saved.
    """
    config = load_stages_config(request.run_file, request.overrides, request.stages)
    if request.strict:
        config = config.with_strict_gates()
    stages = request.stages or planned_stages(config)
    if request.shard is not None:
        stages = _shared(request.shard, stages)
    ingestion = PromptIngestion(config.prompts, config.split)
    project = request.run_file.resolve().parent
    deadline = config.time.deadline(time.monotonic() if request.started_s is None else request.started_s)
    plan = StagePlan(
        *(config, project, stages, ingestion, request.resume),
        check=ingestion.check,
        deadline=deadline,
        shard=request.shard,
        source=request,
    )
    return replace(run_plan(plan, make), is_whole=not request.stages)


@dataclass(frozen=True)
class StagePlan:
    """Stages of a run, and the function that provides their input."""

    config: RunConfig
    project: Path
    stages: Sequence[Stage]
    ingest: Callable[[Run], None]
    """Imports prompts or pairs into the run folder before the first stage; idempotent."""
    resume: Path | None = None
    check: Callable[[], object] = lambda: None
    """Raises if the input cannot be used; called before a new run folder is created."""
    pairs_only: bool = False
    """True if all answers are imported, so no policy or critic is needed."""
    deadline: Deadline | None = None
    """The time allowed; None without a limit."""
    shard: Shard | None = None
    """The part of the run to do; None for the whole run."""
    source: RunRequest | None = None
    """The run file and settings that the plan was made from; None if it was made otherwise."""


def run_plan(plan: StagePlan, make: EngineMaker = make_engine) -> RunOutcome:
    """Open the run of a plan, run its stages in order and return the outcome."""
    config = plan.config
    constitution = load_constitution(config.constitution)  # report its errors before looking for models
    if not constitution.steering:
        raise ConfigError(
            "every principle has weight 0: all are measured and none steers",
            where=str(config.constitution),
            accepted="a principle with a weight of more than 0",
        )
    if "eval" in plan.stages:
        require_checks_as_gold(config, constitution)
    user_templates(config.templates)
    _require_one_process_unless_training(plan.stages)
    _require_weights(config, plan.stages)
    with open_engines(config, plan.project, make, pairs_only=plan.pairs_only) as engines:
        if not is_main():
            wait_for_all()  # the main process creates the run folder
        new = False

        def before_new() -> None:
            nonlocal new
            plan.check()
            new = True

        opened = open_run(
            config,
            plan.project,
            engines.identities(),
            plan.resume,
            shard=plan.shard,
            writable=is_main(),
            before_new=before_new,
        )
        try:
            with opened as run:
                results = _run_stages(run, plan, engines, make)
        except PubliusError:
            if new and remove_if_nothing_recorded(opened.folder):
                note(f"nothing was recorded: {opened.folder} is removed")
            raise
        outcome = RunOutcome(run.folder, tuple(results))
        outcome.require_checked_gates()
        return outcome


def _run_stages(run: Run, plan: StagePlan, engines: Engines, make: EngineMaker) -> list[StageResult]:
    """Import the input of an open run and run the stages of its plan; return their results."""
    config = plan.config
    note(f"run folder {run.folder}")
    if plan.source is not None:
        run.note_source(plan.source.run_file.resolve().name, plan.source.overrides)
    previewed = preview_servers(plan.project, run.folder.name)
    engines.resume_servers(merged_records(run.server_records(), previewed))
    _require_possible_trainings(run, plan.stages)
    require_scored_answers(run, plan.stages)
    warn_about_labels(
        config,
        run.constitution,
        engines,
        self_labels=not plan.pairs_only,
        labels_now=asks_labeler(config, plan.stages),
        judges_now="choose" in plan.stages or "eval" in plan.stages,
    )
    labels_now = asks_labeler(config, plan.stages)
    attach_audit(run, engines, plan.project, labels_now=labels_now)
    warn_about_families(config.models, labels=labels_now and judges_by_model(config.label, run.constitution))
    if "eval" in plan.stages[1:]:  # as the first stage, it says so itself
        for line in gates_without_variant(config.gates, (*config.eval.models, STEERED)):
            warn(line)
    if is_main():
        plan.ingest(run)
        wait_for_all()  # the other processes may open the folder from here on
    if "compare" in plan.stages:
        warn_of_unpaired(run)
    if "eval" in plan.stages[1:] and is_main():  # as the first stage, it says so itself
        refusal_prompts_of(run)
    attach_estimate(run, plan.project)
    run.deadline = plan.deadline
    run.forget_late()
    results: list[StageResult] = []
    with workers_of(run, engines, plan.project, make) as workers:
        for stage in in_time(run, plan.stages):
            if any(result.stage == stage for result in results):
                continue  # it ran beside an earlier one
            workers.begin(stage)
            group = overlapping(run, engines, plan.stages, stage)
            results += run_interruptibly(run_overlapping(group, run, engines, _result_of))
    wait_for_all()
    _require_records(run, results)
    return results


def asks_labeler(config: RunConfig, stages: Sequence[Stage]) -> bool:
    """Return True if a stage asks the labeler, for labels, for scores or as a reward."""
    rewards = [config.rl(method).rewards for method in RL_METHODS if method in stages]
    scored = "sample" in stages or ("compare" in stages and config.compare.pairs == "best_worst")
    return (
        "label" in stages
        or ("dpo" in stages and config.dpo.rounds > 1)
        or ("critique" in stages and config.critique.judge)
        or (config.sample.judge and scored)
        or any(LABELER_REWARD in given for given in rewards)
    )


def in_time(run: Run, stages: Sequence[Stage]) -> Iterator[Stage]:
    """Yield each stage when the one before has run, without those that cannot run in time or on nothing.

    The round of comparisons, labels and DPO is omitted if it would end too late. What ran before, such as SFT
    on samples, is then the result. A run always trains something, and a round that has begun is completed.
    There is no choice of a checkpoint if every training had nothing to learn from.
    """
    late = False
    for stage in stages:
        if stage == "compare" and "dpo" in stages and run.deadline is not None:
            trained = any(run.adapter(method) for method in POLICY_METHODS)
            late = trained and run.adapter("dpo") is None and not run.deadline.allows_round()
            if late:
                warn(run.deadline.shortfall("the round of comparisons, labels and DPO"))
                run.record_late("dpo")
        if stage == "choose" and not run.checkpoints() and any(map(run.advice_of, METHODS)):
            note("choose: nothing was trained, so the base model stays")
        elif not (late and stage in _ROUND):
            yield stage


async def _result_of(stage: Stage, run: Run, engines: Engines) -> StageResult:
    """Run a stage. A training that has nothing to learn from is a result with advice."""
    try:
        return await _RUNNERS[stage](run, engines)
    except NothingToLearnError as error:
        method = next((method for method in METHODS if method == stage), None)
        if method is None:
            raise
        return nothing_learned(run, method, error)
    finally:
        run.record_servers(stage, engines.take_server_records())


def _require_records(run: Run, results: Sequence[StageResult]) -> None:
    """Raise RunStateError if a stage skipped every record; the stages after it have run if they could."""
    for result in results:
        if result.excluded and not result.records and not result.advice:
            reasons = "; ".join(f"{reason}: {count:,}" for reason, count in result.excluded.items())
            raise RunStateError(
                f"the stage {result.stage} skipped every record ({reasons})",
                where=str(run.folder),
                accepted="input of which at least one record can be used, and a model that answers",
            )


def _shared(shard: Shard, planned: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the planned stages that a shard runs; a note names the others.

    Raises:
        ConfigError: none of them can be done in parts.
    """
    mine = tuple(stage for stage in planned if stage in SHARED_STAGES)
    rest = [stage for stage in planned if stage not in mine]
    if not mine:
        raise ConfigError(
            f"{', '.join(planned)} cannot be done in parts",
            where=f"--shard {shard}",
            accepted=f"a run with one of the stages {', '.join(SHARED_STAGES)}",
        )
    if rest:
        note(f"shard {shard}: {', '.join(rest)} run after publius runs merge")
    return mine


def _require_one_process_unless_training(stages: Sequence[Stage]) -> None:
    others = [stage for stage in stages if stage not in METHODS]
    if world_size() > 1 and others:
        raise ConfigError(
            f"only training stages can run in several processes; this would also run {', '.join(others)}",
            where="accelerate launch",
            accepted=f"publius train {', '.join(METHODS)}, after the stages before it have run",
        )


def _require_weights(config: RunConfig, stages: Sequence[Stage]) -> None:
    """Refuse to train a policy that a server has, before a request is paid for."""
    trained = [stage for stage in stages if stage in METHODS]
    if trained and (reason := untrainable(config.models, config.engine)):
        raise ConfigError(
            f"{trained[0]} cannot be trained: {reason}", where="models.policy", accepted=TRAINABLE
        )


def _require_possible_trainings(run: Run, stages: Sequence[Stage]) -> None:
    """Refuse settings of the trainings to come before hours of generating and labeling."""
    for method in (method for method in METHODS if method in stages):
        folder = run.folder / method
        if not (folder / RESULT).is_file():
            require_possible(training_job(run.config, method, getattr(run.config, method), folder))


def planned_stages(config: RunConfig) -> tuple[Stage, ...]:
    """Return the stages of a complete run: data stages, the methods in `train`, choice and evaluation.

    All data stages come before the training, so that their model is loaded once; SFT comes before `compare`
    only if samples of the SFT model are compared. Methods on the policy's own answers need only prompts, so
    data stages are skipped if `train` lists no others. Without a trained policy, a run is evaluated if it has
    gates. `critique` and `sample` run if a stage reads their records.
    """
    trained = bool(set(config.train) & set(POLICY_METHODS))
    evaluated = (("choose",) if trained and config.choose else ()) + (
        ("eval",) if trained or config.gates else ()
    )
    before = _data_stages(config)
    wanted = {*before, *config.train, *evaluated}
    first = () if config.compare.source == "sft" else before
    return tuple(stage for stage in dict.fromkeys((*first, *STAGES)) if stage in wanted)


def _data_stages(config: RunConfig) -> tuple[Stage, ...]:
    """Return the stages that make the data of a run's trainings or, without any training, the data set."""
    mixed_in = "ppo" in config.train and config.ppo.sft_coef > 0
    answered = not config.train or "sft" in config.train or mixed_in
    on_policy_only = bool(config.train) and set(config.train) <= set(ON_POLICY_METHODS)
    paired = not on_policy_only
    if config.sft.source == "samples" and config.train:
        paired = bool({"reward", "dpo"} & set(config.train))
    sources = {config.sft.source if answered else None, config.compare.source if paired else None}
    read: dict[Stage, bool] = {
        "critique": "revisions" in sources,
        "sample": "samples" in sources,
        "compare": paired,
        "label": paired,
    }
    return tuple(stage for stage, is_read in read.items() if is_read)
