"""`publius show`: one record of a run with the records that it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text

from core.errors import DataError
from core.records import Comparison, CritiqueTrace, Exclusion, Judgment, Preference, Prompt
from core.store.record_store import RecordFile, RecordStore
from labelers.crowd.votes import annotator_of
from publius.console import heading, out, word_diff
from publius.run.folder import read_manifest
from publius.run.records import RunFiles

AnyRecord = Prompt | CritiqueTrace | Comparison | Judgment | Preference | Exclusion


class RunReader(RunFiles):
    """A run folder open for reading, also while another process writes it."""

    def __init__(self, folder: Path) -> None:
        read_manifest(folder)
        super().__init__(RecordStore(folder, writable=False))
        files: tuple[RecordFile[Any], ...] = (
            self.prompts,
            self.traces,
            self.comparisons,
            self.added_comparisons,
            self.judgments,
            self.preferences,
            self.exclusions,
        )
        self._by_name = {file.path.name: file for file in files}

    def find(self, prefix: str) -> AnyRecord:
        """Return the one record whose id begins with `prefix`.

        Raises:
            DataError: if there is none, or more than one.
        """
        found = self.store.find(prefix)
        if len(found) != 1:
            example = next(iter(self.prompts), None)
            count = "no record has" if not found else f"{len(found)} records have"
            what = f"{count} an id that begins with {prefix!r}"
            accepted = ", ".join(f"{identity} ({name})" for name, identity in found[:5]) or (
                f"an id such as {example.id}" if example else "an id from one of the .jsonl files"
            )
            raise DataError(what, where=str(self.store.folder), accepted=accepted)
        name, identity = found[0]
        record: AnyRecord = self._by_name[name].get(identity)
        return record

    def prompt_id_of(self, record: AnyRecord) -> str | None:
        """Return the id of the prompt that a record goes back to."""
        if isinstance(record, Prompt):
            return record.id
        if isinstance(record, CritiqueTrace | Comparison):
            return record.prompt.id
        if isinstance(record, Judgment | Preference):
            return self.comparison(record.comparison_id).prompt.id
        return None

    def history(self, prompt_id: str) -> list[AnyRecord]:
        """Return everything that a run holds about a prompt, in the order in which it came about."""
        records: list[AnyRecord] = [*self.traces.children(prompt_id)]
        for comparison in (
            *self.comparisons.children(prompt_id),
            *self.added_comparisons.children(prompt_id),
        ):
            records.append(comparison)
            records += self.judgments.children(comparison.id)
            records += self.preferences.children(comparison.id)
            records += self.exclusions.children(comparison.id)
        return [*records, *self.exclusions.children(prompt_id)]


def print_record(reader: RunReader, prefix: str) -> None:
    """Print a record's prompt and everything that came of it, the record itself marked."""
    record = reader.find(prefix)
    prompt_id = reader.prompt_id_of(record)
    history = [] if prompt_id is None else reader.history(prompt_id)
    if prompt_id is not None and prompt_id in reader.prompts:
        history.insert(0, reader.prompts.get(prompt_id))
    for entry in history or [record]:
        _print(entry, marked=entry.id == record.id)


def _print(record: AnyRecord, *, marked: bool) -> None:
    heading(f"{'> ' if marked else ''}{type(record).__name__.lower()} {record.id}")
    if isinstance(record, Prompt):
        for message in record.messages:
            out.print(Text(f"[{message.role}] {message.content}"))
        out.print(Text(f"split {record.split}, tags {', '.join(record.tags) or 'none'}", style="dim"))
    elif isinstance(record, CritiqueTrace):
        _print_trace(record)
    elif isinstance(record, Comparison):
        out.print(
            Text(f"a ({record.origin_a}): {record.response_a}\nb ({record.origin_b}): {record.response_b}")
        )
    elif isinstance(record, Judgment):
        p_a = "no number" if record.p_a is None else f"p(a) = {record.p_a:.3f}"
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
        out.print(Text(f"left out by {record.stage}: {record.reason}"))


def _print_trace(trace: CritiqueTrace) -> None:
    out.print(Text(f"draft: {trace.initial.text}"))
    answer = trace.initial
    for revision in trace.revisions:
        kept = "kept" if revision.kept else "not kept"
        flags = f", {', '.join(revision.flags)}" if revision.flags else ""
        out.print(Text(f"\nround {revision.round}, {revision.principle_id} ({kept}{flags})", style="bold"))
        out.print(Text(f"critique: {revision.critique.text}"))
        out.print(Text("revision: ") + word_diff(answer.text, revision.candidates[-1].text))
        answer = revision.candidates[-1] if revision.kept else answer
