"""Load on the annotation page: many annotators over HTTP against the real server, which may be killed.

Prints decisions per second, processor time per request, and decisions that were lost or stored twice. The
clients run in this process and the server in its own, on the same cores. A share of the tasks is decided
before the start, by direct writes through the page's own session.

    python benchmarks/page.py --annotators 200 --tasks 20000 --decided 0.6 --seconds 30 --kills 2
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.records import Comparison, Message, Prompt
from labelers.page.leases import Leases
from labelers.page.ledger import Ledger
from labelers.page.session import LEASE_MINUTES, AnnotationPlan, Session
from labelers.page.tasks import Decision, Question, Task, make_tasks

REPOSITORY = Path(__file__).resolve().parents[1]
_PROGRAM = "import sys; sys.argv[0] = 'publius'; from publius.cli import main; main()"
_QUESTION = Question("Which answer is better?")


def comparisons(count: int) -> list[Comparison]:
    """Return comparisons of two answers of about 60 words each."""
    words = "the reply says what it knows and what it does not know in a few plain words " * 4
    return [
        Comparison.of(
            Prompt.of((Message(role="user", content=f"Question number {i}: what is {i} times {i}?"),)),
            (f"One. {words}{i}", "sample:0"),
            (f"Two. {words}{i}", "sample:1"),
        )
        for i in range(count)
    ]


def decide_before(
    folder: Path, made: list[Comparison], per: int, share: float
) -> tuple[int, dict[str, float]]:
    """Decide a share of the tasks by as many annotators as are wanted.

    Returns:
        The number of decisions, and the processor time of a view.
    """
    plan = AnnotationPlan(tuple(make_tasks(made, rank=False)), _QUESTION, per)
    ledger, gold = Ledger(folder, _QUESTION), Ledger(folder / "gold", _QUESTION)
    ledger.sync = lambda: None  # type: ignore[method-assign]  # one write to the disk at the end is enough
    session = Session(plan, ledger, gold, Leases(folder / "leases.json", LEASE_MINUTES * 60))
    count = 0
    for number, task in enumerate(plan.tasks[: int(share * len(plan.tasks))]):
        for k in range(per):
            decision = Decision(request=f"before-{number:08d}-{k}", task=task.id, verdict="first")
            assert session.decide(f"earlier {(number + k) % 20}", decision) is None
            count += 1
    costs = view_costs(session)
    session.close()
    return count, costs


def view_costs(session: Session) -> dict[str, float]:
    """Return the processor time in ms of a view, and of the look at every task that it took before."""
    ledger, plan = session.ledger, session.plan

    def look(name: str) -> None:
        def taken(task: Task) -> set[str]:
            return set(ledger.answerers(task)) | session.leases.holders(task.id, session.clock())

        def decided(task: Task) -> bool:
            return ledger.has_decided(name, task)

        per = plan.annotators_per_task
        next((t for t in plan.tasks if not decided(t) and len(taken(t) - {name}) < per), None)
        sum(len(ledger.answerers(t)) < per and not decided(t) for t in plan.tasks)

    view_ms = statistics.median(_processor_ms(session.view, f"new {k}") for k in range(20))
    look_ms = statistics.median(_processor_ms(look, f"other {k}") for k in range(5))
    return {"view, ms": view_ms, "look at every task, ms": look_ms, "ratio": look_ms / view_ms}


def _processor_ms(work: Callable[[str], object], name: str) -> float:
    began = time.process_time()
    work(name)
    return 1000 * (time.process_time() - began)


@dataclass
class Server:
    """The real command in a process of its own, started again on the same port after a kill."""

    folder: Path
    per: int
    port: int = 0
    process: subprocess.Popen[str] | None = None
    token: str = ""
    start_s: float = 0.0
    processor_s: float = 0.0
    """Processor time of the processes that were killed."""

    def start(self) -> None:
        """Start the server and wait until it can be reached."""
        began = time.monotonic()
        options = ["--annotators-per", str(self.per), "--port", str(self.port), "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, "annotate", str(self.folder), *options],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        link = urlsplit(json.loads(self.process.stdout.readline())["people"])
        self.port, self.token, self.start_s = link.port or 0, link.fragment, time.monotonic() - began

    def processor_now_s(self) -> float:
        """Return the processor time of all processes so far, in seconds."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return self.processor_s + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.processor_s = self.processor_now_s()
        self.process.send_signal(number)
        self.process.communicate()


@dataclass
class Load:
    """What the annotators saw."""

    decided: list[tuple[str, str]] = field(default_factory=list)
    """Acknowledged decisions: annotator and task."""
    waits_s: list[float] = field(default_factory=list)
    requests: int = 0
    refused: int = 0


class Annotator:
    """An annotator over one connection, who repeats a request until it is answered."""

    def __init__(self, name: str, server: Server, load: Load) -> None:
        self.name, self.server, self.load = name, server, load
        self.cookie = ""
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.chance = random.Random(name)

    async def work(self, until: float, pause_s: float) -> None:
        """Decide until the time is over or nothing is left."""
        entry = {"token": self.server.token, "annotator": self.name}
        _, headers, _ = await self.insist("POST", "/api/enter", entry)
        self.cookie = headers["set-cookie"].partition(";")[0]
        _, _, view = await self.insist("GET", "/api/view")
        number = 0
        while time.monotonic() < until and view["task"]:
            await asyncio.sleep(self.chance.random() * 2 * pause_s)
            number += 1
            body = {
                "request": f"{self.name.replace(' ', '-')}-{number:06d}",
                "task": view["task"]["id"],
                "verdict": self.chance.choice(["first", "second", "tie"]),
            }
            began = time.monotonic()
            status, _, answer = await self.insist("POST", "/api/decide", body)
            self.load.waits_s.append(time.monotonic() - began)
            if status == 200:
                self.load.decided.append((self.name, body["task"]))
                view = answer
            else:
                self.load.refused += 1
                _, _, view = await self.insist("GET", "/api/view")
        if self.streams is not None:
            self.streams[1].close()

    async def insist(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Send a request until the server has handled it."""
        pause_s = 0.1
        while True:
            try:
                status, headers, answer = await asyncio.wait_for(self.send(method, path, body), 20)
                if status < 500:
                    return status, headers, answer
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, IndexError):
                self.streams = None
            await asyncio.sleep(pause_s * (0.5 + self.chance.random() / 2))
            pause_s = min(2 * pause_s, 2.0)

    async def send(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Send a request and return its status, headers and answer."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.server.port)
        reader, writer = self.streams
        host = f"127.0.0.1:{self.server.port}"
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", "X-Publius: 1"]
        head += [
            f"Cookie: {self.cookie}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + content)
        await writer.drain()
        status = int((await reader.readline()).split()[1])
        headers: dict[str, str] = {}
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        answer = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.load.requests += 1
        return status, headers, answer


async def press(server: Server, arguments: argparse.Namespace) -> Load:
    """Let all annotators work, with a kill in the middle if one is wanted."""
    load, until = Load(), time.monotonic() + arguments.seconds
    annotators = [Annotator(f"annotator {k}", server, load) for k in range(arguments.annotators)]
    work = asyncio.gather(*(annotator.work(until, arguments.pause_s) for annotator in annotators))
    for _ in range(arguments.kills):
        await asyncio.sleep(arguments.seconds / (arguments.kills + 1))
        server.end(signal.SIGKILL)
        await asyncio.to_thread(server.start)
    await work
    return load


def check(folder: Path, load: Load, before: int) -> tuple[int, int]:
    """Return how many acknowledged decisions are not in the file, and how many are there twice."""
    lines = (folder / "human" / "judgments.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    stored = Counter((row["annotator"], row["comparison_id"]) for row in rows)
    lost = sum(decision not in stored for decision in load.decided)
    doubled = sum(count - 1 for count in stored.values())
    doubled += len(load.decided) - len(set(load.decided))
    assert len(rows) >= before
    return lost, doubled


def measure(arguments: argparse.Namespace) -> dict[str, float | int]:
    """Run the load once in a temporary folder and return its figures."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "labels"
        folder.mkdir()
        made = comparisons(arguments.tasks)
        (folder / "comparisons.jsonl").write_text("".join(c.to_line() for c in made), encoding="utf-8")
        before, costs = decide_before(folder / "human", made, arguments.annotators_per, arguments.decided)
        server = Server(folder, arguments.annotators_per, _free_port())
        server.start()
        began, processor_s = time.monotonic(), server.processor_now_s()
        try:
            load = asyncio.run(press(server, arguments))
            wall_s, used_s = time.monotonic() - began, server.processor_now_s() - processor_s
        finally:
            with contextlib.suppress(ProcessLookupError):
                server.end(signal.SIGTERM)
        lost, doubled = check(folder, load, before)
    waits = sorted(load.waits_s)
    return {
        "annotators": arguments.annotators,
        "tasks": arguments.tasks,
        "decided before": before,
        "kills": arguments.kills,
        "decisions": len(load.decided),
        "decisions per second": len(load.decided) / wall_s,
        "processor time per request, ms": 1000 * used_s / max(1, load.requests),
        "wait for a decision, median, ms": 1000 * statistics.median(waits) if waits else 0.0,
        "wait for a decision, 95th percentile, ms": 1000 * waits[int(0.95 * len(waits))] if waits else 0.0,
        "start of the server, s": server.start_s,
        "refused": load.refused,
        **costs,
        "lost": lost,
        "doubled": doubled,
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main(argv: list[str] | None = None) -> dict[str, float | int]:
    """Print the figures of one load and return them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--annotators", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--annotators-per", type=int, default=3)
    parser.add_argument("--decided", type=float, default=0.6, help="share of the tasks decided before")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--pause-s", type=float, default=0.0, help="mean time to think, in seconds")
    parser.add_argument("--kills", type=int, default=0, help="number of kill -9 during the load")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args(argv)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    figures = measure(arguments)
    for name, value in figures.items():
        print(f"{name:<42}{value:>12,.1f}" if isinstance(value, float) else f"{name:<42}{value:>12,}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


if __name__ == "__main__":
    main()
