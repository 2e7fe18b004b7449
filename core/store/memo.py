"""A memo bounded by size: results of a function, the least recently used of which are dropped."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sized
from typing import Generic, TypeVar

_Argument = TypeVar("_Argument", bound=Hashable)
_Result = TypeVar("_Result", bound=Sized)

_ENTRY_SIZE = 64
"""Size that is added for each result, so that many empty results are bounded too."""


class BoundedMemo(Generic[_Argument, _Result]):
    """A function whose latest results are stored. Safe to call from several threads.

    Unlike `functools.lru_cache`, it bounds the sum of the results' lengths, not their number: a few long
    results count as much as many short ones.

    Args:
        compute: the function; two threads may both call it with the same argument.
        limit: maximum sum of `len(result) + 64` over the stored results.
    """

    def __init__(self, compute: Callable[[_Argument], _Result], limit: int) -> None:
        self._compute = compute
        self._limit = limit
        self._results: OrderedDict[_Argument, _Result] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0
        """Sum of `len(result) + 64` over the stored results."""

    def __call__(self, argument: _Argument) -> _Result:
        """Return the stored result, or compute and store it."""
        with self._lock:
            known = self._results.get(argument)
            if known is not None:
                self._results.move_to_end(argument)
                return known
        result = self._compute(argument)  # not under the lock, which would make threads wait for each other
        with self._lock:
            if argument not in self._results:
                self._results[argument] = result
                self.size += len(result) + _ENTRY_SIZE
            while self.size > self._limit:
                _, dropped = self._results.popitem(last=False)
                self.size -= len(dropped) + _ENTRY_SIZE
        return result

    def __len__(self) -> int:
        return len(self._results)
