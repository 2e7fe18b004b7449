"""The link to a host process: everyone is answered or told why not, and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import EngineError, FailedRequestError, RequestError
from engines.vllm.link import HostLink, last_cause
from engines.vllm.processes import living_members, wait_until_gone
from engines.vllm.wire import Adapter, Load, Response

REPOSITORY = Path(__file__).parents[3]

HOST = """
import asyncio, os, signal, socket, subprocess, sys, time
from core.errors import RequestError
from engines.vllm import serving
from engines.vllm.serving import Host
from engines.vllm.wire import Response

class Backend:
    '''Answers with the prompt reversed, after as many milliseconds as the field `wait` says.'''

    worn = ()
    max_tokens = 64
    is_broken = False
    calls = 0

    @property
    def tokens(self):
        self.calls += 1
        return self.calls

    async def attach(self, adapter):
        if adapter.folder == "nowhere":
            self.is_broken = True
            raise ValueError("no adapter there")
        await asyncio.sleep(0.1)
        self.worn = (int(adapter.name),)

    async def answer(self, ask):
        if ask.sampling.get("refuse"):
            raise RequestError("not this one", detail="7 is unlucky")
        if ask.sampling.get("fail"):
            raise TimeoutError("no answer from the core")
        if ask.sampling.get("garble"):
            host._connection.sendall(b"\\xff not a message\\n")
        if ask.sampling.get("break"):
            self.is_broken = True
            raise RuntimeError("out of memory\\nat once")
        if ask.sampling.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            await asyncio.sleep(ask.sampling.get("wait", 0) / 1000)
        except asyncio.CancelledError:
            print("given up", flush=True)
            raise
        return Response(id=ask.id, token_ids=ask.prompt_ids[::-1] + self.worn, finish_reason="stop")

    def close(self):
        print("closed", flush=True)
        time.sleep(hang)

hang = 0

async def load(message):
    global hang
    hang = message.arguments.get("hang", 0)
    serving._SIGN_S = message.arguments.get("signs", 5)
    # A worker that does not notice its parent's death, as the libraries' own do not.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(message.arguments.get("slow", 0))
    if message.arguments.get("fail"):
        print("(Worker pid=1) ERROR 01-01 [core.py:9] ValueError: the cache is too small", flush=True)
        raise RuntimeError("Engine core initialization failed. See root cause above.")
    return Backend()

host = Host(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), load)
asyncio.run(host.run())
"""

Start = Callable[..., HostLink]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A factory of links to hosts; keywords go to the model's loading. All are closed at the end."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    links: list[HostLink] = []

    def link(**arguments: Any) -> HostLink:
        links.append(HostLink((sys.executable, "-c", HOST), Load(arguments=arguments), "toy"))
        return links[-1]

    yield link
    for opened in links:
        opened.close()


def loaded(link: HostLink) -> HostLink:
    link.ask((1,), {}).result(20)
    return link


def test_answers_come_back_to_their_askers_whatever_the_order(start: Start):
    link = start()
    asked = {n: link.ask((n, 0), {"wait": 40 - n}) for n in range(40)}
    assert {n: future.result(20).token_ids for n, future in asked.items()} == {n: (0, n) for n in range(40)}


def test_askers_in_several_threads_share_a_link(start: Start):
    link, found = start(), {}

    def work(number: int) -> None:
        found[number] = link.ask((number,), {}).result(20).token_ids

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: (number,) for number in range(8)}


def test_refused_request_disturbs_nobody(start: Start):
    link = start()
    refused, fine = link.ask((1,), {"refuse": 1}), link.ask((2,), {"wait": 50})
    with pytest.raises(RequestError, match="not this one") as caught:
        refused.result(20)
    assert (caught.value.reason, caught.value.detail) == ("not this one", "7 is unlucky")
    assert fine.result(20).token_ids == (2,)


def test_failure_of_one_request_disturbs_nobody_and_may_pass(start: Start):
    link = start()
    failed, fine = link.ask((1,), {"fail": 1}), link.ask((2,), {"wait": 50})
    with pytest.raises(FailedRequestError) as caught:
        failed.result(20)
    assert caught.value.reason == "the engine failed on the request (TimeoutError)"
    assert caught.value.detail == "no answer from the core"
    assert fine.result(20).token_ids == (2,)


def test_message_that_cannot_be_read_fails_every_asker_in_one_line(start: Start):
    link = loaded(start())
    asked = [link.ask((1,), {"wait": 60_000}), link.ask((2,), {"garble": 1, "wait": 60_000})]
    messages = {str(future.exception(20)) for future in asked}
    assert len(messages) == 1
    assert "the model's process ended (a message that cannot be read" in messages.pop()
    assert living_members(link.group) == []


def test_host_shows_that_it_works_before_its_first_answer(start: Start):
    link = loaded(start(signs=0.05))
    link.ask((1,), {"wait": 60_000})
    until(lambda: link.progress > 2)


def test_asker_that_gives_up_is_told_to_the_host(start: Start):
    link = loaded(start())
    link.ask((1,), {"wait": 60_000}).cancel()
    assert link.ask((2,), {}).result(20).token_ids == (2,)
    until(lambda: "given up" in link.log.read_text())


def test_host_that_does_not_know_a_message_ends_with_its_processes(start: Start):
    link = loaded(start())
    waiting = link.ask((1,), {"wait": 60_000})
    link._outbox.put(b'{"kind": "ask", "id": 7, "from_another_version": 1}\n')
    with pytest.raises(EngineError, match="a message that the host does not know"):
        waiting.result(20)
    assert wait_until_gone(link.group, 20)


def test_requests_wear_the_adapter_that_was_loaded_last(start: Start):
    link = start()
    for number in (7, 8):
        link.attach(Adapter(name=f"{number}", folder="f")).result(20)
        assert link.ask((1, 2), {}).result(20).token_ids == (2, 1, number)


def test_adapter_that_cannot_be_loaded_is_the_end_of_the_model(start: Start):
    link = loaded(start())
    error = link.attach(Adapter(name="7", folder="nowhere")).exception(20)
    assert isinstance(error, EngineError)
    assert str(error).startswith("toy: the model's process ended (ValueError: no adapter there)")
    assert link.ask((1,), {}).exception(20) is error


def test_broken_model_fails_every_asker_in_one_line(start: Start):
    link = loaded(start())
    asked = [link.ask((1,), {"wait": 60_000}), link.ask((2,), {"break": 1}), link.ask((3,), {"wait": 60_000})]
    messages = {str(future.exception(20)) for future in asked}
    assert messages == {
        f"toy: the model's process ended (RuntimeError: out of memory at once); its log is {link.log}"
    }
    assert str(link.ask((4,), {}).exception(20)) in messages
    assert living_members(link.group) == []


def test_length_that_the_host_reports_is_known_once_it_is_loaded(start: Start):
    assert start().max_tokens.result(20) == 64


def test_host_that_is_killed_fails_every_asker_and_takes_its_workers_along(start: Start):
    link = loaded(start())
    assert len(living_members(link.group)) == 2
    waiting = link.ask((1,), {"wait": 60_000})
    os.kill(link.group, signal.SIGKILL)
    error = waiting.exception(20)
    assert isinstance(error, EngineError)
    assert "the model's process ended (killed by signal 9)" in str(error)
    assert "\n" not in str(error)
    assert wait_until_gone(link.group, 10)


def test_model_that_cannot_be_loaded_is_told_by_its_own_cause_and_the_log_is_kept(start: Start):
    link = start(fail=True)
    error = link.ask((1,), {}).exception(20)
    assert str(error) == (
        f"toy: the model cannot be loaded (ValueError: the cache is too small); its log is {link.log}"
    )
    link.close()
    assert "ValueError" in link.log.read_text()


def test_closing_ends_all_processes_and_tells_who_waits(start: Start):
    link = loaded(start())
    waiting = link.ask((1,), {"wait": 60_000})
    link.close()
    link.close()
    assert str(waiting.exception(0)) == "toy: the engine was closed before it answered"
    assert isinstance(link.ask((2,), {}).exception(0), EngineError)
    assert living_members(link.group) == []
    assert not link.log.parent.exists()


def test_closing_does_not_wait_for_a_model_to_load(start: Start):
    link = start(slow=60)
    until(lambda: len(living_members(link.group)) == 2)
    began = time.monotonic()
    link.close()
    assert time.monotonic() - began < 15
    assert living_members(link.group) == []


def test_host_that_does_not_close_in_time_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engines.vllm.link._CLOSE_S", 0.5)
    link = loaded(start(hang=60))
    link.close()
    assert living_members(link.group) == []


PARENT = """
import os, sys, time
from engines.vllm.link import HostLink
from engines.vllm.wire import Load
link = HostLink((sys.executable, "-c", sys.argv[1]), Load(arguments={"slow": float(sys.argv[2])}), "toy")
future = link.ask((1,), {"wait": 0})
if sys.argv[2] == "0":
    future.result(20)
    link.ask((1,), {"wait": 60000})
if sys.argv[3] == "forked" and os.fork() == 0:
    time.sleep(30)  # a child that holds the parent's end of the link open
    os._exit(0)
print(link.group, flush=True)
if sys.argv[3] == "leaves":
    sys.exit(3)
time.sleep(60)
"""


@pytest.mark.parametrize("end", ["killed", "leaves", "forked"])
@pytest.mark.parametrize("slow", ["0", "50"])
def test_host_and_its_workers_do_not_outlive_the_parent(end: str, slow: str, tmp_path: Path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, HOST, slow, end],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    assert parent.stdout is not None
    group = int(parent.stdout.readline())
    if end != "leaves":
        until(lambda: len(living_members(group)) == 2)
        parent.kill()
    parent.wait(20)
    try:
        assert wait_until_gone(group, 10)
    finally:
        os.killpg(parent.pid, signal.SIGKILL) if end == "forked" else None
        parent.stdout.close()


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("", None),
        ("INFO all is well\n", None),
        ("Traceback\nValueError: too small\nINFO bye\n", "ValueError: too small"),
        ("E [a.py:1] torch.cuda.OutOfMemoryError: 3 GiB\n", "torch.cuda.OutOfMemoryError: 3 GiB"),
        ("KeyError: 'x'\nRuntimeError: Engine core failed. See root cause above.\n", "KeyError: 'x'"),
    ],
)
def test_last_cause_names_the_error_that_others_point_to(log: str, cause: str | None):
    assert last_cause(log) == cause


def test_infinite_logprob_survives_the_wire():
    answer = Response(id=1, token_ids=(1,), finish_reason="stop", logprobs=(float("-inf"), -0.5))
    assert Response.model_validate_json(answer.to_line()) == answer


def until(true: Callable[[], bool], limit_s: float = 20) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
