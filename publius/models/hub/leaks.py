"""What must not be published: keys, and paths that show whose machine the files are from."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import DataError, Problem
from core.notices import counted
from core.store.files import os_errors
from core.text.secrets import keys_in
from engines.embedded import cache_folder

_BLOCK_BYTES = 2**22
_SHOWN = 10
"""Findings that are printed; the others are counted."""
_KEY_VARIABLE = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)S?$")
_SHORTEST_KEY = 16
"""Characters from which the value of such a variable is looked for; shorter ones may be words."""
_PATH = re.compile(rb"(?<![\w.:/-])/[\w.+-]+(?:/[\w.+-]+)+")
_OF_THE_SYSTEM = ("/usr/", "/etc/", "/bin/", "/sbin/", "/lib", "/dev/", "/proc/", "/sys/", "/var/")
_DATA = (".jsonl", "tokenizer.json", "vocab.json", "merges.txt")
"""Ends of the names of files with texts of others, in which any path may be mentioned."""
_NOT_SEARCHED = ".parquet"


@dataclass(frozen=True)
class Leak:
    """A line that must not be published."""

    file: str
    line: int
    what: str
    is_path: bool = False

    @property
    def place(self) -> str:
        """`FILE:LINE`, as `--allow` takes it."""
        return f"{self.file}:{self.line}"


def require_no_leaks(files: Mapping[str, Path], machine: Sequence[Path], allowed: Sequence[str]) -> None:
    """Raise DataError, with a line for each finding, if a text file has a key or a path of this machine.

    Args:
        files: the files by their path in the repository.
        machine: folders that belong to this machine, beside the home folder and caches.
        allowed: `FILE:LINE` that the user has looked at; `FILE` for all paths in a file; `*.parquet` for all
            Parquet files, which cannot be searched.
    """
    leaks = [
        leak
        for leak in found_leaks(files, machine)
        if leak.place not in allowed and not (leak.is_path and leak.file in allowed)
    ]
    unread = [leak.file for leak in leaks if leak.file.endswith(_NOT_SEARCHED)]
    if f"*{_NOT_SEARCHED}" in allowed:
        unread = []
    found = [leak for leak in leaks if not leak.file.endswith(_NOT_SEARCHED)]
    if found or unread:
        problems = [*map(_problem, found[:_SHOWN]), *_rest(len(found) - _SHOWN)]
        raise DataError.of([*problems, *([_unsearched(unread)] if unread else [])])


def found_leaks(files: Mapping[str, Path], machine: Sequence[Path]) -> list[Leak]:
    """Return every line of text files with a key or a path of this machine; arguments as above."""
    known, private = known_keys(), _private_folders(machine)
    return [leak for name, path in files.items() for leak in leaks_of(name, path, known, private)]


def _problem(leak: Leak) -> Problem:
    accepted = "files without it (publius export, edit, push the folder)"
    return Problem(
        f"{leak.what}; nothing was sent",
        leak.place,
        f"{accepted}, or --allow {leak.place} if it may be public",
    )


def _unsearched(files: Sequence[str]) -> Problem:
    """Return one problem for all Parquet files."""
    shown = ", ".join(files[:2]) + (f" and {len(files) - 2:,} more" if len(files) > 2 else "")
    return Problem(
        f"{counted(len(files), 'Parquet file')} cannot be searched for keys ({shown}); nothing was sent",
        files[0] if len(files) == 1 else f"*{_NOT_SEARCHED}",
        "JSON lines (publius export without --format parquet), or "
        f"--allow '*{_NOT_SEARCHED}' if all of them may be public",
    )


def _rest(more: int) -> list[Problem]:
    return [Problem(f"and {counted(more, 'more line')} like these")] if more > 0 else []


def leaks_of(
    name: str, path: Path, known: Mapping[str, str], private: re.Pattern[bytes] | None
) -> Iterator[Leak]:
    """Yield the findings in a file, in blocks of whole lines; a binary file has none, but Parquet is one.

    Args:
        name: its path in the repository.
        path: the file.
        known: values that are keys, by what they are.
        private: paths of this machine.
    """
    if name.endswith(_NOT_SEARCHED):
        yield Leak(name, 1, "Parquet is compressed and is not searched for keys; export JSON lines instead")
        return
    seen = 0
    for block in _text_blocks(path):
        yield from (Leak(name, seen + key.line, key.kind) for key in keys_in(block, known))
        yield from _paths_in(name, block, seen, private)
        seen += block.count(b"\n")


def _text_blocks(path: Path) -> Iterator[bytes]:
    """Yield a text file in blocks of whole lines, as UTF-8."""
    with os_errors(path), path.open("rb") as file:
        begin = file.read(_BLOCK_BYTES)
        if begin.startswith((b"\xff\xfe", b"\xfe\xff")):
            yield (begin + file.read()).decode("utf-16", "replace").encode()
            return
        if b"\0" in begin[:8192]:
            return
        while begin:
            block = begin + file.readline()
            yield block
            begin = file.read(_BLOCK_BYTES)


def _paths_in(name: str, block: bytes, seen: int, private: re.Pattern[bytes] | None) -> Iterator[Leak]:
    """Yield the first path of this machine in each line.

    A path counts if it is below a private folder, or if it exists. In texts of others, which may mention any
    path, one that exists counts only below the home folder.
    """
    found = {match.start(): match[0].decode("utf-8", "replace") for match in _PATH.finditer(block)}
    home = f"{Path.home()}/" if name.endswith(_DATA) else "/"
    found = {start: path for start, path in found.items() if path.startswith(home) and _is_here(path)}
    if private is not None:
        found |= {match.start(): match[0].decode("utf-8", "replace") for match in private.finditer(block)}
    lines: dict[int, str] = {}
    for start, path in sorted(found.items()):
        lines.setdefault(seen + block.count(b"\n", 0, start) + 1, path)
    for line, path in lines.items():
        yield Leak(name, line, f"{path} is a path of this machine", is_path=True)


def _is_here(path: str) -> bool:
    if path.startswith(_OF_THE_SYSTEM):
        return False
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def known_keys(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the keys of this user, by what they are: the Hub's token, and variables named like keys.

    The token is read from its file: the Hub's client might renew it, and a dry run sends nothing.
    """
    found = {
        f"the value of the environment variable {name}": value.strip()
        for name, value in environment.items()
        if _KEY_VARIABLE.search(name.upper()) and _is_key(value.strip())
    }
    with contextlib.suppress(OSError, ValueError):
        token = _of_hub("HF_TOKEN_PATH", "token").read_text(encoding="utf-8").strip()
        found |= {"your Hugging Face token": token} if _is_key(token) else {}
    return found


def _is_key(value: str) -> bool:
    return (
        len(value) >= _SHORTEST_KEY and value.isascii() and value.isprintable() and not value.startswith("/")
    )


def _private_folders(machine: Sequence[Path]) -> re.Pattern[bytes] | None:
    """Return a pattern of paths in the home folder, the caches and other folders of this machine.

    A folder at the root, such as /data or /root, is in too many texts.
    """
    folders = {*machine, Path.home(), Path.cwd(), _of_hub("HF_HOME", ""), cache_folder()}
    names = {str(form) for folder in folders for form in (folder.absolute(), folder.resolve())}
    kept = sorted((name for name in names if name.count("/") > 1), key=len, reverse=True)
    if not kept:
        return None
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, kept))})(?:/[\w.+-]+)*(?![\w.-])".encode())


def _of_hub(constant: str, below: str) -> Path:
    """Return a path of the Hub's client; where that is not installed, its default below the user's cache."""
    if find_spec("huggingface_hub") is None:
        return Path.home() / ".cache" / "huggingface" / below
    constants: Any = import_module("huggingface_hub.constants")
    return Path(getattr(constants, constant))
