"""Alarms of a report: what speaks against relying on a run, the most serious first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evaluation.config import STEERED
from evaluation.metrics import FEW_PROMPTS, MIN_PROMPTS
from prompts.sources import BEYOND_LIMIT
from publius.config.stand_ins import stand_ins_sentence
from publius.runs.pairs.caveats import scripted_roles
from publius.stages.quality.steered import read_choice
from publius.views.report.figures import Figure
from publius.views.report.labels.leanings import AI_TITLE
from publius.views.report.labels.quality import LabelEvidence
from publius.views.report.reading.costs import Costs
from publius.views.report.reading.gates import ShownGate
from publius.views.report.reading.labels import LabelStatistics
from publius.views.report.reading.logs import TrainingLog
from publius.views.report.reading.results import Results
from publius.views.report.reading.sources import RunSource

Seriousness = Literal["serious", "caution"]
_MOSTLY = 0.5
_MANY_EXCLUDED, _MANY_UNPARSED = 0.1, 0.1
_BY_LENGTH, _FEW_CHOICES = 0.65, 50
"""Share of choices of one length from which on, and number of choices below which nothing is said of it."""
_CALIBRATED = 0.1


@dataclass(frozen=True)
class RunAlarm:
    """One reason for caution."""

    kind: Seriousness
    where: str
    """The part of the run: a stage, a training or the evaluation."""
    parts: tuple[str | Figure, ...]
    """The observation, with its numbers."""


def run_alarms(
    run: RunSource,
    results: Results | None,
    labels: LabelStatistics | None,
    quality: LabelEvidence | None,
    costs: Costs,
    trainings: Sequence[TrainingLog],
) -> tuple[RunAlarm, ...]:
    """Return the alarms of a run, serious ones first."""
    found = [
        *_of_run(run),
        *(_of_results(results) if results else ()),
        *(_of_labels(run, labels) if labels else ()),
        *(_of_quality(quality) if quality else ()),
        *_of_costs(costs),
        *(alarm for training in trainings for alarm in training_alarms(training)),
    ]
    return tuple(sorted(found, key=lambda alarm: alarm.kind != "serious"))


def training_alarms(training: TrainingLog) -> Iterator[RunAlarm]:
    """Yield the alarms of a training: its warnings, and a log without a result."""
    for warning in training.warnings:
        yield RunAlarm("serious", training.name, (warning,))
    if not training.is_finished:
        yield RunAlarm("caution", training.name, ("the training has not finished; its log ends here",))
    if training.unreadable:
        yield RunAlarm(
            "caution", training.name, (f"{training.unreadable} lines of metrics.jsonl cannot be read",)
        )


def _of_run(run: RunSource) -> Iterator[RunAlarm]:
    roles = scripted_roles(run.folder, run.manifest)
    if roles:
        yield RunAlarm("serious", "scripted engine", (stand_ins_sentence(roles),))
    if run.problem is not None:
        text = f"the constitution cannot be loaded, so answers are shown without its checks: {run.problem}"
        yield RunAlarm("serious", "constitution", (text,))
    for skipped in run.manifest["late"]:
        text = f"{skipped} was skipped, as too little of the allowed time was left (time.minutes)"
        yield RunAlarm("caution", "time", (text,))
    yield from _of_audit(run)
    yield from _of_choice(read_choice(run.folder / STEERED))


def _of_audit(run: RunSource) -> Iterator[RunAlarm]:
    """Yield what an audit says against the labeler, or that there was none."""
    audit: Mapping[str, Any] = run.manifest["audit"]
    judged = any(judgment.labeler == "ai" for judgment in run.reader.judgments)
    for problem in audit.get("problems", ()):
        yield RunAlarm("serious", "audit of the labeler", (str(problem),))
    if judged and not audit:
        text = (
            "how often the AI labeler is right was not measured (publius audit labeler RUN.yaml --gold FILE)"
        )
        yield RunAlarm("caution", "labeler", (text,))
    models = run.manifest["models"]
    if judged and models.get("labeler") == models.get("policy"):
        yield RunAlarm(
            "caution", "labeler", ("the labeler is the model that is trained: it labels its own answers",)
        )


def _of_choice(choice: Mapping[str, Any] | None) -> Iterator[RunAlarm]:
    if choice is None:
        return
    if choice.get("chosen") is None:
        yield RunAlarm("serious", "choice", ("no checkpoint is within the limits and better than base",))
    for limit in choice.get("bound") or ():
        yield RunAlarm(
            "caution", "choice", (f"a more compliant checkpoint exceeds the limit choose.{limit['limit']}",)
        )


def _of_results(results: Results) -> Iterator[RunAlarm]:
    for gate in results.gates:
        if gate.outcome != "pass":
            failed = gate.outcome == "fail"
            parts = (f"{gate.name} is ", gate.value, f", the limit {gate.limit}: ", _decision(gate))
            yield RunAlarm("serious" if failed or gate.blocks else "caution", "gate", parts)
    for line in results.unchecked_gates:
        yield RunAlarm("serious", "gate", (f"not checked: {line}",))
    yield from _of_judge(results.judged)
    if results.prompts.value < FEW_PROMPTS:
        text = (
            "held-out prompts: too few for an interval"
            if results.prompts.value < MIN_PROMPTS
            else ("held-out prompts: intervals are wide, and a small effect cannot be seen")
        )
        kind: Seriousness = "serious" if results.prompts.value < MIN_PROMPTS else "caution"
        yield RunAlarm(kind, "evaluation", (results.prompts, f" {text}"))
    for row in results.rows:
        cell = row.of(results.main or "")
        if cell and cell.outcome == "worse" and cell.delta:
            what = f"{cell.variant}: {row.title} is worse than base by more than noise, "
            yield RunAlarm("serious", "evaluation", (what, cell.delta))


def _of_judge(judged: Mapping[str, Any]) -> Iterator[RunAlarm]:
    """Yield what speaks against the judge that rated single answers."""
    if judged.get("judge_is_labeler"):
        text = "the judge labeled the training data: it rates what it taught, and prefers it"
        yield RunAlarm("serious", "judge", (text,))
    audit = judged.get("audit") or {}
    if judged and not judged.get("corrected") and not audit.get("gold"):
        text = (
            "how often the judge rates single answers right was not measured; label some of them in "
            "eval/sheet.csv and run publius eval again"
        )
        yield RunAlarm("caution", "judge", (text,))
    for problem in audit.get("problems", ()):
        yield RunAlarm("serious", "audit of the judge", (str(problem),))
    for one in judged.get("corrected") or ():
        if "no information" in str(one.get("refused", "")):
            text = f"{one.get('name')}: the judge carries no information beyond noise, so labels alone count"
            yield RunAlarm("serious", "judge", (text,))


def _decision(gate: ShownGate) -> str:
    if gate.outcome == "fail":
        return "it fails, and the run is not exported" if gate.blocks else "it fails"
    return "its interval contains the limit, so it is inconclusive"


def _of_labels(run: RunSource, labels: LabelStatistics) -> Iterator[RunAlarm]:
    same, judged, unparsed = (
        labels.of(name) for name in ("ai.same_slot_in_both_orders", "judgments.ai", "ai.unparsed")
    )
    if same is not None and same.value > _MOSTLY:
        parts = (
            same,
            " of the AI judgments prefer the same place in both orders: position decides, not content",
        )
        yield RunAlarm("serious", "labeler", parts)
    if judged and unparsed and unparsed.value > _MANY_UNPARSED * judged.value:
        yield RunAlarm("serious", "labeler", (unparsed, " of ", judged, " AI judgments could not be read"))


def _of_quality(quality: LabelEvidence) -> Iterator[RunAlarm]:
    """Yield a leaning of the AI labeler to one length, and probabilities that people's votes contradict."""
    ai = next((one.longer for one in quality.leanings if one.title == AI_TITLE), None)
    people = next((one.longer for one in quality.leanings if one.is_people and one.longer), None)
    if ai is not None and (ai.n or 0) >= _FEW_CHOICES and ai.low is not None and ai.high is not None:
        beside = ("; people: ", people) if people else ("",)
        if ai.low > 0.5 and ai.value > _BY_LENGTH:
            yield RunAlarm(
                "caution", "labeler", (ai, " of the AI labeler's choices are the longer answer", *beside)
            )
        if ai.high < 0.5 and ai.value < 1 - _BY_LENGTH:
            yield RunAlarm(
                "caution",
                "labeler",
                ("only ", ai, " of the AI labeler's choices are the longer answer", *beside),
            )
    for found in quality.calibration:
        limit = max(_CALIBRATED, 2 * found.by_chance.value)
        if found.pairs.value >= _FEW_CHOICES and found.error.value > limit:
            parts = ("the AI labeler's probabilities are off by ", found.error, f" on average, {found.title}")
            yield RunAlarm("caution", "labeler", parts)


def _of_costs(costs: Costs) -> Iterator[RunAlarm]:
    for stage in costs.stages:
        if stage.advice:
            yield RunAlarm("serious", stage.stage, (stage.advice,))
        for reason, count in stage.excluded:
            if reason != BEYOND_LIMIT and count.value > _MANY_EXCLUDED * (stage.records.value + count.value):
                yield RunAlarm(
                    "caution",
                    stage.stage,
                    (count, f" {'record' if count.value == 1 else 'records'} skipped: {reason}"),
                )
