"""Attribution: which principle, and which line of the constitution, decided how many preferences.

A preference's distance from one half is the sum of the principles' contributions
(`labelers.crowd.aggregate.Shares`), which are computed again from the recorded judgments. The principle with
the largest contribution towards the chosen answer decided it. Labels of people that name no principle count
under the name of their source, in brackets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import PubliusError
from core.records import Comparison, Judgment, Preference
from labelers.crowd.aggregate import Settled
from publius.stages.label import aggregation_rule
from publius.views.report.figures import SHARE, Figure, FigureBook
from publius.views.report.labels.pairs import LabelRecords, PairLengths
from publius.views.report.reading.answers import AnswerData
from publius.views.report.reading.places import PrinciplePlace, principle_places
from publius.views.report.reading.sources import RunSource

MAX_DECISIONS = 8
"""Maximum number of preferences of each principle on the page, the most decisive ones."""
_EVEN, _TOLERANCE = 0.5, 1e-9
_Rule = Callable[[Comparison, Iterable[Judgment]], Settled | str]


@dataclass(frozen=True)
class PrincipleInfluence:
    """The influence of one principle on a run's preferences."""

    principle: str
    text: str
    where: str
    """Position of the principle in the constitution, such as `kind.yaml:12`; empty if it is not in there."""
    anchor: str
    """Id of the principle in the constitution on the page; empty if it is not in there."""
    decided: Figure
    """Number of preferences with its contribution as the largest towards the chosen answer."""
    share: Figure
    """The same as a share of all preferences that are no ties."""
    pushed: Figure
    """Number of preferences to which it contributed."""
    overruled: Figure
    """Number of these in which it preferred the rejected answer."""
    push: Figure
    """Mean size of its contributions to the probability."""
    longer: Figure | None
    """Share of its contributions towards the longer answer; answers of equal length are left out."""
    revision: Figure | None
    """Share of its contributions towards a revision, of pairs of a revision and a draft."""


@dataclass(frozen=True)
class LabelAttribution:
    """What decided the preferences of a run."""

    principles: tuple[PrincipleInfluence, ...]
    ties: Figure
    """Number of preferences of one half, which nothing decided."""
    unexplained: Figure
    """Number of preferences whose probability the recorded judgments do not give, such as those of older
    versions; they are left out."""
    problem: str
    """Why nothing could be attributed; empty if it was."""
    examples: list[dict[str, Any]]
    """Preferences in the form that the page reads."""


@dataclass(frozen=True)
class _Decision:
    """A preference with the contributions to its distance from one half, positive for the chosen answer."""

    comparison: Comparison
    preference: Preference
    pushes: Mapping[str, float]

    @property
    def principle(self) -> str:
        """The principle that decided it."""
        return max(self.pushes, key=lambda name: (self.pushes[name], name))

    @property
    def a_is_chosen(self) -> bool:
        return self.preference.chosen[0].content == self.comparison.response_a


@dataclass
class _Influence:
    """Counts of one principle."""

    decided: int = 0
    pushes: list[float] = field(default_factory=list)
    longer: list[bool] = field(default_factory=list)
    revision: list[bool] = field(default_factory=list)


def read_attribution(
    run: RunSource, pairs: LabelRecords, prefix: str, place: str, data: AnswerData, book: FigureBook
) -> LabelAttribution | None:
    """Return what decided a run's preferences; None if it has none.

    Args:
        run: the run.
        pairs: its comparisons, judgments and preferences.
        prefix: how the names of the figures begin.
        place: prefix of the ids of principles on the page.
        data: takes the texts of the examples.
        book: takes the figures.
    """
    if not pairs.preferences:
        return None
    name, problem, decisions = f"{prefix}.attribution", run.problem or "", list[_Decision]()
    decided = [one for one in pairs.preferences if one.p_chosen != _EVEN]
    if run.constitution is not None:
        try:
            rule = aggregation_rule(run.reader, run.reader.config.label, run.constitution)
        except PubliusError as error:
            problem = str(error)
        else:
            found = (_decision(run, preference, rule) for preference in decided)
            decisions = [one for one in found if one is not None]
    rows = _influences(run, decisions, pairs.lengths, name, place, book)
    return LabelAttribution(
        rows,
        book.count(f"{name}.ties", len(pairs.preferences) - len(decided)),
        book.count(f"{name}.unexplained", len(decided) - len(decisions)),
        problem,
        [_example(run, one, data) for one in _most_decisive(decisions)],
    )


def _decision(run: RunSource, preference: Preference, rule: _Rule) -> _Decision | None:
    """Return what decided a preference; None if the recorded judgments do not give its probability."""
    comparison = run.reader.comparison(preference.comparison_id)
    settled = rule(comparison, run.reader.judgments.children(comparison.id))
    p_a = preference.p_a(comparison)
    if isinstance(settled, str) or not math.isclose(settled.p_a, p_a, abs_tol=_TOLERANCE):
        return None
    sign = 1 if p_a > _EVEN else -1
    pushes = {name: sign * share for name, share in settled.shares.items() if share}
    return _Decision(comparison, preference, pushes) if pushes else None


def _influences(
    run: RunSource,
    decisions: Sequence[_Decision],
    lengths: Mapping[str, PairLengths],
    name: str,
    place: str,
    book: FigureBook,
) -> tuple[PrincipleInfluence, ...]:
    counts: dict[str, _Influence] = {}
    for decision in decisions:
        counts.setdefault(decision.principle, _Influence()).decided += 1
        for principle, push in decision.pushes.items():
            _count(counts.setdefault(principle, _Influence()), decision, push, lengths)
    places = principle_places(run) if counts else {}
    known = [one for one in places if one in counts]
    return tuple(
        _influence(run, one, counts[one], len(decisions), places.get(one), f"{name}.{one}", place, book)
        for one in (*known, *sorted(counts.keys() - set(known)))
    )


def _count(counts: _Influence, decision: _Decision, push: float, lengths: Mapping[str, PairLengths]) -> None:
    counts.pushes.append(push)
    towards = "a" if decision.a_is_chosen == (push > 0) else "b"
    pair = lengths[decision.comparison.id]
    if pair.longer is not None:
        counts.longer.append(towards == pair.longer)
    origins = {"a": decision.comparison.origin_a, "b": decision.comparison.origin_b}
    ways = {side: origin.partition(":")[0] for side, origin in origins.items()}
    if set(ways.values()) == {"draft", "revision"}:
        counts.revision.append(ways[towards] == "revision")


def _influence(
    run: RunSource,
    principle: str,
    counts: _Influence,
    decisions: int,
    found: PrinciplePlace | None,
    name: str,
    place: str,
    book: FigureBook,
) -> PrincipleInfluence:
    known = run.constitution and run.constitution.find(principle)
    size = sum(map(abs, counts.pushes)) / len(counts.pushes)
    return PrincipleInfluence(
        principle,
        known.text if known else "",
        found.where if found else "",
        f"{place}-{found.anchor}" if found else "",
        book.count(f"{name}.decided", counts.decided),
        book.add(Figure(f"{name}.share", counts.decided / decisions, SHARE, decisions)),
        book.count(f"{name}.pushed", len(counts.pushes)),
        book.count(f"{name}.overruled", sum(push < 0 for push in counts.pushes)),
        book.add(Figure(f"{name}.push", size, SHARE, len(counts.pushes))),
        _share(f"{name}.longer", counts.longer, book),
        _share(f"{name}.revision", counts.revision, book),
    )


def _share(name: str, towards: Sequence[bool], book: FigureBook) -> Figure | None:
    return book.add(Figure(name, sum(towards) / len(towards), SHARE, len(towards))) if towards else None


def _most_decisive(decisions: Sequence[_Decision]) -> list[_Decision]:
    """Return the preferences to show: of each principle those with its largest contributions."""
    by_principle: dict[str, list[_Decision]] = {}
    for decision in decisions:
        by_principle.setdefault(decision.principle, []).append(decision)
    return [
        one
        for principle, own in sorted(by_principle.items())
        for one in sorted(own, key=lambda one: (-one.pushes[principle], one.comparison.id))[:MAX_DECISIONS]
    ]


def _example(run: RunSource, decision: _Decision, data: AnswerData) -> dict[str, Any]:
    preference = decision.preference
    return {
        "id": decision.comparison.id,
        "run": run.label,
        "messages": [[message.role, data.text(message.content)] for message in preference.prompt],
        "chosen": data.text(preference.chosen[0].content),
        "rejected": data.text(preference.rejected[0].content),
        "origins": [preference.origin_chosen, preference.origin_rejected],
        "p": preference.p_chosen,
        "principle": data.principle(decision.principle),
        "pushes": [
            [data.principle(name), push]
            for name, push in sorted(decision.pushes.items(), key=lambda entry: (-abs(entry[1]), entry[0]))
        ],
    }
