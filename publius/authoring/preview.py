"""`publius run --preview N`: the first prompts of every stage before training, as a reader wants to see them.

The stages run as they are, in a temporary folder. Their answers go into the project's request cache, where
the run finds them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from core.errors import ConfigError
from core.notices import note, warn
from core.records import (
    Comparison,
    CritiqueTrace,
    Generation,
    Judgment,
    Preference,
    Prompt,
    Revision,
    ScoredAnswer,
)
from core.terminal.interrupts import run_interruptibly
from engines.cached import RequestCounts
from publius.authoring.estimating.speeds import models_asked
from publius.config.run_file import load_run_config
from publius.runs.engines import EngineMaker, Engines, make_engine, open_engines
from publius.runs.folder import Run
from publius.runs.opening.identity import place_of
from publius.runs.previews import record_preview, record_preview_pairs, record_preview_speed, servers_asked
from publius.runs.temporary import TemporaryRun
from publius.stages.base import Stage
from publius.stages.compare import compare_stage
from publius.stages.critique import critique_stage
from publius.stages.label import label_stage, warn_about_labels
from publius.stages.prompts import PromptIngestion
from publius.stages.runner import asks_labeler, planned_stages
from publius.stages.sample import sample_stage
from publius.stages.scoring import require_scored_answers
from publius.stages.training.usable import UsablePairs, usable_pairs

NO_FAULT = "no_fault"
"""Flag of a round that ended with a critique that found nothing wrong."""
_STAGES = {
    "critique": critique_stage,
    "sample": sample_stage,
    "compare": compare_stage,
    "label": label_stage,
}


@dataclass(frozen=True)
class PreviewRequest:
    """A run file, and how many prompts of each stage to preview."""

    run_file: Path
    prompts: int
    """Number of prompts of each stage, in the order of the file."""
    overrides: Sequence[str] = ()
    until: Stage | None = None
    """Last stage to preview; None for all before training."""


@dataclass(frozen=True)
class JudgedComparison:
    """A comparison with its judgments and the preference that they lead to."""

    comparison: Comparison
    judgments: tuple[Judgment, ...]
    preference: Preference | None
    """None if there is none; `RunPreview.excluded` has the reasons."""

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON-able values."""
        comparison, preference = self.comparison, self.preference
        return {
            "a": {"origin": comparison.origin_a, "text": comparison.response_a},
            "b": {"origin": comparison.origin_b, "text": comparison.response_b},
            "judgments": [
                {
                    "labeler": judgment.labeler,
                    "principle": judgment.principle_id,
                    "p_a": judgment.p_a,
                    "verdict": judgment.verdict,
                }
                for judgment in self.judgments
            ],
            "preference": None
            if preference is None
            else {"chosen": preference.origin_chosen, "p_chosen": preference.p_chosen},
        }


@dataclass(frozen=True)
class PreviewedPrompt:
    """A prompt with what the stages made of it."""

    prompt: Prompt
    trace: CritiqueTrace | None
    samples: tuple[ScoredAnswer, ...]
    comparisons: tuple[JudgedComparison, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the prompt as JSON-able values."""
        return {
            "id": self.prompt.id,
            "split": self.prompt.split,
            "messages": [message.model_dump() for message in self.prompt.messages],
            **({} if self.trace is None else _trace_json(self.trace)),
            "samples": [
                {"origin": s.origin, "text": s.answer.text, "score": s.score, "passed": s.passed}
                for s in self.samples
            ],
            "comparisons": [comparison.as_json() for comparison in self.comparisons],
        }


@dataclass(frozen=True)
class RunPreview:
    """The first prompts of every stage, with what the run will make of them."""

    stages: tuple[str, ...]
    prompts: tuple[PreviewedPrompt, ...]
    counts: RequestCounts
    excluded: Mapping[str, Mapping[str, int]]
    """Number of excluded records by stage and reason."""
    usable: UsablePairs | None = None
    """How many of the pairs DPO can use; None if the run does not train by DPO, or nothing was labelled."""
    remedy: str = ""
    """What to change so that DPO can use more of them."""

    def as_json(self) -> dict[str, Any]:
        """Return the preview as JSON-able values."""
        return {
            "stages": list(self.stages),
            "prompts": [prompt.as_json() for prompt in self.prompts],
            "requests": {
                "asked": self.counts.asked.total(),
                "reused": self.counts.reused.total(),
                "prompt_tokens": self.counts.prompt_tokens,
                "completion_tokens": self.counts.completion_tokens,
            },
            "left_out": {stage: dict(reasons) for stage, reasons in self.excluded.items()},
            **({} if self.usable is None else {"dpo": self.usable.as_json()}),
        }


def preview_run(request: PreviewRequest, make: EngineMaker = make_engine) -> RunPreview:
    """Run the first prompts of every stage before training, and return what they lead to.

    Nothing is trained, and the run folder is not touched. The answers are in the project's request cache,
    what servers were asked counts under the budget of the run, and estimates know the speed of the models.

    Raises:
        ConfigError: if no stage of the run can be previewed.
        PubliusError: for any other error that the user can fix.
    """
    config = load_run_config(request.run_file, request.overrides)
    stages = _stages(request, planned_stages(config))
    constitution = load_constitution(config.constitution)  # report its errors before looking for models
    project = request.run_file.resolve().parent
    ingestion = PromptIngestion(config.prompts, config.split)
    ingestion.check()
    with (
        open_engines(config, project, make) as engines,
        tempfile.TemporaryDirectory(prefix="publius-") as folder,
    ):
        own, identity = place_of(project, config, constitution, engines.identities())
        work = Path(folder) / "runs" / own.name
        work.mkdir(parents=True)
        with TemporaryRun(work, own, config, constitution, identity) as run:
            engines.resume_servers(servers_asked(project, own))
            require_scored_answers(run, stages)
            try:
                warn_about_labels(config, constitution, engines, labels_now=asks_labeler(config, stages))
                ingestion(run)
                run.narrow = lambda prompts: islice(prompts, request.prompts)
                counts = sum((_run(stage, run, engines) for stage in stages), RequestCounts())
            finally:
                record_preview(project, own.name, engines.take_server_records())
                done: dict[str, Any] = {stage: run.manifest["stages"].get(stage, {}) for stage in stages}
                record_preview_speed(project, own.name, models_asked(config), done)
            prompts = tuple(_prompts(run))
            excluded = {
                stage: reasons for stage in (*stages, "aggregate") if (reasons := run.excluded(stage))
            }
            usable = usable_pairs(run) if "dpo" in config.train and "label" in stages else None
            if usable is not None and not usable.pairs:
                usable = None
            if usable is not None:
                record_preview_pairs(project, own.name, usable.counts())
    remedy = usable.remedy(config) if usable else ""
    return RunPreview(stages, prompts, counts, excluded, usable, remedy)


def _stages(request: PreviewRequest, planned: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages to preview. Raises ConfigError if there are none, or no prompts."""
    stages = tuple(stage for stage in planned if stage in _STAGES)
    if request.until in stages:
        stages = stages[: stages.index(request.until) + 1]
    elif request.until is not None:
        stages = ()
    if stages and request.prompts >= 1:
        return stages
    found = request.prompts if request.prompts < 1 else f"only {request.until or ', '.join(planned)}"
    raise ConfigError(
        f"nothing to preview: found {found}",
        where="--preview",
        accepted=f"at least 1 prompt, and a run with one of the stages {', '.join(_STAGES)}",
    )


def _run(stage: Stage, run: Run, engines: Engines) -> RequestCounts:
    if stage == "compare" and run.config.compare.source == "sft":
        if run.adapter("sft") is None:
            warn("compare: SFT is not trained yet, so these are answers of the untrained policy")
        run.record_stage("sft", 0, RequestCounts(), 0.0)
    note(f"previewing {stage}")
    return run_interruptibly(_STAGES[stage](run, engines)).counts


def _prompts(run: Run) -> Iterator[PreviewedPrompt]:
    """Yield the prompts that a stage has worked on, in the order of the file."""
    preferences = {}
    if (run.folder / "preferences.jsonl").is_file():
        preferences = {preference.comparison_id: preference for preference in run.preferences}
    for prompt in run.prompts:
        trace = next(iter(run.traces.children(prompt.id)), None)
        samples = tuple(sorted(run.samples.children(prompt.id), key=lambda sample: sample.origin))
        comparisons = tuple(
            JudgedComparison(
                comparison,
                tuple(run.judgments.children(comparison.id)),
                preferences.get(comparison.id),
            )
            for comparison in run.comparisons.children(prompt.id)
        )
        if trace is not None or samples or comparisons:
            yield PreviewedPrompt(prompt, trace, samples, comparisons)


def _trace_json(trace: CritiqueTrace) -> dict[str, Any]:
    return {"draft": _answer_json(trace.initial), "rounds": list(map(_round_json, trace.revisions))}


def _round_json(revision: Revision) -> dict[str, Any]:
    *others, best = revision.candidates
    found_nothing = NO_FAULT in revision.flags  # then nothing was revised
    return {
        "round": revision.round,
        "principles": list(revision.principle_ids),
        "critique": revision.critique.text if revision.critique else None,
        "revision": None if found_nothing else _answer_json(best),
        "other_candidates": [_answer_json(answer) for answer in others],
        "kept": revision.kept,
        "flags": list(revision.flags),
        "broken": list(revision.broken),
        "dropped": revision.dropped,
    }


def _answer_json(answer: Generation) -> dict[str, Any]:
    return {"text": answer.text, "tokens": answer.completion_tokens, "finish_reason": answer.finish_reason}
