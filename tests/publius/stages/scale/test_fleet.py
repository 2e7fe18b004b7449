"""Fleets of workers: who gets what, and what happens when workers end."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.errors import ConfigError, EngineError, FailedRequestError
from core.records import Message, Prompt, Record
from engines.cached import RequestCounts
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineMaker
from publius.stages.base import HERE, NotMade
from publius.stages.runner import RunRequest, execute
from publius.stages.scale import ray_workers
from publius.stages.scale.fleet import RemoteWorker, WorkerFleet, WorkerLostError
from publius.stages.scale.worker import StageWorker, WorkOrder, WorkResult
from tests.publius.projects import RUN, Recorder, record_lines, write_project

PROMPTS = [Prompt.of((Message(role="user", content=f"What is {i}?"),)) for i in range(40)]
SCALED = "scale: {kind: ray, workers: 3}\n"


@dataclass
class Pretended:
    """Hosts workers in this process, of which some end."""

    ends: dict[int, int] = field(default_factory=dict)
    """For each worker that ends: items after which its first process does."""
    poison: str = ""
    """Id of an item that ends every process."""
    never_starts: bool = False
    done: list[tuple[int, str]] = field(default_factory=list)
    starts: Counter[int] = field(default_factory=Counter)
    busy: Counter[int] = field(default_factory=Counter)
    busiest: int = 0

    async def start(self, number: int) -> RemoteWorker:
        await asyncio.sleep(0)
        self.starts[number] += 1
        if self.never_starts:
            raise WorkerLostError("it ended at once")
        return PretendedWorker(self, number, self.ends.pop(number, None))

    def describe(self) -> str:
        return ""

    def close(self) -> None:
        pass


@dataclass
class PretendedWorker:
    """A worker that ends after some items."""

    hosting: Pretended
    number: int
    ends_after: int | None
    items: int = 0

    async def work(self, step: str, item: Record, names: Sequence[str]) -> WorkResult:
        hosting = self.hosting
        hosting.busy[self.number] += 1
        hosting.busiest = max(hosting.busiest, hosting.busy[self.number])
        await asyncio.sleep(0)
        hosting.busy[self.number] -= 1
        assert isinstance(item, Prompt)
        self.items += 1
        if item.id == hosting.poison or (self.ends_after is not None and self.items > self.ends_after):
            raise WorkerLostError("it was killed")
        hosting.done.append((self.number, item.id))
        return WorkResult((item,), RequestCounts(Counter({step: 1})))


def work_on(fleet: WorkerFleet, prompts: Sequence[Prompt]) -> list[object]:
    async def all_of_them() -> list[object]:
        limit = asyncio.Semaphore(fleet.at_once)

        async def one(prompt: Prompt) -> object:
            async with limit:
                (made,) = await fleet.work("critique.trace", prompt, ())
                return made

        return list(await asyncio.gather(*map(one, prompts)))

    return asyncio.run(all_of_them())


def test_every_item_is_done_once_and_no_worker_is_overloaded():
    hosting = Pretended()
    fleet = WorkerFleet(hosting, 4, 3, 2)
    assert work_on(fleet, PROMPTS) == PROMPTS
    assert Counter(item for _, item in hosting.done) == Counter(prompt.id for prompt in PROMPTS)
    assert hosting.busiest <= 3
    assert set(hosting.starts) == {0, 1, 2, 3}
    assert fleet.take_counts().asked["critique.trace"] == len(PROMPTS)
    assert fleet.counts().total == 0


def test_an_item_goes_to_the_same_worker_where_that_has_room():
    places = []
    for _ in range(2):
        hosting = Pretended()
        work_on(WorkerFleet(hosting, 4, 100, 2), PROMPTS)
        places.append(dict((item, number) for number, item in hosting.done))
    assert places[0] == places[1]
    assert len(set(places[0].values())) == 4


def test_workers_that_end_are_replaced_and_their_items_done_again(caplog: pytest.LogCaptureFixture):
    hosting = Pretended(ends={0: 2, 2: 0})
    fleet = WorkerFleet(hosting, 3, 4, 1)
    assert work_on(fleet, PROMPTS) == PROMPTS
    assert Counter(item for _, item in hosting.done) == Counter(prompt.id for prompt in PROMPTS)
    assert (hosting.starts[0], hosting.starts[1], hosting.starts[2], fleet.replaced) == (2, 1, 2, 2)
    assert "worker 1 ended and is replaced; its work is done again: it was killed" in caplog.text
    assert "(2 replaced)" in fleet.state()


def test_item_that_ends_workers_again_and_again_is_left_out_for_the_next_start():
    hosting = Pretended(poison=PROMPTS[7].id)
    made = work_on(WorkerFleet(hosting, 2, 1, 9), PROMPTS)
    left_out = made.pop(7)
    assert isinstance(left_out, NotMade)
    assert isinstance(left_out.error, FailedRequestError)
    assert made == [prompt for prompt in PROMPTS if prompt.id != hosting.poison]


def test_workers_that_never_start_end_the_run():
    hosting = Pretended(never_starts=True)
    with pytest.raises(EngineError, match=r"worker \d ended 3 times without a result"):
        work_on(WorkerFleet(hosting, 1, 2, 2), PROMPTS)


@dataclass
class OwnProcess:
    """Hosts real workers of a run in this process."""

    order: WorkOrder
    make: EngineMaker
    workers: list[StageWorker] = field(default_factory=list)

    async def start(self, number: int) -> RemoteWorker:
        self.workers.append(StageWorker(self.order, self.make))
        return self.workers[-1]

    def describe(self) -> str:
        return "1 machine"

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[OwnProcess]:
    """Replace the Ray cluster by workers in this process."""
    hosts: list[OwnProcess] = []

    @contextmanager
    def fleet_of(config: RunConfig, order: WorkOrder, make: EngineMaker) -> Iterator[WorkerFleet]:
        hosts.append(OwnProcess(order, make))
        fleet = WorkerFleet(hosts[-1], config.scale.workers, 4, 0)
        try:
            yield fleet
        finally:
            fleet.close()

    monkeypatch.setattr(ray_workers, "fleet_of", fleet_of)
    return hosts


@pytest.mark.parametrize(
    "sections",
    [
        "",
        "compare: {from: base, samples: 2}\n",
        "compare: {from: samples}\n",
        "compare: {from: base, samples: 3, pairs: best_worst}\n",
        "compare: {from: prompted, samples: 2}\n",
    ],
    ids=["revisions", "base", "samples", "best and worst", "prompted"],
)
def test_workers_make_the_records_of_one_process(tmp_path: Path, sections: str, in_process: list[OwnProcess]):
    one = execute(RunRequest(write_project(tmp_path / "one", 20, RUN + sections)), Recorder()).folder
    recorder = Recorder()
    two = execute(RunRequest(write_project(tmp_path / "two", 20, RUN + sections + SCALED)), recorder).folder
    assert one.name == two.name
    first, second = (
        {name: sorted(lines) for name, lines in record_lines(folder).items()} for folder in (one, two)
    )
    assert first == second
    assert len(in_process) == 1
    assert len(in_process[0].workers) == 3
    manifests = [json.loads((folder / "manifest.json").read_text())["stages"] for folder in (one, two)]
    for stage, entry in manifests[0].items():
        assert manifests[1][stage]["records"] == entry["records"], stage
        asked = [sum(found[stage]["requests"].get(k, 0) for k in ("asked", "reused")) for found in manifests]
        assert asked[0] == asked[1], stage


def order_from_elsewhere(folder: Path, workers: int = 1) -> WorkOrder:
    """What a worker on another machine is told about the run in a folder."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".yaml", ".json")}
    return WorkOrder(files, "elsewhere", str(folder.parent.parent), workers)


def test_worker_on_another_machine_needs_nothing_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = execute(RunRequest(write_project(tmp_path / "project", 4)), Recorder()).folder
    traces = {json.loads(line)["prompt"]["id"]: line for line in record_lines(folder)["traces.jsonl"]}
    order = order_from_elsewhere(folder)
    prompts = [Prompt.model_validate_json(line) for line in record_lines(folder)["prompts.jsonl"]]
    shutil.rmtree(tmp_path / "project")
    recorder = Recorder()
    for _ in range(2):  # the second worker finds the answers of the first
        worker = StageWorker(order, recorder)
        results = [asyncio.run(worker.work("critique.trace", prompt, ())) for prompt in prompts]
        worker.close()
        assert [made.to_line() for result in results for made in result.made if isinstance(made, Record)] == [
            traces[prompt.id] for prompt in prompts
        ]
    assert len(recorder.engines[-1].history) == 0


def test_budget_is_divided_among_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = "engine: {kind: http, url: 'http://127.0.0.1:9/v1', budget: {tokens: 900}}\n"
    run_file = write_project(tmp_path, 4, RUN.replace("engine: {kind: scripted, concurrency: 4}\n", server))
    seen: list[int] = []

    def make(model, engine):  # type: ignore[no-untyped-def]
        seen.append(engine.budget.tokens)
        return Recorder()(model, engine)

    folder = execute(RunRequest(run_file), make).folder
    seen.clear()
    order = order_from_elsewhere(folder, workers=3)
    worker = StageWorker(order, make)
    asyncio.run(worker.work("critique.trace", PROMPTS[0], ()))
    worker.close()
    assert set(seen) == {300}


def test_step_of_the_stage_itself_stays_here():
    fleet = WorkerFleet(Pretended(), 1, 1, 0)
    assert not fleet.takes(HERE)
    assert fleet.takes("label.ask")


def test_gpus_of_an_engine_are_ray_s_to_give(tmp_path: Path):
    run = RUN.replace("{kind: scripted, concurrency: 4}", "{kind: transformers, gpus: [0]}")
    run_file = write_project(tmp_path, 4, run + SCALED)
    with pytest.raises(ConfigError, match=r"Ray gives each worker its GPUs; accepted: scale\.gpus"):
        execute(RunRequest(run_file), Recorder())


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ("{kind: ray, address: 'ray://head:10001'}", "Ray client"),
        ("{kind: slurm}", "kind is 'slurm'; accepted: one of: local, ray"),
        ("{kind: ray, workers: 0}", "workers is 0"),
        ("{kind: ray, gpus: -1}", "gpus is -1"),
        ("{kind: ray, worker: 3}", "did you mean 'workers'?"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, scale: str, message: str):
    run_file = write_project(tmp_path, 4, RUN + f"scale: {scale}\n")
    with pytest.raises(ConfigError) as error:
        execute(RunRequest(run_file), Recorder())
    assert message in str(error.value)
    assert str(run_file) in str(error.value)
