"""The fixtures of all formats, read as the command reads them.

Their answers say how good they are: `[2] ...` is better than `[1] ...`, equal numbers tie, `[0]` twice is
both bad, and `[safety 2]` holds in that dimension alone. `(left)` was shown first. So the records can be
held against the texts, whichever answer came to be called `a`. A judgment whose comment says `[contrary]`
errs on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from core.records import Comparison, Exclusion, Judgment
from core.store.record_store import RecordStore
from labelers.formats.registry import recognise
from labelers.formats.source import LabelSource, Row
from labelers.importing import LabelImport, Tally
from publius.sources.column_names import ColumnNames
from publius.sources.label_rows import label_rows
from publius.sources.rows import DataSource

FIXTURES = Path(__file__).parents[1] / "fixtures"
MAPPED = ColumnNames(
    {
        "prompt": "question",
        "response_a": "left_text",
        "response_b": "right_text",
        "verdict": "label",
        "annotator": "who",
        "shown_first": "seen_first",
        "confidence": "sure",
        "comment": "note",
        "duration_s": "seconds",
        "created": "when",
    },
    {"1": "a", "2": "b", "0": "tie", "3": "both_bad"},
)
"""What columns.csv calls our columns."""


class Imported(NamedTuple):
    source: LabelSource
    tally: Tally
    comparisons: dict[str, Comparison]
    judgments: list[Judgment]
    exclusions: list[Exclusion]

    def reason(self, row: int) -> str:
        """Why a row was dropped; empty if it was not."""
        found = (reason for reason, rows in self.tally.dropped.items() if row in rows.rows)
        return next(found, "")

    def judged(self) -> Iterator[tuple[Judgment, Comparison]]:
        return ((judgment, self.comparisons[judgment.comparison_id]) for judgment in self.judgments)

    def on(self, text: str) -> list[Judgment]:
        """The judgments on comparisons whose prompt holds a text."""
        return [j for j, c in self.judged() if any(text in m.content for m in c.prompt.messages)]


def rows_of(name: str) -> list[Row]:
    names = MAPPED if name == "columns.csv" else ColumnNames()
    return list(names.applied(label_rows(DataSource(str(FIXTURES / name)))))


def imported(rows: list[Row], folder: Path, source: LabelSource | None = None) -> Imported:
    found = recognise(rows, "fixture").source if source is None else source
    with RecordStore(folder) as store:
        tally = LabelImport(store, "file", found.name).run(found, rows)
        return Imported(
            found,
            tally,
            {c.id: c for c in store.open("comparisons.jsonl", Comparison, "prompt.id")},
            list(store.open("judgments.jsonl", Judgment, "comparison_id")),
            list(store.open("exclusions.jsonl", Exclusion, "record_id")),
        )


def given(*values: Any) -> list[Row]:
    return [Row(number, value) for number, value in enumerate(values, start=1)]


def quality(text: str, dimension: str | None) -> int | None:
    """The score in an answer's text, for a dimension if the text names it."""
    found = re.search(rf"\[{dimension} (\d)\]", text) or re.search(r"\[(\d)\]", text)
    return int(found[1]) if found else None


def truth(comparison: Comparison, dimension: str | None) -> str | None:
    """The verdict that the two texts call for."""
    a, b = (quality(text, dimension) for text in (comparison.response_a, comparison.response_b))
    if a is None or b is None:
        return None
    if a == b:
        return "both_bad" if a == 0 else "tie"
    return "a" if a > b else "b"
