"""Statistics of a run's critique loop, by round and by principle.

Everything is counted from the traces, so the numbers are the same after a resume. `better` and `worse`
compare the mean score of the machine checks in scope before and after a revision, whether or not it was kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from constitution.checks.wording import count_words
from constitution.schema import Constitution
from core.notices import counted
from core.records import CritiqueTrace, Generation, Prompt, Revision
from core.rewards import Sample
from critique.flags import finds_fault
from critique.guard import Dropped
from labelers.rewards import check_scores, mean_score

ATTRIBUTION = {
    "drawn": "drawn",
    "faults": "fault found",
    "kept": "revision kept",
    "better": "checks better",
    "worse": "checks worse",
    "broken": "broken by a revision",
}
"""Counts of a principle with their titles."""


class _Checked(NamedTuple):
    """An answer with the result of the machine checks in scope."""

    words: int
    passes: bool | None
    """True if it passes all of them; None if there are none."""
    score: float | None


@dataclass
class RoundCounts:
    """Counts of one round."""

    revisions: int = 0
    """Prompts that were revised in this round."""
    kept: int = 0
    no_fault: int = 0
    """Prompts whose critique found nothing wrong, so that no revision was written."""
    skipped: int = 0
    """Prompts without this round: the answer passes the checks, or no principle applies."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Discarded revisions by reason: `flags` or `guard`."""
    flags: Counter[str] = field(default_factory=Counter)
    """Revisions, kept or not, by flag."""
    better: int = 0
    worse: int = 0
    words_before: int = 0
    """Words of the answers that were revised."""
    words_after: int = 0
    """Words of their answers after the round: the revision if it was kept, else the answer before it."""

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values, with mean words."""
        means = {
            name: round(total / self.revisions, 1) if self.revisions else 0.0
            for name, total in (("words_before", self.words_before), ("words_after", self.words_after))
        }
        counters = {name: dict(sorted(getattr(self, name).items())) for name in ("dropped", "flags")}
        return {**vars(self), **counters, **means}


@dataclass
class PrincipleCounts:
    """Counts of one principle over all rounds in which it was drawn."""

    drawn: int = 0
    faults: int = 0
    """Critiques that do not say that nothing is wrong."""
    kept: int = 0
    """Rounds whose revision became the answer."""
    better: int = 0
    worse: int = 0
    broken: int = 0
    """Revisions, under any principle, that break this one, which the answer before them fulfils."""


@dataclass
class LoopStatistics:
    """Counts the rounds of all traces.

    Args:
        constitution: its machine checks are evaluated.
        last_round: number of rounds of the loop.
    """

    constitution: Constitution
    last_round: int
    prompts: int = 0
    checked: int = 0
    """Prompts with a machine check in scope."""
    compliant: Counter[int] = field(default_factory=Counter)
    """Of these, the answers after each round that pass all checks; round 0 is the draft."""
    rounds: dict[int, RoundCounts] = field(default_factory=lambda: defaultdict(RoundCounts))
    principles: dict[str, PrincipleCounts] = field(default_factory=lambda: defaultdict(PrincipleCounts))

    def add(self, trace: CritiqueTrace) -> None:
        """Count one trace."""
        self.prompts += 1
        current = self._checked(trace.prompt, trace.initial)
        self.checked += current.passes is not None
        by_round = {revision.round: revision for revision in trace.revisions}
        for number in range(self.last_round + 1):
            revision = by_round.get(number)
            if revision is None:
                if number:
                    self.rounds[number].skipped += 1
            else:
                after = self._checked(trace.prompt, revision.candidates[-1])
                self._add_round(current, after, revision)
                self._add_principles(current, after, revision)
                current = after if revision.kept else current
            self.compliant[number] += bool(current.passes)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values, with principles in the order of the constitution."""
        known = [p.id for p in self.constitution.principles if p.id in self.principles]
        return {
            "prompts": self.prompts,
            "checked": self.checked,
            "compliant": [self.compliant[number] for number in range(self.last_round + 1)],
            "rounds": {str(number): self.rounds[number].as_json() for number in sorted(self.rounds)},
            "principles": {name: vars(self.principles[name]) for name in known},
        }

    def _add_round(self, before: _Checked, after: _Checked, revision: Revision) -> None:
        counts = self.rounds[revision.round]
        if "no_fault" in revision.flags:
            counts.no_fault += 1
            return
        counts.revisions += 1
        counts.kept += revision.kept
        counts.flags.update(revision.flags)
        counts.better += _rises(before, after)
        counts.worse += _rises(after, before)
        if not revision.kept:
            counts.dropped[revision.dropped or "flags"] += 1
        counts.words_before += before.words
        counts.words_after += after.words if revision.kept else before.words

    def _add_principles(self, before: _Checked, after: _Checked, revision: Revision) -> None:
        for name in revision.principle_ids:
            counts = self.principles[name]
            counts.drawn += 1
            counts.faults += revision.critique is not None and finds_fault(revision.critique)
            counts.kept += revision.kept
            counts.better += _rises(before, after)
            counts.worse += _rises(after, before)
        for name in revision.broken:
            self.principles[name].broken += 1

    def _checked(self, prompt: Prompt, answer: Generation) -> _Checked:
        scores = check_scores(self.constitution, Sample(prompt, answer.text, answer.finish_reason == "stop"))
        passes = all(score == 1.0 for _, score in scores) if scores else None
        return _Checked(count_words(answer.text), passes, mean_score(scores))


_DROPPED: Mapping[Dropped, str] = {
    "guard": "the revision breaks a rule that the answer before it keeps, fails the check of its own rule by "
    "more, or repeats itself, its critique or the question (critique.guard)",
    "flags": "the revision has a flag that is not accepted (critique.drop)",
}
"""Meanings of the reasons for which a revision is discarded; the answer before it is kept."""


def loop_lines(loop: Mapping[str, Any]) -> list[str]:
    """Return a line about each round of `LoopStatistics.as_json`, and one about compliance."""
    if not loop:
        return []
    lines = [_round_line(number, counts) for number, counts in loop["rounds"].items()]
    if loop["checked"]:
        shares = " -> ".join(f"{100 * count / loop['checked']:.1f} %" for count in loop["compliant"])
        prompts = counted(loop["checked"], "prompt")
        lines.append(
            f"answers that pass all machine checks, draft and after each round: {shares} of {prompts}"
        )
    dropped = {why for counts in loop["rounds"].values() for why in counts["dropped"]}
    return [*lines, *(f"dropped by {why}: {_DROPPED[why]}" for why in _DROPPED if why in dropped)]


def attribution_rows(loop: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each principle of `LoopStatistics.as_json`: its id and the counts of `ATTRIBUTION`."""
    principles = loop.get("principles", {}).items()
    return [(name, *(f"{counts[field]:,}" for field in ATTRIBUTION)) for name, counts in principles]


def _round_line(number: str, counts: Mapping[str, Any]) -> str:
    parts = [f"{counts['kept']:,} of {counted(counts['revisions'], 'revision')} kept"]
    parts += [f"{count:,} dropped by {why}" for why, count in counts["dropped"].items()]
    if counts["no_fault"]:
        parts.append(f"{counted(counts['no_fault'], 'critique')} without a fault")
    if counts["skipped"]:
        parts.append(f"{counted(counts['skipped'], 'prompt')} skipped")
    if counts["better"] or counts["worse"]:
        parts.append(f"checks better in {counts['better']:,} and worse in {counts['worse']:,}")
    if counts["revisions"]:
        parts.append(f"words {counts['words_before']:g} to {counts['words_after']:g}")
    if counts["flags"]:
        parts.append("flags: " + ", ".join(f"{name} {count:,}" for name, count in counts["flags"].items()))
    return f"round {number}: {'; '.join(parts)}"


def _rises(before: _Checked, after: _Checked) -> bool:
    """Return True if the mean score of the checks is higher after a revision."""
    return before.score is not None and after.score is not None and after.score > before.score
