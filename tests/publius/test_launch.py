"""`publius train ... --launch`: one training in several processes, one voice, one exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engines.adapter import WEIGHTS
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.test_cli import REPOSITORY, mistakes
from tests.publius.trainable import roomy, write_trainable

LIMIT_S = 120.0


def command(*arguments: object) -> tuple[list[str], dict[str, str]]:
    return (
        [sys.executable, "-m", "publius", *map(str, arguments)],
        {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )


def publius(*arguments: object) -> subprocess.CompletedProcess[str]:
    line, environment = command(*arguments)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=600)


def pairs(folder: Path) -> Path:
    path = folder / "pairs.jsonl"
    rows = [
        {"prompt": f"Say {n}.", "chosen": f"{n} it is", "rejected": "NO, I will not say it", "p_chosen": 0.9}
        for n in range(9)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def until(reached: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something is so, while the process runs."""
    end = time.monotonic() + LIMIT_S
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_configuration_is_checked_before_any_process_starts(tmp_path: Path):
    data = pairs(tmp_path)
    for name, told in (("fsdp2", "asks for FSDP (fsdp2)"), ("nine-gpus", "no such configuration")):
        done = here("train", "dpo", "--data", data, "--to", tmp_path / "dpo", "--launch", name)
        (line,) = mistakes(done)
        assert told in line
    assert not (tmp_path / "dpo").exists()


def test_a_process_of_a_launcher_starts_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = here("train", "sft", "--data", pairs(tmp_path), "--to", tmp_path / "sft", "--launch", "two-cpu")
    (line,) = mistakes(done)
    assert "this is a process of a launcher already" in line


@pytest.mark.slow
def test_two_processes_train_a_run_and_only_the_first_one_speaks(tiny_folder: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, roomy(tiny_folder, tmp_path / "model"), train="[sft]")
    folder = execute(RunRequest(run_file, stages=("critique",))).folder
    done = publius("train", "sft", run_file, "--launch", "two-cpu", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)  # one JSON document: the second process prints none
    assert Path(summary["run"]) == folder
    assert (folder / "sft" / "training.json").is_file()
    assert done.stderr.count("run folder") == 1


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_give_the_weights_of_one_from_the_command_line(tiny_folder: Path, tmp_path: Path):
    data, found = pairs(tmp_path), []
    single = tmp_path / "single.yaml"
    single.write_text('{distributed_type: "NO", num_processes: 1, use_cpu: true}')
    launches = {"one": (), "two": ("--launch=two-cpu",), "file": ("--launch", single)}
    for name, launch in launches.items():
        options = ["--set", "optim.batch_size=4", "--set", "engine.device=cpu", *launch]
        done = publius(
            "train", "dpo", "--data", data, "--model", tiny_folder, "--to", tmp_path / name, *options
        )
        assert done.returncode == 0, done.stderr
        found.append(load_file(tmp_path / name / WEIGHTS))
    one, two, file = found
    assert one.keys() == two.keys()
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-4
    assert all(bool((one[name] == file[name]).all()) for name in one)


@pytest.mark.slow
@pytest.mark.long
def test_a_mistake_is_told_once_and_with_its_exit_code(tiny_folder: Path, tmp_path: Path):
    data = tmp_path / "empty.jsonl"
    data.write_text('{"prompt": "Hi", "chosen": "", "rejected": ""}\n')
    options = ["--model", tiny_folder, "--to", tmp_path / "dpo", "--launch", "two-cpu"]
    done = publius("train", "dpo", "--data", data, *options)
    (line,) = mistakes(done)
    assert "empty.jsonl" in line
    assert "torch" not in done.stderr


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_end_with_the_launcher_however_it_ends(
    number: signal.Signals, tiny_folder: Path, tmp_path: Path
):
    folder = tmp_path / "dpo"
    arguments = ["train", "dpo", "--data", pairs(tmp_path), "--model", tiny_folder, "--to", folder]
    arguments += ["--set", "optim.batch_size=4", "--set", "engine.device=cpu", "--launch", "two-cpu"]
    line, environment = command(*arguments, "--set", "optim.epochs=100000")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        metrics = folder / "metrics.jsonl"
        until(lambda: metrics.is_file() and metrics.stat().st_size, process)
        workers = workers_of(process.pid)
        assert len(workers) == 2
        process.send_signal(number)
        _, errors = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    if number == signal.SIGINT:
        assert process.returncode == 128 + number
        assert errors.count("interrupted; completed work is saved") == 1
        assert "Traceback" not in errors
    end = time.monotonic() + LIMIT_S
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


def workers_of(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    names = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, name in names.items() if b"publius" in name]
