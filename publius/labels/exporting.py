"""`publius export --labels`: write comparisons and judgments in the format of a labeling tool."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import ConfigError, DataError, RunStateError
from core.progress import progress
from core.records import Comparison, Judgment
from core.store.files import os_errors, write_stream
from core.text.explain import one_of
from labelers.writers import argilla, icai, label_studio
from publius.runs.reader import RecordsReader
from publius.runs.records import RunFiles

Form = Literal["argilla", "label-studio", "icai"]
LABEL_FORMS: tuple[Form, ...] = ("argilla", "label-studio", "icai")
_TABLES = frozenset({"csv", "tsv", "xlsx", "xls", "ods", "excel", "sheet", "spreadsheet"})
_A_SHEET = "publius select RUN --budget N --sheet FILE.csv"
"""The command that writes comparisons for people with a spreadsheet."""
Labelled = tuple[Comparison, list[Judgment]]


@dataclass(frozen=True)
class ExportedLabels:
    """The file that was written, and the number of comparisons and judgments in it."""

    file: Path
    comparisons: int
    judgments: int

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return {"file": str(self.file), "comparisons": self.comparisons, "judgments": self.judgments}


def export_labels(folder: Path, form: str, to: Path) -> ExportedLabels:
    """Write a folder's comparisons, with all their judgments, to a new file.

    Comparisons that were added to a run with human labels are included.

    Raises:
        ConfigError: if the format is unknown.
        DataError: if the folder has no comparisons.
        RunStateError: if the file exists, or cannot be written.
    """
    if form not in LABEL_FORMS:
        raise ConfigError(
            f"unknown format {form!r}",
            where="--labels",
            accepted=one_of(LABEL_FORMS, form),
            run=_A_SHEET if form.casefold() in _TABLES else None,
        )
    with os_errors(to):
        if to.exists():
            raise RunStateError("the file already exists", where=str(to), accepted="--to a new file")
    with RecordsReader(folder) as files:
        known = len(files.comparisons) + len(files.added_comparisons)
        if not known:
            raise DataError(
                "no comparisons found",
                where=str(folder),
                accepted="a run, or a folder of `publius import labels`",
            )
        counts = {"comparisons": 0, "judgments": 0}
        with progress("export", known) as task:

            def labelled() -> Iterator[Labelled]:
                for comparison in files.all_comparisons():
                    judgments = list(files.judgments.children(comparison.id))
                    counts["comparisons"] += 1
                    counts["judgments"] += len(judgments)
                    yield comparison, judgments
                    task.advance()

            write_stream(to, _pieces(form, files, folder.name, labelled))
    return ExportedLabels(to, **counts)


def _pieces(
    form: str, files: RunFiles, name: str, labelled: Callable[[], Iterator[Labelled]]
) -> Iterator[str]:
    """Yield the text of the file, one comparison at a time."""
    if form == "icai":
        annotators = {icai.annotator_id(j): icai.annotator_description(j) for j in files.judgments.sorted()}
        head = {"metadata": icai.head_of(annotators, name), "annotators": annotators}
        yield json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}") + ',\n "comparisons": '
        yield from _listed(icai.comparison_of(*pair) for pair in labelled())
        yield "}\n"
    elif form == "argilla":
        yield from _listed(argilla.record_of(*pair) for pair in labelled())
    else:
        numbered = enumerate(labelled(), start=1)
        yield from _listed(label_studio.task_of(*pair, number) for number, pair in numbered)


def _listed(entries: Iterator[object]) -> Iterator[str]:
    """Yield a JSON list with one entry per line."""
    separator = "[\n"
    for entry in entries:
        yield separator + json.dumps(entry, ensure_ascii=False)
        separator = ",\n"
    yield "\n]\n"
