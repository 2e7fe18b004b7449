"""Tables of rules in Markdown documents: one principle per row, from the column that holds the rules.

The column is found by its name, as in a CSV file (`records.ALIASES`), else it is the one with the longest
texts, if those are sentences. Of two columns, the other may have the names of the rules. A table without a
column of rules is skipped and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from constitution.importers.named import is_name, reply_sentence
from constitution.importers.reading import Reading
from constitution.importers.records import ColumnKeys, take_entry
from constitution.importers.source import Cells, ForeignFile
from core.text.explain import yaml_line

_SENTENCE_WORDS = 4
"""Smallest mean number of words of a column without a known name that is read as rules."""


@dataclass(slots=True)
class RuleTable:
    """A table of a document."""

    line: int
    rows: list[Cells] = field(default_factory=list)
    """The header, then the rows below it, all with the same number of cells."""


def take_table(table: RuleTable, section: Mapping[str, str], file: ForeignFile, reading: Reading) -> None:
    """Add the rows of a table as principles to `reading`, or count the table as skipped."""
    header = [name or f"column {number}" for number, name in enumerate(table.rows[0].values, start=1)]
    keys = ColumnKeys({}, header)
    if not keys.has_text(header):
        longest = _longest_column(table.rows[1:], header)
        if longest is None:
            reading.skip("a table", file.at(table.line), " | ".join(table.rows[0].values))
            return
        keys = ColumnKeys({"text": longest}, header)
    keys = _with_names(table.rows[1:], header) or keys
    if len(set(header)) < len(header):
        reading.skip("a table with two columns of the same name", file.at(table.line), " | ".join(header))
        return
    column = yaml_line(next(name for key, name in keys.of(header).items() if key in keys.TEXTS))
    reading.note(f"the rules of a table are its column {column}", file.at(table.line))
    names = keys.of(header)
    for row in table.rows[1:]:
        entry = dict(zip(header, row.values, strict=True))
        if "id" in names and entry[names["id"]] and entry.get(names.get("text", ""), "")[:1].islower():
            entry[names["text"]] = reply_sentence(entry[names["text"]])
        take_entry(entry, None, file.at(row.line), keys, reading, defaults=section)


def _with_names(rows: list[Cells], header: list[str]) -> ColumnKeys | None:
    """Return the keys of a table of two columns, names and rules; None for any other table."""
    if len(header) != 2:
        return None
    rules = _longest_column(rows, header)
    names = next((name for name in header if name != rules), None)
    if rules is None or names is None:
        return None
    key = {theirs: ours for ours, theirs in ColumnKeys({}, [names]).of([names]).items()}.get(names)
    is_rules = ColumnKeys({}, [rules]).of([rules]).keys() & set(ColumnKeys.TEXTS)
    cells = [row.values[header.index(names)] for row in rows]
    if key not in (None, "id", "text") or (key == "text" and not is_rules):
        return None
    if key is None and names != header[0]:
        return None  # who wrote a rule, or a remark on it, stands behind it
    if ColumnKeys({}, [rules]).of([rules]) and not is_rules:
        return None
    if len(set(cells)) < len(cells) or not all(map(is_name, cells)):
        return None
    return ColumnKeys({"text": rules, "id": names}, header)


def _longest_column(rows: list[Cells], header: list[str]) -> str | None:
    """Return the name of the column with the longest texts; None if they are not sentences."""
    words = {
        name: fmean(len(row.values[index].split()) for row in rows)
        for index, name in enumerate(header)
        if rows
    }
    longest = max(words, key=lambda name: words[name], default=None)
    return longest if longest is not None and words[longest] >= _SENTENCE_WORDS else None
