"""`publius diff OLD NEW --replies`: which verdicts about replies flip from one constitution to another.

Checks alone decide; a rule is compared with the rule of the same id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from constitution.schema import Constitution
from core.store.files import write_stream
from publius.authoring.given import warn_of_unknown_tags
from publius.authoring.replies.checking import CheckedCase, RuleCounts, checked_cases, rule_counts, tags_of
from publius.authoring.replies.rows import ReadReplies, ReplyRow, read_replies
from publius.authoring.replies.tables import found_in_words
from publius.authoring.replies.words import outcome_word
from publius.authoring.reply import PrincipleOutcome
from publius.runs.pairs.tables import TableCounts, conversation_text, csv_parts
from publius.sources.texts.reading import UNSAID, TextReading

_COLUMNS = ("case", "place", "rule", "before", "now", "found_before", "found_now", "prompt", "reply")


@dataclass(frozen=True)
class VerdictFlip:
    """A reply about which a rule's check says something else under the new constitution."""

    row: ReplyRow
    before: PrincipleOutcome
    now: PrincipleOutcome

    @property
    def principle(self) -> str:
        """Id of the rule."""
        return self.now.principle

    @property
    def kind(self) -> str:
        """Outcome before and now, such as `failed to passed`."""
        return f"{self.before.outcome} to {self.now.outcome}"

    def as_json(self) -> dict[str, Any]:
        """Return the flip as JSON-able values."""
        sides = {"before": asdict(self.before), "now": asdict(self.now)}
        return {"case": self.row.case, "place": self.row.place, "principle": self.principle, **sides}


@dataclass(frozen=True)
class RuleShift:
    """Totals of a rule under both constitutions; None under the one that lacks it."""

    principle: str
    before: RuleCounts | None
    now: RuleCounts | None
    flips: Mapping[str, int] = field(default_factory=dict)
    """Number of flips by outcome before and now, as `failed to passed`."""

    @property
    def is_decided(self) -> bool:
        """True if a check decided about a reply under one of the constitutions."""
        return any(counts is not None and counts.decided for counts in (self.before, self.now))


@dataclass(frozen=True)
class RepliesShift:
    """Verdicts about the same replies under two constitutions."""

    read: ReadReplies
    flips: tuple[VerdictFlip, ...]
    rules: tuple[RuleShift, ...]
    """Every rule of the new constitution in its order, then those that only the old one has."""
    breaking_before: int
    breaking_now: int
    """Numbers of replies that fail a check."""
    quoted: int = 0
    """Cells of the written file that begin with an apostrophe, lest a spreadsheet runs them."""

    def as_json(self) -> dict[str, Any]:
        """Return the shift as JSON-able values."""
        return {
            "file": self.read.name,
            "rows": self.read.read,
            "replies": len(self.read.rows),
            "excluded": self.read.excluded,
            **({} if self.read.beside is None else {"prompts": self.read.beside.as_json()}),
            "breaking_before": self.breaking_before,
            "breaking_now": self.breaking_now,
            "rules": [asdict(rule) for rule in self.rules],
            "flips": [flip.as_json() for flip in self.flips],
        }


def replies_shift(
    old: Constitution,
    new: Constitution,
    path: Path,
    columns: Mapping[str, str],
    to: Path | None = None,
    reading: TextReading = UNSAID,
    prompts: Path | None = None,
) -> RepliesShift:
    """Return what checks say about replies under two constitutions.

    Args:
        old: the constitution before.
        new: the constitution now.
        path: the replies, as `publius check --replies` reads them.
        columns: the file's column for each of ours.
        to: CSV file to write, one row for each case and rule.
        reading: how replies and prompts are read: HTML, quoted mail and signatures.
        prompts: a file of prompts, whose tags and columns replies to the same prompts get.

    Raises:
        ConfigError: a column does not exist.
        DataError: the file cannot be read, or has no replies.
    """
    read = read_replies(path, columns, reading=reading, prompts=prompts)
    warn_of_unknown_tags(tags_of(read), [old, new])
    sides = [tuple(checked_cases(constitution, read)) for constitution in (old, new)]
    before, now = ([_by_id(case) for case in side] for side in sides)
    flips = tuple(_flips(read, before, now))
    ids = [principle.id for principle in new.principles]
    ids += [principle.id for principle in old.principles if principle.id not in ids]
    rules = tuple(
        RuleShift(
            name,
            _counts(old, name, before),
            _counts(new, name, now),
            dict(Counter(flip.kind for flip in flips if flip.principle == name)),
        )
        for name in ids
    )
    quoted = 0 if to is None else _write(to, read, ids, before, now)
    broken_before, broken_now = (sum(bool(case.broken) for case in side) for side in sides)
    return RepliesShift(read, flips, rules, broken_before, broken_now, quoted)


_Outcomes = list[dict[str, PrincipleOutcome]]


def _by_id(case: CheckedCase) -> dict[str, PrincipleOutcome]:
    return {found.principle: found for found in case.outcomes}


def _counts(constitution: Constitution, name: str, outcomes: _Outcomes) -> RuleCounts | None:
    principle = constitution.find(name)
    return None if principle is None else rule_counts(principle, [of[name] for of in outcomes])


def _flips(read: ReadReplies, before: _Outcomes, now: _Outcomes) -> Iterator[VerdictFlip]:
    """Yield the verdicts that are others now: between pass and fail, or in and out of a rule's scope."""
    for row, old, new in zip(read.rows, before, now, strict=True):
        for name, found in new.items():
            if name in old and old[name].outcome != found.outcome:
                yield VerdictFlip(row, old[name], found)


def _write(to: Path, read: ReadReplies, ids: list[str], before: _Outcomes, now: _Outcomes) -> int:
    """Write a row for each case and rule, and return the number of quoted cells."""
    counts = TableCounts()
    rows = (
        {
            "case": row.case,
            "place": row.place,
            "rule": name,
            "before": outcome_word(old[name]) if name in old else None,
            "now": outcome_word(new[name]) if name in new else None,
            "found_before": found_in_words(old[name]) if name in old else None,
            "found_now": found_in_words(new[name]) if name in new else None,
            "prompt": None if row.prompt is None else conversation_text(row.prompt.messages),
            "reply": row.reply,
        }
        for row, old, new in zip(read.rows, before, now, strict=True)
        for name in ids
    )
    write_stream(to, csv_parts(rows, dict.fromkeys(_COLUMNS, "string"), counts))
    return counts.quoted
