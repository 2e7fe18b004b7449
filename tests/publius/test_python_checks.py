"""A run with a check in Python: the option allows it, an edit of the code renames it, its mistakes end it."""

from __future__ import annotations

import os
import sys

import pytest

from core.code import ALLOW_CODE
from tests.publius.invoking import here
from tests.publius.projects import CONSTITUTION, write_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv(ALLOW_CODE, raising=False)
    name = "lengths_" + tmp_path.name.replace("-", "_")
    source = tmp_path / "project" / f"{name}.py"
    check = (
        f"- {{id: even, text: The reply is of even length., check: {{kind: python, value: '{name}:even'}}}}\n"
    )
    run_file = write_project(tmp_path / "project", constitution=CONSTITUTION + "  " + check)
    source.write_text("def even(text):\n    return len(text) % 2 == 0\n")
    monkeypatch.chdir(run_file.parent)
    yield run_file, source
    os.environ.pop(ALLOW_CODE, None)  # the option has set it in this process
    sys.modules.pop(name, None)


def runs(run_file):
    return sorted((run_file.parent / "runs").glob("*"))


def test_a_run_labels_by_the_function_and_an_edit_of_it_begins_another_run(project):
    run_file, source = project
    refused = here("run", run_file)
    assert refused.returncode == 2
    assert f"the check runs the code {source.stem}:even, which is not allowed" in refused.stderr
    assert not runs(run_file)

    assert here("run", run_file, "--allow-code").returncode == 0
    (first,) = runs(run_file)
    assert '"principle_id":"even"' in (first / "judgments.jsonl").read_text()
    assert here("run", run_file, "--allow-code").returncode == 0
    assert runs(run_file) == [first]

    source.write_text(source.read_text() + "\n# reworded\n")
    assert here("run", run_file, "--allow-code").returncode == 0
    assert len(runs(run_file)) == 2


def test_a_function_that_fails_ends_the_run_with_one_line(project):
    run_file, source = project
    source.write_text("def even(text):\n    return text.no_such_method()\n")
    ended = here("run", run_file, "--allow-code")
    assert ended.returncode == 2
    assert f"the function {source.stem}:even failed (AttributeError: " in ended.stderr
    assert "Traceback" not in ended.stderr
