"""Calibration of the AI labeler: by people who judged the same comparisons, and by gold labels of its audit.

Machine checks are no reference for it: a principle with a check is never asked of the AI labeler, so both
answer different questions about a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from evaluation.reward.calibration import reliability
from labelers.crowd.votes import Vote, mostly_both_bad, votes_of
from publius.views.report.figures import FigureBook
from publius.views.report.labels.pairs import LabelRecords
from publius.views.report.reading.reliability import ReliabilityDiagram, diagram_of, recorded_diagram
from publius.views.report.reading.sources import RunSource

AI = "ai"
_LEAST = 1e-6
"""Probabilities are clipped to this distance from 0 and 1, so that their log-odds are finite."""


def labeler_diagrams(
    run: RunSource, pairs: LabelRecords, prefix: str, book: FigureBook
) -> tuple[ReliabilityDiagram, ...]:
    """Return the calibration of the AI labeler's probabilities by each reference that there is."""
    name, bins = f"{prefix}.calibration.gold", run.manifest["audit"].get("reliability")
    by_gold = recorded_diagram(name, "by the gold labels of its audit", bins, book)
    by_people = _by_people(pairs, f"{prefix}.calibration.people", book)
    return tuple(one for one in (by_people, by_gold) if one is not None)


def _by_people(pairs: LabelRecords, name: str, book: FigureBook) -> ReliabilityDiagram | None:
    """Return the calibration where people judged the labeler's comparisons; None if they judged none.

    The label of a comparison is the mean of the annotators' votes, each with equal weight.
    """
    found = list(_beside_people(pairs))
    if not found:
        return None
    margins, labels, prompts = zip(*found, strict=True)
    numbers = np.asarray([margins, labels], dtype=np.float64)
    bins = reliability(numbers[0], numbers[1], np.ones(len(found)), prompts)
    return diagram_of(name, "by people's votes", bins, book)


def _beside_people(pairs: LabelRecords) -> Iterator[tuple[float, float, str]]:
    """Yield the AI's log-odds of `a`, the people's mean vote for it, and the prompt."""
    votes: dict[str, list[Vote]] = {}
    for vote in votes_of(pairs.judgments):
        votes.setdefault(vote.comparison_id, []).append(vote)
    for comparison, given in sorted(votes.items()):
        ai = next((vote.p_a for vote in given if vote.source == AI), None)
        people = [vote.p_a for vote in given if not vote.is_machine and vote.p_a is not None]
        if ai is None or not people or mostly_both_bad(given) or comparison not in pairs.lengths:
            continue
        p = min(max(ai, _LEAST), 1 - _LEAST)
        yield math.log(p / (1 - p)), sum(people) / len(people), pairs.lengths[comparison].prompt
