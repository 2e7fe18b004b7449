"""The demo from beginning to end: seconds, tokens, processor time by stage, and the memory of all processes.

    python benchmarks/demo.py [--to DIR] [--preset plain-and-brief] [--set KEY=VALUE ...] [--json PATH]

Runs what `make demo` runs after installation, in a new project with an empty cache: `publius init`, `try`,
`run` and `report`, each as a process of its own. Beforehand it measures how many tokens a second the embedded
model decodes on this machine: 48 held-out prompts of the demo, answered together, greedily and with at most
160 tokens.

Memory is the proportional set size (PSS) of the commands with all their children, read twice a second, and
the largest resident set that the kernel has recorded for any one of them (VmHWM), which misses no peak.
Seconds, processor seconds and peaks are attributed to the step that the last progress line named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import psutil

_EVERY_S = 0.5
_RATE_PROMPTS, _RATE_TOKENS = 48, 160
_TARGET = 45.0
"""Decoded tokens per second of the machine that the demo's time is stated for."""


@dataclass
class Step:
    """What one step took."""

    seconds: float = 0.0
    processor_s: float = 0.0
    peak_pss: int = 0


@dataclass
class Watch:
    """Watches the processes of a command."""

    steps: dict[str, Step] = field(default_factory=dict)
    peak_pss: int = 0
    peak_rss: int = 0
    step: str = ""
    first_line_s: float | None = None
    """Seconds from the start of the demo to the first line of a result."""
    started: float = field(default_factory=time.monotonic)


def main() -> None:
    """Run the demo and print what its steps took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", type=Path, help="folder of the project, which must not exist")
    parser.add_argument("--preset", default="plain-and-brief")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the run file")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rate:
        print(json.dumps(asyncio.run(decode_rate())))
        return
    rate = json.loads(_output(str(Path(__file__).resolve()), "--rate"))
    print(f"decodes {rate['tokens_per_s']:.1f} tokens/s ({rate['rows']} answers together)", flush=True)
    folder = options.to or Path(tempfile.mkdtemp(prefix="demo-")) / "project"
    watch = Watch()
    codes: dict[str, int] = {}
    try:
        run_demo(folder, options.preset, options.set, watch, codes)
    finally:  # what an interrupted demo took until then is worth reading too
        result = {"rate": rate, "codes": codes, **summary(folder, watch)}
        _print(result)
        if options.json:
            options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


async def decode_rate() -> dict[str, float]:
    """Return how many tokens a second the embedded model decodes on this machine, prompts included."""
    from core.chat import turns_of
    from core.records import Sampling
    from engines.config import EngineConfig, ModelConfig
    from engines.hf.engine import TransformersEngine
    from engines.protocols import GenerationRequest
    from publius.sources.prompts import read_prompts

    path = Path(str(files("prompts"))) / "demo" / "prompts.jsonl"
    prompts = [prompt for prompt in read_prompts(path) if prompt.split == "test"][:_RATE_PROMPTS]
    engine = TransformersEngine(ModelConfig(id="embedded"), EngineConfig())

    async def ask(tokens: int) -> int:
        sampling = Sampling(temperature=0.0, max_new_tokens=tokens)
        requests = [GenerationRequest(turns_of(p.messages), sampling, 0, "rate") for p in prompts]
        answers = await asyncio.gather(*map(engine.generate, requests))
        return sum(answer.completion_tokens for answer in answers)

    await ask(2)  # loads the model
    started = time.monotonic()
    written = await ask(_RATE_TOKENS)
    seconds = time.monotonic() - started
    engine.close()
    return {"tokens_per_s": written / seconds, "tokens": written, "seconds": seconds, "rows": len(prompts)}


def run_demo(folder: Path, preset: str, settings: Sequence[str], watch: Watch, codes: dict[str, int]) -> None:
    """Run the commands of `make demo`, and note their exit codes. A failed gate ends in a report too."""
    overrides = [part for setting in settings for part in ("--set", setting)]
    commands = {
        "init": ["init", str(folder), "--preset", preset],
        "try": ["try", str(folder / "constitution.yaml")],
        "run": ["run", str(folder / "run.yaml"), *overrides],
        "report": ["report", "RUN", "--to", str(folder / "report.html")],
    }
    for name, command in commands.items():
        if name == "report":
            command[1:2] = [str(path) for path in (folder / "runs").iterdir()]
        codes[name] = watched(name, command, watch)
        if codes[name] > 1:
            raise SystemExit(f"publius {name} failed with exit code {codes[name]}")


def watched(name: str, command: list[str], watch: Watch) -> int:
    """Run a command with its processes watched; return its exit code."""
    watch.step = name
    process = subprocess.Popen(
        [sys.executable, "-m", "publius", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=_read_result, args=(process.stdout, name, watch)),
        threading.Thread(target=_read_progress, args=(process.stderr, name, watch)),
    ]
    for reader in readers:
        reader.start()
    try:
        _sample(process, watch)
    finally:
        process.terminate()
        code = process.wait()
        for reader in readers:
            reader.join()
    return code


def _sample(process: subprocess.Popen[str], watch: Watch) -> None:
    """Add up what the processes take, until the command ends."""
    root = psutil.Process(process.pid)
    spent, before = 0.0, time.monotonic()
    while process.poll() is None:
        time.sleep(_EVERY_S)
        pss, processor_s = 0, 0.0
        for one in _tree(root):
            found = _memory(one.pid)
            pss += found["Pss"]
            watch.peak_rss = max(watch.peak_rss, found["VmHWM"])
            try:
                times = one.cpu_times()
            except psutil.Error:
                continue
            processor_s += times.user + times.system
        step = watch.steps.setdefault(watch.step, Step())
        now = time.monotonic()
        step.seconds += now - before
        step.processor_s += max(0.0, processor_s - spent)
        step.peak_pss = max(step.peak_pss, pss)
        watch.peak_pss = max(watch.peak_pss, pss)
        spent, before = max(spent, processor_s), now


def _tree(root: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield root
        yield from root.children(recursive=True)
    except psutil.Error:
        return


def _memory(pid: int) -> dict[str, int]:
    """Return the PSS and the largest resident set of a process in bytes; 0 if it is gone."""
    found = {"Pss": 0, "VmHWM": 0}
    for name in ("smaps_rollup", "status"):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition(":")
            if key in found:
                found[key] = int(value.split()[0]) * 1024
    return found


def _read_result(stream: IO[str], name: str, watch: Watch) -> None:
    for line in stream:
        if watch.first_line_s is None and name != "init":
            watch.first_line_s = time.monotonic() - watch.started
        sys.stdout.write(line)
        sys.stdout.flush()


def _read_progress(stream: IO[str], name: str, watch: Watch) -> None:
    for line in stream:
        sys.stderr.write(line)
        label, _, rest = line.rstrip().partition("  ")
        if rest[:1].isdigit():  # the first column is a count
            watch.step = f"{name}: {label}"


def summary(folder: Path, watch: Watch) -> dict[str, Any]:
    """Return the figures of the demo."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("runs/*/manifest.json")]
    stages = {
        name: {
            "seconds": entry["seconds"],
            "records": entry["records"],
            **{key: entry["requests"].get(key, 0) for key in ("prompt_tokens", "completion_tokens")},
        }
        for manifest in manifests
        for name, entry in manifest["stages"].items()
    }
    return {
        "seconds": time.monotonic() - watch.started,
        "first_result_s": watch.first_line_s or 0.0,
        "peak_pss_gb": watch.peak_pss / 1e9,
        "peak_rss_gb": watch.peak_rss / 1e9,
        "stages": stages,
        "steps": {
            name: {
                "seconds": round(step.seconds, 1),
                "processor_s": round(step.processor_s, 1),
                "peak_pss_gb": round(step.peak_pss / 1e9, 2),
            }
            for name, step in watch.steps.items()
        },
    }


def _print(result: dict[str, Any]) -> None:
    print(f"\n{'step':<28}{'seconds':>9}{'processor s':>13}{'peak GB':>9}")
    for name, step in result["steps"].items():
        print(f"{name:<28}{step['seconds']:>9.1f}{step['processor_s']:>13.1f}{step['peak_pss_gb']:>9.2f}")
    print(f"\n{'stage':<28}{'seconds':>9}{'read':>10}{'written':>10}{'records':>9}   tokens")
    for name, stage in result["stages"].items():
        counts = f"{stage['prompt_tokens']:>10,}{stage['completion_tokens']:>10,}{stage['records']:>9,}"
        print(f"{name:<28}{stage['seconds']:>9.1f}{counts}")
    rate, seconds = result["rate"]["tokens_per_s"], result["seconds"]
    print(
        f"\nall of it: {seconds:.0f} s at {rate:.0f} decoded tokens/s "
        f"({seconds * rate / _TARGET:.0f} s in proportion at {_TARGET:.0f}); first result after "
        f"{result['first_result_s']:.0f} s; peak {result['peak_pss_gb']:.2f} GB of all processes (PSS), "
        f"{result['peak_rss_gb']:.2f} GB resident in one"
    )


def _output(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
