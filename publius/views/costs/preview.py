"""Output of `publius run --preview N`."""

from __future__ import annotations

from rich.text import Text

from core.notices import note
from core.records import CritiqueTrace, Judgment, Revision
from publius.authoring.preview import NO_FAULT, JudgedComparison, PreviewedPrompt, RunPreview
from publius.console import heading, out, word_diff
from publius.runs.pairs.caveats import reason_in_words
from publius.views.looking.flags import flags_in_words
from publius.views.looking.record import why_not_kept

_CONTEXT = 40
"""Unchanged words to show at each end of a run of them."""


def print_preview(preview: RunPreview) -> None:
    """Print each prompt with its draft, critiques, revisions, samples, comparisons and labels."""
    for number, prompt in enumerate(preview.prompts, start=1):
        _print_prompt(f"{number} of {len(preview.prompts)}", prompt)
    if preview.excluded:
        heading("Excluded")
        for stage, reasons in preview.excluded.items():
            for reason, count in reasons.items():
                out.print(f"{stage:<12}{count:>6,}  {reason_in_words(reason)}")
    if preview.usable is not None:
        heading("Pairs for DPO")
        remedy = f"; {preview.remedy}" if preview.remedy else ""
        out.print(Text(f"{preview.usable.in_words()}{remedy}"))
    counts = preview.counts
    heading("Requests")
    out.print(
        f"{counts.summary()}; {counts.prompt_tokens:,} prompt tokens, {counts.completion_tokens:,} generated"
    )
    note("nothing was trained; the run finds these answers in the cache")


def _print_prompt(place: str, previewed: PreviewedPrompt) -> None:
    heading(f"Prompt {place} ({previewed.prompt.split})")
    for message in previewed.prompt.messages:
        out.print(Text(f"{message.role}: {message.content}"))
    if previewed.trace is not None:
        _print_trace(previewed.trace)
    for sample in previewed.samples:
        passed = "passes" if sample.passed else "fails"
        out.print(Text(f"\nAnswer {sample.origin}, score {sample.score:.2f}, {passed}:", style="italic"))
        out.print(Text(sample.answer.text))
    for comparison in previewed.comparisons:
        _print_comparison(comparison, shown=previewed.trace is not None or bool(previewed.samples))


def _print_trace(trace: CritiqueTrace) -> None:
    out.print(Text("\nDraft:", style="italic"))
    out.print(Text(trace.initial.text))
    answer = trace.initial
    for revision in trace.revisions:
        principles = ", ".join(revision.principle_ids)
        out.print(Text(f"\nRound {revision.round}, {principles}. Critique:", style="italic"))
        out.print(Text(revision.critique.text if revision.critique else "(none)"))
        if NO_FAULT in revision.flags:
            out.print(Text(f"\n{why_not_kept(revision)}", style="italic"))
            continue
        out.print(Text(f"\n{_title(revision)}, words removed and added:", style="italic"))
        out.print(word_diff(answer.text, revision.candidates[-1].text, _CONTEXT))
        answer = revision.candidates[-1] if revision.kept else answer


def _title(revision: Revision) -> str:
    """Return the title of a revision: of how many it is the best, its flags, and why it is not kept."""
    count = len(revision.candidates)
    title = "Revision" if count == 1 else f"Revision, best of {count}"
    if revision.flags:
        title += f" ({flags_in_words(revision.flags)})"
    return title if revision.kept else f"{title}, {why_not_kept(revision)}"


def _print_comparison(judged: JudgedComparison, *, shown: bool) -> None:
    comparison = judged.comparison
    title = f"\nComparison of {comparison.origin_a} (a) and {comparison.origin_b} (b)"
    out.print(Text(title + ("" if shown else ":"), style="italic"))
    if not shown:  # sampled answers, which are nowhere above
        for name, text in (("a", comparison.response_a), ("b", comparison.response_b)):
            out.print(Text(f"{name}: {text}"))
    for judgment in judged.judgments:
        out.print(
            Text(
                f"  {judgment.principle_id or judgment.model} [{judgment.labeler}]: {_probability(judgment)}"
            )
        )
    preference = judged.preference
    if preference is not None:
        out.print(Text(f"  label: {preference.origin_chosen}, p = {preference.p_chosen:.2f}"))
    else:
        out.print("  no label")


def _probability(judgment: Judgment) -> str:
    if judgment.p_a is None:
        return (
            f"{judgment.verdict}, the model would write {judgment.raw}" if judgment.raw else judgment.verdict
        )
    return f"p(a) = {judgment.p_a:.2f}"
