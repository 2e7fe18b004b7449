"""Signals stop a process soon and once, whatever it does: waits, computes, is in C code or cleans up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

START = """
import asyncio, sys, time
from core.terminal.interrupts import caught, exit_code, received, run_interruptibly, stopped_by

def ready():
    print("ready", flush=True)
"""
END = """
with caught():
    try:
        work()
    except KeyboardInterrupt:
        print("stopped", flush=True)
        sys.exit(exit_code(received()))
"""

WAITS = """
async def wait():
    ready()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cleaned up", flush=True)
        raise
def work():
    run_interruptibly(wait())
"""
COMPUTES = """
async def compute():
    ready()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        sum(range(1000))
def work():
    run_interruptibly(compute())
"""
IN_A_TASK = """
async def compute():
    ready()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        sum(range(1000))
async def group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(compute())
        tasks.create_task(asyncio.sleep(60))
def work():
    run_interruptibly(group())
"""
OUTSIDE = """
def work():
    ready()
    time.sleep(60)
"""
CLEANS_UP = """
def work():
    try:
        ready()
        time.sleep(60)
    finally:
        time.sleep(60)
"""
IN_C = """
import hashlib
def work():
    ready()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**8)
"""
SWALLOWS = """
def work():
    ready()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            pass
"""
IN_A_DELETION = """
class Deleted:
    def __del__(self):
        ready()
        time.sleep(60)
def work():
    Deleted()
    time.sleep(60)
"""
EXITS_WITHIN = "interrupted; completed work is saved. Run the same command to resume\n"


def interrupted(work: str, *signals: signal.Signals, end: str = END) -> tuple[int, str, str]:
    """Return the exit code and the output of a program that was sent signals while it worked."""
    process = subprocess.Popen(
        [sys.executable, "-c", START + work + end],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)  # until it is in the call that follows
    for number in signals:
        process.send_signal(number)
        time.sleep(0.005)
    out, err = process.communicate(timeout=30)  # all of them would work for a minute
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("work", "out"),
    [
        (WAITS, "cleaned up\nstopped\n"),
        (COMPUTES, "stopped\n"),
        (IN_A_TASK, "stopped\n"),
        (OUTSIDE, "stopped\n"),
    ],
    ids=["waits", "computes", "in a task", "outside"],
)
@pytest.mark.parametrize("times", [1, 30])
def test_a_signal_interrupts_once(work: str, out: str, times: int):
    assert interrupted(work, *[signal.SIGINT] * times) == (130, out, "")


@pytest.mark.parametrize(
    "work", [CLEANS_UP, IN_C, SWALLOWS, IN_A_DELETION], ids=["cleans up", "in C", "swallows", "in a deletion"]
)
def test_a_process_that_does_not_end_exits_from_within(work: str):
    assert interrupted(work, signal.SIGINT) == (130, "", EXITS_WITHIN)


def test_a_termination_is_an_interruption_with_its_own_code():
    assert interrupted(WAITS, signal.SIGTERM) == (143, "cleaned up\nstopped\n", "")


def test_a_server_ends_in_its_normal_way_and_a_later_signal_interrupts():
    work = """
import os, signal, threading
def work():
    stop = threading.Event()
    with stopped_by(stop.set):
        ready()
        while not stop.wait(0.05):
            pass
        time.sleep(0.2)
    time.sleep(1)
    print("summary", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
"""
    assert interrupted(work, *[signal.SIGINT] * 5) == (130, "summary\nstopped\n", "")


def test_a_program_that_uses_the_library_gets_the_exception_and_is_never_ended():
    end = """
try:
    work()
except KeyboardInterrupt:
    time.sleep(1)
    print("goes on", flush=True)
"""
    assert interrupted(COMPUTES, signal.SIGINT, end=end) == (0, "goes on\n", "")


def test_an_ignored_signal_stays_ignored():
    work = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
def work():
    ready()
    time.sleep(0.3)
    print("done", flush=True)
"""
    assert interrupted(work, signal.SIGINT) == (0, "done\n", "")


def test_no_socket_is_left_open():
    ends = """
import threading

async def nothing():
    pass

run_interruptibly(nothing())
for thread in threading.enumerate():
    if thread.name == "interrupts":
        thread.join(60)
"""
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", START + ends]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
