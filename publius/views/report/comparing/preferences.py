"""Preferences of two runs about the same pairs of answers: which flipped, and under which principle.

The id of a comparison is a digest of the prompt and both answers, so two runs that compare the same answers
have comparisons of the same id. A preference flips if its probability crosses one half.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from core.records import Comparison, Preference
from publius.authoring.flips import is_flip
from publius.views.report.comparing.groups import RunGroup
from publius.views.report.figures import SHARE, Figure, FigureBook
from publius.views.report.reading.answers import AnswerData
from publius.views.report.reading.sources import RunSource

MAX_FLIPS = 100
"""Maximum number of flips of two runs on the page, the most decisive ones."""
_EVEN = 0.5


@dataclass(frozen=True)
class FlippedPreference:
    """A pair of answers of which the two runs prefer different ones."""

    comparison: Comparison
    a_now: bool
    """True if answer `a` is preferred in the second run."""
    before: float
    """Probability in the first run that the answer preferred in the second one is better."""
    after: float
    moved_by: str | None
    """Principle whose probability changed most in the direction of the flip; None if none is recorded."""


@dataclass(frozen=True)
class PreferenceShift:
    """The preferences of two runs about the same pairs of answers."""

    before: str
    """Label of the first run."""
    after: str
    compared: Figure
    """Number of comparisons with a preference in both runs."""
    flipped: Figure
    share: Figure | None
    mean_change: Figure | None
    """Mean absolute change of the probability."""
    only: tuple[Figure, Figure]
    """Number of preferences that only the first, and only the second run has."""
    by_principle: tuple[tuple[str, Figure], ...]
    """Number of flips by the principle that moved most."""
    flips: tuple[FlippedPreference, ...]


def paired_runs(groups: Sequence[RunGroup]) -> Iterator[tuple[RunSource, RunSource]]:
    """Yield the runs to compare: each group's with that of the first group, of the same seed if there is one.

    A single group of several seeds is compared run by run with its first.
    """
    first, *others = groups
    for group in others:
        by_seed = {run.seed: run for run in reversed(group.runs)}
        before = next((run for run in first.runs if run.seed in by_seed), first.runs[0])
        yield before, by_seed.get(before.seed, group.runs[0])
    if not others:
        for run in first.runs[1:]:
            yield first.runs[0], run


def preference_shift(before: RunSource, after: RunSource, book: FigureBook) -> PreferenceShift | None:
    """Return how the preferences of two runs differ; None if one of them has none."""
    old, new = _preferences(before), _preferences(after)
    if not old or not new:
        return None
    flips: list[FlippedPreference] = []
    changes: list[float] = []
    for name in sorted(old.keys() & new.keys()):
        comparison = before.reader.comparison(name)
        was, now = old[name].p_a(comparison), new[name].p_a(comparison)
        changes.append(abs(now - was))
        if is_flip(was, now):
            flips.append(_flip(comparison, old[name], new[name]))
    flips.sort(key=lambda flip: (flip.before - flip.after, flip.comparison.id))
    return _shift(
        before, after, flips, changes, (len(old.keys() - new.keys()), len(new.keys() - old.keys())), book
    )


def flips_as_json(shift: PreferenceShift, data: AnswerData) -> list[dict[str, Any]]:
    """Return the flips in the form that the page reads; their texts go to the page's other texts."""
    found = []
    for flip in shift.flips:
        comparison = flip.comparison
        now, then = comparison.response_a, comparison.response_b
        if not flip.a_now:
            now, then = then, now
        found.append(
            {
                "id": comparison.id,
                "runs": [shift.before, shift.after],
                "messages": [
                    [message.role, data.text(message.content)] for message in comparison.prompt.messages
                ],
                "then": data.text(then),
                "now": data.text(now),
                "p": [flip.before, flip.after],
                "principle": None if flip.moved_by is None else data.principle(flip.moved_by),
            }
        )
    return found


def _preferences(run: RunSource) -> dict[str, Preference]:
    return {preference.comparison_id: preference for preference in run.reader.preferences}


def _flip(comparison: Comparison, old: Preference, new: Preference) -> FlippedPreference:
    was, now = old.p_a(comparison), new.p_a(comparison)
    a_now = now > _EVEN
    moves = _moves(_by_principle(old, comparison, a_now), _by_principle(new, comparison, a_now))
    moved_by = max(moves, key=lambda name: (moves[name], name), default=None)
    return FlippedPreference(comparison, a_now, *((was, now) if a_now else (1 - was, 1 - now)), moved_by)


def _by_principle(preference: Preference, comparison: Comparison, a: bool) -> dict[str, float]:
    """Return each principle's probability that answer `a`, or else `b`, is better."""
    is_chosen = (preference.chosen[0].content == comparison.response_a) == a
    return {name: p if is_chosen else 1 - p for name, p in preference.by_principle.items()}


def _moves(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the change of each principle's probability; a principle that was not asked is at one half."""
    return {name: after.get(name, _EVEN) - before.get(name, _EVEN) for name in {**before, **after}}


def _shift(
    before: RunSource,
    after: RunSource,
    flips: Sequence[FlippedPreference],
    changes: Sequence[float],
    only: tuple[int, int],
    book: FigureBook,
) -> PreferenceShift:
    prefix = f"compare.preferences.{before.label}.{after.label}"
    counts = Counter(flip.moved_by or "unknown" for flip in flips)
    share = Figure(f"{prefix}.share", len(flips) / len(changes), SHARE, len(changes)) if changes else None
    mean = Figure(f"{prefix}.mean_change", fmean(changes)) if changes else None
    return PreferenceShift(
        before.label,
        after.label,
        book.count(f"{prefix}.compared", len(changes)),
        book.count(f"{prefix}.flipped", len(flips)),
        share and book.add(share),
        mean and book.add(mean),
        (book.count(f"{prefix}.only_before", only[0]), book.count(f"{prefix}.only_after", only[1])),
        tuple((name, book.count(f"{prefix}.moved_by.{name}", count)) for name, count in counts.most_common()),
        tuple(flips[:MAX_FLIPS]),
    )
