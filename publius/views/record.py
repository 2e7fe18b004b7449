"""Output of `publius show`."""

from __future__ import annotations

from rich.text import Text

from core.records import (
    Comparison,
    CritiqueTrace,
    Exclusion,
    Judgment,
    Preference,
    Prompt,
    Revision,
    ScoredAnswer,
)
from critique.flags import DEGRADED
from labelers.crowd.votes import annotator_of
from publius.console import heading, out, word_diff
from publius.runs.reader import AnyRecord, RecordInRun


def print_record(found: RecordInRun) -> None:
    """Print all records of a run about a record's prompt, with a mark at the record itself."""
    for entry in found.history:
        _print(entry, marked=entry.id == found.record.id)


def _print(record: AnyRecord, *, marked: bool) -> None:
    heading(f"{'> ' if marked else ''}{type(record).__name__.lower()} {record.id}")
    if isinstance(record, Prompt):
        for message in record.messages:
            out.print(Text(f"[{message.role}] {message.content}"))
        out.print(Text(f"split {record.split}, tags {', '.join(record.tags) or 'none'}", style="dim"))
    elif isinstance(record, CritiqueTrace):
        _print_trace(record)
    elif isinstance(record, ScoredAnswer):
        out.print(Text(f"{record.origin}: {record.answer.text}"))
        by = ", ".join(f"{principle} {score:.2f}" for principle, score in record.by_principle.items())
        passes = "passes" if record.passed else "does not pass"
        out.print(Text(f"score {record.score:.3f}, {passes} ({by})", style="dim"))
    elif isinstance(record, Comparison):
        out.print(
            Text(f"a ({record.origin_a}): {record.response_a}\nb ({record.origin_b}): {record.response_b}")
        )
    elif isinstance(record, Judgment):
        p_a = "no probability" if record.p_a is None else f"p(a) = {record.p_a:.3f}"
        under = f" on {record.principle_id}" if record.principle_id else ""
        out.print(Text(f"{annotator_of(record)}{under}: {record.verdict}, {p_a}"))
        if record.orders is not None:
            out.print(
                Text(
                    f"log-odds of a: {record.orders.a_first:+.2f} shown first, "
                    f"{record.orders.b_first:+.2f} shown second",
                    style="dim",
                )
            )
    elif isinstance(record, Preference):
        out.print(Text(f"{record.origin_chosen} over {record.origin_rejected}, p = {record.p_chosen:.3f}"))
    elif isinstance(record, Exclusion):
        out.print(Text(f"excluded by {record.stage}: {record.reason}"))


def why_not_kept(revision: Revision) -> str:
    """Return why the answer before a revision stays, such as `not kept: breaks brief`."""
    if "no_fault" in revision.flags:
        return "not revised: the critique finds nothing wrong"
    if revision.dropped == "guard" and revision.broken:
        return f"not kept: breaks {', '.join(revision.broken)}"
    if revision.dropped == "guard" and not DEGRADED & set(revision.flags):
        return "not kept: its principle's check fails by more"
    return "not kept"


def _print_trace(trace: CritiqueTrace) -> None:
    out.print(Text(f"draft: {trace.initial.text}"))
    answer = trace.initial
    for revision in trace.revisions:
        kept = "kept" if revision.kept else why_not_kept(revision)
        flags = f", {', '.join(revision.flags)}" if revision.flags else ""
        principles = ", ".join(revision.principle_ids)
        out.print(Text(f"\nround {revision.round}, {principles} ({kept}{flags})", style="bold"))
        if revision.critique is not None:
            out.print(Text(f"critique: {revision.critique.text}"))
        out.print(Text("revision: ") + word_diff(answer.text, revision.candidates[-1].text))
        answer = revision.candidates[-1] if revision.kept else answer
