"""The number of threads that a model runs on, chosen by the load of other processes.

OpenMP threads wait for each other at the end of each operation, hundreds of times per decoding step. If
another process takes the core of one of them, all others wait. One thread fewer is then faster: on two cores
beside one busy process, one thread decodes twice as many tokens per second as two
(`benchmarks/contention.py`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from core.lazy import require
from core.machine import OtherLoad, max_threads, usable_cores
from core.notices import counted
from core.progress import show_fact

_WINDOW_S = 0.3
"""Seconds between two measurements; the kernel counts in hundredths of a second."""
_TOLERATED = 0.25
"""Cores of load that cost no thread: the usual background of an idle machine."""
_PROBE_S = 30.0
"""Seconds on fewer threads after which all are tried for one window.

Others may run on the free cores only because they are free, at a lower priority.
"""
_FACT = "threads"
_SET_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class ThreadChoice:
    """Chooses the number of threads by how many cores other processes keep busy.

    A higher load counts at once, a lower one after two measurements in a row.

    Args:
        limit: maximum number of threads.
        cores: number of cores that the load is measured on.
        measure: returns the cores that other processes kept busy since its last call.
        clock: returns seconds.
    """

    def __init__(
        self,
        limit: int,
        cores: int,
        measure: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.threads = limit
        self._cores = cores
        self._measure = measure
        self._clock = clock
        self._measured_at = self._reduced_at = clock()
        self._before = limit

    def update(self, models: int = 1) -> int:
        """Return the number of threads for each of the models that run at once in this process."""
        now = self._clock()
        if now - self._measured_at < _WINDOW_S:
            return self.threads
        self._measured_at = now
        fitting = _fitting((self._cores - self._measure()) / models, self.limit)
        before, self._before = self._before, fitting
        if fitting < self.threads:
            self.threads, self._reduced_at = fitting, now
        elif now - self._reduced_at >= _PROBE_S:
            self.threads, self._reduced_at = self.limit, now
        else:
            self.threads = max(self.threads, min(before, fitting))
        return self.threads


class ThreadControl:
    """torch's number of threads on a CPU, for all models of this process.

    A number that the user has set is left alone, whether by `OMP_NUM_THREADS` or by `torch.set_num_threads`
    before a model is loaded.
    """

    def __init__(self) -> None:
        self._torch: Any = require("torch", "transformers")
        cores = usable_cores()
        found = self._torch.get_num_threads()
        self.set_by_user = is_set_by_user(found, len(cores))
        """True if the number is the user's."""
        self.default = found if self.set_by_user else max_threads(found)
        """Number of threads on a machine without other load."""
        self._choice = ThreadChoice(self.default, len(cores), OtherLoad(cores).measure)
        self._found = self._last = found
        self._lock = threading.Lock()
        self._running: dict[int, float] = {}

    @property
    def current(self) -> int:
        """Number of threads of the calling thread."""
        return int(self._torch.get_num_threads())

    @property
    def is_adaptive(self) -> bool:
        """True if the number may be changed on the calling thread."""
        # torch has one number for new threads. One that is not ours was set by the program.
        is_ours = self.current in (self._found, self._last)
        return is_ours and not self.set_by_user and self.default > 1

    def adjust(self) -> None:
        """Set the number for the next step of a model; called on the thread that runs it."""
        with self._lock:
            now = time.monotonic()
            self._running[threading.get_ident()] = now
            # A model that has not run for two windows waits for requests and needs no core.
            self._running = {key: at for key, at in self._running.items() if now - at < 2 * _WINDOW_S}
            chosen = self._choice.update(len(self._running))
            self._set(chosen)
        show_fact(_FACT, f"{chosen} of {self.default} threads")

    def use_default(self) -> None:
        """Set the default on the calling thread, unless the number is the user's."""
        with self._lock:
            if not self.set_by_user and self.current in (self._found, self._last):
                self._set(self.default)

    def reset(self) -> None:
        """Set the default, on the calling thread and for threads that run their first operation later."""
        with self._lock:
            self._set(self.default)

    def _set(self, threads: int) -> None:
        if self.current != threads:
            self._torch.set_num_threads(threads)
        self._last = threads


@functools.cache
def thread_control() -> ThreadControl:
    """Return the control of this process; the first call must come before any change of torch's number."""
    return ThreadControl()


@contextlib.contextmanager
def adaptive_threads(device: str) -> Iterator[Callable[[], None]]:
    """Yield a function to call between the steps of a model, on the thread that runs it.

    Args:
        device: `cpu`, or another device, on which the number of threads is left alone.
    """
    control = thread_control()
    if device != "cpu" or not control.is_adaptive:
        with fixed_threads(device):
            yield lambda: None
        return
    try:
        yield control.adjust
    finally:
        control.reset()
        show_fact(_FACT, "")


@contextlib.contextmanager
def fixed_threads(device: str) -> Iterator[None]:
    """Run the block on one number of threads: the user's, or as many as the control group allows.

    Training does. On another number, sums are rounded otherwise, and a resumed training would not give the
    same weights.

    Args:
        device: `cpu`, or another device, on which the number of threads is left alone.
    """
    if device != "cpu":
        yield
        return
    control = thread_control()
    control.use_default()
    show_fact(_FACT, counted(control.current, "thread"))
    try:
        yield
    finally:
        show_fact(_FACT, "")


def is_set_by_user(threads: int, cores: int) -> bool:
    """Return True if the user has chosen torch's number of threads.

    Args:
        threads: torch's number.
        cores: number of usable cores.
    """
    if any(name in os.environ for name in _SET_BY_USER):
        return True
    # torch starts with as many threads as there are cores, or physical cores.
    physical = require("psutil", "transformers").cpu_count(logical=False)
    return threads not in (cores, cores // 2, physical)


def describe_threads() -> str:
    """Measure the load for a moment and return how many threads a model would run on, and why."""
    control = thread_control()
    if not control.is_adaptive:
        if control.set_by_user:
            return f"{counted(control.current, 'thread')} (set by OMP_NUM_THREADS or the program)"
        return counted(control.current, "thread")
    cores = usable_cores()
    load = OtherLoad(cores)
    time.sleep(_WINDOW_S)
    busy = load.measure()
    return (
        f"{_fitting(len(cores) - busy, control.default)} of {control.default} threads now "
        f"(other processes use {busy:.1f} of {counted(len(cores), 'core')})"
    )


def _fitting(free: float, limit: int) -> int:
    """Return the number of threads for `free` cores, from 1 to `limit`."""
    return max(1, min(limit, int(free + _TOLERATED)))
