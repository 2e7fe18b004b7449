"""Who won by people's votes, in a run of answers that were given and not made: the page begins with it."""

from __future__ import annotations

from dataclasses import dataclass

from labelers.crowd.votes import MACHINES
from labelers.crowd.winners import Preferred, who_won
from publius.labels.comparable import cases_as_a_whole
from publius.views.report.figures import SHARE, Figure, FigureBook
from publius.views.report.labels.pairs import LabelRecords
from publius.views.report.reading.sources import RunSource
from publius.views.report.summary import SentencePart

_MAKING = {"critique", "sample"}
"""Stages that make answers."""
_SHOWN = 5
"""Origins that are named."""


@dataclass(frozen=True)
class WonAnswers:
    """How often people preferred the answers of each origin."""

    claim: tuple[SentencePart, ...]
    verdict: tuple[SentencePart, ...]


def read_won(run: RunSource, pairs: LabelRecords, prefix: str, book: FigureBook) -> WonAnswers | None:
    """Return who won by people's votes; None if a run made its answers, or nobody voted on named ones."""
    if _MAKING & run.manifest["stages"].keys():
        return None
    people = [one for one in pairs.judgments if one.labeler not in MACHINES]
    cases = cases_as_a_whole(people, pairs.prompts)
    origins = {one.id: (one.origin_a, one.origin_b) for one in run.reader.all_comparisons()} if people else {}
    won = who_won(cases.votes, origins, cases.prompts)
    if not won.answers:
        return None
    claim: list[SentencePart] = ["People preferred "]
    for place, one in enumerate(won.answers[:_SHOWN]):
        count = book.add(Figure(f"{prefix}.won.{one.origin}.preferred", one.preferred))
        claim += [f"{', ' if place else ''}{one.name} in ", count]
    claim += [" votes; ", book.add(Figure(f"{prefix}.won.ties", won.ties)), " are ties."]
    return WonAnswers(tuple(claim), tuple(_verdict(won.answers[0], prefix, book)))


def _verdict(first: Preferred, prefix: str, book: FigureBook) -> list[SentencePart]:
    share = first.share
    if share is None:
        return []
    name = f"{prefix}.won.{first.origin}.share"
    figure = book.add(Figure(name, share.value, SHARE, None, share.low, share.high))
    ends = f"{share.low:.0%} to {share.high:.0%}"
    return [f"{first.name} has ", figure, f" of the votes, ties as one half (95 % interval {ends})."]
