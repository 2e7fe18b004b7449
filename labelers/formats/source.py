"""What a source of labels must do: the protocol, and a base for the usual case of one row after another.

A source is handed rows (mappings of columns, in the order of the file) and tells for every row what it says.
It never drops a row in silence: each row stands in exactly one `RowLabels`, with pairs or with the reason why
there are none. `publius import labels` counts, stores and reports.

Publius finds a source by its name among its own, by an entry point in the group `publius.label_sources`, or
as `module:function`; the last two name something that returns a `LabelSource` when it is called without
arguments. `examples/label-source` is a small package that brings one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import ValidationError

from core.errors import RequestError
from labelers.formats.opinions import Pair

GROUP = "publius.label_sources"
"""The entry-point group by which packages offer sources."""


class Skipped(NamedTuple):
    """Something that is not used, and why."""

    reason: str
    """By which such things are counted together."""
    detail: str = ""
    """What is its own: the offending value, say."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it came."""

    number: int
    """Which one, from 1: the line of a file of lines, else the position."""
    values: Any
    """A mapping of columns, if the row is what it should be."""
    problem: str | None = None
    """Why it could not be read at all."""


@dataclass(frozen=True, slots=True)
class RowLabels:
    """What one row says, or several that belong together. Without pairs the rows are dropped."""

    rows: tuple[int, ...]
    pairs: tuple[Pair, ...] = ()
    left_out: tuple[Skipped, ...] = ()
    """Parts that are not used: an answer nobody rated, a draft. Without pairs, the first says why."""
    notes: tuple[str, ...] = ()
    """What was mended or is unusual; counted and shown."""


@runtime_checkable
class LabelSource(Protocol):
    """Reads one form of labels."""

    @property
    def name(self) -> str:
        """What users call it; it is the `labeler` of its judgments unless they choose another."""
        ...

    @property
    def summary(self) -> str:
        """One line: which data it reads."""
        ...

    @property
    def columns(self) -> frozenset[str] | None:
        """The columns that it uses; others are reported as passed over. None: it looks at all of them."""
        ...

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like this form, as in "it has the columns ...", or None if it does not."""
        ...

    def read(self, rows: Iterable[Row]) -> Iterator[RowLabels]:
        """Yield what the rows say, in order, each row once.

        A row's mistakes are no exceptions but `left_out`. Rows come one at a time and must not be gathered,
        so that a file of any length can be read.
        """
        ...


class RowSource:
    """Base of sources whose rows stand for themselves: `labels_of` sees one row."""

    name = ""
    summary = ""
    columns: frozenset[str] | None = None

    def read(self, rows: Iterable[Row]) -> Iterator[RowLabels]:
        """Yield what each row says; a row that raises RequestError is left out for its reason."""
        return map(self._read, rows)

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return what one row says.

        Raises:
            RequestError: if it says nothing that can be used.
        """
        raise NotImplementedError

    def _read(self, row: Row) -> RowLabels:
        return guarded(row, self.labels_of)


class LabelsOf(Protocol):
    """A function that reads one row."""

    def __call__(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return what the row says, or raise RequestError."""
        ...


def guarded(row: Row, labels_of: LabelsOf) -> RowLabels:
    """Return what a row says; one that cannot be read, or is refused, becomes a `left_out`."""
    try:
        return labels_of(columns_of(row), row.number)
    except RequestError as error:
        return dropped(row.number, error)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return dropped(
            row.number, RequestError("a value is out of bounds", detail=f"{place}: {first['msg']}")
        )


def columns_of(row: Row) -> Mapping[str, Any]:
    """Return the columns of a row. Raises RequestError if it could not be read, or is no mapping."""
    if row.problem is not None:
        raise RequestError("the row cannot be read", detail=row.problem)
    if not isinstance(row.values, Mapping):
        raise RequestError("the row is not a mapping of columns", detail=f"but {type(row.values).__name__}")
    return row.values


def refusal(left_out: Sequence[Skipped], otherwise: str) -> RequestError:
    """Return the error of a row that says nothing: the first of what was left out, else `otherwise`."""
    first = left_out[0] if left_out else Skipped(otherwise)
    return RequestError(first.reason, detail=first.detail)


def dropped(number: int, error: RequestError) -> RowLabels:
    """Return the outcome of a row that says nothing."""
    return RowLabels((number,), left_out=(Skipped(error.reason, error.detail),))
