"""Alarms of a report: what speaks against relying on a run, the most serious first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.notices import counted
from evaluation.config import STEERED
from evaluation.metrics import FEW_PROMPTS, MIN_PROMPTS
from prompts.sources import BEYOND_LIMIT
from publius.config.stand_ins import stand_ins_sentence
from publius.runs.pairs.caveats import (
    BY_POSITION,
    check_caveats,
    cut_off_caveat,
    divided_people,
    excluded_as_cut_off,
    scripted_roles,
)
from publius.runs.pairs.data_card import is_given_pairs
from publius.runs.pairs.people import outvoted_caveats
from publius.runs.parts.audited import other_wording
from publius.stages.compare import FEW_COMPARED
from publius.stages.outcome import evaluation_caveats, few_learned
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

    @property
    def text(self) -> str:
        """The observation as plain text."""
        return "".join(part.text if isinstance(part, Figure) else part for part in self.parts)


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
        *_of_texts(run, labels),
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
        lines = counted(training.unreadable, "line")
        yield RunAlarm("caution", training.name, (f"{lines} of metrics.jsonl cannot be read",))


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
    yield from _of_few(run.manifest["stages"])
    yield from _of_audit(run)
    yield from _of_choice(read_choice(run.folder / STEERED))


def _of_texts(run: RunSource, labels: LabelStatistics | None) -> Iterator[RunAlarm]:
    """Yield what the summary of a run says of its texts and people, in the same words."""
    counts = [labels and labels.of(name) for name in ("preferences.answers_cut_off", "preferences")]
    cut_off, pairs = (int(figure.value) if figure else 0 for figure in counts)
    evaluated = evaluation_caveats(run.folder)
    answers = cut_off_caveat(run.folder, run.manifest, cut_off, pairs)
    for text in (*answers, *excluded_as_cut_off(run.folder, run.manifest), *evaluated.cut_off):
        yield RunAlarm("serious", "length of answers", (text,))
    for text in divided_people(run.folder, run.manifest):
        yield RunAlarm("serious", "people", (text,))
    for text in outvoted_caveats(run.folder):
        yield RunAlarm("serious", "people", (text,))
    for text in check_caveats(run.folder):
        yield RunAlarm("caution", "checks", (text,))
    for text in evaluated.ceiling:
        yield RunAlarm("caution", "evaluation", (text,))


def _of_few(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[RunAlarm]:
    """Yield that trainings have few examples; without any such, that few prompts have a pair."""
    learned = few_learned(stages)
    for stage, text in learned.items():
        yield RunAlarm("serious", stage, (text,))
    few = stages.get("compare", {}).get(FEW_COMPARED)
    if few and not learned:
        yield RunAlarm("caution", "compare", (few,))


def _of_audit(run: RunSource) -> Iterator[RunAlarm]:
    """Yield what an audit says against the labeler, or that there was none."""
    audit: Mapping[str, Any] = run.manifest["audit"]
    judged = any(judgment.labeler == "ai" for judgment in run.reader.judgments)
    for problem in audit.get("problems", ()):
        yield RunAlarm("serious", "audit of the labeler", (str(problem),))
    if judged and (otherwise := other_wording(run.manifest)):
        yield RunAlarm("caution", "audit of the labeler", (otherwise,))
    if judged and not audit:
        text = (
            "how often the AI labeler is right was not measured (publius audit labeler RUN.yaml --gold FILE)"
        )
        yield RunAlarm("caution", "labeler", (text,))
    models = run.manifest["models"]
    if judged and models.get("labeler") == models.get("policy") and not is_given_pairs(run.manifest):
        what = "is trained" if run.settings.get("train") else "answers"
        text = f"the labeler is the model that {what}: it labels its own answers"
        yield RunAlarm("caution", "labeler", (text,))


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
    for variant, same in results.trained_on.items():
        what = " of the prompts: these are not held out, and say little about how it answers others"
        yield RunAlarm("serious", "evaluation", (f"{variant} was trained on ", same, what))
    yield from few_prompts_alarm(results.prompts, trained_on=bool(results.trained_on))
    for row in results.rows:
        cell = row.of(results.main or "")
        if cell and cell.outcome == "worse" and cell.delta:
            what = f"{cell.variant}: {row.title} is worse than base by more than noise, "
            yield RunAlarm("serious", "evaluation", (what, cell.delta))


def few_prompts_alarm(prompts: Figure, *, trained_on: bool) -> Iterator[RunAlarm]:
    """Yield an alarm if an evaluation, or a comparison, is about few prompts.

    Args:
        prompts: their number.
        trained_on: True if a model was trained on some of them, so that not all are held out.
    """
    if prompts.value >= FEW_PROMPTS:
        return
    which = "prompts" if trained_on else "held-out prompts"
    text = (
        f"{which}: too few for an interval"
        if prompts.value < MIN_PROMPTS
        else f"{which}: intervals are wide, and a small effect cannot be seen "
        "(gates say how many more prompts would decide: docs/proof.md)"
    )
    kind: Seriousness = "serious" if prompts.value < MIN_PROMPTS else "caution"
    yield RunAlarm(kind, "evaluation", (prompts, f" {text}"))


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
    if same is not None and same.value >= BY_POSITION:
        parts = (
            same,
            " of the AI judgments prefer the same place in both orders: position decides, not content",
        )
        yield RunAlarm("serious", "labeler", parts)
    if judged and unparsed and unparsed.value:
        many = unparsed.value > _MANY_UNPARSED * judged.value
        yield RunAlarm(
            "serious" if many else "caution",
            "labeler",
            (unparsed, " of ", judged, " AI judgments could not be read"),
        )


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
