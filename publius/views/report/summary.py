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


def _claim(
    results: Results, variant: str, headline: MeasureRow, after: ResultCell, before: ResultCell | None
) -> Iterator[SentencePart]:
    name = VARIANTS.get(variant, variant)
    if headline.measure == WIN_RATE:
        yield f"A judge prefers the answers of {name} to those of the model before training in "
        yield after.value
        yield " of comparisons on "
    elif headline.measure == COMPLIANCE:
        yield f"The answers of {name} pass "
        yield after.value
        yield " of the constitution's machine checks"
        if before is not None:
            yield "; before training it was "
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
    yield " held-out prompts."


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
