"""Output of `publius try` (draft, critiques, revisions, checks and labels) and of `publius prompts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from core.notices import counted, note
from core.records import Judgment
from labelers.check import CHECK_LABELER
from publius.authoring.prompts import PromptsResult, _reasons
from publius.authoring.trial import NO_CLEAR_DIFFERENCE, TrialResult, Tried, verdict_of_revision
from publius.console import heading, out, word_diff
from publius.views.looking.record import why_not_kept
from publius.views.reply import quoted_matches

_VERDICTS = ("better", "worse", "no difference", "not compared")
_CLEARLY, _SLIGHTLY = 0.9, 0.65
"""Probabilities from which an answer is clearly better, and below which it is only slightly better."""


def print_trial(tried: Tried) -> None:
    """Print every prompt with its results, and a summary where there are several prompts."""
    several = len(tried.prompts) > 1
    for number, results in enumerate(tried.prompts, start=1):
        _print_prompt(results, f" {number} of {len(tried.prompts)}" if several else "")
    if several:
        _print_totals(tried)
    if tried.left:
        note(f"{counted(tried.left, 'prompt')} of the file not tried; --limit N tries more")


def _print_prompt(results: Sequence[TrialResult], number: str) -> None:
    """Print the results of a prompt. The draft is printed once, since no constitution is behind it."""
    prompt = results[0].trace.prompt
    tags = f" (tags: {', '.join(prompt.tags)})" if prompt.tags else ""
    heading(f"Prompt{number}{tags}")
    out.print(Text(prompt.messages[-1].content))
    heading("Draft")
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
        flags = f" ({', '.join(revision.flags)})" if revision.flags else ""
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
        marks = [outcome.draft, outcome.last] if revised else [outcome.draft]
        shown = " -> ".join("pass" if mark is None else "fail" for mark in marks)
        why = outcome.last or outcome.draft or ""
        name = "" if outcome.last or not why else "the draft: "
        why += quoted_matches(outcome.matched)
        cells = (shown, name + why) if outcome.applies else ("-", "not for this prompt")
        table.add_row(outcome.principle.id, *map(Text, cells))
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
        table.add_row(judgment.principle_id, "" if p is None else f"p = {p:.2f}", Text(said))
    for judgment in result.judgments:
        if judgment.labeler == CHECK_LABELER:
            p = result.p_of(judgment)
            table.add_row(judgment.principle_id, "check", Text(_by_check(0.5 if p is None else p)))
    out.print(table)
    overall = result.p_revision
    said = overall if isinstance(overall, str) else f"{_in_words(overall)}, p = {overall:.2f}"
    decided = f", decided by {', '.join(result.decided_by)}" if result.decided_by else ""
    out.print(Text(f"Overall: {said}{decided}", style="bold"))
    for line in _of_chosen(result):
        out.print(Text(line))
    if len(asked) < result.drawn_from:
        out.print(f"judged under {len(asked)} of {result.drawn_from} principles; --principle ID chooses")


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
    """Print for each constitution how many revisions are better, and how many checks pass."""
    heading(f"All {len(tried.prompts)} prompts")
    for number, first in enumerate(tried.prompts[0]):
        counts = tried.counts(number)
        said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if counts[verdict])
        results = [results[number] for results in tried.prompts]
        means = [p for result in results if not isinstance(p := result.p_revision, str)]
        mean = f"; mean p = {sum(means) / len(means):.2f}" if means else ""
        name = f"{first.constitution.name}: " if len(tried.prompts[0]) > 1 else ""
        out.print(Text(f"{name}revisions: {said}{mean}"))
        table = Table(box=None, show_header=False, pad_edge=False)
        for row in zip(*(result.checks for result in results), strict=True):
            applied = [outcome for outcome in row if outcome.applies]
            passed = [sum(getattr(o, part) is None for o in applied) for part in ("draft", "last")]
            shown = f"{passed[0]} of {len(applied)} drafts pass, {passed[1]} last answers"
            table.add_row(row[0].principle.id, shown)
        out.print(table)


def print_prompts(result: PromptsResult) -> None:
    """Print the number of prompts by kind, and of skipped messages by reason."""
    summary = result.as_json()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in summary["kinds"].items())
    out.print(f"wrote {result.to}: {summary['got']:,} of {summary['wanted']:,} prompts ({kinds})")
    rejected = result.synthesis.rejected
    out.print(f"skipped {rejected.total():,}{': ' if rejected else ''}{_reasons(rejected)}")
