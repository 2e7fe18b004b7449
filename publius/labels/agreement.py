"""Inter-annotator agreement, annotator reliability and position bias in folders of judgments."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.notices import counted
from core.records import Judgment
from labelers.check import CHECK_LABELER
from labelers.crowd.agreement import (
    Agreement,
    PairAgreement,
    Prompts,
    annotator_agreement,
)
from labelers.crowd.consistency import SelfAgreement, self_agreements
from labelers.crowd.names import written_names
from labelers.crowd.reliability import Reliability, graded_dawid_skene
from labelers.crowd.seconds import SecondsPerVote, seconds_per_vote
from labelers.crowd.votes import MACHINES, current_judgments, votes_by_occasion
from labelers.crowd.which import EVERY_VOTE, WhichVotes
from labelers.crowd.winners import Origins, WhoWon, who_won
from labelers.formats.columns import best_named
from labelers.position import PositionBias, position_biases
from publius.labels.beside_votes import RuleBesideVotes, rules_beside_votes
from publius.labels.comparable import cases_as_a_whole, comparable_pairs, votes_as_a_whole
from publius.labels.disagreements import Disagreement, NamedComparison, beginning_of, disagreements_of
from publius.runs.reader import RecordsReader, open_judgments
from publius.sources.column_names import case_named

_MACHINE_NAMES = {"ai": "The AI labeler agrees", CHECK_LABELER: "Machine checks agree"}
_SAME_SHARE = 0.0005
"""Shares that are nearer than this are printed alike."""


@dataclass(frozen=True)
class AgreementReport:
    """The result of `publius agreement`."""

    judgments: int
    taken_back: int
    without_choice: dict[str, int]
    """Number of current judgments that are not votes, by verdict."""
    overall: Agreement | None
    """Agreement on which answer is better as a whole; machine checks have no part in it."""
    by_principle: dict[str, Agreement]
    by_dimension: dict[str, Agreement]
    """Like `by_principle`: only those for which two annotators judged the same comparison."""
    pairs: list[PairAgreement]
    """Pairs of annotators who judged the same (`comparable_pairs`)."""
    rules: list[RuleBesideVotes]
    """Judgments of machines under each principle beside people's votes as a whole."""
    annotators: tuple[Reliability, ...]
    themselves: list[SelfAgreement]
    """Agreement of annotators with their own earlier judgments of a comparison."""
    positions: list[PositionBias]
    disagreements: list[Disagreement]
    """The comparisons on which people differ as a whole, least agreed first."""
    names: dict[str, str]
    """The name to show for each annotator: as it was written, with its source only where that is needed."""
    seconds: dict[str, SecondsPerVote] = field(default_factory=dict)
    """How long each annotator took, of those whose times are recorded."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """What the user left out: `without`, names of annotators; or whose judgments alone count: `aspects`."""
    excluded: dict[str, dict[str, int]] = field(default_factory=dict)
    """For each run that did not label comparisons that people judged, their number by reason."""
    who_won: WhoWon = field(default_factory=lambda: WhoWon(()))
    """How often people preferred which answers, by where these come from."""
    named: dict[str, NamedComparison] = field(default_factory=dict)
    """The comparisons on which people or rules differ, by id; those that a folder has."""

    def name_of(self, annotator: str) -> str:
        """Return the name to show for an annotator."""
        return self.names.get(annotator, annotator)

    def compared_with(self, annotator: str) -> int:
        """Return the number of annotators who judged a comparison, or a question of it, that this one did."""
        named = [{pair.first, pair.second} - {CHECK_LABELER} for pair in self.pairs]
        return sum(annotator in names and len(names) == 2 for names in named)

    def sentences(self) -> list[str]:
        """Return how often people agree with each other, and machines with them, in words."""
        named = [(_sources_of(one), one) for one in self.pairs]
        people = self._of_people()
        found = [f"People agree with each other in {_share_of(people)}."] if people else []
        for machine, name in _MACHINE_NAMES.items():
            beside = [pair for sources, pair in named if machine in sources and sources - MACHINES]
            found += [f"{name} with people in {_share_of(beside)}."] if beside else []
        return found

    @property
    def two_shares(self) -> str | None:
        """Why the share of equal choices by comparison is not that of the first sentence; None if it is."""
        people = self._of_people()
        cases = sum(pair.comparisons for pair in people)
        if not cases or self.overall is None:
            return None
        share = sum(pair.observed * pair.comparisons for pair in people) / cases
        if abs(share - self.overall.observed.value) < _SAME_SHARE:
            return None
        has_ai = any("ai" in _sources_of(pair) for pair in self.pairs)
        beside = ", and the AI labeler is an annotator" if has_ai else ""
        return (
            f"Each comparison counts once here{beside}; in the first line, once for each two people who "
            "judged it."
        )

    def _of_people(self) -> list[PairAgreement]:
        return [pair for pair in self.pairs if not _sources_of(pair) & MACHINES]

    @property
    def nothing_shared(self) -> bool:
        """True if no comparison was judged by two annotators, so that there is nothing to compare."""
        return not (self.overall or self.by_principle or self.by_dimension)

    def next_steps(self) -> list[tuple[str, str]]:
        """Return commands by which judgments that can be compared come about, each with what it does."""
        if not self.nothing_shared:
            return []
        steps = [("publius annotate RUN --annotators-per 2", "asks two people about each comparison")]
        if any(one.annotator not in MACHINES for one in self.annotators):
            steps += [
                (
                    "publius run RUN.yaml --set label.mix=pooled",
                    "the AI labeler judges what people judged, too; then give agreement this run",
                ),
                (
                    "publius audit labeler RUN.yaml --gold FOLDER",
                    "measures the AI labeler on a folder of people's labels, without a run",
                ),
            ]
        return steps

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        steps = [{"command": command, "why": why} for command, why in self.next_steps()]
        values = _as_json({name: value for name, value in vars(self).items() if name != "who_won"})
        return {"in_words": self.sentences(), "who_won": self.who_won.as_json(), **values, "next": steps}


def read_report(folders: Sequence[Path], which: WhichVotes = EVERY_VOTE) -> AgreementReport:
    """Return the agreement among the judgments of all folders together.

    Args:
        folders: the folders.
        which: the judgments that count.

    Raises:
        DataError: a folder has no judgments, or holds an empty file of them; or none of them counts.
        ConfigError: nobody has a name that is left out, or no judgment of people has an aspect.
    """
    found: dict[str, Judgment] = {}
    prompts: dict[str, str] = {}
    origins: dict[str, tuple[str, str]] = {}
    for folder in folders:
        with open_judgments(folder) as files:
            found |= {judgment.id: judgment for judgment in files.judgments}
            for one in files.all_comparisons():
                prompts[one.id] = one.prompt.id
                named_here = sys.intern(one.origin_a), sys.intern(one.origin_b)
                origins[one.id] = best_named(origins.get(one.id, ("", "")), named_here)
    if not found:
        where = ", ".join(map(str, folders))
        raise DataError("no judgments found", where=where, accepted="judgments.jsonl with judgments")
    counting = which.of(found.values())
    if not counting:
        where = ", ".join(map(str, folders))
        raise DataError("nobody's judgments are left", where=where, accepted="fewer --without")
    found = {judgment.id: judgment for judgment in counting}
    report = agreement_report(found.values(), prompts, origins)
    _add_texts(report.disagreements, folders)
    against = [case for rule in report.rules for case in rule.against_in]
    named = _named([*against, *(one.comparison_id for one in report.disagreements)], folders)
    people = {one.comparison_id for one in current_judgments(found.values()) if one.labeler not in MACHINES}
    alike = len({folder.name for folder in folders}) < len(folders)
    left_out = {str(folder) if alike else folder.name: _excluded(folder, people) for folder in folders}
    excluded = {name: reasons for name, reasons in left_out.items() if reasons}
    unwanted = {"without": list(which.without), "aspects": list(which.aspects)}
    left_out_by = {name: given for name, given in unwanted.items() if given}
    return replace(report, excluded=excluded, named=named, left_out=left_out_by)


def _excluded(folder: Path, people: Collection[str]) -> dict[str, int]:
    """Return the reasons why a run did not label comparisons that people judged, with their numbers."""
    with open_judgments(folder) as files:
        found = {(e.record_id, e.reason) for e in files.exclusions if e.stage == "label"}
    return dict(Counter(reason for identity, reason in sorted(found) if identity in people))


def _named(ids: Iterable[str], folders: Sequence[Path]) -> dict[str, NamedComparison]:
    """Return what tells people which comparisons these are, from the first folder that knows it."""
    wanted = dict.fromkeys(ids)
    found: dict[str, NamedComparison] = {}
    for folder in folders:
        with open_judgments(folder) as files:
            for identity in wanted:
                comparison = files.find_comparison(identity)
                if comparison is None:
                    continue
                one = found.setdefault(identity, NamedComparison(beginning_of(comparison)))
                one.case = one.case or case_named(files.own_columns(identity, comparison.prompt.id))
                if not one.left_out:
                    one.left_out = _why_left_out(files, identity)
    return found


def _why_left_out(files: RecordsReader, identity: str) -> str:
    """Return why a run has no label of a comparison; empty if it has one.

    A row that repeats a comparison, such as that of another aspect, is excluded, and the comparison is not.
    """
    if next(iter(files.preferences.children(identity)), None) is not None:
        return ""
    return next((exclusion.reason for exclusion in files.exclusions.children(identity)), "")


def _add_texts(disagreements: Sequence[Disagreement], folders: Sequence[Path]) -> None:
    """Add prompts and origins: only of these, since the comparisons of all folders may not fit in memory."""
    for folder in folders:
        with open_judgments(folder) as files:
            for one in disagreements:
                comparison = files.find_comparison(one.comparison_id)
                if comparison is not None:
                    one.about(comparison)


def agreement_report(
    judgments: Collection[Judgment], prompts: Prompts, origins: Origins | None = None
) -> AgreementReport:
    """Return the agreement among judgments.

    Args:
        judgments: any judgments, superseded ones too.
        prompts: the prompt of each comparison.
        origins: where the answers of each comparison come from; None if that is not wanted.
    """
    current = current_judgments(judgments)
    votes, cases = votes_as_a_whole(current), cases_as_a_whole(current, prompts)
    return AgreementReport(
        judgments=len(judgments),
        taken_back=len(judgments) - len(current),
        without_choice=dict(
            sorted(Counter(j.verdict for j in current if j.verdict in ("skip", "unparsed")).items())
        ),
        overall=annotator_agreement(*cases),
        by_principle=_by(current, prompts, lambda judgment: judgment.principle_id),
        by_dimension=_by(current, prompts, lambda judgment: judgment.dimension),
        pairs=comparable_pairs(current, prompts),
        rules=rules_beside_votes(current),
        annotators=graded_dawid_skene(votes).annotators,
        themselves=self_agreements(current),
        positions=position_biases(current),
        disagreements=disagreements_of(votes),
        names=written_names(current),
        seconds=seconds_per_vote(current),
        who_won=who_won(cases.votes, origins or {}, cases.prompts),
    )


def _sources_of(pair: PairAgreement) -> set[str]:
    """Return the sources of two annotators: the part of a name before the slash."""
    return {name.partition("/")[0] for name in (pair.first, pair.second)}


def _share_of(pairs: Sequence[PairAgreement]) -> str:
    """Return the share of cases, each two annotators on one comparison, in which both chose the same."""
    cases = sum(pair.comparisons for pair in pairs)
    agreed = sum(pair.observed * pair.comparisons for pair in pairs)
    return f"{agreed / cases:.0%} of {counted(cases, 'case')} that both judged"


def _by(
    judgments: Iterable[Judgment], prompts: Prompts, key: Callable[[Judgment], str | None]
) -> dict[str, Agreement]:
    groups: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        name = key(judgment)
        if name is not None:
            groups.setdefault(name, []).append(judgment)
    found = {
        name: annotator_agreement(*votes_by_occasion(group, prompts))
        for name, group in sorted(groups.items())
    }
    return {name: one for name, one in found.items() if one is not None}


def _as_json(value: Any) -> Any:
    """Return records, tuples and mappings as JSON-able values."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, dict):
        return {name: _as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if hasattr(value, "__slots__"):
        return {name: _as_json(getattr(value, name)) for name in value.__slots__}
    return value
