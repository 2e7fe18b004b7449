"""The stage that labels: checks, AI labeler and people judge the comparisons, and preferences come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from constitution.schema import Principle
from core.records import Comparison, Judgment, Preference
from core.similarity import are_near_duplicates
from engines.cached import RequestCounts
from labelers.aggregate import aggregate
from labelers.ai import AILabeler
from labelers.check import check_judgments, checked_principles
from labelers.mixing import Mixer, wants_machines
from labelers.votes import MACHINES
from pipeline.engines import Engines
from pipeline.people import take_people
from pipeline.runs import Run
from pipeline.stage import StageResult, StageWork, require_stage, run_stage


async def label_stage(run: Run, engines: Engines) -> StageResult:
    """Judge every comparison by checks and AI labeler, then aggregate all judgments into preferences.

    People's judgments are taken in first. Can be interrupted anywhere and run again.
    """
    require_stage(run, "compare")
    if run.config.label.humans:
        take_people(run)
    engine = engines.of("labeler")
    labeler = AILabeler(run.constitution, run.templates, run.config.label, engine, run.config.seed)
    labeling = _Labeling(run, labeler)
    engines.keep(engine)
    stage = StageWork(run, engines, "label", run.judgments)
    result = await run_stage(stage, run.all_comparisons, labeling.is_done, labeling.judge)
    write_preferences(run)
    return result


@dataclass(frozen=True)
class _Labeling:
    """Who judges what, and what is judged already."""

    run: Run
    labeler: AILabeler

    def is_done(self, comparison: Comparison) -> bool:
        """Return whether machines have said of a comparison all that they are asked."""
        if self.run.is_excluded(comparison.id, "label"):
            return True
        wanted = {*self._asked(comparison), *checked_principles(comparison, self.run.constitution)}
        return {principle.id for principle in wanted} <= self._judged(comparison)

    async def judge(self, comparison: Comparison) -> None:
        """Have a comparison judged by the checks, and by the AI labeler what it has not judged yet."""
        run, config = self.run, self.run.config.label
        if are_near_duplicates(comparison.response_a, comparison.response_b, config.near_duplicate):
            run.exclude("label", comparison.id, "the answers are nearly the same")
            return
        for judgment in check_judgments(comparison, run.constitution, config.check_confidence):
            run.judgments.append(judgment)
        done = self._judged(comparison)
        for principle in self._asked(comparison):
            if principle.id not in done:
                run.judgments.append(await self.labeler.judge(comparison, principle))

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


def _judged(run: Run) -> Iterator[tuple[Comparison, Iterator[Judgment]]]:
    """Yield each comparison that the stage did not leave out, with its judgments."""
    for comparison in run.all_comparisons():
        if not run.is_excluded(comparison.id, "label"):
            yield comparison, run.judgments.children(comparison.id)
