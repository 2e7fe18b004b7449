"""One invocation on one run: the run file read, the engines at hand, the run folder open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from constitution.loader import load_constitution
from core.errors import ConfigError
from engines.cached import RequestCounts
from engines.embedded import EMBEDDED_NAME
from labelers.ai import require_labeler
from prompts.environment import PromptTemplates
from publius.config.run_file import RunConfig, build_run_config, load_run_config
from publius.console import note, warn
from publius.run.engines import NEAR_CHANCE, EngineMaker, Engines, Role, make_engine
from publius.run.folder import open_run
from publius.run.project import open_cache
from publius.sources.pairs import read_pairs
from publius.stages.base import STAGES, Stage, StageResult
from publius.stages.compare import compare_stage, critique_stage, ingest_prompts
from publius.stages.evaluate import eval_stage
from publius.stages.label import label_stage
from publius.stages.training.examples import dpo_stage, reward_stage, sft_stage
from publius.stages.training.rl import grpo_stage, ppo_stage, rloo_stage
from training.config import METHODS, POLICY_METHODS
from training.processes import is_main, wait_for_all, world_size
from training.rl.config import RL_METHODS

_RUNNERS = {
    "critique": critique_stage,
    "sft": sft_stage,
    "compare": compare_stage,
    "label": label_stage,
    "reward": reward_stage,
    "dpo": dpo_stage,
    "ppo": ppo_stage,
    "rloo": rloo_stage,
    "grpo": grpo_stage,
    "eval": eval_stage,
}


@dataclass(frozen=True)
class RunRequest:
    """What the command line asks for."""

    run_file: Path
    overrides: Sequence[str] = ()
    stages: Sequence[Stage] = ()
    """Which ones; none stands for all that the run file asks for."""
    resume: Path | None = None


@dataclass(frozen=True)
class RunOutcome:
    """What came of it."""

    folder: Path
    stages: tuple[StageResult, ...]


def execute(request: RunRequest, make: EngineMaker = make_engine) -> RunOutcome:
    """Run the stages asked for, in order, and return what each left behind.

    Raises:
        PubliusError: for anything that the user can mend; what was finished stays.
    """
    config = load_run_config(request.run_file, request.overrides)
    load_constitution(config.constitution)  # its mistakes are told before a model is looked for
    project = request.run_file.resolve().parent
    stages = request.stages or planned_stages(config)
    _require_one_process_unless_training(stages)
    with open_engines(config, project, make) as engines:
        if not is_main():
            wait_for_all()  # the first process makes the run folder
        writes = is_main()
        with open_run(config, project, engines.identities(), request.resume, writable=writes) as run:
            note(f"run folder {run.folder}")
            warn_of_labels(config, engines)
            if writes:
                ingest_prompts(run)
                wait_for_all()
            results = [asyncio.run(_RUNNERS[stage](run, engines)) for stage in stages]
            wait_for_all()
        return RunOutcome(run.folder, tuple(results))


def _require_one_process_unless_training(stages: Sequence[Stage]) -> None:
    others = [stage for stage in stages if stage not in METHODS]
    if world_size() > 1 and others:
        raise ConfigError(
            f"only trainings can be shared between processes, and this would run {', '.join(others)}",
            where="accelerate launch",
            accepted=f"publius train {', '.join(METHODS)}, once the stages before it have run",
        )


def planned_stages(config: RunConfig) -> tuple[Stage, ...]:
    """Return the stages of a whole run: training where `train` names it, then the policy's evaluation.

    PPO, RLOO and GRPO learn from prompts and rewards, so that nothing has to be written or labelled for them.
    """
    evaluated = ("eval",) if set(config.train) & set(POLICY_METHODS) else ()
    before = () if config.train and set(config.train) <= set(RL_METHODS) else ("critique", "compare", "label")
    wanted = {*before, *config.train, *evaluated}
    return tuple(stage for stage in STAGES if stage in wanted)


@dataclass(frozen=True)
class PairsRequest:
    """Someone else's pairs, to be judged under a constitution."""

    pairs: Path
    constitution: str
    model: str
    project: Path
    overrides: Sequence[str] = ()


def label_pairs(request: PairsRequest, make: EngineMaker = make_engine) -> RunOutcome:
    """Judge the pairs of a file in a run folder of their own, and return what that left behind.

    Raises:
        PubliusError: for anything that the user can mend; what was finished stays.
    """
    comparisons = list(read_pairs(request.pairs))
    settings = {
        "name": "pairs",
        "constitution": request.constitution,
        "prompts": str(request.pairs.resolve()),
        "models": {"policy": request.model},
    }
    config = build_run_config(settings, request.overrides)
    load_constitution(config.constitution)
    with open_engines(config, request.project, make, pairs_only=True) as engines:
        with open_run(config, request.project, engines.identities()) as run:
            note(f"run folder {run.folder}")
            warn_of_labels(config, engines, self_labels=False)
            seen: set[str] = set()
            for comparison in comparisons:
                if comparison.id in seen:
                    run.exclude(
                        "compare", comparison.id, "the pair stands in the file twice", comparison.group
                    )
                seen.add(comparison.id)
                run.comparisons.append(comparison)
            run.record_stage("compare", len(run.comparisons), RequestCounts(), 0.0)
            result = asyncio.run(label_stage(run, engines))
        return RunOutcome(run.folder, (result,))


@contextmanager
def open_engines(
    config: RunConfig, project: Path, make: EngineMaker = make_engine, *, pairs_only: bool = False
) -> Iterator[Engines]:
    """Yield the engines of a configuration over the project's cache; close both at the end."""
    with open_cache(project) as cache:
        writers: tuple[Role, ...] = () if pairs_only else ("policy", "critic")
        labelers: tuple[Role, ...] = ("labeler",) if config.label.principles else ()
        judges: tuple[Role, ...] = ("judge",) if config.models.judge else ()
        engines = Engines(config.models, config.engine, cache, make, (*writers, *labelers, *judges))
        try:
            yield engines
        finally:
            engines.close()


def parse_stage(name: str) -> Stage:
    """Return the stage of that name. Raises ConfigError naming the stages."""
    for stage in STAGES:
        if stage == name:
            return stage
    raise ConfigError(f"there is no stage {name!r}", where="--only", accepted=", ".join(STAGES))


def warn_of_labels(config: RunConfig, engines: Engines, *, self_labels: bool = True) -> None:
    """Say what the user should know before relying on the labels; refuse a labeler that cannot label."""
    for name in engines.base_models():
        warn(f"{name} has no chat template, so it is spoken to in ChatML")
    if not config.label.principles:
        return
    labeler = engines.of("labeler")
    require_labeler(labeler, PromptTemplates())
    if self_labels and labeler.identity in {engines.of(role).identity for role in ("policy", "critic")}:
        warn("self-labelled: the labeler judges answers of its own; name a stronger models.labeler")
    if labeler.model == EMBEDDED_NAME:
        warn(f"{NEAR_CHANCE}: trust the machine checks only, and name a real labeler for judged principles")
