"""Output of `publius try` (draft, critiques, revisions, checks and labels) and of `publius prompts`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from constitution.checks.evaluate import evaluate
from constitution.draw import in_scope
from core.records import Judgment
from publius.authoring.prompts import PromptsResult, _reasons
from publius.authoring.trial import TrialResult
from publius.console import heading, out, word_diff
from publius.views.looking.record import why_not_kept


def print_trial(results: Sequence[TrialResult]) -> None:
    """Print every result. The draft is printed once, since it does not depend on the constitution."""
    heading("Prompt")
    out.print(Text(results[0].trace.prompt.messages[-1].content))
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
    for principle in result.constitution.principles:
        if principle.check is not None and in_scope(principle, result.trace.prompt):
            marks = " -> ".join(
                "pass" if evaluate(principle.check, answer.text).passed else "fail"
                for answer in result.trace.answers()
            )
            out.print(f"\nCheck {principle.id}: {marks}")


def _print_labels(result: TrialResult) -> None:
    heading("Label: is the last revision better than the draft?")
    if isinstance(result.comparison, str):
        out.print(f"no comparison: {result.comparison}")
        return
    a_is_revision = result.comparison.origin_a != "draft"
    for judgment in result.judgments:
        if judgment.p_a is None:
            out.print(f"{judgment.principle_id}: unparsed, the model would write {judgment.raw}")
            continue
        p = judgment.p_a if a_is_revision else 1 - judgment.p_a
        out.print(
            f"{judgment.principle_id} [{judgment.labeler}]: p = {p:.2f}{_orders(judgment, a_is_revision)}"
        )


def _orders(judgment: Judgment, a_is_revision: bool) -> str:
    """Return the log-odds of the revision in each presentation order; empty for a machine check."""
    if judgment.orders is None:
        return ""
    first, second = judgment.orders.a_first, judgment.orders.b_first
    if not a_is_revision:  # the stored log-odds are those of `a`
        first, second = -second, -first
    return f"  (log-odds {first:+.2f} shown first, {second:+.2f} shown second)"


def print_prompts(result: PromptsResult) -> None:
    """Print the number of prompts by kind, and of skipped messages by reason."""
    summary = result.as_json()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in summary["kinds"].items())
    out.print(f"wrote {result.to}: {summary['got']:,} of {summary['wanted']:,} prompts ({kinds})")
    rejected = result.synthesis.rejected
    out.print(f"skipped {rejected.total():,}{': ' if rejected else ''}{_reasons(rejected)}")
