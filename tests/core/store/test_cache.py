from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import RunStateError
from core.store.cache import RequestCache
from tests.core.conftest import LockableFolder

REPOSITORY = Path(__file__).parents[3]


def start(program: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(path), *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_answer_is_found_again_after_reopening(tmp_path: Path):
    path = tmp_path / ".publius" / "cache.sqlite"
    with RequestCache(path) as cache:
        assert cache.get("k") is None
        cache.put("k", "generate", "naïve \u2028\0 answer")
        assert cache.get("k") == "naïve \u2028\0 answer"
    with RequestCache(path) as cache:
        assert cache.get("k") == "naïve \u2028\0 answer"
        assert len(cache) == 1


def test_first_answer_wins(tmp_path: Path):
    with RequestCache(tmp_path / "cache.sqlite") as cache, RequestCache(tmp_path / "cache.sqlite") as other:
        cache.put("k", "generate", "first")
        other.put("k", "generate", "second")
        assert cache.get("k") == other.get("k") == "first"


PUTTER = """
import sys
from pathlib import Path
from core.store.cache import RequestCache

sys.stdin.readline()  # all start at once
with RequestCache(Path(sys.argv[1])) as cache:
    for number in range(300):
        cache.put(f"shared {number}", "generate", f"from {sys.argv[2]}")
        cache.put(f"own {sys.argv[2]} {number}", "generate", "x" * number)
        print(cache.get(f"shared {number}"), flush=True)
"""


def test_processes_that_share_a_new_cache_agree_on_every_answer(tmp_path: Path):
    children = [start(PUTTER, tmp_path / "cache.sqlite", name) for name in ("a", "b", "c")]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    outputs = [child.communicate()[0].splitlines() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0]) == 300
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        assert len(cache) == 300 + 3 * 300


FOREVER = """
import sys
from pathlib import Path
from core.store.cache import RequestCache

cache = RequestCache(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 10_000_000):
    cache.put(str(number), "generate", "x" * (number % 5000))
    print(number, flush=True)
"""


def test_killed_process_loses_no_answer_that_was_put(tmp_path: Path):
    path, last = tmp_path / "cache.sqlite", -1
    for _ in range(3):
        child = start(FOREVER, path, str(last + 1))
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(100)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().split("\n")[:-1]
        child.wait()
        last = int(lines[-1])
        with RequestCache(path) as cache:
            assert all(cache.get(str(number)) == "x" * (number % 5000) for number in range(last + 1))


FILLER = """
import resource, signal, sys
from pathlib import Path
from core.store.cache import RequestCache
from core.errors import RunStateError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
cache = RequestCache(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
for number in range(1000):
    try:
        cache.put(str(number), "generate", "x" * 3000)
    except RunStateError as error:
        print(error)
        print(number, cache.get(str(number - 1)) == "x" * 3000, cache.get(str(number)))
        break
"""


def test_full_disk_is_one_clear_error_and_spares_the_answers(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    message, state = start(FILLER, path).communicate()[0].splitlines()
    assert message.startswith(f"{path}: disk full (")
    number, before, failed = state.split()
    assert (int(number) > 5, before, failed) == (True, "True", "None")
    with RequestCache(path) as cache:
        assert len(cache) == int(number)


@pytest.mark.parametrize("exists", [False, True])
def test_read_only_place_says_not_writable(lockable: LockableFolder, exists: bool):
    if exists:
        RequestCache(lockable.path / "cache.sqlite").close()
    with pytest.raises(RunStateError, match="not writable"):
        RequestCache(lockable.lock() / "cache.sqlite").put("k", "generate", "v")


def set_aside_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("cache.damaged-*.sqlite"))


def test_file_that_is_no_database_is_set_aside_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path, rubbish = tmp_path / "cache.sqlite", "rubbish " * 1000
    path.write_text(rubbish)
    with RequestCache(path) as cache:
        cache.put("k", "generate", "v")
        assert cache.get("k") == "v"
    (aside,) = set_aside_in(tmp_path)
    assert aside.read_text() == rubbish
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(f"{path} is damaged (file is not a database) and was renamed to {aside.name};")
    assert "\n" not in line


def read_all(cache: RequestCache) -> list[str | None]:
    return [cache.get(str(number)) for number in range(100)]


def damage_inside(path: Path) -> bytes:
    with RequestCache(path) as cache:
        for number in range(100):
            cache.put(str(number), "generate", "x" * 1000)
    content = path.read_bytes()
    half = len(content) // 2  # the pages that are read when the file is opened stay
    path.write_bytes(content[:half] + b"\xff" * (len(content) - half))
    return path.read_bytes()


def test_damage_found_during_work_sets_the_file_aside_and_the_work_goes_on(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    damaged = damage_inside(path)
    with RequestCache(path) as cache:
        assert cache.get("1") == "x" * 1000
        found = read_all(cache)
        cache.put("1", "generate", "again")
        assert cache.get("1") == "again"
    assert None in found
    (aside,) = set_aside_in(tmp_path)
    half = len(damaged) // 2
    assert aside.read_bytes()[half:] == damaged[half:]
    with RequestCache(path) as cache:
        assert cache.get("1") == "again"


def test_file_without_its_table_is_set_aside(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    RequestCache(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE answers")
    with RequestCache(path) as cache:
        cache.put("k", "generate", "v")
    assert len(set_aside_in(tmp_path)) == 1


HOLDER = """
import sys
from pathlib import Path
from core.store.cache import RequestCache

cache = RequestCache(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.readline()
"""


def test_damaged_file_that_another_process_uses_is_not_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("core.store.cache._SET_ASIDE_S", 0.2)
    path = tmp_path / "cache.sqlite"
    damage_inside(path)
    with start(HOLDER, path) as child:
        assert child.stdout is not None
        child.stdout.readline()
        cache = RequestCache(path)
        with pytest.raises(RunStateError, match="is damaged, and another process is using it"):
            read_all(cache)
        assert set_aside_in(tmp_path) == []
        child.communicate("end\n")


OPENER = """
import sys
from pathlib import Path
from core.store.cache import RequestCache

sys.stdin.readline()  # all start at once
with RequestCache(Path(sys.argv[1])) as cache:
    cache.put(sys.argv[2], "generate", "answer " + sys.argv[2])
    print(cache.get(sys.argv[2]))
"""


def test_processes_that_find_the_damage_at_once_share_one_new_cache(tmp_path: Path):
    path, names = tmp_path / "cache.sqlite", ("a", "b", "c")
    path.write_text("rubbish " * 1000)
    children = [start(OPENER, path, name) for name in names]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.communicate()[0] for child in children] == [f"answer {name}\n" for name in names]
    assert len(set_aside_in(tmp_path)) == 1
    with RequestCache(path) as cache:
        assert [cache.get(name) for name in names] == [f"answer {name}" for name in names]


def test_cache_of_a_newer_version_is_left_alone(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    RequestCache(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(RunStateError, match="the cache has schema version 2; accepted: version 1"):
        RequestCache(path)
