"""The label stage: judge the comparisons and aggregate all judgments into preferences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from constitution.schema import Constitution, Principle
from core.notices import note, warn
from core.records import Comparison, Exclusion, Judgment, Preference
from core.text.similarity import are_near_duplicates
from engines.cached import CachedEngine, RequestCounts
from engines.embedded import EMBEDDED_NAME
from engines.protocols import Engine, compares_replies, takes_questions
from labelers.ai import AILabeler, require_labeler
from labelers.check import check_judgments, checked_principles
from labelers.config import MODE_TEMPLATES, LabelConfig, further_templates
from labelers.correction.correction import ABSTAINED, Corrector, corrector_of
from labelers.crowd.aggregate import Settled, aggregate, aggregated_outcome, settle_by_tier
from labelers.crowd.votes import MACHINES
from labelers.mixing import Mixer, wants_machines
from labelers.modes.asking import Request
from prompts.environment import DECISION_TEMPLATES, JUDGE_TEMPLATES, PromptTemplates
from prompts.user_templates import TEMPLATE_SUFFIX, user_templates
from publius.config.run_file import RunConfig
from publius.runs.engines import EMBEDDED_JUDGES_BY_CHANCE, Engines
from publius.runs.folder import Run
from publius.runs.inputs import digest_lines
from publius.runs.opening.rules import tier_rule_of
from publius.runs.pairs.caveats import NEAR_DUPLICATES
from publius.runs.parts.audited import judges_by_model
from publius.runs.reader import RunReader
from publius.runs.records import RunFiles
from publius.stages.base import HERE, Made, StageResult, StageWork, Step, require_stage, run_stage
from publius.stages.human_labels import copy_annotations
from publius.stages.judges.trained import judged_constitution, require_templates_of_judge

CHAT_TEMPLATES = ("comparison", "pointwise")
"""Templates of the labels that are asked for in a conversation."""
_PREFERENCES = "preferences.jsonl"
_WRITTEN = "lines"
"""Name in the manifest of what identifies the preferences as they were written."""
ASK = "label.ask"
"""Name of the step that asks the AI labeler about a comparison."""


async def label_stage(run: Run, engines: Engines) -> StageResult:
    """Judge every comparison by checks and AI labeler, then aggregate all judgments into preferences.

    Human judgments are imported first. The stage can be interrupted at any point and run again.
    """
    require_stage(run, "compare")
    if run.config.label.humans and run.shard is None:  # a shard cannot tell whose the comparisons are
        copy_annotations(run)
    return await judge_and_aggregate(run, engines)


async def judge_and_aggregate(run: Run, engines: Engines, title: str = "") -> StageResult:
    """Add the missing automatic judgments, then aggregate all judgments into preferences.

    Args:
        run: the run.
        engines: its engines.
        title: label of the progress line, if not the stage's name.
    """
    labeling = Labeling.of(run, engines)
    stage = StageWork(run, engines, "label", run.judgments, title)
    step = Step(HERE, (labeling.engine,), labeling.judge)
    nothing_new = run.is_complete("label") and _has_preferences(run)
    result = await run_stage(stage, run.all_comparisons, labeling.is_done, step, source=run.comparisons)
    if not nothing_new:
        write_preferences(run)
    advice = None
    if not result.records and set(result.excluded) == {NEAR_DUPLICATES}:
        threshold = run.config.label.near_duplicate
        advice = (
            f"all answers to be compared are near-duplicates; raise label.near_duplicate (now {threshold:g})"
            " or the temperature of the answers"
        )
    result.advice = run.note_advice("label", advice)
    return result


@dataclass(frozen=True)
class Labeling:
    """The automatic labeling of a run: which judgments are needed, and which of them exist."""

    run: Run
    engines: Engines
    engine: CachedEngine
    labeler: AILabeler

    @classmethod
    def of(cls, run: Run, engines: Engines) -> Self:
        """Return the labeling that a run's configuration asks for."""
        engine = engines.of("labeler")
        constitution = judged_constitution(run.constitution, Path(run.config.models.of("labeler").id))
        labeler = AILabeler(constitution, engine, run.config.label, run.config.seed, run.templates)
        return cls(run, engines, engine, labeler)

    def is_done(self, comparison: Comparison) -> bool:
        """Return True if a comparison has all automatic judgments, or is excluded."""
        if self.run.is_excluded(comparison.id, "label"):
            return True
        checked = checked_principles(comparison, self.run.constitution)
        wanted = {principle.id for principle in checked}
        asked = {self.labeler.recorded_principle(principle) for principle in self._asked(comparison)}
        return wanted | asked <= self._judged(comparison)

    async def judge(self, comparison: Comparison) -> AsyncIterator[Made]:
        """Yield the judgments of the checks, and those of the AI labeler that are missing."""
        run, config = self.run, self.run.config.label
        if self._is_pointless(comparison):
            yield Exclusion.of("label", comparison.id, NEAR_DUPLICATES)
            return
        for judgment in check_judgments(comparison, run.constitution, config.check_confidence):
            yield judgment
        done = self._judged(comparison)
        asked = self._asked(comparison)
        wanted = [one for one in asked if self.labeler.recorded_principle(one) not in done]
        if wanted:
            names = [principle.id for principle in wanted]
            async for made in self.engines.done(ASK, self.ask, comparison, names):
                yield made

    async def ask(self, comparison: Comparison, names: Sequence[str]) -> AsyncIterator[Made]:
        """Yield the AI labeler's judgments by the principles with these ids.

        The first failure is raised after the judgments of the others.
        """
        # Together, so that questions about the same replies can share a request or a prefix.
        principles = [one for one in self.labeler.principles_for(comparison) if one.id in names]
        judging = (self.labeler.judge(comparison, principle) for principle in principles)
        found = await asyncio.gather(*judging, return_exceptions=True)
        for outcome in found:
            if isinstance(outcome, Judgment):
                yield outcome
        for failure in (one for one in found if isinstance(one, BaseException)):
            raise failure

    def requests(self, comparison: Comparison) -> Iterator[Request]:
        """Yield the AI labeler's requests that `judge` begins with for a comparison without judgments."""
        if not self._is_pointless(comparison):
            for principle in self._asked(comparison):
                yield from self.labeler.requests(comparison, principle)

    def _is_pointless(self, comparison: Comparison) -> bool:
        if self.run.config.compare.pairs == "best_worst":
            return False  # their scores differ, even if a single word makes the difference
        threshold = self.run.config.label.near_duplicate
        if not are_near_duplicates(comparison.response_a, comparison.response_b, threshold):
            return False
        judgments = self.run.judgments.children(comparison.id)  # people told the answers apart
        return not any(judgment.labeler not in MACHINES for judgment in judgments)

    def _asked(self, comparison: Comparison) -> tuple[Principle, ...]:
        """Return the principles that the AI labeler judges by.

        For a comparison imported with human judgments there are none if the mixing rules ignore AI judgments.
        """
        own = comparison.id in self.run.comparisons
        if own or wants_machines(self.run.config.label, comparison.prompt):
            return self.labeler.principles_for(comparison)
        return ()

    def _judged(self, comparison: Comparison) -> set[str | None]:
        judgments = self.run.judgments.children(comparison.id)
        return {judgment.principle_id for judgment in judgments if judgment.labeler in MACHINES}


def aggregation_rule(
    run: Run | RunReader, config: LabelConfig, constitution: Constitution
) -> Callable[[Comparison, Iterable[Judgment]], Settled | str]:
    """Return the function that `write_preferences` aggregates the judgments of a comparison with."""
    tiers = tier_rule_of(run.manifest)
    corrector = corrector_of(config, constitution)
    if config.humans:
        decide = Mixer(config, constitution, _corrected(run, corrector), tiers).outcome
    else:
        settled = partial(settle_by_tier, rule=tiers)
        decide = partial(aggregated_outcome, constitution=constitution, settled=settled)
    return lambda comparison, judgments: decide(comparison, corrector.corrected(comparison, judgments))


def write_preferences(run: Run, *, all_judged: bool = True) -> int:
    """Aggregate all judgments and rewrite `preferences.jsonl`; return the number of preferences.

    Args:
        run: the run.
        all_judged: False if judgments are still to come. A comparison that has no preference yet is then
            not excluded, since exclusions stay.
    """
    config, tiers = run.config.label, tier_rule_of(run.manifest)
    counted, corrector = (corrector_of(config, run.constitution) for _ in range(2))
    mixer = None
    if config.humans:
        mixer = Mixer(config, run.constitution, _corrected(run, counted), tiers)
    settled = partial(settle_by_tier, rule=tiers)

    def preferences() -> Iterator[Preference]:
        for comparison, found in _judged(run):
            if run.failed("label", comparison.id):
                continue  # counted by the label stage, and judged when the run resumes
            raw = list(found)
            judgments = corrector.corrected(comparison, raw)
            if mixer is None:
                outcome = aggregate(comparison, judgments, run.constitution, settled)
            else:
                outcome = mixer.preference(comparison, judgments)
            if isinstance(outcome, Preference):
                yield outcome
            elif all_judged:
                abstained = corrector.abstained_on(comparison, raw)
                run.exclude("aggregate", comparison.id, ABSTAINED if abstained else outcome)

    count = run.replace_preferences(preferences())
    run.record_stage("aggregate", count, RequestCounts(), 0.0)
    run.note_result("aggregate", _WRITTEN, _preferences(run))
    _report_correction(run, corrector)
    return count


def _has_preferences(run: Run) -> bool:
    """Return True if the preferences are as they were written from the judgments that the run has."""
    return bool(run.manifest["stages"].get("aggregate", {}).get(_WRITTEN) == _preferences(run))


def _preferences(run: Run) -> str:
    """Return a digest of the preferences, with the rule by which they were combined."""
    return f"{digest_lines(run.folder / _PREFERENCES).digest} {tier_rule_of(run.manifest)}"


def _report_correction(run: Run, corrector: Corrector) -> None:
    """Print what the correction did, and record it in the manifest."""
    if corrector.correction is None:
        return
    counts = {name: corrector.counts[name] for name in ("corrected", "turned", "abstained")}
    run.note_result("aggregate", "correction", counts)
    note(
        f"labels corrected on {corrector.correction.judgments:,} gold judgments: {counts['corrected']:,} "
        f"judgments, {counts['turned']:,} of them turned to the other answer; "
        f"the labeler abstains on {counts['abstained']:,} more"
    )


def _corrected(files: RunFiles, corrector: Corrector) -> Iterator[tuple[Comparison, list[Judgment]]]:
    for comparison, judgments in _judged(files):
        yield comparison, corrector.corrected(comparison, judgments)


def _judged(files: RunFiles) -> Iterator[tuple[Comparison, Iterator[Judgment]]]:
    """Yield each comparison that the stage did not exclude, with its judgments."""
    for comparison in files.all_comparisons():
        if not files.is_excluded(comparison.id, "label"):
            yield comparison, files.judgments.children(comparison.id)


def warn_about_labels(
    config: RunConfig,
    constitution: Constitution,
    engines: Engines,
    *,
    self_labels: bool = True,
    labels_now: bool = True,
    judges_now: bool = False,
) -> None:
    """Print warnings about the models and the labels; raise an error for a model that cannot label.

    Args:
        config: the run's configuration.
        constitution: its constitution. Nothing is said about a labeler that no principle is asked of.
        engines: its engines.
        self_labels: True if the labeler may judge its own answers.
        labels_now: False if the command has no stage that labels; a server is not asked then, and nothing is
            said about labels.
        judges_now: True if it has a stage that asks the judge.
    """
    for name in engines.base_models():
        warn(f"{name} has no chat template; using ChatML")
    if not config.label.principles:
        return
    warns_of_labeler = labels_now and judges_by_model(config.label, constitution)
    labeler, templates = engines.of("labeler"), user_templates(config.templates)
    if labels_now or engines.settings("labeler").kind != "http":
        require_labeler(labeler, templates, config.label)
        _warn_of_unused_templates(templates, labeler, "labeler", config.label)
    for role in (config.models.of("labeler"), *([config.models.of("judge")] if config.models.judge else ())):
        require_templates_of_judge(Path(role.id), templates)
    if judges_now and config.models.judge is not None:
        require_labeler(engines.of("judge"), templates, config.label)
        _warn_of_unused_templates(templates, engines.of("judge"), "judge", config.label)
    writers = {engines.of(role).identity for role in ("policy", "critic")}
    if warns_of_labeler and self_labels and labeler.identity in writers:
        warn("self-labelled: the labeler judges its own answers; set models.labeler to a stronger model")
    if warns_of_labeler and compares_replies(labeler):
        warn(
            f"the labeler {labeler.model} is a reward model: it reads no principle, and each comparison "
            "has one judgment of it"
        )
    # Principles of weight 0 are rated in an evaluation, too.
    rates = judges_now and any(principle.check is None for principle in constitution.principles)
    judge = engines.of("judge") if rates and config.models.judge is not None else None
    for asked, engine in (("labeler", labeler if warns_of_labeler else None), ("judge", judge)):
        if engine is not None and engine.model == EMBEDDED_NAME:
            warn(
                f"{EMBEDDED_JUDGES_BY_CHANCE}; rely on machine checks, or set models.{asked} to a larger one"
            )
            break


def _warn_of_unused_templates(
    templates: PromptTemplates, engine: Engine, role: str, config: LabelConfig
) -> None:
    """Warn if the user replaced templates of other questions than are asked, and none of these."""
    if compares_replies(engine):
        return  # the warning that it reads no principle says it
    typed = takes_questions(engine)
    usual = () if config.mode in MODE_TEMPLATES else CHAT_TEMPLATES
    instead = (*(DECISION_TEMPLATES if typed else usual), *further_templates(config, typed=typed))
    every = {*CHAT_TEMPLATES, *DECISION_TEMPLATES, *JUDGE_TEMPLATES}
    own = every & {name for part in templates.families for name in part.own}
    # Other parts of a run ask for rewards with `pointwise`, whatever the mode.
    unused = own - {*instead, *({"pointwise"} if config.mode in MODE_TEMPLATES else ())}
    if unused and not own & {*instead}:
        names = [f"{name}{TEMPLATE_SUFFIX}" for name in sorted(unused)]
        form = "typed questions" if typed else "a conversation"
        warn(
            f"{', '.join(names)} in the templates folder has no effect on models.{role}: it is asked {form}, "
            f"by {', '.join(f'{name}{TEMPLATE_SUFFIX}' for name in instead)}"
        )
