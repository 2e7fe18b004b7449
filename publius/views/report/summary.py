"""The summary of a run in plain words: what training changed, what it cost, and what cannot be said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluation.config import BASE
from evaluation.measures import COMPLIANCE
from evaluation.presentation import ChangeOutcome
from evaluation.win_rate import WIN_RATE
from publius.stages.variants import PROMPTED
from publius.views.report.figures import Figure
from publius.views.report.reading.labels import LabelStatistics
from publius.views.report.reading.results import MeasureRow, ResultCell, Results

SentencePart = str | Figure
VARIANTS = {
    "base": "the model before training",
    "prompted": "the model before training, with the constitution in its prompt",
    "sft": "the model after supervised fine-tuning (SFT)",
    "dpo": "the model after training on preferences (DPO)",
    "ppo": "the model after reinforcement learning (PPO)",
    "rloo": "the model after reinforcement learning (RLOO)",
    "grpo": "the model after reinforcement learning (GRPO)",
    "distill": "the model after distillation",
    "steered": "the chosen checkpoint",
}
"""Variants in words."""

_UNTRAINED = {"base": "the model", "prompted": "the model with the constitution in its prompt"}
"""Variants in words where none is trained."""
_LABELERS = {"ai": "by the AI labeler", "check": "by machine checks"}


@dataclass(frozen=True)
class ChangedMeasure:
    """A measure of the main variant, with its value before training."""

    row: MeasureRow
    before: Figure
    cell: ResultCell


@dataclass(frozen=True)
class Summary:
    """The summary of one run."""

    variant: str
    """The variant that it is about."""
    headline: MeasureRow
    claim: tuple[SentencePart, ...]
    """One sentence."""
    verdict: tuple[SentencePart, ...]
    """Whether that is more than chance."""
    changes: dict[ChangeOutcome, list[ChangedMeasure]]
    """The differences of the main variant from `base`, by outcome."""


def summarise(results: Results) -> Summary | None:
    """Return the summary of an evaluation; None if it has only one variant or no measure."""
    variant, headline = results.main, results.headline
    if variant is None or headline is None:
        return None
    after, before = headline.of(variant), headline.of(BASE)
    if after is None:
        return None
    return Summary(
        variant,
        headline,
        tuple(_claim(results, variant, headline, after, before)),
        tuple(_verdict(after)),
        _changes(results.rows, variant),
    )


def collected(labels: LabelStatistics | None) -> tuple[SentencePart, ...]:
    """Return what a run without an evaluation collected, and who decided it; empty without labels."""
    preferences = labels.of("preferences") if labels else None
    if labels is None or preferences is None:
        return ()
    found: list[SentencePart] = [preferences, " preferences were collected"]
    ties = labels.of("preferences.ties")
    if ties is not None and ties.value:
        found += [" (", ties, " of them ties)"]
    by = [(labels.of(f"judgments.{name}"), title) for name, title in _LABELERS.items()]
    by += [(figure, f"of people ({name})") for name, figure in labels.people.items()]
    given = [(figure, title) for figure, title in by if figure is not None and figure.value]
    for place, (figure, title) in enumerate(given):
        found += [
            ": " if not place else " and " if place == len(given) - 1 else ", ",
            figure,
            f" judgments {title}",
        ]
    decided = labels.of("judgments.check.decided")
    if decided is not None and any(title == _LABELERS["check"] for _, title in given):
        return (*found, ". Of the machine checks' judgments, ", decided, " prefer an answer.")
    return (*found, ".")


def _claim(
    results: Results, variant: str, headline: MeasureRow, after: ResultCell, before: ResultCell | None
) -> Iterator[SentencePart]:
    is_trained = bool(set(results.variants) - set(_UNTRAINED))
    names = VARIANTS if is_trained else _UNTRAINED
    name = names.get(variant, variant)
    if headline.measure == WIN_RATE:
        yield f"A judge prefers the answers of {name} to those of {names[BASE]} in "
        yield after.value
        yield " of comparisons on "
    elif headline.measure == COMPLIANCE:
        yield f"The answers of {name} pass "
        yield after.value
        yield " of the "
        yield from _counted(results.checked, "rule that code checks", "rules that code checks")
        if before is not None:
            yield "; before training it was " if is_trained else "; without the constitution it was "
            yield before.value
        prompted = headline.of(PROMPTED)
        if prompted is not None and variant != PROMPTED:
            yield ", and with the constitution in the prompt "
            yield prompted.value
        yield ". Measured on "
    else:
        yield f"{headline.title} of {name}: "
        yield after.value
        yield ". Measured on "
    yield results.prompts
    yield " prompts, of which some are training prompts." if results.trained_on else " held-out prompts."
    if results.unmeasured_count is not None:
        yield " "
        yield from _counted(results.unmeasured_count, "rule was", "rules were")
        yield " not measured, without a check and without a judge."


def _counted(count: Figure | None, one: str, several: str) -> Iterator[SentencePart]:
    """Yield a number of things with their name."""
    if count is None:
        yield several
        return
    yield count
    yield f" {one if count.value == 1 else several}"


def _verdict(after: ResultCell) -> Iterator[SentencePart]:
    delta = after.delta
    if after.outcome is None:
        yield "There are too few prompts to say whether that is more than chance."
        return
    if delta is not None:
        yield "Change: "
        yield delta
        if delta.interval:
            together = ", for all measures together" if delta.simultaneous_low is not None else ""
            yield f" (95 % interval{together}: {delta.interval})"
        yield ". "
    if after.is_beyond_noise:
        yield "Chance alone would hardly give such a difference, all measures of this report considered."
    elif after.outcome == "same":
        yield "Nothing changed on any prompt."
    else:
        yield "That may be chance: more held-out prompts would be needed to tell."


def _changes(rows: Sequence[MeasureRow], variant: str) -> dict[ChangeOutcome, list[ChangedMeasure]]:
    found: dict[ChangeOutcome, list[ChangedMeasure]] = {
        k: [] for k in ("better", "worse", "other", "noise", "same")
    }
    for row in rows:
        cell, before = row.of(variant), row.of(BASE)
        if cell is not None and cell.outcome is not None:
            found[cell.outcome].append(ChangedMeasure(row, before.value if before else cell.value, cell))
    return found
