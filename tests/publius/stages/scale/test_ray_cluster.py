"""Runs on a cluster that `ray start` made: by its address, beside it, and as a submitted job."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from publius.stages.runner import RunRequest, execute
from tests.publius.projects import RUN, record_lines, write_project

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[4]
RAY = Path(sys.executable).with_name("ray")
PUBLIUS = "import sys; sys.argv[0] = 'publius'; from publius.cli import main; main()"
ON_CLUSTER = RUN + "scale: {kind: ray, workers: 2, address: auto}\n"
BESIDE = RUN + "scale: {kind: ray, workers: 2}\n"
NEEDED = ("aiohttp_cors", "colorful", "opencensus", "opentelemetry", "prometheus_client", "smart_open")
HAS_JOBS = all(find_spec(name) for name in NEEDED)
STARTS = 4
"""Ray gives up a start that takes longer than 30 seconds, as on a busy machine."""


@dataclass
class Cluster:
    """A cluster on this machine with room for two workers."""

    process: subprocess.Popen[bytes]
    env: dict[str, str]
    """Variables with which a command finds this cluster and no other one."""
    address: str
    port: int
    """Port of the job server."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a cluster with a token of its own; its folder has a short name, since Ray makes sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    given = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    (folder / "token").write_text(secrets.token_hex())
    env = {
        **given,
        "PYTHONPATH": str(REPOSITORY),
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
    }
    port = free_port()
    command = [RAY, "start", "--head", "--port=0", "--num-cpus=2", "--block"]
    command += [f"--dashboard-port={port}", "--dashboard-agent-listen-port=0"]
    written, log = folder / "ray" / "ray_current_cluster", folder / "log"
    try:
        for _ in range(STARTS):
            with log.open("wb") as output:
                process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
            while process.poll() is None and not (written.exists() and written.read_text()):
                time.sleep(0.1)
            if process.poll() is None:
                break
        assert process.poll() is None, log.read_text()
        yield Cluster(process, env, written.read_text().strip(), port)
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all below it, and no other process of Ray on this machine."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.wait()


def wait_for_job_server(cluster: Cluster) -> None:
    """Wait for the job server, which is up some seconds after the cluster."""
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", cluster.port), timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline, "the job server does not listen"
            time.sleep(0.2)
        else:
            return


def publius(cluster: Cluster, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PUBLIUS, *map(str, arguments)]
    return subprocess.run(command, env=cluster.env | env, capture_output=True, text=True)


def sorted_records(project: Path) -> dict[str, list[str]]:
    (folder,) = (project / "runs").iterdir()
    return {name: sorted(lines) for name, lines in record_lines(folder).items()}


def records_of_one_process(folder: Path) -> dict[str, list[str]]:
    execute(RunRequest(write_project(folder, 12)))
    return sorted_records(folder)


@pytest.mark.parametrize("given", ["auto", "RAY_ADDRESS"])
def test_run_on_an_existing_cluster_has_the_records_of_one_process(
    tmp_path: Path, cluster: Cluster, given: str
):
    one = records_of_one_process(tmp_path / "one")
    run_file = write_project(tmp_path / "two", 12, ON_CLUSTER if given == "auto" else BESIDE)
    done = publius(cluster, "run", run_file, **({} if given == "auto" else {given: cluster.address}))
    assert done.returncode == 0, done.stderr
    assert sorted_records(tmp_path / "two") == one
    assert "starting Ray on this machine" not in done.stderr
    assert cluster.process.poll() is None, "the run ended a cluster that it had not started"


def test_run_without_an_address_has_a_cluster_of_its_own_beside_an_existing_one(
    tmp_path: Path, cluster: Cluster
):
    one = records_of_one_process(tmp_path / "one")
    done = publius(cluster, "run", write_project(tmp_path / "two", 12, BESIDE))
    assert done.returncode == 0, done.stderr
    assert "starting Ray on this machine for 2 workers" in done.stderr
    assert sorted_records(tmp_path / "two") == one


@pytest.mark.skipif(
    not HAS_JOBS,
    reason="Ray's job server is not installed; run: pip install -c constraints.txt 'ray[default]'",
)
def test_submitted_job_leaves_its_records_in_the_project(tmp_path: Path, cluster: Cluster):
    one = records_of_one_process(tmp_path / "one")
    run_file = write_project(tmp_path / "two", 12, BESIDE)
    # Without --working-dir: a job with one works in a copy of it, and its records would be in the copy.
    wait_for_job_server(cluster)
    command = [RAY, "job", "submit", "--address", f"http://127.0.0.1:{cluster.port}", "--"]
    command += [Path(sys.executable).with_name("publius"), "run", run_file]
    for _ in range(2):  # the second finds nothing to do
        done = subprocess.run(command, env=cluster.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert sorted_records(tmp_path / "two") == one
