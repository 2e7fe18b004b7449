"""Output of `publius diff`."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from constitution.diff import Change, ConstitutionDiff, Effect
from constitution.lint.checks import value_beside_id
from constitution.schema import Constitution
from core.notices import counted, note
from core.statistics.bootstrap import LEVEL
from core.terminal.breaking import BreakableName
from publius.authoring.diff import DiffOutcome
from publius.authoring.estimating.relabelling import RelabellingCost
from publius.authoring.flips import CameOrWent, Flip, Shift
from publius.console import ALARM, heading, out, word_diff
from publius.views.costs.estimate import NO_SPEED, shown_duration
from publius.views.replies.flips import print_replies_shift

_SHORT, _MAX_PRINCIPLES, _CONTEXT = 160, 20, 25
"""Limits: characters of a text, principles in the table, words around a change. --json has everything."""
_REQUESTS: dict[Effect, str] = {"critique": "critiques", "revision": "revisions", "labels": "labels"}
_OTHERWISE: dict[Effect, str] = {
    "checks": "checks run again",
    "aggregation": "judgments are aggregated again",
    "rules": "judgments are aggregated again if label.rules names the section",
    "prompted": "new system prompt of the variant `prompted`",
    "contrast": "new requests for labels if label.mode is contrastive",
}


def print_diff_outcome(outcome: DiffOutcome, limit: int | None = None) -> None:
    """Print the changes, and either the flips of a run's preferences or the calls it takes to find them.

    Verdicts about replies that flip are printed too, at most `limit` of them.
    """
    print_diff(outcome.diff)
    if outcome.shift is not None:
        print_shift(outcome.shift)
        _print_values_beside_ids(outcome.diff.new, outcome.shift)
    elif outcome.replies is not None:
        print_replies_shift(outcome.replies, limit)
    elif outcome.estimate is not None:
        out.print(f"\n{outcome.estimate.summary()}")
        if outcome.cost is not None:
            _print_cost(outcome.cost)


def _print_cost(cost: RelabellingCost) -> None:
    """Print the tokens of the new calls, and what they take and cost."""
    about = "~" if cost.by_characters else ""
    out.print(f"tokens: {about}{cost.prompt_tokens:,} of prompts, {round(cost.generated_tokens):,} generated")
    if cost.seconds is not None and cost.speed is not None:
        speed = f"{cost.speed.speed.scored_per_s:,.0f} tokens of prompts/s ({cost.speed.source})"
        out.print(f"time: about {shown_duration(cost.seconds)}, at {speed}")
    elif cost.is_served:
        out.print("time: a server labels, and how fast it is is not known")
    else:
        out.print(NO_SPEED)
    if cost.usd is None:
        out.print("price: no prices; write them to prices.yaml in the project, or to engine.prices")
    else:
        out.print(f"price: about {cost.usd:,.4f} USD ({cost.prices.source})")


def print_diff(diff: ConstitutionDiff) -> None:
    """Print the differences, each with its effects."""
    for sign, one in (("-", diff.old), ("+", diff.new)):
        version = f" {one.version}" if one.version else ""
        size = counted(len(one.principles), "principle")
        out.print(Text(f"{sign} {one.name}{version}, {size}, {one.digest[:16]}"))
    if not diff.changes:
        out.print("no differences")
        return
    for principle, changes in itertools.groupby(diff.changes, key=lambda change: change.principle):
        heading(principle or "The constitution as a whole")
        for change in changes:
            _print_change(change)
    counts = Counter(change.kind for change in diff.changes)
    out.print(Text("\n" + ", ".join(f"{count} {kind}" for kind, count in counts.items())))


def bearing(change: Change) -> str:
    """Return the effects of a change, on one line."""
    effects = []
    asked = [name for effect, name in _REQUESTS.items() if effect in change.bears_on]
    if asked:
        effects.append(f"new requests {_where(change)}: {', '.join(asked)}")
    if "draw" in change.bears_on:
        effects.append(_drawn(change))
    effects += [text for effect, text in _OTHERWISE.items() if effect in change.bears_on]
    if not set(change.bears_on) & {*_REQUESTS, "draw", "contrast"}:
        effects.append("no new requests")
    return "; ".join(effects)


def print_shift(shift: Shift) -> None:
    """Print how the preferences of a run change."""
    heading("Preferences")
    out.print(Text(_summary(shift)))
    _print_one_sided("appeared", shift.appeared, shift.came)
    _print_one_sided("vanished", shift.vanished, shift.went)
    if shift.flips:
        heading("Flips, most decisive first (p: probability that the answer chosen now is better)")
    for number, flip in enumerate(shift.flips, start=1):
        _print_flip(number, flip)
    if len(shift.flips) < shift.flipped:
        more = counted(shift.flipped - len(shift.flips), "more flip")
        note(f"{more}; raise --limit, or use --json for all")
    _print_principles(shift)


def _print_change(change: Change) -> None:
    texts = isinstance(change.before, str) and isinstance(change.after, str)
    line = Text().append(f"  {change.kind}", style="bold")
    line.append(f" {change.field}: " if change.kind not in ("added", "removed") else ": ")
    if texts and change.field not in ("name", "version", "id", "section", "source", "priority"):
        line.append(word_diff(change.before, change.after, _CONTEXT))
    elif change.before is None and change.kind == "added":
        line.append(str(change.after))
    elif change.after is None and change.kind == "removed":
        line.append(str(change.before), style=ALARM)
    else:
        line.append(f"{_value(change.before)} -> {_value(change.after)}")
    out.print(line)
    out.print(Text(f"    {bearing(change)}", style="dim"))


def _where(change: Change) -> str:
    if change.principle is not None:
        return "where it is drawn"
    return "everywhere" if change.field == "preamble" else "where a principle that refers to it is drawn"


def _drawn(change: Change) -> str:
    """Return how the draws of principles change, which decides which requests are new."""
    if change.kind == "renamed":
        return (
            "draws and records use the id: it is drawn for other prompts, and older records have the old id"
        )
    if change.kind == "added":
        return "new requests only where it is drawn"
    if change.kind == "removed":
        return "new requests only for principles drawn in its place"
    if change.kind == "reweighted" and not change.after:
        return "from now on it is only measured: new requests only for principles drawn in its place"
    if change.kind == "reweighted" and not change.before:
        return "until now it was only measured: new requests only where it is drawn"
    if change.kind == "reweighted" and change.after > change.before:
        return "drawn more often: new requests only where it is newly drawn, none if all are drawn"
    if change.kind == "reweighted":
        return "drawn less often: new requests only for principles drawn in its place, none if all are drawn"
    if change.kind == "check changed":
        return "a principle with a check is not drawn for labels: new requests only where the draw changes"
    return "drawn for other prompts: new requests only for what was not drawn before"


def _value(value: Any) -> str:
    if value is None or value in ([], ""):
        return "none"
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return _short(", ".join(value))
    if isinstance(value, list):
        uses = Counter(example.get("use", "test") for example in value)
        return " and ".join(f"{count} {use}" for use, count in uses.items())
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _summary(shift: Shift) -> str:
    share = shift.share
    if share is None:
        return "no comparison has a preference under both constitutions"
    lines = [
        f"{shift.compared:,} under both constitutions, {shift.unchanged:,} of them unchanged; "
        f"mean |change in p| {shift.mean_change:.4f}",
        f"{counted(shift.flipped, 'flip')}: {share.value:.1%} "
        f"({LEVEL:.0%} interval {share.low:.1%} to {share.high:.1%})",
    ]
    if shift.became_ties or shift.were_ties:
        lines.append(f"{shift.became_ties:,} became ties, {shift.were_ties:,} are no longer ties")
    return "\n".join(lines)


def _print_one_sided(what: str, reasons: Counter[str], kept: Sequence[CameOrWent]) -> None:
    for reason, count in reasons.most_common():
        of = "before" if what == "appeared" else "now"
        ids = [one.comparison_id for one in kept if one.reason == reason]
        more = ", ..." if len(ids) < count else ""
        out.print(Text(f"{count:,} {what}; {of}: {reason} ({', '.join(ids)}{more})"))


def _print_flip(number: int, flip: Flip) -> None:
    moved = "" if flip.moved_by is None else f", moved by {flip.moved_by} ({flip.moves[flip.moved_by]:+.3f})"
    out.print(
        Text(f"{number}. {flip.comparison_id}: p {flip.before:.3f} -> {flip.after:.3f}{moved}", style="bold")
    )
    for name, text in (
        ("prompt", flip.prompt[-1].content),
        ("before", flip.chosen_before),
        ("now", flip.chosen_now),
    ):
        out.print(Text(f"   {name:<7} {_short(text)}"))


def _print_principles(shift: Shift) -> None:
    touched = [row for row in shift.by_principle.items() if row[1].flips or row[1].before != row[1].after]
    rows = sorted(touched, key=lambda row: (-row[1].flips, -abs(row[1].after - row[1].before), row[0]))
    if not rows:
        return
    heading("Principles that moved a flip, or have more or fewer judgments")
    table = Table(box=None, pad_edge=False)
    for title in ("", "flips moved", "judgments before", "now"):
        table.add_column(title, justify="right" if title else "left", no_wrap=bool(title), overflow="fold")
    for name, found in rows[:_MAX_PRINCIPLES]:
        table.add_row(
            BreakableName(name), *(f"{count:,}" for count in (found.flips, found.before, found.after))
        )
    out.print(table)
    if len(rows) > _MAX_PRINCIPLES:
        note(f"{counted(len(rows) - _MAX_PRINCIPLES, 'more principle')}; --json has all")


def _print_values_beside_ids(constitution: Constitution, shift: Shift) -> None:
    """Print the checks of the principles in the table whose ids name another value."""
    for principle in constitution.principles:
        check = value_beside_id(principle)
        if check is not None and principle.id in shift.by_principle:
            note(f"{principle.id}: its check is now {check}; the id names another value")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1].rstrip() + "…"
