"""Records of a file read from its first line to its last, without the index that finds single records.

A look at a whole run reads each record once. Opening the files for lookup by id takes longer than
that, and as much memory as the index has rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from core.errors import DataError, shell_command
from core.records import Record
from core.store.files import is_there, os_errors

Scanned = TypeVar("Scanned", bound=Record)


def scan_records(path: Path, record_type: type[Scanned], having: bytes = b"") -> Iterator[Scanned]:
    """Yield the records of a file in its order; none if there is no file.

    A last line without its end, which another process may be writing, is not read.

    Args:
        path: the file.
        record_type: the type of its records.
        having: bytes in a line without which it is passed over unread.

    Raises:
        DataError: a line is not a record of this type.
    """
    if not is_there(path):
        return
    with os_errors(path), path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if having not in line or not line.strip():
                continue
            try:
                yield record_type.model_validate_json(line)
            except ValidationError as error:
                if not line.endswith(b"\n"):
                    return
                raise DataError(
                    _first(error),
                    where=f"{path}:{number}",
                    accepted=f"one {record_type.__name__} record as JSON on each line, as it was written",
                    run=shell_command("sed", "-n", f"{number}p", path),
                ) from error


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, found["loc"]))
    return f"{place}: {found['msg']}" if place else str(found["msg"])
