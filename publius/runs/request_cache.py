"""Upkeep of a project's request cache: what it holds, removal of old answers, and a check of the file."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import ConfigError, RunStateError
from core.notices import warn
from core.store.eviction import CacheGroup
from publius.runs.project import has_cache, open_cache

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGE = re.compile(rf"(\d+(?:\.\d+)?)\s*([{''.join(_SECONDS)}])")


@dataclass(frozen=True)
class CacheListing:
    """What a request cache holds, by model and purpose."""

    path: Path
    bytes: int
    """Size of the file without free pages."""
    groups: Sequence[CacheGroup]

    @property
    def answers(self) -> int:
        """Number of answers."""
        return sum(group.answers for group in self.groups)

    def as_json(self) -> dict[str, Any]:
        """Return the listing as JSON-able values."""
        groups = [
            {
                "model": group.model or None,
                "purpose": group.operation,
                "answers": group.answers,
                "bytes": group.bytes,
                "last_used": _moment(group.used),
            }
            for group in self.groups
        ]
        return {"cache": str(self.path), "answers": self.answers, "bytes": self.bytes, "groups": groups}


@dataclass(frozen=True)
class PruneRequest:
    """Which answers to remove; at least one condition is required."""

    older_than: str | None = None
    """Age since the last use, such as `30d` or `12h`."""
    model: str | None = None
    """Name of the model that gave the answers; with `older_than`, both must hold."""
    max_gb: float | None = None
    """Then remove the answers used longest ago until the file is below this size, in GB (10^9 bytes)."""


@dataclass(frozen=True)
class PruneResult:
    """The result of removing answers from a request cache."""

    path: str
    removed: int
    answers: int
    """Answers that are left."""
    bytes_before: int
    bytes: int
    """Size of the file on the disk."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class CacheCheck:
    """The result of reading a whole request cache."""

    path: str
    damage: str | None
    """What is wrong with the file; None if it is intact."""
    set_aside: str | None
    """New path of the damaged file."""
    answers: int
    """Answers in the cache that is in place now."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return asdict(self)


def list_cache(project: Path) -> CacheListing:
    """Return what a project's request cache holds. Raises RunStateError if the project has none."""
    _require_cache(project)
    with open_cache(project) as cache:
        return CacheListing(cache.path, cache.used_bytes, cache.contents())


def prune_cache(project: Path, request: PruneRequest) -> PruneResult:
    """Remove answers from a project's request cache and return the freed pages to the disk.

    Raises:
        ConfigError: if the request has no condition, an age cannot be read, or conditions exclude each other.
        RunStateError: if the project has no request cache.
    """
    if request.model is not None and request.max_gb is not None:
        raise ConfigError(
            "--model and --max-gb together would also remove answers of other models",
            where="publius cache prune",
            accepted="one of them at a time",
        )
    if request == PruneRequest():
        raise ConfigError(
            "nothing to prune by", where="publius cache prune", accepted="--older-than, --model or --max-gb"
        )
    age_s = None if request.older_than is None else _seconds(request.older_than)
    _require_cache(project)
    with open_cache(project) as cache:
        before, removed = _on_disk(cache.path), 0
        if age_s is not None or request.model is not None:
            used_before = None if age_s is None else time.time() - age_s
            removed = cache.prune(request.model, used_before)
        if request.max_gb is not None:
            removed += cache.evict(round(request.max_gb * 10**9))
            cache.evicted = 0  # reported here
        if not cache.compact():
            warn(
                f"{cache.path} is in use or the disk is full, so its free pages are reused but not returned "
                "to the disk yet"
            )
        return PruneResult(str(cache.path), removed, len(cache), before, _on_disk(cache.path))


def check_cache(project: Path) -> CacheCheck:
    """Read a project's whole request cache, and set the file aside if it is damaged.

    Raises:
        RunStateError: if the project has no request cache, or another process uses the damaged file.
    """
    _require_cache(project)
    with open_cache(project) as cache:
        if cache.damage is None and (damage := cache.check()) is not None:
            cache.set_aside(damage)
        # Opening sets a file aside whose head is damaged.
        aside = None if cache.aside is None else str(cache.aside)
        return CacheCheck(str(cache.path), cache.damage, aside, len(cache))


def _require_cache(project: Path) -> None:
    if not has_cache(project):
        raise RunStateError(
            "no request cache",
            where=str(project),
            accepted="the folder of a run file that has been run",
            run="publius run RUN.yaml, which makes one",
        )


def _seconds(age: str) -> float:
    found = _AGE.fullmatch(age.strip())
    if found is None:
        raise ConfigError(
            f"found {age!r}", where="--older-than", accepted="a number with s, m, h, d or w, such as 30d"
        )
    return float(found[1]) * _SECONDS[found[2]]


def _on_disk(path: Path) -> int:
    parts = (path, path.with_name(path.name + "-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
