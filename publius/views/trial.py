"""Output of `publius try` (draft, critiques, revisions, checks and labels) and of `publius prompts`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from core.notices import counted, note, warn
from core.records import Judgment
from core.terminal.breaking import BreakableName
from labelers.check import CHECK_LABELER
from publius.authoring.prompts import PromptsResult, _reasons
from publius.authoring.trial import (
    NO_CLEAR_DIFFERENCE,
    CheckOutcome,
    TrialResult,
    Tried,
    verdict_of_revision,
)
from publius.console import heading, out, word_diff
from publius.views.looking.cells import cell_text
from publius.views.looking.flags import flags_in_words
from publius.views.looking.record import why_not_kept

_VERDICTS = ("better", "worse", "no difference", "not compared")
_WHOLE = 3
"""Prompts up to which each is printed with its answers; of more, only what failed or changed."""
_CLEARLY, _SLIGHTLY = 0.9, 0.65
"""Probabilities from which an answer is clearly better, and below which it is only slightly better."""


def print_trial(tried: Tried, *, show_all: bool = False) -> None:
    """Print the results of each prompt, and totals where there are several.

    With more than three prompts, the totals come first, and then what failed or changed.

    Args:
        tried: the results.
        show_all: print each prompt with its answers, however many there are.
    """
    if any(_judged_under(results) for results in tried.prompts):
        for caveat in tried.caveats:
            warn(caveat)
    several = len(tried.prompts) > 1
    if len(tried.prompts) > _WHOLE and not show_all:
        _print_totals(tried)
        _print_outstanding(tried)
    else:
        for number, results in enumerate(tried.prompts, start=1):
            _print_prompt(results, f" {number} of {len(tried.prompts)}" if several else "")
        if several:
            _print_totals(tried)
    if said := _cut_off_in_words(tried):
        warn(said)
    if tried.left:
        note(f"{counted(tried.left, 'prompt')} of the file not tried; --limit N tries more")


def _cut_off_in_words(tried: Tried) -> str:
    """Return how many drafts and last answers are cut off, with what that means for checks; empty if none."""
    results = [result for prompt in tried.prompts for result in prompt]
    drafts = sum(prompt[0].cut_off[0] for prompt in tried.prompts)
    revised = [result for result in results if len(result.trace.answers()) > 1]
    last = sum(result.cut_off[1] for result in revised)
    counts = ((drafts, counted(len(tried.prompts), "draft")), (last, counted(len(revised), "revision")))
    said = " and ".join(f"{count:,} of {of}" for count, of in counts if count)
    if not said:
        return ""
    are = "is" if drafts + last == 1 else "are"
    return (
        f"{said} {are} cut off at {counted(tried.max_new_tokens, 'token')}: what checks say of their length "
        "and end proves nothing; --max-new-tokens N allows more"
    )


def _print_prompt(results: Sequence[TrialResult], number: str) -> None:
    """Print the results of a prompt. The draft is printed once, since no constitution is behind it."""
    prompt = results[0].trace.prompt
    tags = f" (tags: {', '.join(prompt.tags)})" if prompt.tags else ""
    heading(f"Prompt{number}{tags}")
    out.print(Text(prompt.messages[-1].content))
    heading("Draft, cut off at the token limit" if results[0].cut_off[0] else "Draft")
    out.print(Text(results[0].trace.initial.text))
    for result in results:
        if len(results) > 1:
            heading(f"— under {result.constitution.name} ({result.constitution.digest[:8]}) —")
        _print_rounds(result)
        _print_checks(result)
        _print_labels(result)
    if len(results) > 1:
        heading("Changes from the other constitution's answer to this one's (words removed and added)")
        out.print(word_diff(results[1].trace.answers()[-1].text, results[0].trace.answers()[-1].text))


def _print_rounds(result: TrialResult) -> None:
    answer = result.trace.initial
    if not result.trace.revisions:
        heading("No round: no principle applies, or the draft passes the checks of those that do")
    for revision in result.trace.revisions:
        principle = result.constitution.principle(revision.principle_id)
        heading(f"Round {revision.round}: {principle.id}")
        out.print(Text(principle.text, style="italic"))
        if revision.critique is not None:
            out.print(Text(f"\nCritique: {revision.critique.text}"))
        flags = f" ({flags_in_words(revision.flags)})" if revision.flags else ""
        kept = "" if revision.kept else f", {why_not_kept(revision)}"
        out.print(Text(f"\nRevision{flags}{kept}, words removed and added:"))
        out.print(word_diff(answer.text, revision.candidates[-1].text))
        answer = revision.candidates[-1] if revision.kept else answer


def _print_checks(result: TrialResult) -> None:
    """Print what every machine check says of the draft and the last answer that was kept."""
    if not result.checks:
        return
    revised = len(result.trace.answers()) > 1
    heading("Checks of the draft and the revision" if revised else "Checks of the draft")
    table = Table(box=None, show_header=False, pad_edge=False)
    for outcome in result.checks:
        shown = _marks(outcome, revised)
        why = outcome.why
        name = "" if outcome.last or not why else "the draft: "
        cells = (shown, name + why) if outcome.applies else ("-", "not for this prompt")
        table.add_row(BreakableName(outcome.principle.id), *map(Text, cells))
    out.print(table)


def _print_labels(result: TrialResult) -> None:
    """Print in words which of draft and revision is better, under each principle and overall."""
    heading("Is the revision better than the draft?")
    if isinstance(result.comparison, str):
        out.print(f"not compared: {result.comparison}")
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    asked = [judgment for judgment in result.judgments if judgment.labeler != CHECK_LABELER]
    for judgment in asked:
        p = result.p_of(judgment)
        said = f"no valid answer: {judgment.raw}" if p is None else _in_words(p) + _leaning(judgment)
        table.add_row(_id_of(judgment), "" if p is None else f"p = {p:.2f}", Text(said))
    for judgment in result.judgments:
        if judgment.labeler == CHECK_LABELER:
            p = result.p_of(judgment)
            table.add_row(_id_of(judgment), "check", Text(_by_check(0.5 if p is None else p)))
    out.print(table)
    overall = result.p_revision
    said = overall if isinstance(overall, str) else f"{_in_words(overall)}, p = {overall:.2f}"
    decided = f", decided by {', '.join(result.decided_by)}" if result.decided_by else ""
    out.print(Text(f"Overall: {said}{decided}", style="bold"))
    for line in _of_chosen(result):
        out.print(Text(line))
    if len(asked) < result.drawn_from:
        out.print(f"judged under {len(asked)} of {result.drawn_from} principles; --principle ID chooses")


def _id_of(judgment: Judgment) -> BreakableName:
    return BreakableName(judgment.principle_id or "")


def _of_chosen(result: TrialResult) -> Iterator[str]:
    """Yield what the principles say that the user named, unless they alone decided."""
    if set(result.chosen) == set(result.decided_by):
        return
    checks = {outcome.principle.id: outcome for outcome in result.checks}
    for name in result.chosen:
        judged = [result.p_of(j) for j in result.judgments if j.principle_id == name]
        if name in checks:
            passes = checks[name].last is None
            still = "still " if (checks[name].draft is None) == passes else "now "
            yield f"{name}: the revision {still}{'passes' if passes else 'fails'} its check"
        elif judged and judged[0] is not None:
            yield f"{name}: {_in_words(judged[0])}, p = {judged[0]:.2f}"


def _in_words(p: float) -> str:
    """Return which answer is better, by the probability that the revision is."""
    verdict = verdict_of_revision(p)
    if verdict == "no difference":
        return "no clear difference"
    distance = max(p, 1 - p)
    degree = "clearly " if distance >= _CLEARLY else "slightly " if distance < _SLIGHTLY else ""
    return f"the {'revision' if verdict == 'better' else 'draft'} is {degree}better"


def _by_check(p: float) -> str:
    if abs(p - 0.5) < NO_CLEAR_DIFFERENCE:
        return "no difference"
    return f"the {'revision' if p > 0.5 else 'draft'} is better"


def _leaning(judgment: Judgment) -> str:
    """Return a note if the labeler prefers whichever answer is shown first, or second, in both orders."""
    if judgment.orders is None or judgment.orders.a_first * judgment.orders.b_first > 0:
        return ""
    place = "first" if judgment.orders.a_first > judgment.orders.b_first else "second"
    return f" (prefers the {place} answer in both orders)"


def _print_totals(tried: Tried) -> None:
    """Print for each constitution how many revisions are better, and the results of each principle."""
    heading(f"All {len(tried.prompts)} prompts")
    for number, first in enumerate(tried.prompts[0]):
        results = [results[number] for results in tried.prompts]
        name = f"{first.constitution.name}: " if len(tried.prompts[0]) > 1 else ""
        out.print(Text(f"{name}revisions: {_verdicts([result.p_revision for result in results])}"))
        table = Table(box=None, show_header=False, pad_edge=False)
        for row in zip(*(result.checks for result in results), strict=True):
            applied = [outcome for outcome in row if outcome.applies]
            passed = [sum(getattr(o, part) is None for o in applied) for part in ("draft", "last")]
            drafts = f"{passed[0]} of {counted(len(applied), 'draft')}"
            last = f"{passed[1]} of {counted(len(applied), 'last answer')}"
            shown = f"passed by {drafts}, {last}" if applied else "for none of these prompts"
            table.add_row(BreakableName(row[0].principle.id), shown)
        for name, found in _judged_under(results).items():
            said = f"judged on {counted(len(found), 'prompt')}: {_verdicts(found)}"
            table.add_row(BreakableName(name), said)
        out.print(table)


def _judged_under(results: Sequence[TrialResult]) -> dict[str, list[float | str]]:
    """Return what the model says of the revisions under each principle that it was asked about."""
    found: dict[str, list[float | str]] = {}
    for result in results:
        for judgment in result.judgments:
            if judgment.labeler != CHECK_LABELER and judgment.principle_id is not None:
                p = result.p_of(judgment)
                found.setdefault(judgment.principle_id, []).append("no valid answer" if p is None else p)
    return dict(sorted(found.items()))


def _verdicts(found: Sequence[float | str]) -> str:
    """Return the numbers of verdicts and the mean probability that a revision is better."""
    counts = Counter(verdict_of_revision(p) for p in found)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if counts[verdict])
    numbers = [p for p in found if not isinstance(p, str)]
    return said + (f"; mean p = {sum(numbers) / len(numbers):.2f}" if numbers else "")


def _print_outstanding(tried: Tried) -> None:
    """Print each prompt with a failed or changed check, or a revision that is worse, in a few lines."""
    heading("What failed or changed")
    calm = 0
    for number, results in enumerate(tried.prompts, start=1):
        shown = [result for result in results if _is_outstanding(result)]
        calm += not shown
        if shown:
            _print_cut(f"{number}. {cell_text(results[0].trace.prompt.messages[-1].content)}", "bold")
        for result in shown:
            _print_outcome(result, len(results) > 1)
    if calm:
        out.print(f"{counted(calm, 'prompt')} without any of this")
    note("--all shows every prompt with its answers, critiques and labels")


def _is_outstanding(result: TrialResult) -> bool:
    """Return True if an answer fails a check, or the revision is worse than the draft."""
    fails = any(outcome.draft or outcome.last for outcome in result.checks)
    return fails or verdict_of_revision(result.p_revision) == "worse"


def _print_outcome(result: TrialResult, is_one_of_two: bool) -> None:
    """Print the last answer on one line, its failed or changed checks, and whether it is better."""
    if is_one_of_two:
        _print_cut(f"   under {result.constitution.name} ({result.constitution.digest[:8]})")
    revised = len(result.trace.answers()) > 1
    name = "revision" if revised else "draft"
    name += ", cut off" if result.cut_off[1] else ""
    _print_cut(f"   {name}: {cell_text(result.trace.answers()[-1].text)}")
    table = Table(box=None, show_header=False, pad_edge=False)
    for outcome in result.checks:
        if outcome.draft or outcome.last:
            cells = map(Text, (_marks(outcome, revised), outcome.why))
            table.add_row(BreakableName(outcome.principle.id), *cells)
    if table.row_count:
        out.print(Padding(table, (0, 0, 0, 3)))
    overall = result.p_revision
    if not isinstance(overall, str):
        decided = f", decided by {', '.join(result.decided_by)}" if result.decided_by else ""
        _print_cut(f"   {_in_words(overall)}, p = {overall:.2f}{decided}")


def _marks(outcome: CheckOutcome, revised: bool) -> str:
    """Return what a check says of the draft, and of the last answer if there is a revision."""
    marks = [outcome.draft, outcome.last] if revised else [outcome.draft]
    return " -> ".join("pass" if mark is None else "fail" for mark in marks)


def _print_cut(text: str, style: str = "") -> None:
    """Print a text on one line, cut at the width of the terminal."""
    line = Text(text, style=style)
    line.truncate(out.width, overflow="ellipsis")
    out.print(line)


def print_prompts(result: PromptsResult) -> None:
    """Print the number of prompts by kind, and of skipped messages by reason."""
    summary = result.as_json()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in summary["kinds"].items())
    out.print(f"wrote {result.to}: {summary['got']:,} of {counted(summary['wanted'], 'prompt')} ({kinds})")
    rejected = result.synthesis.rejected
    out.print(f"skipped {rejected.total():,}{': ' if rejected else ''}{_reasons(rejected)}")
