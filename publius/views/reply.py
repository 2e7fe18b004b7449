"""Output of `publius check --reply`: what checks and a model say about one reply."""

from __future__ import annotations

from collections.abc import Sequence

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
    out.print(f"{result.constitution.name}: {_total(result)}")
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


def quoted_matches(matched: Sequence[str]) -> str:
    """Return the texts that a pattern matched, to put behind its finding; empty without any."""
    return f": {', '.join(repr(one) for one in matched)}" if matched else ""


def _total(result: CheckedReply) -> str:
    """Return how many checks passed, or why none decided anything."""
    counts = result.counts
    checks = counts["passed"] + counts["failed"]
    if checks:
        return f"{counts['passed']} of {checks} checks passed"
    if any(principle.check is not None for principle in result.constitution.principles):
        return "no check is for this prompt, so none decided anything"
    return "no rule has a check, so nothing is decided; publius check CONSTITUTION shows which could have one"


def _said(found: PrincipleOutcome) -> str:
    """Return why a check failed, or how the model judged."""
    if found.outcome == "failed":
        return (found.finding or "") + quoted_matches(found.matched)
    if found.outcome == "unparsed":
        return "no valid answer"
    if found.p is None:
        return ""
    return f"{'follows it' if found.p >= _HALF else 'does not follow it'}, p = {found.p:.2f}"
