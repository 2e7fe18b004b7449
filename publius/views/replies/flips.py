"""Output of `publius diff --replies`: verdicts that flip, and totals by rule under both constitutions."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from core.notices import counted, note
from core.terminal.breaking import BreakableName
from publius.authoring.replies.checking import RuleCounts
from publius.authoring.replies.flips import RepliesShift, VerdictFlip
from publius.authoring.replies.words import outcome_said
from publius.authoring.reply import PrincipleOutcome
from publius.console import heading, out
from publius.views.replies.checked import counted_replies, note_quoted, print_excluded
from publius.views.reply import some_ids

_OUTCOMES: Mapping[str, str] = {
    "passed": "keeps it",
    "failed": "breaks it",
    "elsewhere": "not for this prompt",
    "unknown": "not decided without the prompt",
    "not_asked": "not decided: it has no check",
}


def print_replies_shift(shift: RepliesShift, limit: int | None) -> None:
    """Print which verdicts flip, at most `limit` of them, and how many replies break each rule."""
    heading(f"Replies of {shift.read.name}")
    table = Table(box=None, show_header=False, pad_edge=False)
    shown = shift.flips[:limit]
    for flip in shown:
        table.add_row(BreakableName(flip.row.case), BreakableName(flip.principle), Text(_said(flip)))
    if shown:
        out.print(table)
    if len(shown) < len(shift.flips):
        note(f"{counted(len(shift.flips) - len(shown), 'more flip')}; --json and --to FILE.csv have all")
    _print_rules(shift)
    print_excluded(shift.read)
    note_quoted(shift.quoted)
    undecided = [rule.principle for rule in shift.rules if not rule.is_decided]
    if undecided:
        note(f"{len(undecided)} not decided by a check: {some_ids(undecided)}")
    replies = counted_replies(len(shift.read.rows))
    flips = "1 verdict flips" if len(shift.flips) == 1 else f"{len(shift.flips):,} verdicts flip"
    out.print(
        f"{replies}: {flips}; {shift.breaking_before:,} with a broken rule before, {shift.breaking_now:,} now"
    )


def _said(flip: VerdictFlip) -> str:
    found = [one for one in (flip.before, flip.now) if one.outcome == "failed"]
    why = f" ({'; '.join(map(outcome_said, found))})" if found else ""
    return f"{_outcome(flip.before)} -> {_outcome(flip.now)}{why}"


def _outcome(found: PrincipleOutcome) -> str:
    return _OUTCOMES.get(found.outcome, found.outcome)


def _print_rules(shift: RepliesShift) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("", "broken before", "now", "flips"):
        table.add_column(title, justify="right" if title else "left")
    rules = [rule for rule in shift.rules if rule.is_decided]
    for rule in sorted(rules, key=lambda rule: -sum(rule.flips.values())):
        flips = f"{sum(rule.flips.values()):,}"
        table.add_row(BreakableName(rule.principle), _of(rule.before), _of(rule.now), flips)
    if rules:
        out.print(table)


def _of(counts: RuleCounts | None) -> str:
    return "no such rule" if counts is None else f"{counts.broken:,} of {counts.decided:,}"
