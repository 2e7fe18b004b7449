"""The stage that labels: checks, AI labeler and people judge the comparisons, and preferences come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from constitution.schema import Constitution, Principle
from core.notices import warn
from core.records import Comparison, Judgment, Preference
from core.text.similarity import are_near_duplicates
from engines.cached import CachedEngine, RequestCounts
from engines.embedded import EMBEDDED_NAME
from engines.protocols import ChoiceRequest
from labelers.ai import AILabeler, require_labeler
from labelers.check import check_judgments, checked_principles
from labelers.config import LabelConfig
from labelers.crowd.aggregate import Settled, aggregate, aggregated_outcome
from labelers.crowd.votes import MACHINES
from labelers.mixing import Mixer, wants_machines
from prompts.environment import PromptTemplates
from publius.config.run_file import RunConfig
from publius.runs.engines import NEAR_CHANCE, Engines
from publius.runs.folder import Run
from publius.runs.records import RunFiles
from publius.stages.base import StageResult, StageWork, require_stage, run_stage
from publius.stages.human_labels import copy_annotations


async def label_stage(run: Run, engines: Engines) -> StageResult:
    """Judge every comparison by checks and AI labeler, then aggregate all judgments into preferences.

    People's judgments are taken in first. Can be interrupted anywhere and run again.
    """
    require_stage(run, "compare")
    if run.config.label.humans:
        copy_annotations(run)
    return await judge_and_aggregate(run, engines)


async def judge_and_aggregate(run: Run, engines: Engines) -> StageResult:
    """Judge by machines what they have not judged yet, and write the preferences that all judgments give."""
    labeling = Labeling.of(run, engines)
    engines.keep(labeling.engine)
    stage = StageWork(run, engines, "label", run.judgments)
    result = await run_stage(stage, run.all_comparisons, labeling.is_done, labeling.judge)
    write_preferences(run)
    return result


@dataclass(frozen=True)
class Labeling:
    """Who judges what, and what is judged already."""

    run: Run
    engine: CachedEngine
    labeler: AILabeler

    @classmethod
    def of(cls, run: Run, engines: Engines) -> Self:
        """Return the labeling of a run by its configuration."""
        engine = engines.of("labeler")
        return cls(
            run, engine, AILabeler(run.constitution, engine, run.config.label, run.config.seed, run.templates)
        )

    def is_done(self, comparison: Comparison) -> bool:
        """Return whether machines have said of a comparison all that they are asked."""
        if self.run.is_excluded(comparison.id, "label"):
            return True
        wanted = {*self._asked(comparison), *checked_principles(comparison, self.run.constitution)}
        return {principle.id for principle in wanted} <= self._judged(comparison)

    async def judge(self, comparison: Comparison) -> None:
        """Have a comparison judged by the checks, and by the AI labeler what it has not judged yet."""
        run, config = self.run, self.run.config.label
        if self._is_pointless(comparison):
            run.exclude("label", comparison.id, "the answers are nearly the same")
            return
        for judgment in check_judgments(comparison, run.constitution, config.check_confidence):
            run.judgments.append(judgment)
        done = self._judged(comparison)
        for principle in self._asked(comparison):
            if principle.id not in done:
                run.judgments.append(await self.labeler.judge(comparison, principle))

    def requests(self, comparison: Comparison) -> Iterator[ChoiceRequest]:
        """Yield what `judge` asks the AI labeler of a comparison of which nothing is judged yet."""
        if not self._is_pointless(comparison):
            for principle in self._asked(comparison):
                for a_first in (True, False):
                    yield self.labeler.request(comparison, principle, a_first=a_first)

    def _is_pointless(self, comparison: Comparison) -> bool:
        threshold = self.run.config.label.near_duplicate
        return are_near_duplicates(comparison.response_a, comparison.response_b, threshold)

    def _asked(self, comparison: Comparison) -> tuple[Principle, ...]:
        """Return what the AI labeler is asked; of comparisons that came with people's labels only what
        counts.
        """
        own = comparison.id in self.run.comparisons
        if own or wants_machines(self.run.config.label, comparison.prompt):
            return self.labeler.principles_for(comparison)
        return ()

    def _judged(self, comparison: Comparison) -> set[str | None]:
        judgments = self.run.judgments.children(comparison.id)
        return {judgment.principle_id for judgment in judgments if judgment.labeler in MACHINES}


def aggregation_rule(
    files: RunFiles, config: LabelConfig, constitution: Constitution
) -> Callable[[Comparison, Iterable[Judgment]], Settled | str]:
    """Return what says how the judgments of a comparison come to its preference in `write_preferences`."""
    if config.humans:
        return Mixer(config, constitution, _judged(files)).outcome
    return lambda comparison, judgments: aggregated_outcome(comparison, judgments, constitution)


def write_preferences(run: Run) -> int:
    """Aggregate all judgments anew into `preferences.jsonl`, in order of comparison; return their number."""
    mixer = Mixer(run.config.label, run.constitution, _judged(run)) if run.config.label.humans else None

    def preferences() -> Iterator[Preference]:
        for comparison, judgments in _judged(run):
            if mixer is None:
                outcome = aggregate(comparison, judgments, run.constitution)
            else:
                outcome = mixer.preference(comparison, judgments)
            if isinstance(outcome, Preference):
                yield outcome
            else:
                run.exclude("aggregate", comparison.id, outcome)

    count = run.replace_preferences(preferences())
    run.record_stage("aggregate", count, RequestCounts(), 0.0)
    return count


def _judged(files: RunFiles) -> Iterator[tuple[Comparison, Iterator[Judgment]]]:
    """Yield each comparison that the stage did not leave out, with its judgments."""
    for comparison in files.all_comparisons():
        if not files.is_excluded(comparison.id, "label"):
            yield comparison, files.judgments.children(comparison.id)


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
