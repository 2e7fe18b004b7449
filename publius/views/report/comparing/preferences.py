"""Preferences of runs about the same pairs of answers: which flipped, and under which principle.

The id of a comparison is a digest of the prompt and both answers, so two runs that compare the same answers
have comparisons of the same id. A preference flips if its probability crosses one half.

Two groups are compared by every pair of their runs of the same seed, all of them pooled. What a seed alone
flips is the reference for noise: the runs of one group, each with each, on the pairs of answers that they
share. A prompt counts once for an interval, however many pairs and seeds it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from constitution.lint.checks import value_beside_id
from constitution.schema import Constitution
from core.records import Comparison, Preference
from publius.authoring.flips import flip_share, is_flip
from publius.views.report.comparing.groups import RunGroup
from publius.views.report.figures import SHARE, Figure, FigureBook
from publius.views.report.reading.answers import AnswerData
from publius.views.report.reading.sources import RunSource

MAX_FLIPS = 100
"""Maximum number of flips of two runs on the page, the most decisive ones."""
_EVEN = 0.5
_UNKNOWN = "unknown"
"""Stands for the principle of a flip where none is recorded."""


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
class ShiftFigures:
    """How many preferences flipped, of the same pairs of answers in two runs or in two groups of runs."""

    compared: Figure
    """Number of comparisons with a preference in both runs."""
    flipped: Figure
    share: Figure | None
    """With an interval over prompts; None if no pair is the same."""
    mean_change: Figure | None
    """Mean absolute change of the probability."""
    only: tuple[Figure, Figure]
    """Number of preferences that only the first, and only the second run has."""
    by_principle: tuple[tuple[str, Figure], ...]
    """Number of flips by the principle that moved most."""
    names: Mapping[str, str]
    """How the ids among them that name another value than their check are shown: with that check."""


@dataclass(frozen=True)
class PreferenceShift:
    """The preferences of two runs about the same pairs of answers."""

    before: str
    """Label of the first run."""
    after: str
    figures: ShiftFigures
    flips: tuple[FlippedPreference, ...]


@dataclass(frozen=True)
class GroupShift:
    """The preferences of two groups, run by run of the same seed; or of one group's runs among themselves."""

    before: str
    """Key of the first group."""
    after: str
    """Key of the second group; the same key for what only the seed flips."""
    figures: ShiftFigures
    """Of all pairs of runs together."""
    shifts: tuple[PreferenceShift, ...]

    @property
    def is_noise(self) -> bool:
        """True for runs that differ only in their seed."""
        return self.before == self.after


@dataclass(frozen=True)
class _Compared:
    """The same pairs of answers in two runs, and what only one of the runs has."""

    pairs: tuple[tuple[str, float, str | None], ...]
    """Of each pair the prompt's id, the change of the probability, and the principle that flipped it; None if
    it did not flip."""
    only: tuple[int, int]


def group_shifts(groups: Sequence[RunGroup], book: FigureBook) -> tuple[GroupShift, ...]:
    """Return how the preferences of each group differ from those of the first, then what only seeds flip.

    Groups are left out whose runs have no preferences.
    """
    first, *others = groups
    wanted = [(first, group, list(_same_seeds(first, group))) for group in others]
    wanted += [(group, group, list(combinations(group.runs, 2))) for group in groups]
    found = (_group_shift(before, after, runs, book) for before, after, runs in wanted)
    return tuple(one for one in found if one is not None)


def _same_seeds(first: RunGroup, group: RunGroup) -> Iterator[tuple[RunSource, RunSource]]:
    """Yield the runs of the same seed; the first of each group if no seed is in both."""
    by_seed = {run.seed: run for run in reversed(group.runs)}
    shared = [(run, by_seed[run.seed]) for run in first.runs if run.seed in by_seed]
    yield from shared or [(first.runs[0], group.runs[0])]


def _group_shift(
    before: RunGroup, after: RunGroup, runs: Sequence[tuple[RunSource, RunSource]], book: FigureBook
) -> GroupShift | None:
    shifts: list[PreferenceShift] = []
    compared: list[_Compared] = []
    for old, new in runs:
        found = _compare(old, new)
        if found is not None:
            pairs, flips = found
            compared.append(pairs)
            name = f"compare.preferences.{old.label}.{new.label}"
            figures = _figures(name, [pairs], book, new.constitution)
            shifts.append(PreferenceShift(old.label, new.label, figures, flips))
    if not shifts:
        return None
    pooled = _figures(f"compare.flips.{before.key}.{after.key}", compared, book, runs[-1][1].constitution)
    return GroupShift(before.key, after.key, pooled, tuple(shifts))


def _compare(before: RunSource, after: RunSource) -> tuple[_Compared, tuple[FlippedPreference, ...]] | None:
    """Return the pairs of answers of two runs and the flips, or None if a run has no preference."""
    old, new = _preferences(before), _preferences(after)
    if not old or not new:
        return None
    flips: list[FlippedPreference] = []
    pairs: list[tuple[str, float, str | None]] = []
    for name in sorted(old.keys() & new.keys()):
        comparison = before.reader.comparison(name)
        was, now = old[name].p_a(comparison), new[name].p_a(comparison)
        moved_by = None
        if is_flip(was, now):
            flips.append(_flip(comparison, old[name], new[name]))
            moved_by = flips[-1].moved_by or _UNKNOWN
        pairs.append((comparison.prompt.id, abs(now - was), moved_by))
    flips.sort(key=lambda flip: (flip.before - flip.after, flip.comparison.id))
    only = (len(old.keys() - new.keys()), len(new.keys() - old.keys()))
    return _Compared(tuple(pairs), only), tuple(flips[:MAX_FLIPS])


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


def _named_by_check(constitution: Constitution | None) -> dict[str, str]:
    """Return the ids that name another value than their check, each with the check behind it."""
    principles = () if constitution is None else constitution.principles
    checks = ((principle.id, value_beside_id(principle)) for principle in principles)
    return {name: f"{name} ({check})" for name, check in checks if check is not None}


def _figures(
    prefix: str, compared: Sequence[_Compared], book: FigureBook, constitution: Constitution | None
) -> ShiftFigures:
    """Return the figures of pairs of runs, pooled; ids are explained by the constitution of the later one."""
    pairs = [pair for one in compared for pair in one.pairs]
    counts = Counter(moved_by for _, _, moved_by in pairs if moved_by is not None)
    interval = flip_share([(prompt, moved_by is not None) for prompt, _, moved_by in pairs])
    share = mean = None
    if interval is not None:
        share = Figure(f"{prefix}.share", interval.value, SHARE, len(pairs), interval.low, interval.high)
        mean = Figure(f"{prefix}.mean_change", fmean(change for _, change, _ in pairs))
    only = (sum(one.only[0] for one in compared), sum(one.only[1] for one in compared))
    return ShiftFigures(
        book.count(f"{prefix}.compared", len(pairs)),
        book.count(f"{prefix}.flipped", counts.total()),
        share and book.add(share),
        mean and book.add(mean),
        (book.count(f"{prefix}.only_before", only[0]), book.count(f"{prefix}.only_after", only[1])),
        tuple((name, book.count(f"{prefix}.moved_by.{name}", count)) for name, count in counts.most_common()),
        {name: shown for name, shown in _named_by_check(constitution).items() if name in counts},
    )
