"""Length and position bias of labels: how often each source prefers the longer answer, and the first shown.

A preference for longer answers is no error by itself, since better answers may be longer. People who judged
the same comparisons are the measure; without them, a preference that grows with the difference in length is
the sign to look for (Singhal et al. 2023, arXiv 2310.03716).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from constitution.checks.evaluate import count_words
from core.records import Judgment, Preference
from evaluation.reward.metrics import weighted_share
from labelers.crowd.votes import MACHINES, probability_of
from publius.views.report.figures import SHARE, Figure, FigureBook
from publius.views.report.labels.calibrated import AI
from publius.views.report.labels.pairs import LabelRecords, PairLengths

MOST_STEPS, PER_STEP = 5, 20
"""Maximum number of steps of the curve by length, and minimum number of judgments in each."""
_EVEN = 0.5
AI_TITLE = "AI labeler"
_TITLES = {AI: AI_TITLE, "check": "machine checks"}


@dataclass(frozen=True)
class LabelLeaning:
    """How often one source of labels prefers the longer answer, and the one shown first."""

    title: str
    longer: Figure | None
    """Share of its choices for the longer answer; ties and answers of equal length are left out."""
    first: Figure | None
    """Share of its choices for the answer shown first, where the place is recorded; each presentation order
    of the AI labeler is a choice."""
    is_people: bool = False


@dataclass(frozen=True)
class LengthStep:
    """Judgments of pairs whose lengths differ by about as much."""

    ratio: float
    """Mean of the longer answer's words over the shorter one's."""
    p: float
    """Mean probability of the longer answer."""
    low: float
    high: float
    n: int


@dataclass
class _Choices:
    """Choices of one source, each 1 or 0, with their prompts."""

    longer: list[tuple[float, str]] = field(default_factory=list)
    first: list[tuple[float, str]] = field(default_factory=list)


def read_leanings(pairs: LabelRecords, prefix: str, book: FigureBook) -> tuple[LabelLeaning, ...]:
    """Return the leanings of each source, and of the preferences that training sees."""
    found: dict[str, _Choices] = {}
    for judgment in pairs.judgments:
        pair = pairs.lengths.get(judgment.comparison_id)
        if pair is not None:
            own = found.setdefault(judgment.labeler, _Choices())
            own.longer += _for_longer(probability_of(judgment), pair)
            own.first += _for_first(judgment, pair)
    rows = [
        (_TITLES.get(name, f"people ({name})"), f"{prefix}.leaning.{name}", found[name], name not in MACHINES)
        for name in sorted(found, key=lambda name: (name not in MACHINES, name))
    ]
    every = _Choices([choice for one in pairs.preferences for choice in _of_preference(one)])
    rows.append(("all labels together", f"{prefix}.preferences", every, False))
    leanings = (
        LabelLeaning(
            title,
            _share(f"{name}.longer", own.longer, book),
            _share(f"{name}.first", own.first, book),
            is_people,
        )
        for title, name, own, is_people in rows
    )
    return tuple(one for one in leanings if one.longer or one.first)


def length_steps(pairs: LabelRecords, prefix: str, book: FigureBook) -> tuple[LengthStep, ...]:
    """Return the AI labeler's mean probability of the longer answer by how much longer it is.

    Pairs of about the same ratio are one step; there are at most `MOST_STEPS` of them. Pairs with an answer
    without words have no ratio and are left out.
    """
    found = []
    for judgment in pairs.judgments:
        pair = pairs.lengths.get(judgment.comparison_id)
        if judgment.labeler == AI and judgment.p_a is not None and pair and pair.longer and pair.ratio:
            p = judgment.p_a if pair.longer == "a" else 1 - judgment.p_a
            found.append((pair.ratio, p, pair.prompt))
    if len(found) < PER_STEP:
        return ()
    ratios = np.asarray([ratio for ratio, _, _ in found])
    count = min(MOST_STEPS, len(found) // PER_STEP)
    places = np.searchsorted(np.quantile(ratios, np.arange(1, count) / count), ratios, side="right")
    steps = [_step([found[n] for n in np.flatnonzero(places == place)]) for place in np.unique(places)]
    for column in ("ratio", "p", "n"):
        book.series(f"{prefix}.length.{column}", [float(getattr(step, column)) for step in steps])
    return tuple(steps)


def _step(inside: Sequence[tuple[float, float, str]]) -> LengthStep:
    ratios, chances, prompts = zip(*inside, strict=True)
    metric = weighted_share("p", chances, [1.0] * len(inside), prompts)
    assert metric is not None
    return LengthStep(
        sum(ratios) / len(ratios),
        metric.value,
        metric.low or 0.0,
        1.0 if metric.high is None else metric.high,
        metric.n,
    )


def _for_longer(p_a: float | None, pair: PairLengths) -> Iterator[tuple[float, str]]:
    """Yield 1 if a judgment prefers the longer answer, 0 if the shorter, nothing if neither."""
    if p_a is not None and p_a != _EVEN and pair.longer is not None:
        yield float((p_a > _EVEN) == (pair.longer == "a")), pair.prompt


def _for_first(judgment: Judgment, pair: PairLengths) -> Iterator[tuple[float, str]]:
    """Yield 1 if the answer shown first is preferred, else 0, for each presentation order that is known."""
    if judgment.orders is not None:
        # Both are log-odds of `a`, which is shown second in the second order.
        for log_odds in (judgment.orders.a_first, -judgment.orders.b_first):
            if log_odds:
                yield float(log_odds > 0), pair.prompt
    elif judgment.shown_first is not None and judgment.verdict in ("a", "b"):
        yield float(judgment.verdict == judgment.shown_first), pair.prompt


def _of_preference(preference: Preference) -> Iterator[tuple[float, str]]:
    """Yield 1 if the longer answer is preferred, else 0."""
    chosen, rejected = (count_words(side[0].content) for side in (preference.chosen, preference.rejected))
    if preference.p_chosen != _EVEN and chosen != rejected:
        yield float(chosen > rejected), preference.prompt_id


def _share(name: str, choices: Sequence[tuple[float, str]], book: FigureBook) -> Figure | None:
    if not choices:
        return None
    values, prompts = zip(*choices, strict=True)
    metric = weighted_share(name, values, [1.0] * len(values), prompts)
    assert metric is not None
    return book.add(Figure(name, metric.value, SHARE, metric.n, metric.low, metric.high))
