"""Output of `publius prompts`."""

from __future__ import annotations

from publius.authoring.prompts import PromptsResult, _reasons
from publius.console import out


def print_prompts(result: PromptsResult) -> None:
    """Print the number of prompts by kind, and of skipped messages by reason."""
    summary = result.as_json()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in summary["kinds"].items())
    out.print(f"wrote {result.to}: {summary['got']:,} of {summary['wanted']:,} prompts ({kinds})")
    rejected = result.synthesis.rejected
    out.print(f"skipped {rejected.total():,}{': ' if rejected else ''}{_reasons(rejected)}")
