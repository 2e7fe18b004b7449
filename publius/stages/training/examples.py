"""The training stages SFT and reward model: training data from records, and the results of all methods."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from core.errors import NothingToLearnError, RunStateError
from core.notices import note
from core.records import Preference
from critique.best_of import best_answers
from critique.supervised import supervised_data
from engines.cached import RequestCounts
from labelers.ai import AI_LABELER
from publius.models.provenance import Provenance, report_training, warn_of_few_examples, write_card
from publius.models.reward_model import finish_reward_model
from publius.models.training_job import AnyMethodConfig, training_job
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.runs.pairs.caveats import divided_people, labeler_caveats, scripted_roles
from publius.runs.pairs.label_metrics import judgment_metrics
from publius.runs.pairs.people import outvoted_caveats
from publius.runs.parts.audited import audit_of
from publius.sources.held_out import held_out_of
from publius.stages.base import COMMANDS, StageResult, parse_stage, prompts_of, require_stage
from publius.stages.training.few import FEW_LEARNED, warn_before_training
from training.edits.train import train_edits
from training.examples import AnsweredPrompt, ExcludedExample, PreferencePair
from training.job import TrainingJob, TrainingResult, require_examples
from training.methods import Method
from training.pairs.reward import train_reward
from training.processes import is_main
from training.sft import train_sft


async def sft_stage(run: Run, engines: Engines) -> StageResult:
    """Fine-tune the policy on the final answers of the critique loop, or on the best of the samples."""
    started, config = time.monotonic(), run.config.sft
    require_stage(run, "critique" if config.source == "revisions" else "sample")
    engines.keep()
    data = supervised_examples(run)
    for prompt_id, reason in data.excluded:
        run.exclude("sft", prompt_id, reason)
    require_examples(data.rows, [ExcludedExample(*row) for row in data.excluded], "answers to train on")
    few = warn_before_training(run, "sft", len(data.rows), Counter(reason for _, reason in data.excluded))
    train, held_out = held_out_of(data.rows, config.held_out, "sft")
    job = job_of(run, "sft", config, None)
    if config.learn == "edits":
        result = train_edits(train, job, config, held_out)
    else:
        result = train_sft(train, job, held_out)
    file = "the critique loop (traces.jsonl)" if config.source == "revisions" else "samples.jsonl, best of K"
    excluded = tuple(ExcludedExample(*row) for row in data.excluded)
    origin = replace(provenance_of(run, f"answers of {file}"), origins=data.origins, excluded=excluded)
    return record_training(run, job, [result], origin, config, started, few=few)


async def reward_stage(run: Run, engines: Engines) -> StageResult:
    """Train a reward model on the preferences, starting from `reward.init`, and evaluate it."""
    require_stage(run, "label")
    engines.keep()
    started, config = time.monotonic(), run.config.reward
    pairs = list(preference_pairs(run))
    few = warn_before_training(run, "reward", len(pairs))
    train, held_out = held_out_of(pairs, config.held_out, "reward")
    job = job_of(run, "reward", config, start_of(run, "reward", config.init))
    results = train_reward(train, job, config, held_out)
    evaluation = finish_reward_model(job, config, results, train, held_out) if is_main() else None
    origin = labelled(run, train, results[0].excluded)
    return record_training(run, job, results, origin, config, started, evaluation, few=few)


@dataclass
class SupervisedExamples:
    """The examples of SFT."""

    rows: list[AnsweredPrompt] = field(default_factory=list)
    excluded: list[tuple[str, str]] = field(default_factory=list)
    """Ids of excluded prompts, with reasons."""
    origins: Counter[str] = field(default_factory=Counter)
    """Number of examples by the way in which the answer was made, if they are samples."""


def supervised_examples(run: Run) -> SupervisedExamples:
    """Return the SFT examples of a run, from the source that `sft.from` names."""
    return _from_samples(run) if run.config.sft.source == "samples" else _from_traces(run)


def _from_traces(run: Run) -> SupervisedExamples:
    config = run.config.sft
    traces = (trace for trace in run.traces.sorted() if trace.prompt.split == "train")
    data = supervised_data(traces, run.constitution, config.benign_replay, run.config.seed, config.answers)
    rows = [
        AnsweredPrompt(target.trace.prompt.id, target.trace.prompt.messages, target.answer.text)
        for target in data.targets
    ]
    return SupervisedExamples(rows, data.excluded)


def _from_samples(run: Run) -> SupervisedExamples:
    found = SupervisedExamples()
    for prompt in sorted(prompts_of(run, {"train"}), key=attrgetter("id")):
        answers = list(run.samples.children(prompt.id))
        if not answers:
            continue  # excluded by the sample stage, with the reason
        best = best_answers(answers, run.config.sft.per_prompt)
        if isinstance(best, str):
            found.excluded.append((prompt.id, best))
            continue
        drafts = tuple(text for answer in answers if (text := answer.written))
        found.rows += [
            AnsweredPrompt(prompt.id, prompt.messages, answer.answer.text, drafts=drafts) for answer in best
        ]
        found.origins.update(answer.way for answer in best)
    return found


def job_of(run: Run, method: Method, section: AnyMethodConfig, start: Path | None) -> TrainingJob:
    """Return the training job of a method; `start` is the adapter to start from, None the base model."""
    siblings = [folder / method for folder in siblings_of(run)]
    return training_job(run.config, method, section, run.folder / method, start, siblings)


def siblings_of(run: Run) -> list[Path]:
    """Return the folders of the project's other runs."""
    return sorted(folder for folder in run.folder.parent.iterdir() if folder != run.folder)


def start_of(run: Run, method: Method, init: str) -> Path | None:
    """Return the adapter that a method starts from, or None for the base model."""
    if init == "base" or (init == "auto" and "sft" not in run.config.train):
        return None
    before: Method = "dpo" if init == "dpo" else "sft"
    adapter = run.adapter(before)
    if adapter is None and run.advice_of(before) is not None:
        if init == "auto":
            note(f"{method} starts from the base model, since {before.upper()} had nothing to learn from")
            return None
        raise NothingToLearnError(f"{method}.init is {init}, and {before.upper()} had nothing to learn from")
    if adapter is None:
        raise RunStateError(
            f"{method} starts from the {before.upper()} model, which is not trained yet",
            where=str(run.folder / before),
            accepted=f"{method}.init=base, or a trained {before.upper()} model",
            run=f"{COMMANDS[before]} RUN.yaml",
        )
    return adapter


def preference_pairs(run: Run) -> Iterator[PreferencePair]:
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


def labelled(
    run: Run, pairs: Sequence[PreferencePair], excluded: Sequence[ExcludedExample] = ()
) -> Provenance:
    """Return the provenance of preference pairs, without those that the training excluded."""
    unused = {row.id for row in excluded}
    pairs = [pair for pair in pairs if pair.id not in unused]
    sources = Counter(pair.groups["source"] for pair in pairs)
    origin = provenance_of(run, "preferences.jsonl of the run", sources)
    used = {pair.id for pair in pairs}
    chosen = (p.origin_chosen for p in run.preferences if p.comparison_id in used) if used else ()
    by_ai = any(AI_LABELER in source.split("+") for source in sources)
    audit = audit_of(run.folder, run.manifest) if by_ai else {}
    caveats = divided_people(run.folder, run.manifest) + outvoted_caveats(run.folder)
    audited = {**run.manifest, "audit": audit}
    caveats += labeler_caveats(audited, judgment_metrics(run.folder)) if by_ai else ()
    origins = Counter(name.partition(":")[0] for name in chosen)
    return replace(origin, origins=origins, audit=audit, caveats=caveats)


def provenance_of(run: Run, origin: str, sources: Mapping[str, int] | None = None) -> Provenance:
    """Return the provenance of training data, for the model card."""
    return Provenance(
        origin,
        sources=sources or {},
        constitution=run.constitution.name,
        constitution_digest=run.constitution.digest,
        stand_ins=scripted_roles(run.folder, run.manifest),
    )


def record_training(
    run: Run,
    job: TrainingJob,
    results: Sequence[TrainingResult],
    provenance: Provenance,
    section: AnyMethodConfig,
    started: float,
    evaluation: dict[str, Any] | None = None,
    counts: RequestCounts | None = None,
    few: str | None = None,
) -> StageResult:
    """Record a training stage and its exclusions, write the model card, and print notes and warnings.

    Args:
        run: the run.
        job: the training job.
        results: its results; one, or one per member of an ensemble.
        provenance: the origin of the training data.
        section: the method's section of the configuration.
        started: the time at which the stage started, by `time.monotonic`.
        evaluation: the content of a reward model's metrics file.
        counts: requests that the stage sent to engines, if any.
        few: that it had few examples, as `warn_before_training` says.
    """
    method, first = job.method, results[0]
    for row in first.excluded:
        run.exclude(method, row.id, row.reason, row.detail)
    if is_main():
        write_card(job, results, provenance, section, evaluation)
        report_training(method, results, evaluation)
        warn_of_few_examples(job.folder)
    seconds = time.monotonic() - started
    spent = counts or RequestCounts()
    run.record_stage(method, first.examples, spent, seconds)
    run.note_advice(method, None)
    run.note_result(method, FEW_LEARNED, few)
    return StageResult(parse_stage(method), first.examples, run.excluded(method), spent, seconds)
