"""Several runs are exported as one project, which makes all of them in another folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import DataError
from publius.authoring.repeating.study import export_study
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.projects import write_project


def make(run_file: Path, *settings: str) -> Path:
    return execute(RunRequest(run_file, settings)).folder


def test_runs_of_several_seeds_and_constitutions_become_one_project(tmp_path: Path):
    run_file = write_project(tmp_path / "project", 3)
    other = run_file.with_name("other.yaml")
    other.write_text(
        run_file.with_name("constitution.yaml").read_text() + "\n# another version of it\nversion: two\n"
    )
    runs = [make(run_file, f"seed={seed}") for seed in (0, 1)] + [make(run_file, f"constitution={other}")]
    done = here("export", *runs, runs[0], "--project", "--to", tmp_path / "sent", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["runs"] == [run.name for run in runs]
    assert found["commands"] == [f"publius run {run.name}.yaml" for run in runs]
    assert [name for name in found["files"] if name.startswith("data/")] == ["data/prompts.jsonl"]
    assert len([name for name in found["files"] if name.startswith("constitutions/")]) == 2
    readme = (tmp_path / "sent" / "README.md").read_text()
    assert found["rehearsed"] == found["runs"]
    assert readme.splitlines()[2].startswith("**All of these were rehearsals**: their texts are made up")
    assert f"- `{runs[0].name}.yaml`: the texts of policy, critic, labeler are from the scripted" in readme
    for run in runs:
        again = execute(RunRequest(tmp_path / "sent" / f"{run.name}.yaml"))
        assert again.folder.name == run.name
        assert json.loads((run / "manifest.json").read_text())["digest"] in readme


def test_different_inputs_of_one_name_are_refused_with_the_commands_for_each(tmp_path: Path):
    runs = [make(write_project(tmp_path / name, prompts)) for name, prompts in (("one", 3), ("two", 4))]
    with pytest.raises(DataError, match=r"different inputs of the same name: data/prompts\.jsonl") as refused:
        export_study(runs, tmp_path / "sent")
    assert f"publius export {runs[1]} --project --to DIR/{runs[1].name}" in str(refused.value)
    assert not (tmp_path / "sent").exists()


def test_only_a_project_takes_several_runs(tmp_path: Path):
    run = make(write_project(tmp_path / "project", 2))
    done = here("export", run, tmp_path, "--to", tmp_path / "sent")
    assert done.returncode == 2
    assert "only --project takes several" in " ".join(done.stderr.split())
