"""Output of `publius export` and `publius push`: the files and their contents."""

from __future__ import annotations

import json

from core.notices import counted, note, warn
from publius.authoring.exporting import ExportedConstitution
from publius.authoring.repeating.project import RepeatableProject
from publius.authoring.repeating.study import RepeatableStudy
from publius.config.stand_ins import stand_ins_described
from publius.console import heading, out
from publius.labels.exporting import ExportedLabels
from publius.models.export import ExportedModel
from publius.models.gguf import MODELFILE, ExportedGGUF
from publius.models.hub.push import PushedFolder, PushPlan
from publius.models.hub.repository import TYPE_NAMES
from publius.runs.dataset import OWN_COLUMNS, ExportedRun
from publius.runs.exporting.splitting import SPLITS
from publius.sources.column_names import listed_columns
from publius.views.costs.cache import size

_MAIN = ("preference", "soft", "judgments")
"""Configurations of a data set, the one that most readers want first."""


def print_exported_run(exported: ExportedRun) -> None:
    """Print the number of rows of each configuration, and how to load one."""
    written = [name for name, count in exported.rows.items() if count]
    for name in written:
        count = exported.rows[name]
        splits = exported.splits.get(name, {})
        parts = ", ".join(f"{splits[split]:,} {split}" for split in ("train", "test") if split in splits)
        out.print(f"{name:<12}{count:>8,} {'row' if count == 1 else 'rows'}{f' ({parts})' if parts else ''}")
    if len(exported.prompts) > 1:
        out.print(_prompts_of(exported))
    if exported.missed:
        warn(exported.missed)
    if exported.alike:
        test = counted(exported.prompts["test"], "test prompt")
        verb = "resembles" if exported.alike == 1 else "resemble"
        warn(
            f"{exported.alike:,} of {test} {verb} a training prompt in words that many prompts share, "
            f"as those of a template do; --test-similarity {exported.alike_from:g} or --test-by COLUMN "
            "keeps such prompts in one split"
        )
    for name, reasons in exported.left_out.items():
        for reason, left_out in reasons.items():
            out.print(f"left out of {name}: {left_out:,} {reason}")
    if exported.contested:
        answers = counted(exported.contested, "answer")
        out.print(f"kto: {answers} chosen in one pair and rejected in another, labelled by the mean p")
    for sentence in (*exported.turned, *filter(None, [exported.audited_otherwise])):
        warn(sentence)
    folder = json.dumps(str(exported.folder), ensure_ascii=False)
    first = next((name for name in _MAIN if name in written), None)
    if first is not None:
        out.print(f'\nfrom datasets import load_dataset; load_dataset({folder}, "{first}")', soft_wrap=True)
    _note_card(exported)


def _note_card(exported: ExportedRun) -> None:
    """Log what others will read in the data set and its card, and how to change it."""
    if exported.carried:
        note(
            f"each row has your own columns in {OWN_COLUMNS}: {listed_columns(exported.carried)}; "
            "prompts.keep in the run's settings chooses them, [] for none"
        )
    if exported.terms.license is None:
        note("the card states no licence; --license ID states one, and --language CODE the language")
    if exported.is_unaudited:
        note(
            "the card says that the labeler was not audited; publius audit labeler RUN.yaml --gold FILE "
            "measures how often it is right, and the next export has it"
        )


def _prompts_of(exported: ExportedRun) -> str:
    """Return how many prompts each split has."""
    parts = ", ".join(f"{counted(exported.prompts[split], 'prompt')} in {split}" for split in SPLITS)
    too = f", and {exported.together}" if exported.together else ""
    return f"{parts}; near-duplicates of each other{too} are in one split"


def print_exported_model(exported: ExportedModel) -> None:
    """Print the folder of the model."""
    out.print(f"wrote {exported.folder}")


def print_exported_gguf(exported: ExportedGGUF) -> None:
    """Print the file, and how Ollama takes it."""
    out.print(f"wrote {exported.file}")
    note(f"for Ollama: ollama create NAME -f {exported.folder / MODELFILE}")


def print_exported_labels(exported: ExportedLabels) -> None:
    """Print the number of comparisons and judgments in the file."""
    counts = f"{counted(exported.comparisons, 'comparison')}, {counted(exported.judgments, 'judgment')}"
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


def print_exported_project(exported: RepeatableProject) -> None:
    """Print the folder of a run that others can repeat, its commands, and what it does not hold."""
    out.print(f"wrote {exported.folder}: {counted(len(exported.files), 'file')}", soft_wrap=True)
    out.print(f"in it, {' && '.join(exported.commands)} makes runs/{exported.run}", soft_wrap=True)
    if exported.rehearsed:
        warn(
            f"a rehearsal: {stand_ins_described(exported.rehearsed)}; to make the run with models, which has "
            f"another id, change {' and '.join(exported.rehearsed_by)} in its run.yaml"
        )
    for missing in exported.missing:
        warn(f"not in it: {missing}")
    if unused := exported.unused_columns:
        warn(
            f"{exported.prompts} is a copy with all columns, and the run does not use "
            f"{counted(len(unused), 'column')} of it ({listed_columns(unused)}): look at them before you "
            "send the folder, or run again on a file without them"
        )


def print_exported_study(exported: RepeatableStudy) -> None:
    """Print the folder of several runs that others can repeat, their commands, and what it does not hold."""
    out.print(f"wrote {exported.folder}: {counted(len(exported.files), 'file')}", soft_wrap=True)
    out.print(f"in it, these make {counted(len(exported.runs), 'run')} again, with the same ids:")
    for command in exported.commands:
        out.print(f"  {command}", soft_wrap=True)
    if exported.compare:
        out.print(f"then this compares them:\n  {exported.compare}", soft_wrap=True)
    if exported.rehearsed:
        warn(
            f"rehearsals with made-up texts of the scripted engine: {', '.join(exported.rehearsed)}; "
            "README.md says what to change to make them with models, under other ids"
        )
    for missing in exported.missing:
        warn(f"not in it: {missing}")


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
    if pushed.refused is not None:
        note("a push without --dry-run is refused, for this reason:")
