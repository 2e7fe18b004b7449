"""Digest of the files of a model, which distinguishes models in keys and in the identity of a run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.digests import digest, file_digest
from core.errors import RunStateError
from core.progress import progress
from core.store.files import write_atomic
from engines.embedded import cache_folder

MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
"""Patterns of the files that affect a model's answers."""

_OUR_FILE = "publius.json"
_OF_TRAININGS = (
    _OUR_FILE,
    "training.json",
    "job.json",
    "card.json",
    "reward.json",
    "reward_metrics.json",
)
"""Files beside a model whose weights were trained; they do not affect its answers."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SLOW_BYTES = 2**30
"""Bytes to read from which progress is shown: at 1 GB/s, that is a second."""


def model_identity(folder: Path) -> str:
    """Return a digest of the content of every file that affects the answers.

    Digests are cached by path, size, modification time and inode. Of several processes that need the same
    digests, such as those of a distributed training, one reads the files and the others wait for it.
    """
    files = model_files(folder)
    found = _known_digests(files)
    if len(found) < len(files):
        with _one_process_at_a_time():
            found = _known_digests(files)  # another process may have read them meanwhile
            found |= _read([path for path in files if path not in found], folder.name)
    return digest([(path.name, found[path]) for path in files])[:32]


def model_files(folder: Path) -> list[Path]:
    """Return the files of a whole model that affect its answers, sorted within each kind."""
    others = _OF_TRAININGS if (folder / "job.json").exists() else (_OUR_FILE,)
    files = sorted(path for pattern in MODEL_FILES for path in folder.glob(pattern))
    return [path for path in files if path.name not in others]


def _known_digests(files: Sequence[Path]) -> dict[Path, str]:
    memo = _memo()
    known = {path: _hub_digest(path) or memo.get(_memo_key(path)) for path in files}
    return {path: value for path, value in known.items() if value is not None}


def _hub_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file in the Hugging Face hub's cache, or None.

    There, a file is a link to a blob, and the blob of a large file is named by its SHA-256. Small files are
    named by git's SHA-1, which has 40 digits.
    """
    if not path.is_symlink():
        return None
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else None


def _read(files: Sequence[Path], name: str) -> dict[Path, str]:
    """Return the digests of files by reading them, and add them to the cache."""
    found: dict[Path, str] = {}
    shown = sum(path.stat().st_size for path in files) >= _SLOW_BYTES
    with progress(f"hash files of {name}", len(files)) if shown else contextlib.nullcontext() as task:
        for path in files:
            found[path] = file_digest(path)
            if task is not None:
                task.advance()
    memo = _memo() | {_memo_key(path): value for path, value in found.items()}
    with contextlib.suppress(OSError, RunStateError):  # without the cache, files are only read again
        _memo_path().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_memo_path(), json.dumps(memo, indent=0))
    return found


def _memo_path() -> Path:
    return cache_folder() / "digests.json"


def _memo() -> dict[str, str]:
    try:
        memo = json.loads(_memo_path().read_text())
    except (OSError, ValueError):
        return {}
    return memo if isinstance(memo, dict) else {}


def _memo_key(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"


@contextlib.contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    """Wait until no other process reads files. If the cache is not writable, the processes do not wait."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            _memo_path().parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(_memo_path().with_suffix(".lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
