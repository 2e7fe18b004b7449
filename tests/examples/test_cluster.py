"""The Dockerfile and the Slurm jobs: they parse, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_pages import unknown_part
from tests.publius.invoking import here
from tests.publius.projects import write_project
from tests.publius.test_cli import REPOSITORY

SLURM = REPOSITORY / "examples" / "slurm"
JOBS = sorted(SLURM.glob("*.sbatch"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
INSTRUCTIONS = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "ARG", "USER", "ENTRYPOINT", "CMD"}


def instructions() -> Iterator[tuple[str, str]]:
    """Yield the Dockerfile's instructions with their arguments, each on one line."""
    text = re.sub(r"^#.*\n", "", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, " ".join(rest.split())


def of_kind(name: str) -> list[str]:
    return [rest for kind, rest in instructions() if kind == name]


def test_every_instruction_of_the_dockerfile_is_known_and_every_copied_path_exists():
    assert {name for name, _ in instructions()} == INSTRUCTIONS
    copied = [path for line in of_kind("COPY") for path in line.split()[:-1]]
    assert [path for path in copied if not (REPOSITORY / path).exists()] == []
    # The build back-end needs the packages and the files that pyproject.toml names.
    needed = {*PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], "pyproject.toml"}
    needed |= {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    assert needed <= set(copied)


def test_the_context_of_the_image_is_what_it_copies():
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").split()
    copied = {path for line in of_kind("COPY") for path in line.split()[:-1]}
    assert lines[0] == "**"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied


def test_the_image_installs_extras_and_files_that_exist_and_has_both_targets():
    stages = [re.fullmatch(r"\S+ AS (\w+)", line) for line in of_kind("FROM")]
    assert [stage and stage[1] for stage in stages] == ["base", "cpu", "cuda"]
    runs = " ".join(of_kind("RUN"))
    extras = {name for group in re.findall(r'"\.\[([\w,]+)\]"', runs) for name in group.split(",")}
    assert extras <= set(PROJECT["project"]["optional-dependencies"])
    assert {"train", "vllm"} <= extras
    for path in re.findall(r"--(?:constraint|requirement) (\S+)", runs):
        assert (REPOSITORY / path).is_file(), path
    commands = [command for command in re.split(r"&& ", runs) if command.startswith("publius ")]
    assert [unknown_part(command.removeprefix("publius ")) for command in commands] == [None] * len(commands)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_slurm_job_parses_and_its_commands_and_options_exist(job: Path):
    checked = subprocess.run(["bash", "-n", str(job)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    lines = job.read_text(encoding="utf-8").splitlines()
    commands = [found[1] for line in lines if (found := re.match(r"(?:srun )?publius (.+)", line))]
    assert commands
    assert {command: unknown_part(command) for command in commands} == dict.fromkeys(commands)
    options = [shlex.split(line)[1] for line in lines if line.startswith("#SBATCH")]
    assert all(re.fullmatch(r"--[a-z-]+=\S+", option) for option in options)


@pytest.mark.slow
@pytest.mark.long
def test_the_array_job_makes_the_run_that_one_process_makes(tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_file = write_project(whole)
    assert here("run", run_file).returncode == 0
    named_outside = write_project(parts)  # as publius init --constitution FILE names it
    (parts / "constitution.yaml").rename(tmp_path / "rules.yaml")
    named_outside.write_text(
        named_outside.read_text().replace("constitution: constitution.yaml", "constitution: ../rules.yaml")
    )
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, line in (("srun", 'exec "$@"'), ("publius", f'exec {sys.executable} -m publius "$@"')):
        (tools / name).write_text(f"#!/bin/bash\n{line}\n")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    environment |= {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}
    for number in ("1", "2"):
        done = subprocess.run(
            ["bash", str(SLURM / "label.sbatch"), str(parts / run_file.name)],
            env={**environment, "SLURM_ARRAY_TASK_ID": number},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    merging = (SLURM / "train.sbatch").read_text(encoding="utf-8").partition("srun publius")[0]
    done = subprocess.run(
        ["bash", "-c", merging, "train.sbatch", str(parts / run_file.name)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (one,) = (whole / "runs").iterdir()
    merged = parts / "runs" / one.name
    assert len(list((parts / "runs").iterdir())) == 3
    caches = {path.name for path in (parts / ".publius").glob("*.sqlite")}
    assert caches == {"shard-1.sqlite", "shard-2.sqlite"}
    for name in ("traces.jsonl", "comparisons.jsonl", "judgments.jsonl", "preferences.jsonl"):
        lines = [sorted((run / name).read_text(encoding="utf-8").splitlines()) for run in (one, merged)]
        assert lines[0] == lines[1], name
