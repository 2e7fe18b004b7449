"""The training stages on examples (SFT, reward model, DPO): training data from records, and the results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import RunStateError
from core.records import Preference
from critique.supervised import supervised_data
from engines.cached import RequestCounts
from publius.models.provenance import Provenance, report_training, write_card
from publius.models.reward_model import finish_reward_model
from publius.models.training_job import AnyMethodConfig, training_job
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.sources.held_out import held_out_of
from publius.stages.base import COMMANDS, StageResult, require_stage
from training.examples import AnsweredPrompt, ExcludedExample, PreferencePair
from training.job import TrainingJob, TrainingResult, require_examples
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.processes import is_main
from training.sft import train_sft


async def sft_stage(run: Run, engines: Engines) -> StageResult:
    """Fine-tune the policy on the final answers of the critique loop."""
    require_stage(run, "critique")
    engines.keep()
    started, config = time.monotonic(), run.config.sft
    examples, excluded = supervised_examples(run)
    for prompt_id, reason in excluded:
        run.exclude("sft", prompt_id, reason)
    require_examples(examples, [ExcludedExample(*row) for row in excluded], "answers to train on")
    train, held_out = held_out_of(examples, config.held_out, "sft")
    job = job_of(run, "sft", config, None)
    result = train_sft(train, job, held_out)
    origin = provenance_of(run, "answers of the critique loop (traces.jsonl)")
    return record_training(run, job, [result], origin, config, started)


async def reward_stage(run: Run, engines: Engines) -> StageResult:
    """Train a reward model on the preferences, starting from `reward.init`, and evaluate it."""
    require_stage(run, "label")
    engines.keep()
    started, config = time.monotonic(), run.config.reward
    train, held_out = held_out_of(list(_pairs(run)), config.held_out, "reward")
    job = job_of(run, "reward", config, start_of(run, "reward", config.init))
    results = train_reward(train, job, config, held_out)
    evaluation = finish_reward_model(job, config, results, train, held_out) if is_main() else None
    return record_training(run, job, results, _labelled(run, train), config, started, evaluation)


async def dpo_stage(run: Run, engines: Engines) -> StageResult:
    """Train the policy on the preferences by DPO, starting from `dpo.init`."""
    require_stage(run, "label")
    engines.keep()
    started, config = time.monotonic(), run.config.dpo
    train, held_out = held_out_of(list(_pairs(run)), config.held_out, "dpo")
    job = job_of(run, "dpo", config, start_of(run, "dpo", config.init))
    result = train_dpo(train, job, config, held_out)
    return record_training(run, job, [result], _labelled(run, train), config, started)


def supervised_examples(run: Run) -> tuple[list[AnsweredPrompt], list[tuple[str, str]]]:
    """Return the SFT examples, and the ids of excluded prompts with reasons."""
    config = run.config.sft
    traces = (trace for trace in run.traces.sorted() if trace.prompt.split == "train")
    data = supervised_data(traces, run.constitution, config.benign_replay, run.config.seed, config.answers)
    examples = [
        AnsweredPrompt(target.trace.prompt.id, target.trace.prompt.messages, target.answer.text)
        for target in data.targets
    ]
    return examples, data.excluded


def job_of(run: Run, method: Method, section: AnyMethodConfig, start: Path | None) -> TrainingJob:
    """Return the training job of a method; `start` is the adapter to start from, None the base model."""
    siblings = sorted(folder / method for folder in run.folder.parent.iterdir() if folder != run.folder)
    return training_job(run.config, method, section, run.folder / method, start, siblings)


def start_of(run: Run, method: Method, init: str) -> Path | None:
    """Return the adapter that a method starts from, or None for the base model."""
    if init == "base" or (init == "auto" and "sft" not in run.config.train):
        return None
    before: Method = "dpo" if init == "dpo" else "sft"
    adapter = run.adapter(before)
    if adapter is None:
        raise RunStateError(
            f"{method} starts from the {before.upper()} model, which is not trained yet",
            where=str(run.folder / before),
            accepted=f"{method}.init=base, or a trained {before.upper()} model",
            run=f"{COMMANDS[before]} RUN.yaml",
        )
    return adapter


def _pairs(run: Run) -> Iterator[PreferencePair]:
    """Yield the run's preferences as training pairs; prompts held out for evaluation have none."""
    if not (run.folder / "preferences.jsonl").exists():
        return
    for preference in run.preferences:
        decisive = _decisive(preference)
        yield PreferencePair(
            id=preference.comparison_id,
            prompt=preference.prompt,
            chosen=preference.chosen[0].content,
            rejected=preference.rejected[0].content,
            p_chosen=preference.p_chosen,
            weight=preference.weight,
            chosen_finished=preference.finished_chosen,
            rejected_finished=preference.finished_rejected,
            groups={
                "source": "+".join(sorted(preference.sources)),
                "principle": decisive,
                "section": run.constitution.section_of(decisive) or "none",
            },
        )


def _decisive(preference: Preference) -> str:
    """Return the principle whose preference is furthest from a tie, or `none` if all are ties."""
    apart = {name: abs(p - 0.5) for name, p in preference.by_principle.items() if p != 0.5}
    return max(apart, key=lambda name: apart[name], default="none")


def _labelled(run: Run, pairs: Sequence[PreferencePair]) -> Provenance:
    """Return the provenance of preference pairs."""
    sources = Counter(pair.groups["source"] for pair in pairs)
    return provenance_of(run, "preferences.jsonl of the run", sources)


def provenance_of(run: Run, origin: str, sources: Mapping[str, int] | None = None) -> Provenance:
    """Return the provenance of training data, for the model card."""
    return Provenance(
        origin,
        sources=sources or {},
        constitution=run.constitution.name,
        constitution_digest=run.constitution.digest,
    )


def record_training(
    run: Run,
    job: TrainingJob,
    results: Sequence[TrainingResult],
    provenance: Provenance,
    section: AnyMethodConfig,
    started: float,
    evaluation: dict[str, Any] | None = None,
) -> StageResult:
    """Record a training stage and its exclusions, write the model card, and print notes and warnings."""
    method, first = job.method, results[0]
    for row in first.excluded:
        run.exclude(method, row.id, row.reason, row.detail)
    if is_main():
        write_card(job, results, provenance, section, evaluation)
        report_training(method, results, evaluation)
    seconds = time.monotonic() - started
    run.record_stage(method, first.examples, RequestCounts(), seconds)
    return StageResult(method, first.examples, run.excluded(method), RequestCounts(), seconds)
