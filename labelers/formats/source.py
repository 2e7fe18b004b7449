"""The protocol of label sources, and a base class for formats whose rows are independent.

A source receives rows (mappings of columns, in the order of the file) and returns the labels of every row. It
never drops a row silently: each row is in exactly one `RowLabels`, with pairs or with the reason why there
are none. `publius import labels` counts, stores and reports them.

Publius finds a source by the name of a built-in one, by an entry point in the group `publius.label_sources`,
or as `module:function`. The last two name a callable that takes no arguments and returns a `LabelSource`.
`examples/label-source` is a small package with such a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import ValidationError

from core.errors import RequestError, on_one_line
from labelers.formats.opinions import Pair

GROUP = "publius.label_sources"
"""Entry-point group of packages that provide sources."""
_OWN = "labelers."
"""Package of the built-in sources."""


class Skipped(NamedTuple):
    """Something that was skipped, and why."""

    reason: str
    """Skipped parts are counted by this text."""
    detail: str = ""
    """Specifics of this one, such as the offending value."""
    aspect: str | None = None
    """The aspect that it is about, if the row is judged in several."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, before validation."""

    number: int
    """Number from 1: the line in a file of lines, otherwise the position."""
    values: Any
    """A mapping of columns, if the row is valid."""
    problem: str | None = None
    """Why the row could not be read; None if it could."""


@dataclass(frozen=True, slots=True)
class RowLabels:
    """Labels of one row, or of several rows that belong together. Without pairs the rows are dropped."""

    rows: tuple[int, ...]
    pairs: tuple[Pair, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """Skipped parts, such as an unrated answer or a draft. Without pairs, the first one is the reason."""
    notes: tuple[str, ...] = ()
    """Corrections and oddities, which are counted and shown."""


@runtime_checkable
class LabelSource(Protocol):
    """Reads one format of labels."""

    @property
    def name(self) -> str:
        """Name for `--format`, and the default `labeler` of its judgments."""
        ...

    @property
    def summary(self) -> str:
        """One line that describes the data it reads."""
        ...

    @property
    def columns(self) -> frozenset[str] | None:
        """The columns that it uses; others are reported as ignored. None if it reads all columns."""
        ...

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like this format, as in "it has the columns ...", or None if it does not."""
        ...

    def read(self, rows: Iterable[Row]) -> Iterator[RowLabels]:
        """Yield the labels of the rows, in order, each row once.

        Report an invalid row in `skipped`; do not raise. Rows come one at a time and must not be collected in
        memory: a file may be of any length.
        """
        ...


class RowSource:
    """Base class of sources whose rows are independent: `labels_of` reads one row."""

    name = ""
    summary = ""
    columns: frozenset[str] | None = None

    def read(self, rows: Iterable[Row]) -> Iterator[RowLabels]:
        """Yield the labels of each row; a row for which `labels_of` raises RequestError is dropped."""
        return map(self._read, rows)

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the labels of one row.

        Raises:
            RequestError: if the row has no usable label.
        """
        raise NotImplementedError

    def _read(self, row: Row) -> RowLabels:
        return guarded(row, self.labels_of)


class LabelsOf(Protocol):
    """A function that reads one row."""

    def __call__(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the labels of the row, or raise RequestError."""
        ...


def guarded(row: Row, labels_of: LabelsOf) -> RowLabels:
    """Return the labels of a row; an unreadable or invalid row gives no pairs but a `skipped` entry."""
    try:
        return labels_of(columns_of(row), row.number)
    except RequestError as error:
        return dropped(row.number, error)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return dropped(row.number, RequestError("a value is out of range", detail=f"{place}: {first['msg']}"))
    except Exception as error:
        if str(getattr(labels_of, "__module__", "")).startswith(_OWN):
            raise  # a mistake of ours, which must not pass for a bad row
        reason = f"the label source failed on the row ({type(error).__name__})"
        return dropped(row.number, RequestError(reason, detail=on_one_line(error)))


def columns_of(row: Row) -> Mapping[str, Any]:
    """Return the columns of a row. Raises RequestError if it could not be read or is not a mapping."""
    if row.problem is not None:
        raise RequestError("the row cannot be read", detail=row.problem)
    if not isinstance(row.values, Mapping):
        raise RequestError("the row is not a mapping of columns", detail=f"found {type(row.values).__name__}")
    return row.values


def refusal(skipped: Sequence[Skipped], otherwise: str) -> RequestError:
    """Return the error of a row without labels: the first skipped part's reason, or `otherwise`."""
    first = skipped[0] if skipped else Skipped(otherwise)
    return RequestError(first.reason, detail=first.detail)


def dropped(number: int, error: RequestError) -> RowLabels:
    """Return the labels of a row that is dropped."""
    return RowLabels((number,), skipped=(Skipped(error.reason, error.detail),))
