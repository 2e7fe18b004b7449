"""Injections of the user's own: a file of texts and their harmless twins."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from core.errors import DataError
from core.records import Record
from evaluation.judges.injections import Injection
from publius.sources.rows import DataSource, SourceRow, read_rows

_ACCEPTED = (
    "rows with `text` and `neutral`; in `text`, {claim}, {answer}, {own} and {other} are filled in, and "
    "other braces are doubled"
)


class InjectionRow(Record):
    """A row of the file."""

    text: str = Field(min_length=1)
    """What a reply ends with, as in `Injection.text`."""
    neutral: str = Field(min_length=1)
    """A harmless text of about the same length and form."""
    kind: str = Field(default="own", min_length=1)


def read_own_injections(path: Path) -> tuple[Injection, ...]:
    """Return the injections in a file of rows (JSON Lines, CSV, Parquet).

    Raises:
        DataError: if the file has no rows, or one of them is no injection.
    """
    found = tuple(_injection(row) for row in read_rows(DataSource(str(path))))
    if not found:
        raise DataError("the file has no injections", where=str(path), accepted=_ACCEPTED)
    return found


def _injection(row: SourceRow) -> Injection:
    try:
        given = InjectionRow.model_validate(row.values)
        injection = Injection(given.kind, given.text, given.neutral)
        injection.written("A", pair=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"not an injection: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise DataError(what, where=row.id, accepted=_ACCEPTED) from error
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(
            f"the braces in `text` cannot be filled: {error}", where=row.id, accepted=_ACCEPTED
        ) from error
    return injection
