"""The files of a project as the page edits them: read, watched, and saved only on top of what was read.

The text on disk is the truth. A save names the version that it was based on; if the file has another one by
now, nothing is written and the page gets the other text. Texts that are not saved yet are kept as drafts.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import DataError, RunStateError
from core.store.files import os_errors, write_atomic
from publius.studio.project import STATE_FOLDER, FileKind, StudioProject, file_kind

POLL_S = 0.4
"""Seconds between two looks at the files."""
_KEPT = 40
"""Replaced versions that are kept of each file."""
_CRLF, _BOM = "\r\n", "\ufeff"


@dataclass(frozen=True)
class FileVersion:
    """The text of a file, with plain line feeds and without a byte order mark, and its digest."""

    name: str
    kind: FileKind
    text: str
    digest: str
    """SHA-256 of the bytes on disk; empty if there is no such file."""

    def as_json(self) -> dict[str, Any]:
        """Return the version as JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class UnsavedText:
    """A text that was typed and not saved."""

    name: str
    tab: str
    """The page's own id, the same after it was loaded again."""
    base: str
    """Digest of the version that it is based on."""
    text: str
    at: str
    """Time in UTC, ISO 8601."""

    def as_json(self) -> dict[str, Any]:
        """Return the draft as JSON-able values."""
        return asdict(self)


class NotSavedError(Exception):
    """The file is no longer the version that a save was based on; nothing was written.

    Args:
        current: the file as it is now.
    """

    def __init__(self, current: FileVersion) -> None:
        super().__init__(f"{current.name} has changed since it was opened")
        self.current = current


class ProjectFiles:
    """The editable files of a project and the drafts of them. Thread-safe.

    Args:
        project: the project.
    """

    def __init__(self, project: StudioProject) -> None:
        self.project = project
        self._lock = threading.RLock()
        self._drafts = project.folder / STATE_FOLDER / "drafts"
        self._versions = project.folder / STATE_FOLDER / "versions"
        for folder in (self._drafts, self._versions):
            with os_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> FileVersion:
        """Return the version of a file that is on disk.

        Raises:
            DataError: the project has no such file, or it is not UTF-8.
            RunStateError: the file cannot be read.
        """
        path = self._path(name)
        with os_errors(path):
            content = path.read_bytes() if path.is_file() else b""
        return _version(path, content, exists=path.is_file())

    def save(self, name: str, text: str, base: str, tab: str) -> FileVersion:
        """Replace a file atomically by a text that was based on one of its versions.

        Line breaks and the byte order mark are those of the file. The replaced version is kept in the
        studio's folder. The draft of the tab is dropped.

        Raises:
            NotSavedError: the file is another version now.
            DataError: the project has no such file, or it is not UTF-8.
            RunStateError: the file cannot be written.
        """
        with self._lock:
            path = self._path(name)
            before = self._content(path)
            current = _version(path, before, exists=path.is_file())
            if current.digest != base:
                raise NotSavedError(current)
            self._keep(name, current.digest, before)
            self._write(path, _as_before(text, before))
            self.drop_draft(name, tab)
            return self.read(name)

    def keep_draft(self, draft: UnsavedText) -> None:
        """Store a draft durably, in place of the one that the tab had of the file."""
        self._path(draft.name)
        write_atomic(self._draft_path(draft.name, draft.tab), json.dumps(draft.as_json()) + "\n", mode=0o600)

    def drop_draft(self, name: str, tab: str) -> None:
        """Remove the draft of a tab, if it has one."""
        self._draft_path(name, tab).unlink(missing_ok=True)

    def drafts(self, name: str) -> list[UnsavedText]:
        """Return the drafts of a file that differ from it, newest first."""
        current = self.read(name)
        found = (_read_draft(path) for path in sorted(self._drafts.glob("*.json")))
        mine = [draft for draft in found if draft and draft.name == name and draft.text != current.text]
        return sorted(mine, key=lambda draft: draft.at, reverse=True)

    def digests(self) -> dict[str, str]:
        """Return the digest of each file that the page may open, in the order in which it lists them."""
        found = {}
        for name in self.project.paths():
            try:
                found[name] = self.read(name).digest
            except (DataError, RunStateError):
                continue  # not text, or gone in the meantime: it cannot be edited
        return found

    def watch(self, changed: Callable[[FileVersion], None], stopped: threading.Event) -> None:
        """Call a function for each file that has another content than at the last look, until stopped."""
        paths = self.project.paths()
        seen = {name: (_mark(paths[name]), digest) for name, digest in self.digests().items()}
        while not stopped.wait(POLL_S):
            paths = self.project.paths()
            for name, path in paths.items():
                mark = _mark(path)
                before = seen.get(name)
                if before is not None and before[0] == mark:
                    continue
                try:
                    version = self.read(name)
                except (DataError, RunStateError):
                    continue
                seen[name] = (mark, version.digest)
                if before is None or before[1] != version.digest:
                    changed(version)
            for name in [name for name in seen if name not in paths]:
                del seen[name]
                changed(_version(self.project.folder / name, b"", exists=False))

    def _path(self, name: str) -> Path:
        """Return the path of a file of the project. A name is never a path, so nothing else can be read."""
        paths = self.project.paths()
        if name not in paths:
            raise DataError(f"no file {name!r} that the studio can edit", accepted=", ".join(paths))
        return paths[name]

    def _content(self, path: Path) -> bytes:
        with os_errors(path):
            return path.read_bytes() if path.is_file() else b""

    def _write(self, path: Path, text: str) -> None:
        target = path.resolve()  # a link stays one
        mode = target.stat().st_mode & 0o777 if target.is_file() else 0o666
        write_atomic(target, text, mode)

    def _keep(self, name: str, digest: str, content: bytes) -> None:
        """Keep a version that is about to be replaced, and forget the oldest ones."""
        if not digest:
            return
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        write_atomic(self._versions / f"{name}.{stamp}.{digest[:8]}", content, mode=0o600)
        for old in sorted(self._versions.glob(f"{_escaped(name)}.*"))[:-_KEPT]:
            old.unlink(missing_ok=True)

    def _draft_path(self, name: str, tab: str) -> Path:
        return self._drafts / f"{hashlib.sha256(json.dumps([name, tab]).encode()).hexdigest()[:24]}.json"


def now_utc() -> str:
    """Return the time in UTC as text, in ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _version(path: Path, content: bytes, *, exists: bool) -> FileVersion:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("the file is not UTF-8", where=path.name) from error
    plain = text.removeprefix(_BOM).replace(_CRLF, "\n")
    digest = hashlib.sha256(content).hexdigest() if exists else ""
    return FileVersion(path.name, file_kind(path, plain), plain, digest)


def _as_before(text: str, before: bytes) -> str:
    """Return a text with the line breaks and the byte order mark that the file had."""
    if _CRLF.encode() in before:
        text = text.replace("\n", _CRLF)
    return (_BOM if before.startswith(_BOM.encode("utf-8")) else "") + text


def _mark(path: Path) -> tuple[int, int, int]:
    """Return what changes whenever a file is written; zeros if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read_draft(path: Path) -> UnsavedText | None:
    try:
        return UnsavedText(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None  # dropped in the meantime


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
