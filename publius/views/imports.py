"""Output of `publius import`: counts, then every reason with the first places where it applies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import shell_command
from core.notices import counted, note
from labelers.formats.fields import ACCEPTED_VERDICTS, VERDICT_NOT_RECOGNISED
from publius.authoring.importing import ImportedConstitution, _places, _some
from publius.console import heading, out
from publius.labels.importing import ImportedLabels


def print_imported_labels(imported: ImportedLabels) -> None:
    """Print what was imported, what was skipped, and why."""
    summary = imported.as_json()
    if summary.get("already"):
        out.print(f"{summary['folder']} already holds this import; nothing was done")
    out.print(f"format {summary['format']}: {summary['recognised']}")
    for name in ("rows", "kept", "dropped", "comparisons", "judgments", "annotators"):
        out.print(f"  {name:<12}{summary[name]:>10,}")
    verdicts = ", ".join(f"{verdict} {count:,}" for verdict, count in summary["verdicts"].items())
    out.print(f"  verdicts    {verdicts or 'none'}")
    conflicts = summary["conflicts"]
    if conflicts["count"]:
        conflicting = counted(conflicts["count"], "judgment")
        out.print(
            f"  conflicts   {conflicting} against an earlier one of the same annotator, "
            f"all kept{_rows(conflicts)}"
        )
    _reasons("Dropped rows", summary["dropped_for"])
    _reasons("Skipped parts of kept rows", summary["left_out"])
    _reasons("Notes", summary["notes"])
    if summary["passed_over"]:
        heading("Ignored columns")
        out.print(f"  {', '.join(summary['passed_over'])}")
    out.print(f"\nwrote {summary['folder']}" if not summary.get("already") else "")


def _reasons(title: str, entries: list[Mapping[str, Any]]) -> None:
    if not entries:
        return
    heading(title)
    for entry in entries:
        detail = f": {entry['detail']}" if entry["detail"] else ""
        out.print(f"  {entry['count']:>8,}  {entry['reason']}{_rows(entry, detail)}")
        if entry["reason"] == VERDICT_NOT_RECOGNISED:
            out.print(
                f"            accepted: {ACCEPTED_VERDICTS}; add --force to import into the same folder"
            )


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
    stripped = [(count, sign) for sign, count in summary["stripped"].items()]
    renamed = [f"{name} is now {new}" for new, name in summary["renamed"].items()]
    for title, lines in (
        ("Stripped", [f"{count:>8,}  {sign}" for count, sign in stripped]),
        ("Skipped", [_line(entry, summary["source"]) for entry in summary["left_out"]]),
        ("Notes", [_line(entry, summary["source"]) for entry in summary["notes"]]),
        ("Renamed", [_some(renamed)] if renamed else []),
        ("Ignored", [_some(summary["passed_over"])] if summary["passed_over"] else []),
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
    note(f"next: {shell_command('publius', 'check', summary['file'])}{checks}")
    note(f"then: {shell_command('publius', 'try', summary['file'], '--prompt')} TEXT")


def _line(entry: Mapping[str, Any], source: str) -> str:
    return f"{entry['count']:>8,}  {entry['reason']} ({_places(entry['places'], entry['count'], source)})"
