"""Votes without texts, joined with the file of the pairs that they are about.

Both files have a column with the key of a pair, such as a ticket's number. The pairs are read as
`publius label --pairs` reads them, so a vote is about the same comparison in both commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import ConfigError, DataError, RequestError, shell_command
from core.text.explain import one_of
from labelers.formats.columns import NAMES, TARGETS, Columns, UnjudgedColumns
from labelers.formats.people_columns import PEOPLE, PeopleColumns, verdict_columns
from labelers.formats.source import LabelSource, Row, RowLabels, columns_of, dropped
from publius.sources.column_names import ColumnNames, written_value
from publius.sources.pairs import FilePair, PairRow, read_pair_rows
from publius.sources.prompts import PromptFile

_NO_PAIR = "no pair has the key of the vote"
_PAIR_COLUMNS = UnjudgedColumns.columns | {"chosen", "rejected"}
"""Our columns that are mapped in the file of pairs; all others are mapped in the file of votes."""
_VERDICTS = ("verdict", "rating_a", "p_a")
_LONG, _WORDS = 40, 3
"""Characters, or words, of a cell that is a text rather than a name, a number or a verdict."""
_KEY = "\0key"


@dataclass(frozen=True)
class PairsToJoin:
    """The file of the pairs, and the column by which votes are joined with it."""

    path: Path
    on: str | None = None
    """A column or path of both files, or `VOTES=PAIRS` where the names differ; None for the only shared."""


@dataclass(frozen=True)
class JoinedVotes:
    """A table of votes whose texts are in another file; reads the votes as `columns` reads a table."""

    pairs: Mapping[str, Mapping[str, Any] | RequestError]
    """For each key, our columns of the pair, or why votes on it cannot be used."""
    key: str
    """The column of keys in the file of votes."""
    name: str = Columns.name
    summary: str = "a table with verdict and the key of a pair, or columns mapped to these"
    reader: LabelSource = field(default_factory=Columns)
    """What reads a vote once its texts are there."""
    columns: frozenset[str] | None = field(init=False)

    def __post_init__(self) -> None:
        """Set the columns that are read: those of a vote, and the key."""
        object.__setattr__(self, "columns", (TARGETS - _PAIR_COLUMNS) | {self.key, PEOPLE})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return None: the format is used where a file of pairs is given."""
        return None

    def read(self, rows: Iterable[Row]) -> Iterator[RowLabels]:
        """Yield the labels of each vote; one that matches no usable pair is dropped with its key."""
        for row in rows:
            try:
                joined = {**columns_of(row), **self._pair_of(columns_of(row))}
            except RequestError as error:
                yield dropped(row.number, error)
                continue
            yield from self.reader.read([Row(row.number, joined)])

    def _pair_of(self, vote: Mapping[str, Any]) -> Mapping[str, Any]:
        key = _key_of(vote, self.key)
        if key is None:
            raise RequestError("the vote has no key of a pair", detail=f"in {self.key}")
        found = self.pairs.get(key)
        if found is None:
            raise RequestError(_NO_PAIR, detail=f"{self.key} {key!r}")
        if isinstance(found, RequestError):
            raise found
        return found


def join_with(to_join: PairsToJoin, names: ColumnNames, votes: list[Row], where: str) -> JoinedVotes:
    """Return the source that reads votes together with the pairs of a file.

    Args:
        to_join: the file of pairs and the column of keys.
        names: the user's names for columns of both files.
        votes: the first rows of the file of votes.
        where: the file of votes, for errors.

    Raises:
        ConfigError: a column of keys or a mapped one does not exist, or no column has the votes.
        DataError: the file of pairs cannot be read, or has no usable pair.
    """
    rows = [row.values for row in votes if isinstance(row.values, Mapping)]
    columns = list(dict.fromkeys(str(name) for row in rows for name in row))
    mapped = {ours: name for ours, name in names.columns.items() if ours in _PAIR_COLUMNS}
    given = PromptFile(to_join.path, columns=mapped)
    first = next((row.values for row in read_pair_rows(given) if row.values), {})
    own, theirs = _keys(to_join, columns, list(map(str, first)))
    for key, values, file in ((own, rows, where), (theirs, [first], str(to_join.path))):
        if values and all(_key_of(row, key) is None for row in values):
            known = list(dict.fromkeys(str(name) for row in values for name in row))
            raise ConfigError(f"no column {key!r} in {file}", where="--on", accepted=one_of(known, key))
    if not names.people and not any(name in _VERDICTS for name in (*columns, *names.columns)):
        raise ConfigError(
            f"no column of the votes (columns {', '.join(columns)})",
            where=where,
            accepted="verdict, rating_a and rating_b, or p_a; or --columns verdict=NAME,annotator=NAME; "
            "or verdict=NAME for the column of each person; numbers with --verdicts a=1,b=2,tie=0",
        )
    pairs: dict[str, Mapping[str, Any] | RequestError] = {}
    for row in read_pair_rows(given):
        _add(pairs, row, theirs)
    if not any(isinstance(pair, dict) for pair in pairs.values()):
        raise DataError("no row has a pair and a key", where=str(to_join.path), accepted="one pair per key")
    return JoinedVotes(pairs, own, reader=PeopleColumns() if names.people else Columns())


def vote_names(names: ColumnNames) -> ColumnNames:
    """Return the names that concern the file of votes."""
    kept = {ours: theirs for ours, theirs in names.columns.items() if ours not in _PAIR_COLUMNS}
    return ColumnNames(kept, names.verdicts, names.people)


def refuse_without_texts(names: ColumnNames, rows: list[Row], where: str) -> None:
    """Raise DataError if a file of votes has neither answers nor other long texts."""
    values = [row.values for row in names.applied(rows) if isinstance(row.values, Mapping)]
    if not values or any(name in row for row in values for name in NAMES):
        return
    if len({name for row in values for name, cell in row.items() if is_long_text(cell)}) > 1:
        return
    columns = list(dict.fromkeys(str(name) for row in values for name in row))
    if len(columns) < 2:  # a vote has at least a key and a verdict
        return
    listed = ", ".join(columns)[:200]
    people = verdict_columns(values, {}, names.verdicts)  # several are recognised beside --pairs
    mapped = () if len(people) > 1 else ("--columns", "verdict=NAME,annotator=NAME")
    raise DataError(
        f"the file has no texts (columns {listed}): the prompt and both answers are missing",
        where=where,
        accepted="a file with these; or, for votes on the pairs of another file, that file as --pairs",
        run=shell_command(
            *("publius", "import", "labels", where, "--to", "DIR", "--pairs", "PAIRS"),
            *("--on", columns[0], *mapped),
        ),
    )


def is_long_text(cell: Any) -> bool:
    """Return True if a cell is a text, messages or a list rather than a name, a number or a verdict."""
    if isinstance(cell, str):
        return len(cell) > _LONG or len(cell.split()) >= _WORDS
    return isinstance(cell, Mapping | list)


def _keys(to_join: PairsToJoin, votes: list[str], pairs: list[str]) -> tuple[str, str]:
    """Return the column of keys in the file of votes, and in the file of pairs."""
    if to_join.on is not None:
        own, _, theirs = to_join.on.partition("=")
        return own.strip(), (theirs or own).strip()
    shared = [name for name in votes if name in pairs]
    if len(shared) == 1:
        return shared[0], shared[0]
    found = f"found {', '.join(shared)}" if shared else "found none"
    accepted = f"--on with a column of both files, or VOTES=PAIRS; votes: {', '.join(votes)}"
    raise ConfigError(f"which column joins votes and pairs? {found} in both", where="--on", accepted=accepted)


def _key_of(values: Mapping[str, Any], column: str) -> str | None:
    """Return the key of a row as text; None without one."""
    found = next(ColumnNames({_KEY: column}).applied([Row(1, values)])).values.get(_KEY)
    return written_value(found) or None if found is not None else None


def _add(pairs: dict[str, Mapping[str, Any] | RequestError], row: PairRow, column: str) -> None:
    """Add the pair of a row. A key of several different pairs is no key."""
    key = _key_of(row.values, column)
    if key is None:
        return
    about = f"{column} {key!r} at {row.place}"
    if len(row.pairs) != 1:
        why = row.skipped[0].reason if row.skipped else f"{len(row.pairs)} pairs in one row"
        pairs.setdefault(key, RequestError("the pair of the vote cannot be used", detail=f"{about}: {why}"))
        return
    cells, known = _cells(row.pairs[0]), pairs.get(key)
    if isinstance(known, dict) and known != cells:
        pairs[key] = RequestError("several pairs have the key of the vote", detail=about)
    elif known is None:
        pairs[key] = cells


def _cells(pair: FilePair) -> dict[str, Any]:
    """Return a pair as our columns, with its answers in the order of the file."""
    found = pair.comparison
    answers = {"a": (found.response_a, found.origin_a), "b": (found.response_b, found.origin_b)}
    (one, first), (other, second) = answers[pair.first], answers["b" if pair.first == "a" else "a"]
    return {
        "prompt": [message.model_dump() for message in found.prompt.messages],
        "response_a": one,
        "response_b": other,
        "origin_a": first,
        "origin_b": second,
        "tags": list(found.prompt.tags),
    }
