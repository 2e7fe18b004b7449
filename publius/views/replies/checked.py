"""Output of `publius check --replies`: a line for each case, and how many replies break each rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from core.errors import shell_command
from core.notices import counted, note, warn
from core.terminal.breaking import BreakableName
from publius.authoring.replies.checking import CheckedCase, CheckedReplies, RuleCounts
from publius.authoring.replies.rows import ReadReplies
from publius.authoring.replies.words import is_decided, is_undecided, outcome_said
from publius.authoring.reply import PrincipleOutcome
from publius.console import heading, out
from publius.runs.engines import EMBEDDED_JUDGES_BY_CHANCE
from publius.sources.beside.prompts import say_joined
from publius.views.replies.by_value import print_by_value
from publius.views.replies.refusals import print_given_refusals
from publius.views.reply import some_ids

_BREAKS, _KEEPS, _UNDECIDED = "breaks", "keeps", "-"
_BY_CHANCE = " (no better than chance)"
_CASES = 50
"""Cases that are shown, those that break a rule first; --json and --to have all."""
_PLACES = 3
"""Places of excluded rows that are named for each reason."""


def print_checked_replies(result: CheckedReplies) -> None:
    """Print a line for each case, the totals by rule, and what was not decided."""
    if result.model is not None:
        for caveat in result.caveats:
            warn(caveat)
    shown = _shown(result.cases)
    table = Table(box=None, show_header=False, pad_edge=False)
    for case in shown:
        table.add_row(_mark(case), BreakableName(case.row.case), Text(_said(case)))
    out.print(table)
    if len(shown) < len(result.cases):
        note(f"{len(result.cases) - len(shown):,} more cases; --json and --to FILE.csv have all")
    rules = result.by_rule()
    _print_rules(rules, result)
    if result.by is not None:
        print_by_value(result.by, len(result.cases))
    if result.refusals is not None:
        print_given_refusals(result.refusals)
    print_excluded(result.read)
    note_quoted(result.quoted)
    _note_undecided(rules, result)
    marks = Counter(map(_mark, result.cases))
    undecided = f", {marks[_UNDECIDED]:,} not decided" if marks[_UNDECIDED] else ""
    model = "" if result.model is None else f" and {result.model}{_BY_CHANCE if _guesses(result) else ''}"
    out.print(
        f"{result.constitution.name}: {counted_replies(len(result.cases))}, {marks[_BREAKS]:,} with a broken "
        f"rule, {marks[_KEEPS]:,} without{undecided} (by checks{model})"
    )


def print_excluded(read: ReadReplies) -> None:
    """Print which rows have no reply to check, and what is not known without their prompts."""
    if read.beside is not None:
        say_joined(read.beside.as_json(), "replies")
    for reason, places in read.excluded.items():
        more = ", ..." if len(places) > _PLACES else ""
        note(f"{len(places):,} left out: {reason} ({', '.join(places[:_PLACES])}{more})")
    if read.without_prompt:
        likely = read.likely_prompt
        how = f"; give {shell_command('--columns', f'prompt={likely}')}" if likely else ""
        count = f"{read.without_prompt:,} of {counted_replies(len(read.rows))} without a prompt"
        note(f"{count}: rules that are only for some prompts are not decided there{how}")


def counted_replies(number: int) -> str:
    """Return a number of replies in words."""
    return "1 reply" if number == 1 else f"{number:,} replies"


def note_quoted(cells: int) -> None:
    """Log that cells of a written table begin with an apostrophe."""
    if cells:
        note(f"{counted(cells, 'cell')} with an apostrophe in front, against formulas")


def _shown(cases: Sequence[CheckedCase]) -> list[CheckedCase]:
    """Return the cases to show, in their order: all of few, of many those that break a rule first."""
    first = sorted(range(len(cases)), key=lambda place: (not cases[place].broken, place))[:_CASES]
    return [cases[place] for place in sorted(first)]


def _mark(case: CheckedCase) -> str:
    if case.broken:
        return _BREAKS
    return _KEEPS if any(map(is_decided, case.outcomes)) else _UNDECIDED


def _said(case: CheckedCase) -> str:
    """Return the rules that a reply breaks, each with what was found; or how many it keeps."""
    if case.broken:
        return "; ".join(map(_broken, case.broken))
    decided, undecided = (sum(map(which, case.outcomes)) for which in (is_decided, is_undecided))
    if not decided:
        return "no rule was decided"
    how = "judged" if all(found.p is not None for found in case.outcomes if is_decided(found)) else "checked"
    what = f"the only {how} rule" if decided == 1 else f"all {decided:,} {how} rules"
    return f"{what} ({undecided:,} not decided)" if undecided else what


def _broken(found: PrincipleOutcome) -> str:
    said = outcome_said(found) if found.p is None else f"judged, p = {found.p:.2f}"
    return f"{found.principle}: {said}"


def _print_rules(rules: Sequence[RuleCounts], result: CheckedReplies) -> None:
    if not rules:
        return
    heading("Rules, by the replies that break them")
    table = Table(box=None, pad_edge=False)
    for title in ("", "broken", "in scope"):
        table.add_column(title, justify="right" if title else "left")
    table.add_column("decided by")
    for rule in sorted(rules, key=lambda rule: (not rule.decided, -rule.broken)):
        numbers = (f"{rule.broken:,}", f"{rule.decided:,}") if rule.decided else ("", "")
        table.add_row(BreakableName(rule.principle), *numbers, _decided_by(rule, guesses=_guesses(result)))
    out.print(table)


def _guesses(result: CheckedReplies) -> bool:
    """Return whether the model that judges is known to judge no better than chance."""
    return any(caveat.startswith(EMBEDDED_JUDGES_BY_CHANCE) for caveat in result.caveats)


def _decided_by(rule: RuleCounts, *, guesses: bool) -> str:
    """Return what decided a rule, or why nothing did."""
    if rule.decided and rule.outcomes.get("judged"):
        return f"the model{_BY_CHANCE}" if guesses else "the model"
    if rule.decided:
        return "check"
    why = next((why for outcome, why in _WHY_NOT.items() if rule.outcomes.get(outcome)), None)
    return f"not decided: {why}" if why else "not for any of these prompts"


def _note_undecided(rules: Sequence[RuleCounts], result: CheckedReplies) -> None:
    asked = result.model is not None
    for outcome, what in _REASONS.items():
        names = [rule.principle for rule in rules if rule.outcomes.get(outcome)]
        if names and not (asked and outcome == "not_asked"):
            note(f"{len(names)} {what}: {some_ids(names)}")
    nowhere = [rule.principle for rule in rules if set(rule.outcomes) == {"elsewhere"}]
    if nowhere:
        note(f"{len(nowhere)} not for any of these prompts: {some_ids(nowhere)}")


_WHY_NOT = {
    "not_asked": "needs a model",
    "unparsed": "no valid answer of the model",
    "unknown": "prompt or tags are missing",
}
_REASONS = {
    "not_asked": "not decided by a check (--model MODEL has them judged)",
    "unparsed": "without a valid answer of the model for some replies",
    "unknown": "only for some prompts, and not decided where prompt or tags are missing",
}
