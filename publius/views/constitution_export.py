"""What `publius export --constitution` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def print_constitution_export(summary: Mapping[str, Any]) -> None:
    """Print what was written, and what the form has no place for."""
    from core.notices import counted
    from publius.console import heading, out

    for key, what in (("requests", "critique and revision request"), ("comparisons", "comparison")):
        out.print(f"  {counted(summary[key], what)}")
    out.print(f"  {counted(summary['few_shots'], 'few-shot')}")
    if summary["left_out"]:
        heading("Not in the files")
    for reason, ids in summary["left_out"].items():
        more = f", and {len(ids) - 5:,} more" if len(ids) > 5 else ""
        out.print(f"  {len(ids):>8,}  {reason} ({', '.join(ids[:5])}{more})")
    out.print(f"\nwrote {', '.join(summary['files'])} to {summary['folder']}")
