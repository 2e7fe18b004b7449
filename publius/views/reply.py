"""Output of `publius check --reply`: what checks and a model say about one reply."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from core.notices import counted, note, warn
from core.terminal.breaking import BreakableName
from publius.authoring.replies.words import outcome_said
from publius.authoring.reply import CheckedReply, ReplyOutcome
from publius.console import out

_MARKS = {"passed": "pass", "failed": "fail", "judged": "judged", "unparsed": "judged"}
_SHOWN_IDS = 30


def print_reply(result: CheckedReply) -> None:
    """Print an outcome a line, what was not decided, and the totals."""
    shown = [found for found in result.outcomes if found.outcome in _MARKS]
    if any(_MARKS[found.outcome] == "judged" for found in shown):
        for caveat in result.caveats:
            warn(caveat)
    if shown:
        table = Table(box=None, show_header=False, pad_edge=False)
        for found in shown:
            table.add_row(_MARKS[found.outcome], BreakableName(found.principle), Text(outcome_said(found)))
        out.print(table)
    counts = result.counts
    out.print(f"{result.constitution.name}: {_total(result)}")
    if counts["not_asked"]:
        names = _ids(result, "not_asked")
        note(
            f"{counts['not_asked']} not decided by a check ({names}): "
            "--prompt TEXT --model MODEL has them judged"
        )
    if counts["unknown"]:
        note(f"only for some prompts, so give --tag or --prompt: {_ids(result, 'unknown')}")
    for found in result.outcomes:
        if found.outcome == "elsewhere" and found.finding:
            note(f"{found.principle}: not decided, {found.finding}")
    if counts["elsewhere"]:
        note(f"{counts['elsewhere']} not for this prompt: {_ids(result, 'elsewhere')}")


def some_ids(ids: Sequence[str]) -> str:
    """Return ids with commas, of many the first and how many more there are."""
    more = f" and {len(ids) - _SHOWN_IDS:,} more" if len(ids) > _SHOWN_IDS else ""
    return ", ".join(ids[:_SHOWN_IDS]) + more


def _ids(result: CheckedReply, outcome: ReplyOutcome) -> str:
    return some_ids([found.principle for found in result.outcomes if found.outcome == outcome])


def _total(result: CheckedReply) -> str:
    """Return how many checks passed, or why none decided anything."""
    counts = result.counts
    checks = counts["passed"] + counts["failed"]
    if checks:
        return f"{counts['passed']} of {counted(checks, 'check')} passed"
    if any(principle.check is not None for principle in result.constitution.principles):
        return "no check is for this prompt, so none decided anything"
    return "no rule has a check, so nothing is decided; publius check CONSTITUTION shows which could have one"
