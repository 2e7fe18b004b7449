"""Output of `publius import`: counts, then every reason with the first places where it applies."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from constitution.importers.lines import HEADING
from core.errors import shell_command
from core.notices import counted, note, warn
from labelers.crowd.winners import number_of_votes
from labelers.formats.fields import VERDICT_NOT_RECOGNISED
from labelers.formats.tools.mturk import REJECTED
from labelers.importing import PLAIN_TABLE
from publius.authoring.importing import ImportedConstitution, _places, _some, quoted_lines
from publius.console import heading, out
from publius.labels.importing import ImportedLabels, accepted_verdicts, unwanted_in_words
from publius.sources.beside.prompts import say_joined


def print_imported_labels(imported: ImportedLabels) -> None:
    """Print what was imported, what was skipped, and why."""
    summary = imported.as_json()
    if summary.get("already"):
        out.print(f"{summary['folder']} already holds this import; nothing was done")
    out.print(f"format {summary['format']}: {summary['recognised']}")
    for name in ("rows", "kept", "dropped", "comparisons", "judgments", "annotators"):
        out.print(f"  {name:<12}{summary[name]:>10,}")
    if theirs := summary.get("annotators_in"):
        out.print(f"  annotators are read from the column {theirs!r}", markup=False)
    out.print(f"  verdicts    {_verdicts(summary)}", markup=False)
    _print_repeats(summary)
    _print_left_out(summary)
    if summary.get("repeated_answers"):
        warn(f"labels: {summary['repeated_answers']}")
    _of_columns(summary)
    for line in unwanted_in_words(summary):
        warn(line)
    for name in summary.get("perhaps_annotators", ()):
        note(f"if the column {name!r} says who judged: --columns annotator={shlex.quote(name)}")
    out.print(f"\nwrote {summary['folder']}" if not summary.get("already") else "")


def _print_repeats(summary: Mapping[str, Any]) -> None:
    """Print how many judgments repeat or contradict an earlier one of the same annotator."""
    conflicts, repeats = summary["conflicts"], summary.get("repeats")
    if repeats:
        by = f", told apart by {', '.join(repeats['told_apart_by'])}" if repeats["told_apart_by"] else ""
        out.print(
            f"  repeats     {counted(repeats['count'], 'judgment')} of a comparison that the annotator had "
            f"judged before, all kept{by}",
            markup=False,
        )
    if conflicts["count"]:
        conflicting = counted(conflicts["count"], "judgment")
        out.print(
            f"  conflicts   {conflicting} against an earlier one of the same annotator, "
            f"all kept{_rows(conflicts)}"
        )
        if summary["duplicates"] and summary["format"] == PLAIN_TABLE:
            note(
                "rows that are the same in every cell are one judgment; a column item_id tells repeats apart"
            )


def _print_left_out(summary: Mapping[str, Any]) -> None:
    """Print what was left out, by reason."""
    accepted = accepted_verdicts(summary["format"])
    _reasons("Rows left out by --where", summary.get("where", []))
    _reasons("Dropped rows", summary["dropped_for"], accepted)
    if any(entry["reason"] == REJECTED for entry in summary["dropped_for"]):
        note("to count rejected assignments, too: --where 'AssignmentStatus=[Approved, Submitted, Rejected]'")
    _reasons("Aspects left out by --aspect", summary.get("aspects", []))
    _reasons("Skipped parts of kept rows", summary["left_out"], accepted)
    _reasons("Pairs excluded by --min-margin", summary.get("too_close", []))
    _reasons("Notes", summary["notes"])


def _verdicts(summary: Mapping[str, Any]) -> str:
    """Return the verdicts by the file's own names of the answers; a hash decides which of them is `a`."""
    counts = dict(summary["verdicts"])
    prefer = counts.pop("a", 0) + counts.pop("b", 0)
    won = summary.get("won") or {}
    named = won.get("in_words", "")
    others = {n: c for n, c in counts.items() if not named or n not in ("tie", "both_bad")}
    parts = [named] if named else [f"an answer preferred in {prefer:,}"] if prefer else []
    parts += [f"{name.replace('_', ' ')} {count:,}" for name, count in others.items()]
    if named and won["on_one_origin"]:
        parts.append(f"{number_of_votes(won['on_one_origin'])} votes on two answers of one origin")
    return ", ".join(parts) or "none"


def _of_columns(summary: Mapping[str, Any]) -> None:
    """Print what a file of prompts added, and which columns were not read."""
    if "prompts" in summary:
        say_joined(summary["prompts"], "pairs", "tags")
    if summary["passed_over"]:
        heading("Ignored columns")
        out.print(f"  {', '.join(summary['passed_over'])}")


def _reasons(title: str, entries: list[Mapping[str, Any]], accepted: str = "") -> None:
    if not entries:
        return
    heading(title)
    for entry in entries:
        detail = f": {entry['detail']}" if entry["detail"] else ""
        out.print(f"  {entry['count']:>8,}  {entry['reason']}{_rows(entry, detail)}")
        if entry["reason"] == VERDICT_NOT_RECOGNISED:
            out.print(f"            accepted: {accepted}; add --force to import into the same folder")


def _rows(entry: Mapping[str, Any], detail: str = "") -> str:
    """Return the first rows, as in ` (rows 3, 17, ...; first: ...)`."""
    rows = ", ".join(map(str, entry["rows"]))
    more = ", ..." if entry["count"] > len(entry["rows"]) else ""
    word = "row" if len(entry["rows"]) == 1 and not more else "rows"
    return f" ({word} {rows}{more}{detail})"


def print_imported_constitution(imported: ImportedConstitution) -> None:
    """Print what was imported, what was skipped, and why."""
    summary = imported.as_json()
    out.print(f"format {summary['format']}: {summary['recognised']}")
    for key in ("principles", "with_critique", "with_revision", "with_comparison", "examples"):
        out.print(f"  {key.replace('_', ' '):<16}{summary[key]:>8,}")
    if summary["with_weight"]:
        out.print(f"  with a weight   {summary['with_weight']:>8,}")
    stripped = [(count, sign) for sign, count in summary["stripped"].items()]
    renamed = [f"{name} is now {new}" for new, name in summary["renamed"].items()]
    for title, lines in (
        ("Stripped", [f"{count:>8,}  {sign}" for count, sign in stripped]),
        ("Skipped", [line for entry in summary["left_out"] for line in _skipped(entry, summary["source"])]),
        ("Notes", [_line(entry, summary["source"]) for entry in summary["notes"]]),
        ("Renamed", [_some(renamed)] if renamed else []),
        ("Ignored", [_some(imported.ignored_shown)] if imported.ignored else []),
    ):
        if lines:
            heading(title)
        for line in lines:
            out.print(f"  {line}")
    out.print(f"\nwrote {summary['file']}")
    offered = summary["checks_offered"]
    checks = (
        f": {offered:,} of {counted(summary['principles'], 'rule')} could have a machine check"
        if offered
        else ""
    )
    for line in _texts_left_out(summary):
        note(line)
    note(f"next: {shell_command('publius', 'check', summary['file'])}{checks}")
    note(f"then: {shell_command('publius', 'try', summary['file'], '--prompt')} TEXT")


def _skipped(entry: Mapping[str, Any], source: str) -> Iterator[str]:
    yield _line(entry, source)
    yield from (f"{'':>10}{line}" for line in quoted_lines(entry, source, short=True))


def _texts_left_out(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line that quotes the first text that is no rule of the new file, if there is one."""
    left_out = [entry for entry in summary["left_out"] if entry["reason"] != HEADING]
    texts = sum(entry["texts"] for entry in left_out)
    quoted = (line for entry in left_out for line in quoted_lines(entry, summary["source"], short=True))
    first = next(quoted, None)
    if first is not None:
        more = f", and {texts - 1:,} more above" if texts > 1 else ""
        yield f"first: add what is a rule of the skipped text to {summary['file']}: {first}{more}"


def _line(entry: Mapping[str, Any], source: str) -> str:
    return f"{entry['count']:>8,}  {entry['reason']} ({_places(entry['places'], entry['count'], source)})"
