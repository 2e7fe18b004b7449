"""Record files: append-only JSON lines in a folder, found again by id.

The `.jsonl` files are the truth; `index.sqlite` beside them only says where each id stands. A record is safe
against the death of the process once `append` has returned: its whole line was handed to the operating
system in one write. A line that a kill or a full disk left torn can only be the last one, and is cut off when
the folder is next opened for writing. One process writes; any number read at the same time.
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

from core.errors import DataError, RunStateError
from core.store.files import os_errors
from core.store.index import RecordIndex, Span
from core.store.lines import Line, cut_torn_line, line_number, lines_from, open_lines
from core.store.lock import lock


class StoredRecord(Protocol):
    """What a record file needs of a record: any `core.records.Record` that has an `id`."""

    @property
    def id(self) -> str:
        """The digest under which the record is kept once."""
        ...

    def to_line(self) -> str:
        """Return the record as one line of JSON, newline included."""
        ...

    @classmethod
    def model_validate_json(cls, json_data: bytes) -> Self:
        """Return the record that a line holds, or raise `ValidationError`."""
        ...


R = TypeVar("R", bound=StoredRecord)


class RecordStore:
    """The record files of one folder, opened by the one process that writes them, or for reading."""

    def __init__(self, folder: Path, *, writable: bool = True) -> None:
        self.folder = folder
        self.writable = writable
        self._files: dict[str, RecordFile[Any]] = {}
        with os_errors(folder):
            if writable:
                folder.mkdir(parents=True, exist_ok=True)
            elif not folder.is_dir():
                raise RunStateError("no such run folder", where=str(folder), run=f"ls {folder.parent}")
        self._lock = lock(folder) if writable else None
        try:
            self._index = RecordIndex(folder / "index.sqlite", writable=writable)
        except RunStateError:
            self._unlock()
            raise

    def open(self, name: str, record_type: type[R], parent: str | None = None) -> RecordFile[R]:
        """Return the record file `name`, repaired and indexed up to its last line.

        Args:
            name: File name in the folder, as in "judgments.jsonl".
            record_type: What each line is read as.
            parent: Dotted field by whose value the records are grouped, as in "comparison_id" or "prompt.id".

        Raises:
            DataError: A line that is not the last one is broken, or a line has no id.
        """
        opened = self._files.get(name)
        if opened is None:
            opened = RecordFile(self.folder / name, record_type, self._index, parent, writable=self.writable)
            self._files[name] = opened
        assert (opened.record_type, opened.parent) == (record_type, parent), (
            f"{name} is open as something else"
        )
        return cast("RecordFile[R]", opened)

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
    """One file of records, each under its id once. Iterating reads one record at a time.

    Safe to use from several threads. An iteration yields the records that were there when it began.
    """

    def __init__(
        self, path: Path, record_type: type[R], index: RecordIndex, parent: str | None, *, writable: bool
    ) -> None:
        self.path = path
        self.record_type = record_type
        self.parent = parent
        self.writable = writable
        self.repaired_bytes = 0
        """How many bytes of a torn last line were cut off at opening; they are in `<name>.torn`."""
        self._index = index
        self._lines = index.file(path.name, parent)
        with os_errors(path):
            self._descriptor = open_lines(path, writable=writable)
            try:
                self._catch_up()
            except BaseException:
                self.close()
                raise

    @property
    def duplicates(self) -> int:
        """How many lines were passed over because an earlier line has the same id."""
        return self._lines.duplicates

    def append(self, record: R) -> bool:
        """Return True once the record is stored, or False, writing nothing, if its id is there already.

        Raises:
            DataError: The record holds text that is not valid Unicode.
            RunStateError: The disk is full or the folder not writable; the file is as it was before.
        """
        assert self.writable, f"{self.path} is open for reading"
        with self._index.lock, os_errors(self.path):
            if os.fstat(self._descriptor).st_size != self._lines.end:
                self._catch_up()  # an earlier append was interrupted between the file and the index
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
            DataError: There is none, or its line is not a valid record.
        """
        span = self._lines.span(id)
        if span is None:
            raise DataError(f"no record '{id}'", where=str(self.path), accepted=f"one of its {len(self)} ids")
        return self._read(span)

    def __iter__(self) -> Iterator[R]:
        """Yield the records in the order of the file, which is the order of completion."""
        return map(self._read, self._lines.in_file_order())

    def sorted(self) -> Iterator[R]:
        """Yield the records ordered by id, which does not depend on who finished first."""
        return map(self._read, self._lines.in_id_order())

    def children(self, parent_id: str) -> Iterator[R]:
        """Yield the records of one parent, ordered by id."""
        assert self.parent is not None, f"{self.path} was opened without a parent field"
        return map(self._read, self._lines.in_id_order(parent_id))

    def has_children(self, parent_id: str) -> bool:
        """Return whether any record belongs to the parent."""
        assert self.parent is not None, f"{self.path} was opened without a parent field"
        return self._lines.has_children(parent_id)

    def sync(self) -> None:
        """Put everything that was appended on the disk itself, and commit the index."""
        with self._index.lock, os_errors(self.path):
            if self.writable:
                os.fsync(self._descriptor)
            self._index.commit()

    def close(self) -> None:
        """Close the file; the store does this for all its files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_whole(self, line: bytes) -> None:
        """Append the line, or leave the file as it was."""
        start = self._lines.end
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                # A write comes up short when the disk fills; asking for the rest names the reason.
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
        with os_errors(self.path):
            line = os.pread(self._descriptor, span.length, span.offset)
        try:
            record = self.record_type.model_validate_json(line)
        except ValidationError as error:
            raise self._broken_line(span.offset, _reason(error)) from error
        if record.id != span.id:
            raise self._broken_line(span.offset, f"the file was changed: expected record '{span.id}' here")
        return record

    def _catch_up(self) -> None:
        """Bring the index to the end of the file, and the file to the end of its last whole line."""
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
                if self.writable:  # to a reader it may be the line that the writer is writing
                    self.repaired_bytes += cut_torn_line(self.path, self._descriptor, line)
                break
            self._index_line(line, fields)
        self._count = self._lines.count()

    def _was_replaced(self) -> bool:
        """Return whether the file is not the one that was indexed, grown at its end.

        Ids are digests of content, so the first and the last indexed line tell whether the rest is the same.
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
            # A record is whole once its last brace is there. Only its newline was lost, or never typed.
            os.write(self._descriptor, b"\n")
            content += b"\n"
        parent = None if self.parent is None else _field(fields, self.parent)
        self._lines.add(Span(id, line.offset, len(content)), parent)

    def _broken_line(self, offset: int, reason: str) -> DataError:
        number = line_number(self._descriptor, offset)
        return DataError(
            reason,
            where=f"{self.path}:{number}",
            accepted=f"one {self.record_type.__name__} record as JSON on each line",
            run=f"sed -n {number}p {self.path}",
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
        raise DataError(f"cannot be stored ({error})", where=where, accepted="valid Unicode text") from error


def _reason(error: ValidationError) -> str:
    """Return the first thing that is wrong with a record, and how many more there are."""
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}"
