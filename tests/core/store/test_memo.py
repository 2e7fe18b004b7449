"""A memo returns what the function returns, calls it once for what it stores, and stays within its limit."""

from __future__ import annotations

import random
import threading

import pytest

from core.store.memo import BoundedMemo


class Counting:
    """Repeats a letter `n` times, and counts the calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, n: int) -> str:
        self.calls.append(n)
        return "x" * n


def test_result_is_computed_once_while_it_is_stored():
    compute = Counting()
    memo = BoundedMemo(compute, 1000)
    assert [memo(3), memo(3), memo(0), memo(0)] == ["xxx", "xxx", "", ""]
    assert compute.calls == [3, 0]
    assert (len(memo), memo.size) == (2, 3 + 2 * 64)


def test_least_recently_used_result_is_dropped_first():
    compute = Counting()
    memo = BoundedMemo(compute, 3 * 64 + 6)
    for n in (1, 2, 3):
        memo(n)
    memo(1)  # used again, so 2 is now the oldest
    memo(0)
    assert (len(memo), memo.size) == (3, 3 * 64 + 4)
    compute.calls.clear()
    for n in (1, 3, 0, 2):
        memo(n)
    assert compute.calls == [2]


def test_size_never_exceeds_the_limit_even_by_one_long_result():
    memo = BoundedMemo(Counting(), 500)
    generator = random.Random(0)
    for _ in range(500):
        n = generator.choice([0, 3, 100, 400, 5000])
        assert memo(n) == "x" * n
        assert memo.size <= 500
        assert len(memo) <= 500 // 64


def test_error_is_raised_again_and_not_stored():
    def fail(n: int) -> str:
        raise ValueError(n)

    memo = BoundedMemo(fail, 100)
    for _ in range(2):
        with pytest.raises(ValueError, match="7"):
            memo(7)
    assert (len(memo), memo.size) == (0, 0)


def test_threads_get_their_own_results_and_the_size_stays_right():
    memo = BoundedMemo(lambda n: "x" * n, 2000)
    wrong: list[int] = []

    def use(seed: int) -> None:
        generator = random.Random(seed)
        for _ in range(2000):
            n = generator.randrange(60)
            if len(memo(n)) != n:
                wrong.append(n)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert memo.size == sum(n + 64 for n in memo._results) <= 2000
