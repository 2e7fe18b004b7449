"""How many threads a model runs on beside other processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.chat import turns_of
from core.machine import usable_cores
from core.progress import ProgressTask
from core.records import Message, Sampling
from engines.config import EngineConfig, ModelConfig
from engines.hf import threads as hf_threads
from engines.hf.engine import TransformersEngine
from engines.hf.threads import ThreadChoice, ThreadControl, adaptive_threads, fixed_threads, is_set_by_user
from engines.hf.worker import TorchWorker
from engines.protocols import GenerationRequest

WINDOW_S = 0.5


class Machine:
    """Cores that one process shares fairly with busy ones; its threads spin, so that they are busy too."""

    def __init__(self, cores: int, busy: float = 0.0, *, yields: bool = False) -> None:
        self.cores, self.busy, self.yields = cores, busy, yields
        self.now_s = 0.0
        self.choice = ThreadChoice(cores, cores, self.load, lambda: self.now_s)

    def load(self) -> float:
        free = max(0.0, self.cores - self.choice.threads)
        if self.yields:  # a lower priority: it runs where nobody else does
            return min(self.busy, free)
        fair = self.cores * self.busy / (self.busy + self.choice.threads)
        return min(self.busy, max(fair, free))

    def after(self, windows: int) -> list[int]:
        chosen = []
        for _ in range(windows):
            self.now_s += WINDOW_S
            chosen.append(self.choice.update())
        return chosen


def test_alone_every_core_has_a_thread():
    assert Machine(2).after(100) == [2] * 100
    assert Machine(2, busy=0.2).after(100) == [2] * 100


@pytest.mark.parametrize(
    ("cores", "busy", "threads"), [(2, 1, 1), (2, 6, 1), (4, 1, 3), (16, 1, 15), (16, 4, 12)]
)
def test_a_busy_process_costs_one_thread_at_once(cores: int, busy: int, threads: int):
    machine = Machine(cores, busy)
    assert machine.after(1)[0] < cores
    chosen = machine.after(400)
    assert sorted(chosen)[len(chosen) // 2] == threads
    assert chosen.count(cores) <= len(chosen) * WINDOW_S / 30 + 1  # all are tried now and then


def test_threads_come_back_when_the_machine_is_free_again():
    machine = Machine(2, busy=1)
    assert machine.after(3) == [1, 1, 1]
    machine.busy = 0
    assert machine.after(3) == [1, 2, 2]


def test_a_process_that_only_uses_idle_cores_costs_no_thread_for_long():
    machine = Machine(8, busy=8, yields=True)
    machine.choice.threads = 4
    assert machine.after(100)[-1] == 8


def test_a_load_that_comes_and_goes_by_the_window_does_not_change_the_number_every_time():
    machine = Machine(2, busy=1)
    chosen = []
    for number in range(40):
        machine.busy = number % 2
        chosen += machine.after(1)
    assert sum(a != b for a, b in itertools.pairwise(chosen)) <= 2


def test_models_that_run_at_once_share_the_cores():
    choice = ThreadChoice(8, 8, lambda: 2.0, iter(range(10)).__next__)
    assert choice.update(models=2) == 3


@pytest.fixture
def default_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """torch as it starts where nobody has set a number: a thread for each core."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    before, cores = torch.get_num_threads(), len(usable_cores())
    if cores < 2:
        pytest.skip("one core: there is nothing to choose")
    torch.set_num_threads(cores)
    hf_threads.thread_control.cache_clear()
    yield cores
    hf_threads.thread_control.cache_clear()
    hf_threads.show_fact("threads", "")
    torch.set_num_threads(before)


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def pools() -> set[int]:
    """Return the numbers of threads that OpenMP and MKL start on the calling thread."""
    return set(map(int, re.findall(r"get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())))


def test_engine_gives_way_to_busy_processes_and_sets_the_number_back(
    default_threads: int, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    used: list[set[int]] = []
    shown: list[str] = []
    enough = threading.Event()
    work = TorchWorker.work

    def recorded(worker: TorchWorker) -> int:
        drawn = work(worker)
        used.append(pools())
        shown.append(ProgressTask("critique", None).columns()[-1])
        if used[-1] == {1}:
            enough.set()
        return drawn

    monkeypatch.setattr(TorchWorker, "work", recorded)
    engine = TransformersEngine(ModelConfig(id=str(tiny_folder)), EngineConfig())
    sampling = Sampling(temperature=0.0, max_new_tokens=4)
    request = GenerationRequest(turns_of((Message(role="user", content="Hello"),)), sampling, 0, "test")

    async def ask_until_it_gave_way() -> None:
        while not enough.is_set():
            await engine.generate(request)

    with busy(default_threads):
        asyncio.run(asyncio.wait_for(ask_until_it_gave_way(), 60))
    engine.close()
    assert shown[used.index({1})] == f"1 of {default_threads} threads"
    fresh: list[int] = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [default_threads] == [torch.get_num_threads()]
    assert "threads" not in "".join(ProgressTask("critique", None).columns())


def test_the_users_number_is_left_alone(default_threads: int, monkeypatch: pytest.MonkeyPatch):
    assert not is_set_by_user(default_threads, default_threads)
    assert is_set_by_user(default_threads + 1, default_threads)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        with monkeypatch.context() as own:
            own.setenv(name, str(default_threads))
            assert is_set_by_user(default_threads, default_threads)
            assert not ThreadControl().is_adaptive


def test_a_number_that_the_program_sets_later_is_left_alone(default_threads: int):
    assert hf_threads.thread_control().is_adaptive
    torch.set_num_threads(default_threads + 3)
    with adaptive_threads("cpu") as adjust:
        adjust()
        assert torch.get_num_threads() == default_threads + 3
        assert ProgressTask("critique", None).columns()[-1] == f"{default_threads + 3} threads"


def test_a_gpu_leaves_the_number_alone(default_threads: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ThreadControl, "adjust", lambda self: pytest.fail("changed"))
    with adaptive_threads("cuda") as adjust:
        adjust()


def test_fixed_work_takes_no_more_threads_than_the_quota(
    default_threads: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hf_threads, "max_threads", lambda cores: 1)
    with fixed_threads("cpu"):
        assert torch.get_num_threads() == 1
        assert ProgressTask("train", None).columns()[-1] == "1 thread"
