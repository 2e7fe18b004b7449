"""Record files: append-only JSON lines in a folder, with lookup by id.

The `.jsonl` files are the source of truth; `index.sqlite` next to them only stores the position of each id.
Once `append` has returned, the record survives the death of the process: its whole line was passed to the
operating system. Only the last line can be torn by a kill or a full disk. It is moved to `<name>.torn` when
the folder is next opened for writing. One process writes; any number of processes can read at the same time.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json

from core.errors import DataError, RunStateError, shell_command
from core.store.files import os_errors, remove_leftovers
from core.store.index import RecordIndex, Span
from core.store.lines import Line, cut_torn_line, line_number, lines_from, open_lines
from core.store.lock import lock


class StoredRecord(Protocol):
    """Interface of a record that can be stored: any `core.records.Record` with an `id`."""

    @property
    def id(self) -> str:
        """Digest that identifies the record; a file stores each id once."""
        ...

    def to_line(self) -> str:
        """Return the record as one line of JSON, including the newline."""
        ...

    def has_own_id(self) -> bool:
        """Return False if the id is a digest of content that has changed since."""
        ...

    @classmethod
    def model_validate_json(cls, json_data: bytes) -> Self:
        """Parse the record in a line, or raise `ValidationError`."""
        ...


R = TypeVar("R", bound=StoredRecord)


class RecordStore:
    """The record files of one folder, opened for writing by a single process or for reading by any number."""

    def __init__(self, folder: Path, *, writable: bool = True) -> None:
        self.folder = folder
        self.writable = writable
        self._files: dict[str, RecordFile[Any]] = {}
        with os_errors(folder):
            if writable:
                folder.mkdir(parents=True, exist_ok=True)
            elif not folder.is_dir():
                raise RunStateError(
                    "no such run folder", where=str(folder), run=shell_command("ls", folder.parent)
                )
        self._lock = lock(folder) if writable else None
        if writable:
            remove_leftovers(folder)
        try:
            self._index = RecordIndex(folder / "index.sqlite", writable=writable)
        except RunStateError:
            self._unlock()
            raise

    def open(self, name: str, record_type: type[R], parent: str | None = None) -> RecordFile[R]:
        """Open the record file `name`, repair its last line if necessary, and index all its lines.

        Args:
            name: File name in the folder, such as "judgments.jsonl".
            record_type: Type of the records.
            parent: Dotted path of the field to group the records by, such as "comparison_id" or "prompt.id".

        Raises:
            DataError: A line other than the last is broken, or a line has no id.
        """
        opened = self._files.get(name)
        if opened is None:
            opened = RecordFile(self.folder / name, record_type, self._index, parent, writable=self.writable)
            self._files[name] = opened
        assert (opened.record_type, opened.parent) == (record_type, parent), (
            f"{name} is already open with another record type or parent"
        )
        return cast("RecordFile[R]", opened)

    def set_aside(self, name: str) -> None:
        """Rename a file to `<name>.damaged` if it exists; the next `open` makes a new one."""
        opened = self._files.pop(name, None)
        if opened is not None:
            opened.close()
        path = self.folder / name
        with os_errors(path):
            if path.exists():
                path.replace(path.with_name(f"{name}.damaged"))

    def find(self, prefix: str) -> list[tuple[str, str]]:
        """Return (file name, id) of every record whose id starts with `prefix`, in all indexed files."""
        return self._index.find(prefix)

    def close(self) -> None:
        """Commit the index, close the files and release the lock."""
        try:
            self._index.close()
        finally:
            for file in self._files.values():
                file.close()
            self._files.clear()
            self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class RecordFile(Generic[R]):
    """One file of records with unique ids. Iterating reads one record at a time.

    Safe to use from several threads. An iteration yields the records that existed when it started.
    """

    def __init__(
        self, path: Path, record_type: type[R], index: RecordIndex, parent: str | None, *, writable: bool
    ) -> None:
        self.path = path
        self.record_type = record_type
        self.parent = parent
        self.writable = writable
        self.repaired_bytes = 0
        """Number of bytes of a torn last line that were moved to `<name>.torn` when the file was opened."""
        self._index = index
        self._lines = index.file(path.name, parent)
        self._errors = os_errors(path)
        with self._errors:
            self._descriptor = open_lines(path, writable=writable)
            try:
                self._catch_up()
            except BaseException:
                self.close()
                raise

    @property
    def duplicates(self) -> int:
        """Number of lines that are ignored because an earlier line has the same id."""
        return self._lines.duplicates

    def append(self, record: R) -> bool:
        """Store the record and return True; if its id is already stored, write nothing and return False.

        Raises:
            DataError: The record contains text that is not valid Unicode.
            RunStateError: The disk is full or the folder is not writable; the file is unchanged.
        """
        assert self.writable, f"{self.path} is open for reading only"
        with self._index.lock, self._errors:
            if os.fstat(self._descriptor).st_size != self._lines.end:
                self._catch_up()  # an earlier append wrote the line, but was interrupted before indexing it
            if self._lines.span(record.id) is not None:
                return False
            line = _line_of(record, self.path)
            self._write_whole(line)
            self._lines.add(Span(record.id, self._lines.end, len(line)), self._parent_of(record))
            self._count += 1
            return True

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self._lines.span(id) is not None

    def __len__(self) -> int:
        return self._count

    def get(self, id: str) -> R:
        """Return the record with this id.

        Raises:
            DataError: The id is not in the file, or its line is not a valid record.
        """
        span = self._lines.span(id)
        if span is None:
            accepted = f"one of the file's {len(self)} ids"
            raise DataError(f"no record '{id}'", where=str(self.path), accepted=accepted)
        return self._read(span)

    def __iter__(self) -> Iterator[R]:
        """Yield the records in file order, which is the order of completion."""
        return map(self._read, self._lines.in_file_order())

    def since(self, offset: int = -1) -> Iterator[tuple[int, R]]:
        """Yield the records after an offset in file order, each with its own offset, for a later call.

        Args:
            offset: -1 for all records.
        """
        return ((span.offset, self._read(span)) for span in self._lines.in_file_order(offset))

    def sorted(self) -> Iterator[R]:
        """Yield the records ordered by id, which does not depend on the order of completion."""
        return map(self._read, self._lines.in_id_order())

    def children(self, parent_id: str) -> Iterator[R]:
        """Yield the records of one parent, ordered by id."""
        assert self.parent is not None, f"{self.path} was opened without a parent field"
        return map(self._read, self._lines.in_id_order(parent_id))

    def has_children(self, parent_id: str) -> bool:
        """Return True if any record belongs to the parent."""
        assert self.parent is not None, f"{self.path} was opened without a parent field"
        return self._lines.has_children(parent_id)

    def sync(self) -> None:
        """Sync the appended records to disk and commit the index."""
        with self._errors:
            if self.writable:
                os.fsync(self._descriptor)  # without the lock, so other threads append meanwhile
        with self._index.lock, self._errors:
            self._index.commit()

    def close(self) -> None:
        """Close the file; the store does this for all its files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_whole(self, line: bytes) -> None:
        """Append the whole line, or restore the file's previous length if that fails."""
        start = self._lines.end
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                # A write is short when the disk fills up; writing the rest raises the error with the reason.
                written += os.write(self._descriptor, line[written:])
        except BaseException:
            os.ftruncate(self._descriptor, start)
            raise

    def _parent_of(self, record: R) -> str | None:
        if self.parent is None:
            return None
        value = functools.reduce(getattr, self.parent.split("."), cast("Any", record))
        return value if isinstance(value, str) else None

    def _read(self, span: Span) -> R:
        with self._errors:
            line = os.pread(self._descriptor, span.length, span.offset)
        try:
            record = self.record_type.model_validate_json(line)
        except ValidationError as error:
            raise self._broken_line(span.offset, _reason(error)) from error
        if record.id != span.id:
            raise self._broken_line(span.offset, f"the file was changed: expected record '{span.id}' here")
        if not record.has_own_id():
            raise self._broken_line(span.offset, f"the content of record '{record.id}' is not that of its id")
        return record

    def _catch_up(self) -> None:
        """Index the lines that are not indexed yet, and move a torn last line out of the file."""
        if self._was_replaced():
            self._lines.clear(os.fstat(self._descriptor).st_ino)
        for line in lines_from(self._descriptor, self._lines.end):
            if not line.content.strip():
                self._lines.end = line.offset + len(line.content)
                continue
            try:
                fields = from_json(line.content)
            except ValueError as error:
                if not line.is_last:
                    raise self._broken_line(line.offset, f"not valid JSON ({error})") from error
                if self.writable:  # a reader may see the line while the writer is still writing it
                    self.repaired_bytes += cut_torn_line(self.path, self._descriptor, line)
                break
            self._index_line(line, fields)
        self._count = self._lines.count()

    def _was_replaced(self) -> bool:
        """Return True if the file is not an extension of the file that was indexed.

        Ids are digests of content, so it is enough to compare the first and the last indexed line.
        """
        status = os.fstat(self._descriptor)
        if status.st_ino != self._lines.inode or status.st_size < self._lines.end:
            return True
        known = (span for span in (self._lines.first(), self._lines.last()) if span is not None)
        return any(self._id_at(span) != span.id for span in known)

    def _id_at(self, span: Span) -> str | None:
        try:
            fields = from_json(os.pread(self._descriptor, span.length, span.offset))
        except ValueError:
            return None
        return _field(fields, "id")

    def _index_line(self, line: Line, fields: object) -> None:
        id = _field(fields, "id")
        if not id:
            raise self._broken_line(line.offset, "the record has no 'id'")
        content = line.content
        if not content.endswith(b"\n") and self.writable:
            # The JSON parsed, so the record is complete and only its newline is missing.
            os.write(self._descriptor, b"\n")
            content += b"\n"
        parent = None if self.parent is None else _field(fields, self.parent)
        self._lines.add(Span(id, line.offset, len(content)), parent)

    def _broken_line(self, offset: int, reason: str) -> DataError:
        number = line_number(self._descriptor, offset)
        return DataError(
            reason,
            where=f"{self.path}:{number}",
            accepted=f"one {self.record_type.__name__} record as JSON on each line, as it was written; a run "
            "makes the record of a deleted line again",
            run=shell_command("sed", "-n", f"{number}p", self.path),
        )


def _field(fields: object, dotted: str) -> str | None:
    """Return the text at a dotted path in parsed JSON, or None."""
    for name in dotted.split("."):
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields if isinstance(fields, str) else None


def _line_of(record: StoredRecord, path: Path) -> bytes:
    try:
        return record.to_line().encode("utf-8")
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        where = f"{path}, record '{record.id}'"
        what = f"the record cannot be stored ({error})"
        raise DataError(what, where=where, accepted="valid Unicode text") from error


def _reason(error: ValidationError) -> str:
    """Return the first validation error of a record and the number of further ones."""
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}"
