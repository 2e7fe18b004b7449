from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from core.store import eviction
from core.store.cache import RequestCache
from tests.core.store.test_cache import start

KB = 1_000


def fill(cache: RequestCache, count: int, size: int = KB, first: int = 0) -> None:
    for number in range(first, first + count):
        cache.put(str(number), "draft", "x" * size)


def held(cache: RequestCache, count: int) -> list[int]:
    return [number for number in range(count) if cache.peek(str(number)) is not None]


def test_cache_stays_below_its_bound_and_keeps_the_latest(tmp_path: Path):
    path, bound = tmp_path / "cache.sqlite", 200 * KB
    with RequestCache(path, bound) as cache:
        for number in range(1000):
            fill(cache, 1, first=number)
            assert cache.used_bytes <= bound
        left = held(cache, 1000)
        assert cache.evicted == 1000 - len(left)
        assert left == list(range(1000 - len(left), 1000))
        assert 80 < len(left) < 180
    assert path.stat().st_size <= 1.1 * bound


def test_answers_that_are_used_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(eviction.time, "time", lambda: float(next(clock)))
    with RequestCache(tmp_path / "cache.sqlite", 200 * KB) as cache:
        fill(cache, 100)
        for number in range(100, 600):
            assert cache.get("7") is not None
            fill(cache, 1, first=number)
        assert held(cache, 100) == [7]


def test_answers_of_an_older_version_count_as_used_when_the_cache_was_opened(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, operation TEXT, value TEXT)")
        connection.executemany("INSERT INTO answers VALUES (?, 'draft', 'x')", [("a",), ("b",), ("c",)])
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with RequestCache(path) as cache:
        assert cache.get("b") == "x"
    with RequestCache(path) as cache:
        assert cache.prune(used_before=time.time() - 60) == 0
        assert [group.answers for group in cache.contents()] == [3]
        cache.put("d", "draft", "x" * 1000 * KB)
        assert cache.evict(20 * KB) == 4


def test_contents_are_by_model_and_operation_with_sizes(tmp_path: Path):
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        for number in range(3):
            cache.put(f"d{number}", "draft", json.dumps({"model": "small", "text": "y" * 100}))
        cache.put("l", "label", json.dumps({"model": "large"}))
        cache.put("loss", "loss", "1.25")
        cache.put("torn", "draft", '{"model": "sm')
        groups = {(group.model, group.operation): group for group in cache.contents()}
    assert {name: group.answers for name, group in groups.items()} == {
        ("small", "draft"): 3,
        ("large", "label"): 1,
        ("", "loss"): 1,
        ("", "draft"): 1,
    }
    assert groups["small", "draft"].bytes == 3 * (2 + len(json.dumps({"model": "small", "text": "y" * 100})))


def test_prune_removes_what_meets_all_conditions(tmp_path: Path):
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        for model in ("one", "two"):
            for number in range(4):
                cache.put(f"{model}{number}", "draft", json.dumps({"model": model}))
        past = time.time() - 60
        assert cache.prune(model="one", used_before=past) == 0
        assert cache.prune(model="one", used_before=time.time() + 1) == 4
        assert [(group.model, group.answers) for group in cache.contents()] == [("two", 4)]
        assert cache.prune(used_before=time.time() + 1) == 4
        assert len(cache) == 0


def test_pruned_pages_are_returned_to_the_disk(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    with RequestCache(path) as cache:
        fill(cache, 1000)
        before = path.stat().st_size + path.with_name("cache.sqlite-wal").stat().st_size
        cache.prune(used_before=time.time() + 1)
        assert cache.compact()
    assert path.stat().st_size < before / 20


BOUND = """
import sys
from pathlib import Path
from core.store.cache import RequestCache

cache = RequestCache(Path(sys.argv[1]), 100_000)
for number in range(int(sys.argv[2]), 10_000_000):
    cache.put(f"{sys.argv[3]} {number}", "generate", "x" * (number % 5000))
    print(number, flush=True)
"""


def test_two_processes_at_the_bound_may_be_killed_at_any_moment(tmp_path: Path):
    path, begun = tmp_path / "cache.sqlite", {"a": 0, "b": 0}
    for _ in range(3):
        children = {name: start(BOUND, path, str(first), name) for name, first in begun.items()}
        for name, child in children.items():
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(60)]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.read().split("\n")[:-1]
            child.wait()
            begun[name] = int(lines[-1]) + 1
        with RequestCache(path, 100_000) as cache:
            assert cache.check() is None
            assert cache.used_bytes < 150_000
            for name, first in begun.items():  # the last one was stored when the process was killed
                assert cache.peek(f"{name} {first - 1}") in (None, "x" * ((first - 1) % 5000))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        orphans = "SELECT count(*) FROM uses WHERE key NOT IN (SELECT key FROM answers)"
        assert connection.execute(orphans).fetchone() == (0,)


def test_check_finds_damage_that_reading_a_few_answers_does_not(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    with RequestCache(path) as cache:
        fill(cache, 300)
        assert cache.check() is None
    content = bytearray(path.read_bytes())
    content[-8192:] = b"\xff" * 8192
    path.write_bytes(content)
    with RequestCache(path) as cache:
        assert cache.get("1") is not None
        reason = cache.check()
        assert reason is not None
        aside = cache.set_aside(reason)
        assert aside.exists()
        assert (len(cache), cache.check()) == (0, None)


NO_ROOM = """
import resource, signal, sys, time
from pathlib import Path
from core.store.cache import RequestCache

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
cache = RequestCache(path)
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))  # a second copy does not fit
print(cache.prune(model="one"), cache.compact(), size - path.stat().st_size > 3000 * 20)
"""


def test_pages_are_returned_where_there_is_no_room_for_a_second_file(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    with RequestCache(path) as cache:
        for number in range(400):
            text = json.dumps({"model": "one" if number % 20 == 0 else "two", "text": "x" * 3000})
            cache.put(str(number), "generate", text)
    assert start(NO_ROOM, path).communicate()[0].split() == ["20", "True", "True"]


def test_file_of_an_older_version_in_use_is_not_written_again(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, operation TEXT, value TEXT)")
        connection.execute("PRAGMA user_version = 1")
    with RequestCache(path) as cache:
        fill(cache, 100)
        cache.prune(used_before=time.time() + 1)
        with RequestCache(path):
            assert not cache.compact()
        assert cache.compact()
        cache.put("k", "generate", "still usable")
        with RequestCache(path) as other:
            assert other.get("k") == "still usable"


def test_replacement_is_stored_if_the_unusable_answer_was_evicted(tmp_path: Path):
    with RequestCache(tmp_path / "cache.sqlite", 50_000) as cache:
        cache.replace("gone", "draft", "unusable", "paid for")
        assert cache.get("gone") == "paid for"
        cache.put("torn", "draft", "unusable")
        cache.replace("torn", "draft", "unusable", "good")
        cache.replace("torn", "draft", "unusable", "later")  # another process was first
        assert cache.get("torn") == "good"
        for number in range(60):
            cache.replace(str(number), "draft", "unusable", "x" * 3000)
        assert cache.used_bytes <= 50_000


def test_nothing_is_evicted_while_the_answers_are_needed(tmp_path: Path):
    with RequestCache(tmp_path / "cache.sqlite", 50_000) as cache:
        with cache.unbounded():
            for number in range(60):
                cache.put(str(number), "draft", "x" * 3000)
            assert len(cache) == 60
        assert cache.used_bytes <= 50_000
