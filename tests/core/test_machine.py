"""Cores, their load by other processes, and limits of control groups."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.machine import (
    OtherLoad,
    available_memory_gib,
    cpu_quota,
    max_threads,
    processor_vendor,
    return_free_memory,
    usable_cores,
)


def groups(root: Path, own: str, **files: str) -> tuple[Path, Path]:
    """Write control groups and the file that names those of this process; `__` stands for a slash."""
    (root / "own").write_text(own)
    for name, text in files.items():
        path = root / "cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / path.name.replace("cpu_", "cpu.").replace("memory_", "memory.")).write_text(text)
    return root / "cgroup", root / "own"


def test_vendor_is_that_of_the_first_processor(tmp_path: Path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 17\n" * 2)
    assert processor_vendor(tmp_path / "cpuinfo") == "AuthenticAMD"


def test_vendor_of_a_processor_that_names_none_is_empty(tmp_path: Path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n")
    assert processor_vendor(tmp_path / "cpuinfo") == ""


def test_vendor_without_linux_s_description_is_what_python_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name = "AMD64 Family 25 Model 17 Stepping 1, AuthenticAMD"
    monkeypatch.setattr("platform.processor", lambda: name)
    assert processor_vendor(tmp_path / "none") == "AuthenticAMD"
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert processor_vendor(tmp_path / "none") != "AuthenticAMD"


def test_quota_is_the_smallest_of_the_group_and_those_above(tmp_path: Path):
    files = {
        "cpu_max": "400000 100000\n",
        "pods__cpu_max": "150000 100000\n",
        "pods__a__cpu_max": "max 100000\n",
    }
    assert cpu_quota(*groups(tmp_path, "0::/pods/a\n", **files)) == 1.5


def test_quota_of_a_container_that_sees_only_its_own_root(tmp_path: Path):
    assert cpu_quota(*groups(tmp_path, "0::/docker/of/the/host\n", cpu_max="200000 100000\n")) == 2.0


def test_quota_of_version_1(tmp_path: Path):
    files = {"cpu__a__cpu_cfs_quota_us": "50000\n", "cpu__a__cpu_cfs_period_us": "100000\n"}
    files |= {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}
    assert cpu_quota(*groups(tmp_path, "4:memory:/\n3:cpu,cpuacct:/a\n", **files)) == 0.5


@pytest.mark.parametrize("text", ["max 100000\n", ""])
def test_no_quota(text: str, tmp_path: Path):
    assert cpu_quota(*groups(tmp_path, "0::/\n", cpu_max=text)) is None


def test_no_control_groups(tmp_path: Path):
    assert cpu_quota(tmp_path / "none", tmp_path / "neither") is None


def test_threads_do_not_exceed_the_quota(monkeypatch: pytest.MonkeyPatch):
    for quota, threads in ((None, 8), (2.5, 3), (0.5, 1), (64.0, 8)):
        monkeypatch.setattr("core.machine.cpu_quota", lambda quota=quota: quota)
        assert max_threads(8) == threads


def test_memory_is_that_of_the_smallest_group(tmp_path: Path):
    files = {"memory_max": "max\n", "a__memory_max": str(3 * 2**28), "a__memory_current": str(2**28)}
    assert available_memory_gib(*groups(tmp_path, "0::/a\n", **files)) == 0.5
    files["a__memory_stat"] = f"anon 7\ninactive_file {2**27}\n"  # the file cache
    assert available_memory_gib(*groups(tmp_path, "0::/a\n", **files)) == 0.625
    assert available_memory_gib(tmp_path / "none", tmp_path / "neither") > 0.0


def test_cores_are_those_of_the_affinity(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 2}, raising=False)
    assert usable_cores() == (2, 5)


def test_load_counts_other_processes_and_not_this_one():
    load = OtherLoad(usable_cores())
    began, own = time.monotonic(), time.process_time()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        while time.process_time() - own < 0.3:  # this process is busy too
            pass
        others, own = load.measure(), time.process_time() - own
        theirs = psutil.Process(other.pid).cpu_times().user
        other.kill()
    elapsed = time.monotonic() - began
    assert others >= theirs / elapsed - 0.15
    assert others + own / elapsed <= len(usable_cores()) + 0.15


def test_where_the_counters_are_hidden_no_load_is_assumed(monkeypatch: pytest.MonkeyPatch):
    def hidden(percpu: bool) -> None:
        raise PermissionError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_times", hidden)
    assert OtherLoad(usable_cores()).measure() == 0.0


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="the C library is not glibc",
)
def test_freed_memory_goes_back_to_the_system():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    size, count = 2**15, 2**12  # 128 MiB in blocks that glibc takes from its heap
    blocks = [libc.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[:-1]:  # the last one holds the end of the heap
        libc.free(block)
    before = psutil.Process().memory_info().rss
    return_free_memory()
    assert before - psutil.Process().memory_info().rss > size * count // 2
    libc.free(blocks[-1])
