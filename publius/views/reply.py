"""Output of `publius check --reply`: what checks and a model say about one reply."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from core.notices import note
from publius.authoring.reply import CheckedReply, PrincipleOutcome
from publius.console import out

_MARKS = {"passed": "pass", "failed": "fail", "judged": "judged", "unparsed": "judged"}
_HALF = 0.5


def print_reply(result: CheckedReply) -> None:
    """Print an outcome a line, what was not decided, and the totals."""
    shown = [found for found in result.outcomes if found.outcome in _MARKS]
    if shown:
        table = Table(box=None, show_header=False, pad_edge=False)
        for found in shown:
            table.add_row(_MARKS[found.outcome], found.principle, Text(_said(found)))
        out.print(table)
    counts = result.counts
    checks = counts["passed"] + counts["failed"]
    out.print(f"{result.constitution.name}: {counts['passed']} of {checks} checks passed")
    if counts["not_asked"]:
        note(f"{counts['not_asked']} not decided by a check: --prompt TEXT --model MODEL has them judged")
    if counts["unknown"]:
        names = ", ".join(found.principle for found in result.outcomes if found.outcome == "unknown")
        note(f"only for some prompts, so give --tag or --prompt: {names}")
    for found in result.outcomes:
        if found.outcome == "elsewhere" and found.finding:
            note(f"{found.principle}: not decided, {found.finding}")
    if counts["elsewhere"]:
        note(f"{counts['elsewhere']} not for this prompt")


def _said(found: PrincipleOutcome) -> str:
    """Return why a check failed, or how the model judged."""
    if found.outcome == "failed":
        return found.finding or ""
    if found.outcome == "unparsed":
        return "no valid answer"
    if found.p is None:
        return ""
    return f"{'follows it' if found.p >= _HALF else 'does not follow it'}, p = {found.p:.2f}"
