"""What `publius import constitution` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from publius.authoring.importing import _places, _some


def print_constitution_import(summary: Mapping[str, Any]) -> None:
    """Print what was taken, what was not, and why."""
    from publius.console import heading, out

    out.print(f"format {summary['format']}: {summary['recognised']}")
    for key in ("principles", "with_critique", "with_revision", "with_comparison", "examples"):
        out.print(f"  {key.replace('_', ' '):<16}{summary[key]:>8,}")
    stripped = [(count, sign) for sign, count in summary["stripped"].items()]
    renamed = [f"{name} is now {new}" for new, name in summary["renamed"].items()]
    for title, lines in (
        ("Stripped", [f"{count:>8,}  {sign}" for count, sign in stripped]),
        ("Left out", [_line(entry, summary["source"]) for entry in summary["left_out"]]),
        ("Noted", [_line(entry, summary["source"]) for entry in summary["notes"]]),
        ("Renamed", [_some(renamed)] if renamed else []),
        ("Not used", [_some(summary["passed_over"])] if summary["passed_over"] else []),
    ):
        if lines:
            heading(title)
        for line in lines:
            out.print(f"  {line}")
    out.print(f"\nwrote {summary['file']}")


def _line(entry: Mapping[str, Any], source: str) -> str:
    return f"{entry['count']:>8,}  {entry['reason']} ({_places(entry['places'], entry['count'], source)})"
