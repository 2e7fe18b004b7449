"""Several runs are exported as one project, which makes all of them in another folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from publius.authoring.repeating import evidence
from publius.authoring.repeating.project import export_project
from publius.authoring.repeating.study import export_study
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.projects import write_project


def json_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return found


def make(run_file: Path, *settings: str) -> Path:
    return execute(RunRequest(run_file, settings)).folder


def test_runs_of_several_seeds_and_constitutions_become_one_project(tmp_path: Path):
    run_file = write_project(tmp_path / "project", 3)
    other = run_file.with_name("other.yaml")
    other.write_text(
        run_file.with_name("constitution.yaml").read_text() + "\n# another version of it\nversion: two\n"
    )
    runs = [make(run_file, f"seed={seed}") for seed in (0, 1)] + [make(run_file, f"constitution={other}")]
    metrics = [
        {"name": "base.words", "value": 3.5, "low": 2.0, "high": 5.0, "n": 3},
        {"name": "base.kl", "value": 0.25, "n": 3},
    ]
    (runs[0] / "eval").mkdir()
    (runs[0] / "eval" / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    done = here("export", *runs, runs[0], "--project", "--to", tmp_path / "sent", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["runs"] == [run.name for run in runs]
    assert found["commands"] == [f"publius run {run.name}.yaml" for run in runs]
    assert [name for name in found["files"] if name.startswith("data/")] == ["data/prompts.jsonl"]
    constitutions = [name for name in found["files"] if name.startswith("constitutions/")]
    assert constitutions == ["constitutions/constitution.yaml", "constitutions/other.yaml"]
    with (tmp_path / "sent" / "expected" / f"{runs[0].name}.csv").open(newline="") as opened:
        rows = {row["name"]: row for row in csv.DictReader(opened)}
    assert {name: float(row["value"]) for name, row in rows.items()} == {
        m["name"]: m["value"] for m in metrics
    }
    assert [name for name in found["files"] if name.startswith("expected/")] == [
        f"expected/{runs[0].name}.csv"
    ]
    readme = (tmp_path / "sent" / "README.md").read_text()
    assert found["rehearsed"] == found["runs"]
    assert readme.splitlines()[2].startswith("**All of these were rehearsals**: their texts are made up")
    assert f"- `{runs[0].name}.yaml`: the texts of policy, critic, labeler are from the scripted" in readme
    places = " ".join(f"runs/{run.name}" for run in runs)
    assert found["compare"] == f"publius report {places} --to compared.html --figures paper"
    assert found["compare"] in readme
    assert f"| `constitutions/other.yaml` | `{json_of(runs[2])['identity']['constitution']}` |" in readme
    assert "the gold\nlabels of audits" in readme
    for run in runs:
        again = execute(RunRequest(tmp_path / "sent" / f"{run.name}.yaml"))
        assert again.folder.name == run.name
        assert json.loads((run / "manifest.json").read_text())["digest"] in readme


def test_the_certificate_of_the_labeler_is_carried_without_gold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    run = make(write_project(tmp_path / "project", 2))
    audit = tmp_path / "project" / "audits" / "one"
    audit.mkdir(parents=True)
    for name in ("audit.json", "audit.md", "gold.jsonl"):
        (audit / name).write_text("{}")
    monkeypatch.setattr(evidence, "audit_folder_of", lambda run, manifest: audit)
    found = export_project(run, tmp_path / "sent")
    assert [n for n in found.files if n.startswith("audits/")] == [
        "audits/one/audit.json",
        "audits/one/audit.md",
    ]
    (audit / "audit.md").write_text(f"read from {tmp_path / 'project' / 'gold.csv'}")
    without = export_project(run, tmp_path / "without")
    assert not [name for name in without.files if name.startswith("audits/")]
    assert "not in it: the certificate of the labeler, which has" in caplog.text
    assert "`audits/` the certificate of its labeler" in (tmp_path / "sent" / "README.md").read_text()


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
