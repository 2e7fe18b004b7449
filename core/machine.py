"""The machine: its processor, cores this process may use, the load of other processes on them, and memory."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from core.lazy import require

_EXTRA = "transformers"
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_CPUINFO = Path("/proc/cpuinfo")


def usable_cores() -> tuple[int, ...]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def max_threads(cores: int) -> int:
    """Return how many threads of `cores` cores the control group allows to run at once, at least 1."""
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def processor_vendor(cpuinfo: Path = _CPUINFO) -> str:
    """Return the name by which the processor's maker is known, such as `AuthenticAMD`; "" if unknown.

    Args:
        cpuinfo: Linux's description of the processors.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor().rpartition(", ")[2]  # on Windows "AMD64 Family 25 ..., AuthenticAMD"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(named, "")


def cpu_quota(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> float | None:
    """Return the processor time per second that the control groups allow, in cores; None if unlimited.

    Args:
        cgroups: where control groups are mounted.
        own: file that names the control groups of this process.
    """
    quotas = []
    for folder in _control_groups("cpu", cgroups, own):
        version_1 = (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
        found = _words(folder / "cpu.max") or [word for path in version_1 for word in _words(path)]
        if len(found) == 2 and found[0].isdecimal():  # not `max` or -1, which mean no limit
            quotas.append(int(found[0]) / int(found[1]))
    return min(quotas, default=None)


def available_memory_gib(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> float:
    """Return the memory that new work can use, in GiB: of the machine, or less where control groups limit it.

    Args:
        cgroups: where control groups are mounted.
        own: file that names the control groups of this process.
    """
    free = [require("psutil", _EXTRA).virtual_memory().available]
    for folder in _control_groups("memory", cgroups, own):
        limit = _words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes")
        used = _words(folder / "memory.current") or _words(folder / "memory.usage_in_bytes")
        if limit and used and limit[0].isdecimal():
            # The file cache counts as used, but gives way to new work.
            facts = _words(folder / "memory.stat")
            cached = dict(zip(facts[::2], facts[1::2], strict=False)).get("inactive_file", "0")
            free.append(max(0, int(limit[0]) - int(used[0]) + int(cached)))
    return float(min(free)) / 2**30


def return_free_memory() -> None:
    """Give memory that this process has freed back to the system, where the C library can be asked (glibc).

    glibc keeps freed blocks for later ones, in as many arenas as there were threads. What a closed model
    leaves there would count as used beside the next model.
    """
    if platform.system() != "Linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)


def _control_groups(controller: str, cgroups: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of those above them, whose limits apply too."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        root = cgroups / controller if names else cgroups  # version 1 mounts each controller apart
        folder = root / path.strip("/")
        # In a container the path may be that of the host. Then only the root exists, and has the limits.
        yield from (place for place in (folder, *folder.parents) if place.is_relative_to(root))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []


class OtherLoad:
    """Measures how many of the usable cores other processes kept busy, from one call to the next.

    The load average would answer too late: it is a mean over a minute, and it counts this process too.

    Args:
        cores: numbers of the cores.
        clock: returns seconds.
    """

    def __init__(self, cores: tuple[int, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self._psutil: Any = require("psutil", _EXTRA)
        self._cores = cores
        self._clock = clock
        self._last = self._read()

    def measure(self) -> float:
        """Return the mean number of cores that others kept busy since the last call, 0 or more."""
        before, self._last = self._last, self._read()
        elapsed, busy, own = (new - old for new, old in zip(self._last, before, strict=True))
        return max(0.0, busy - own) / elapsed if elapsed > 0 else 0.0

    def _read(self) -> tuple[float, float, float]:
        """Return the time, the busy time of the cores and that of this process, in seconds."""
        own = time.process_time()
        try:
            times = self._psutil.cpu_times(percpu=True)
        except OSError:  # some sandboxes hide the counters: nothing is known of other processes
            return self._clock(), own, own
        busy = sum(_busy_s(times[core]._asdict()) for core in self._cores if core < len(times))
        return self._clock(), busy, own


def _busy_s(times: Mapping[str, float]) -> float:
    # The time of guests is part of `user` and `nice`. Time stolen by a hypervisor is as busy as any other.
    idle = ("idle", "iowait", "guest", "guest_nice")
    return sum(seconds for name, seconds in times.items() if name not in idle)
