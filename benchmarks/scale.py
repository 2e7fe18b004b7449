"""How runs scale: workers on Ray, stages that overlap, and memory over a large input.

    python benchmarks/scale.py workers [--counts 1,2,4,8] [--each 128]
    python benchmarks/scale.py overlap [--prompts 400]
    python benchmarks/scale.py memory [--prompts 200000] [--to DIR]
    python benchmarks/scale.py worker-memory [--prompts 20000] [--counts 2]

All of them use the scripted engine, so that they measure everything but models. `workers` gives it the
latencies of a model and each worker the same number of prompts; the rate is that of the records between the
first and the last tenth, so that it is without the start of Ray. `overlap` gives policy and labeler latencies
of their own, and compares the whole run with its slower stage alone. `memory` gives it none, and reads the
resident memory of the process each second. `worker-memory` does the same with a cluster on this machine, for
the driver, the mean worker, and the sum of Ray's own processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import string
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine
from publius.runs.dataset import export_run
from publius.stages.runner import RunRequest, execute

CONSTITUTION = """\
name: scale
principles:
  - {id: plain, text: The reply uses plain words.}
  - {id: honest, text: The reply says so when it does not know.}
  - {id: short, text: The reply has at most forty words., check: {kind: max_words, value: 40}}
"""
RUN = """\
name: scale
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model, labeler: other-model}
engine: {kind: scripted, concurrency: 16}
critique: {rounds: 1, drop: []}
label: {principles: 1, near_duplicate: 1.0}
"""


class Delayed(ScriptedEngine):
    """A scripted engine that answers after the time that a model would take."""

    generation_s, choice_s = 1.0, 0.5

    async def generate(self, request: GenerationRequest) -> Any:
        """Return an answer after a while."""
        await asyncio.sleep(self.generation_s)
        return await super().generate(request)

    async def choose(self, request: ChoiceRequest) -> Any:
        """Return probabilities after a while."""
        await asyncio.sleep(self.choice_s)
        return await super().choose(request)


def delayed(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
    """Return an engine with latencies."""
    return Delayed(model=f"scripted:{model.id}", keep_history=False)


class Server(Delayed):
    """A server of which drafting and labelling take about as long as a whole."""

    generation_s, choice_s = 0.4, 1.0


def served(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
    """Return a simulated server."""
    return Server(model=f"scripted:{model.id}", keep_history=False)


def project(folder: Path, prompts: int, more: str = "") -> Path:
    """Write a project with synthetic prompts; return its run file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "constitution.yaml").write_text(CONSTITUTION)
    chance = random.Random(0)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9))) for _ in range(5000)]
    with (folder / "prompts.jsonl").open("w") as file:
        for _ in range(prompts):
            text = " ".join(chance.choices(words, k=14)) + "?"
            file.write(json.dumps({"prompt": text, "split": "train"}) + "\n")
    (folder / "run.yaml").write_text(RUN + more)
    return folder / "run.yaml"


def traces_of(folder: Path) -> int:
    """Return the number of traces that the run of a project has."""
    paths = list(folder.glob("runs/*/traces.jsonl"))
    return paths[0].read_bytes().count(b"\n") if paths else 0


@contextmanager
def sampled(read: Callable[[], Any], every_s: float) -> Iterator[list[tuple[float, Any]]]:
    """Yield a list that grows by (seconds, value) while the block runs."""
    found: list[tuple[float, Any]] = []
    stop, started = threading.Event(), time.monotonic()

    def sample() -> None:
        while not stop.wait(every_s):
            found.append((time.monotonic() - started, read()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def steady_rate(counts: Sequence[tuple[float, int]], total: int) -> float:
    """Return the records per second between the first and the last tenth."""
    middle = [(at, count) for at, count in counts if 0.1 * total <= count <= 0.9 * total]
    (first_at, first), (last_at, last) = middle[0], middle[-1]
    return (last - first) / (last_at - first_at)


def measure_workers(counts: Sequence[int], each: int, folder: Path) -> dict[str, Any]:
    """Return prompts per second through the loop by number of workers."""
    found: dict[str, Any] = {}
    for workers in counts:
        place = folder / f"workers-{workers}"
        run_file = project(place, each * workers, f"scale: {{kind: ray, workers: {workers}}}\n")
        with sampled(lambda place=place: traces_of(place), 0.25) as seen:
            execute(RunRequest(run_file, stages=("critique",)), delayed)
        rate = steady_rate(seen, each * workers)
        first = found.setdefault("per_worker_alone", rate / workers)
        found[str(workers)] = {"prompts_per_s": rate, "of_linear": rate / (first * workers)}
        print(
            f"{workers} workers: {rate:.2f} prompts/s, {rate / (first * workers):.3f} of linear", flush=True
        )
    return found


def measure_overlap(prompts: int, folder: Path) -> dict[str, Any]:
    """Return the seconds of a whole run, and of each of its stages alone."""
    alone = {}
    run_file = project(folder / "one-after-the-other", prompts)
    for stage in ("critique", "compare", "label"):
        started = time.monotonic()
        execute(RunRequest(run_file, stages=(stage,)), served)  # type: ignore[arg-type]
        alone[stage] = time.monotonic() - started
    started = time.monotonic()
    execute(RunRequest(project(folder / "overlapping", prompts)), served)
    whole = time.monotonic() - started
    slower = max(alone.values())
    print(f"alone {alone}; overlapping {whole:.1f} s, {whole / slower:.3f} of the slower stage")
    return {
        "alone_s": alone,
        "overlapping_s": whole,
        "of_the_slower": whole / slower,
        "sum_s": sum(alone.values()),
    }


STAGES = ("critique", "compare", "label", "export")


def measure_memory(prompts: int, folder: Path) -> dict[str, Any]:
    """Return rate, peak and slope of resident memory by stage, each in a process of its own."""
    run_file = project(folder / "large", prompts)
    found: dict[str, Any] = {"prompts": prompts}
    for stage in (*STAGES, "resume"):
        seconds, seen = sampled_stage(stage, run_file, _resident)
        found[stage] = {
            "seconds": seconds,
            "prompts_per_s": prompts / seconds,
            **_memory(seen, seconds, prompts),
        }
        print(stage, json.dumps(found[stage]), flush=True)
    return found


def measure_worker_memory(prompts: int, workers: int, folder: Path) -> dict[str, Any]:
    """Return the same of the stages with workers, for the driver, the mean worker and the rest of Ray."""
    run_file = project(folder / "workers", prompts, f"scale: {{kind: ray, workers: {workers}}}\n")
    found: dict[str, Any] = {"prompts": prompts, "workers": workers}
    for stage in ("critique", "compare", "label"):
        seconds, seen = sampled_stage(stage, run_file, _resident_by_part)
        full = [(at, parts) for at, parts in seen if parts.get("workers") == workers]
        if not full:
            continue  # the driver builds comparisons alone
        found[stage] = {"seconds": seconds, "prompts_per_s": prompts / seconds} | {
            part: _memory([(at, parts[part]) for at, parts in full], seconds, prompts)
            for part in ("driver", "worker", "ray")
        }
        print(stage, json.dumps(found[stage]), flush=True)
    return found


def sampled_stage(
    stage: str, run_file: Path, read: Callable[[psutil.Process], Any]
) -> tuple[float, list[tuple[float, Any]]]:
    """Run a stage in a process of its own; return its seconds and what was read of it each second."""
    child = subprocess.Popen([sys.executable, __file__, "stage", stage, str(run_file)])
    process = psutil.Process(child.pid)
    started = time.monotonic()
    with sampled(lambda: read(process), 1.0) as seen:
        code = child.wait()
    assert code == 0, f"{stage} ended with {code}"
    return time.monotonic() - started, seen


def _memory(seen: Sequence[tuple[float, int]], seconds: float, prompts: int) -> dict[str, float]:
    """Return peak and slope of resident memory, and what it would be with 10 million prompts."""
    peak, slope = max((value for _, value in seen), default=0), _slope(seen)
    per_prompt = slope * seconds / prompts
    return {
        "peak_bytes": peak,
        "bytes_per_s_late": slope,
        "bytes_per_prompt_late": per_prompt,
        "at_10_million_bytes": peak + per_prompt * (10_000_000 - prompts),
    }


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _resident_by_part(process: psutil.Process) -> dict[str, int]:
    """Return the memory of a driver, the mean of its workers, their number and the sum of Ray's processes."""
    try:
        below = process.children(recursive=True)
    except psutil.Error:
        return {}
    workers = [_resident(child) for child in below if _is_worker(child)]
    return {
        "driver": _resident(process),
        "workers": len(workers),
        "worker": sum(workers) // max(1, len(workers)),
        "ray": sum(map(_resident, below)) - sum(workers),
    }


def _is_worker(process: psutil.Process) -> bool:
    """Return True if a process is one of the run's workers and not one of Ray's own."""
    try:
        return "_Actor" in process.cmdline()[0]
    except (psutil.Error, IndexError):
        return False


def _slope(seen: Sequence[tuple[float, int]]) -> float:
    """Return the bytes by which memory grows each second in the second half, by least squares."""
    half = [(at, value) for at, value in seen[len(seen) // 2 :] if value]
    if len(half) < 4:
        return 0.0
    times, values = np.array(half, dtype=float).T
    return float(np.polyfit(times, values, 1)[0])


def run_stage_alone(stage: str, run_file: Path) -> None:
    """Run one stage of a project, or export its run, or resume a run with nothing to do."""
    if stage == "export":
        (folder,) = (run_file.parent / "runs").iterdir()
        export_run(folder, run_file.parent / "exported")
        return
    stages: tuple[Any, ...] = () if stage == "resume" else (stage,)
    execute(RunRequest(run_file, stages=stages))


def main() -> None:
    """Measure what is asked for, and print it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["workers", "overlap", "memory", "worker-memory", "stage"])
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--counts", help="numbers of workers, 1,2,4,8 by default")
    parser.add_argument("--each", type=int, default=128)
    parser.add_argument("--prompts", type=int)
    parser.add_argument("--to", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.what == "stage":
        run_stage_alone(given.arguments[0], Path(given.arguments[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.to or Path(temporary)
        if given.what == "workers":
            counts = [int(count) for count in (given.counts or "1,2,4,8").split(",")]
            found = measure_workers(counts, given.each, folder)
        elif given.what == "overlap":
            found = measure_overlap(given.prompts or 400, folder)
        elif given.what == "worker-memory":
            found = measure_worker_memory(given.prompts or 20_000, int(given.counts or 2), folder)
        else:
            found = measure_memory(given.prompts or 200_000, folder)
    text = json.dumps(found, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
