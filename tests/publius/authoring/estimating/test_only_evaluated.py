"""Estimates of a run whose split holds out all prompts for the evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.publius.invoking import here
from tests.publius.projects import RUN, write_project
from tests.publius.test_cli import mistakes

SETTINGS = """\
split: {train: 0, preference: 0, test: 1}
train: []
eval: {models: [base, prompted], kl: false, quality: false}
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    found = write_project(tmp_path, 3, RUN + SETTINGS)
    rows = [{"prompt": f"What is {n} times {n}?", "split": "test"} for n in range(3)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return found


def test_the_split_is_the_reason_why_nothing_is_asked(run_file: Path):
    done = here("run", run_file, "--estimate")
    assert done.returncode == 0, done.stderr
    assert "none: the split holds out all prompts for the evaluation" in done.stdout
    assert "cache all answers" not in done.stdout
    assert "publius eval RUN.yaml --estimate" in done.stderr


def test_the_evaluation_alone_is_estimated(run_file: Path):
    done = here("eval", run_file, "--estimate", "--rate", "100", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {row["stage"] for row in found["requests"]} == {"eval"}
    assert found["total"]["calls"]["expected"] == 6  # three prompts, two variants
    assert not (run_file.parent / "runs").exists()
    assert "is not in it" not in done.stderr


def test_a_run_that_asked_nothing_has_no_table_of_its_estimate(run_file: Path):
    assert here("run", run_file, "--estimate").returncode == 0
    done = here("run", run_file)
    assert done.returncode == 0, done.stderr
    assert "Estimated and actual" not in done.stdout


def test_options_of_an_estimate_require_it(run_file: Path):
    (line,) = mistakes(here("eval", run_file, "--rate", "100"))
    assert "--rate and --prices require --estimate" in line
