"""Output of `publius export` and `publius push`: the files and their contents."""

from __future__ import annotations

import json

from core.notices import counted, note
from publius.authoring.exporting import ExportedConstitution
from publius.console import heading, out
from publius.labels.exporting import ExportedLabels
from publius.models.export import ExportedModel
from publius.models.gguf import MODELFILE, ExportedGGUF
from publius.models.hub.push import PushedFolder, PushPlan
from publius.models.hub.repository import TYPE_NAMES
from publius.runs.dataset import ExportedRun
from publius.views.costs.cache import size


def print_exported_run(exported: ExportedRun) -> None:
    """Print the number of rows of each configuration, and how to load one."""
    for name, count in exported.rows.items():
        splits = exported.splits.get(name, {})
        parts = ", ".join(f"{splits[split]:,} {split}" for split in ("train", "test") if split in splits)
        out.print(f"{name:<12}{count:>8,} rows{f' ({parts})' if parts else ''}")
    for name, reasons in exported.left_out.items():
        for reason, left_out in reasons.items():
            out.print(f"left out of {name}: {left_out:,} {reason}")
    folder = json.dumps(str(exported.folder), ensure_ascii=False)
    out.print(f'\nfrom datasets import load_dataset; load_dataset({folder}, "preference")')


def print_exported_model(exported: ExportedModel) -> None:
    """Print the folder of the model."""
    out.print(f"wrote {exported.folder}")


def print_exported_gguf(exported: ExportedGGUF) -> None:
    """Print the file, and how Ollama takes it."""
    out.print(f"wrote {exported.file}")
    note(f"for Ollama: ollama create NAME -f {exported.folder / MODELFILE}")


def print_exported_labels(exported: ExportedLabels) -> None:
    """Print the number of comparisons and judgments in the file."""
    counts = f"{exported.comparisons:,} comparisons, {exported.judgments:,} judgments"
    out.print(f"wrote {exported.file}: {counts}")


def print_exported_constitution(exported: ExportedConstitution) -> None:
    """Print what was written, and what the format cannot hold."""
    out.print(f"  {counted(exported.requests, 'critique and revision request')}")
    out.print(f"  {counted(exported.comparisons, 'comparison')}")
    out.print(f"  {counted(exported.few_shots, 'few-shot')}")
    if exported.skipped:
        heading("Not in the files")
    for reason, ids in exported.skipped.items():
        more = f", and {len(ids) - 5:,} more" if len(ids) > 5 else ""
        out.print(f"  {len(ids):>8,}  {reason} ({', '.join(ids[:5])}{more})")
    out.print(f"\nwrote {', '.join(exported.files)} to {exported.folder}")


def print_nothing(plan: PushPlan) -> None:
    """Print no plan, where the result is printed as JSON."""


def print_push_plan(plan: PushPlan) -> None:
    """Print each file with its size, and where the files go."""
    width = max(map(len, plan.sizes))
    for name, count in plan.sizes.items():
        out.print(f"{name:<{width}}  {size(count):>9}")
    branch = f", branch {plan.branch}" if plan.branch else ""
    total = f"{counted(len(plan.sizes), 'file')}, {size(sum(plan.sizes.values()))}"
    out.print(f"\n{total}, to the {TYPE_NAMES[plan.repository.type]} {plan.repository.id}{branch}")


def print_pushed(pushed: PushedFolder) -> None:
    """Print whether anything was sent or changed, and the address."""
    if not pushed.was_sent:
        out.print("nothing was sent (--dry-run)")
    elif not pushed.changed:
        out.print("nothing changed: the repository has these files")
    out.print(pushed.plan.repository.url)
