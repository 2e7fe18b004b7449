"""Preferences as single answers, good or bad: the unpaired form that KTO learns from (arXiv 2402.01306)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

from core.records import Message, Preference
from core.store.seen_ids import SeenIds
from publius.runs.records import RunFiles

AS_OFTEN_WORSE = "an answer that is as probably worse as better in its pairs"
_EVEN = 1e-9
"""Distance from 0.5 within which a mean of probabilities is a tie; sums of floats are not exact."""


@dataclass(frozen=True)
class LabelledAnswer:
    """An answer of a prompt with its label."""

    prompt: tuple[Message, ...]
    prompt_id: str
    completion: tuple[Message, ...]
    is_good: bool
    p_better: float
    """Mean probability, over its pairs, of being the better answer."""
    origin: str
    comparison_ids: tuple[str, ...]
    """Its pairs."""
    tags: tuple[str, ...] = ()
    """Tags of the prompt."""


class UnpairedAnswers:
    """The answers of preferences, each text once for a prompt.

    An answer that is chosen in one pair and rejected in another gets the label of its mean probability, so
    that the best of several answers are good and the worst bad.
    """

    def __init__(self) -> None:
        self.contested = 0
        """Number of answers that are chosen in one pair and rejected in another, and have a label."""
        self.left_out: Counter[str] = Counter()
        """Number of answers without a label, by reason."""

    def of(self, preferences: Iterable[Preference]) -> Iterator[LabelledAnswer]:
        """Yield the answers of one prompt's preferences; those of ties alone are in no pair."""
        pairs: dict[str, list[tuple[float, Preference]]] = {}
        for preference in preferences:
            if preference.p_chosen > 0.5:
                p = preference.p_chosen
                for (answer,), p_better in ((preference.chosen, p), (preference.rejected, 1 - p)):
                    pairs.setdefault(answer.content, []).append((p_better, preference))
        for text, found in pairs.items():
            mean = fmean(p_better for p_better, _ in found)
            if abs(mean - 0.5) < _EVEN:
                self.left_out[AS_OFTEN_WORSE] += 1
                continue
            self.contested += len({p_better > 0.5 for p_better, _ in found}) == 2
            yield _labelled(text, mean, [preference for _, preference in found])


def preferences_by_prompt(files: RunFiles) -> Iterator[list[Preference]]:
    """Yield the preferences of each prompt together, in the order of their ids."""
    with SeenIds() as seen:
        for first in files.preferences.sorted():
            if seen.add(first.prompt_id):
                comparisons = (
                    *files.comparisons.children(first.prompt_id),
                    *files.added_comparisons.children(first.prompt_id),
                )
                ids = dict.fromkeys(comparison.id for comparison in comparisons)
                found = [preference for id in ids for preference in files.preferences.children(id)]
                yield sorted(found, key=lambda preference: preference.id)


def _labelled(text: str, mean: float, found: list[Preference]) -> LabelledAnswer:
    first = found[0]
    is_chosen = first.chosen[0].content == text
    return LabelledAnswer(
        first.prompt,
        first.prompt_id,
        first.chosen if is_chosen else first.rejected,
        mean > 0.5,
        mean,
        first.origin_chosen if is_chosen else first.origin_rejected,
        tuple(preference.comparison_id for preference in found),
        first.tags,
    )
