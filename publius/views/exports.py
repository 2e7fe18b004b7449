"""What `publius export` prints: the files that were written, and what is in them."""

from __future__ import annotations

from core.notices import counted
from publius.authoring.exporting import ExportedConstitution
from publius.console import heading, out
from publius.labels.exporting import ExportedLabels
from publius.models.export import ExportedModel
from publius.runs.dataset import ExportedRun


def print_exported_run(exported: ExportedRun) -> None:
    """Print how many rows each configuration has, and how to load one."""
    for name, count in exported.rows.items():
        out.print(f"{name:<12}{count:>8,} rows")
    out.print(f'\nfrom datasets import load_dataset; load_dataset("{exported.folder}", "preference")')


def print_exported_model(exported: ExportedModel) -> None:
    """Print where the model is."""
    out.print(f"wrote {exported.folder}")


def print_exported_labels(exported: ExportedLabels) -> None:
    """Print how many comparisons and judgments the file has."""
    counts = f"{exported.comparisons:,} comparisons, {exported.judgments:,} judgments"
    out.print(f"wrote {exported.file}: {counts}")


def print_exported_constitution(exported: ExportedConstitution) -> None:
    """Print what was written, and what the form has no place for."""
    out.print(f"  {counted(exported.requests, 'critique and revision request')}")
    out.print(f"  {counted(exported.comparisons, 'comparison')}")
    out.print(f"  {counted(exported.few_shots, 'few-shot')}")
    if exported.left_out:
        heading("Not in the files")
    for reason, ids in exported.left_out.items():
        more = f", and {len(ids) - 5:,} more" if len(ids) > 5 else ""
        out.print(f"  {len(ids):>8,}  {reason} ({', '.join(ids[:5])}{more})")
    out.print(f"\nwrote {', '.join(exported.files)} to {exported.folder}")
