"""A run is exported as a project, which makes the same run in another folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import DataError
from publius.authoring.repeating.project import export_project
from publius.config.run_file import RunConfig
from publius.config.stand_ins import stand_in_settings
from tests.publius.invoking import here
from tests.publius.people import pair, person, write_people
from tests.publius.projects import RUN, record_lines, write_project

_MORE = """\
seed: 3
templates: own
label: {principles: 2, humans: [elsewhere/people]}
eval: {models: [base, prompted], sampling: {max_new_tokens: 24}}
"""


def write_run(project: Path) -> Path:
    """Run a small project with human labels, a template of its own and a changed seed; return its folder."""
    run_file = write_project(project, run=RUN.replace("label: {principles: 2}\n", _MORE))
    with (project / "prompts.jsonl").open("a") as more:
        more.write(json.dumps({"prompt": "What is kept for the end?", "split": "test"}) + "\n")
    comparison = pair("What is right?", "preference")
    write_people(project / "elsewhere" / "people", [person(comparison.id, "a")], [comparison])
    assert here("init", "--templates", project / "own").returncode == 0
    done = here("run", run_file)
    assert done.returncode == 0, done.stderr
    done = here("eval", run_file)
    assert done.returncode == 0, done.stderr
    (folder,) = (project / "runs").iterdir()
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("private") / "project")


def sorted_records(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(lines) for name, lines in record_lines(folder).items()}


def test_a_project_makes_the_same_run_elsewhere(run: Path, tmp_path: Path):
    done = here("export", run, "--project", "--to", tmp_path / "sent", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["run"] == run.name
    assert found["commands"] == ["publius run run.yaml", "publius eval run.yaml"]
    assert found["missing"] == []
    (tmp_path / "sent").rename(tmp_path / "received")
    for name in found["files"]:
        text = (tmp_path / "received" / name).read_text()
        assert str(run.parent.parent.parent) not in text
        assert str(Path.home()) + "/" not in text
    for command in ("run", "eval"):
        done = here(command, tmp_path / "received" / "run.yaml")
        assert done.returncode == 0, done.stderr
    again = tmp_path / "received" / "runs" / run.name
    assert sorted_records(again) == sorted_records(run)
    metrics = [json.loads((one / "eval" / "metrics.json").read_text()) for one in (run, again)]
    assert metrics[0] == metrics[1]
    readme = (tmp_path / "received" / "README.md").read_text()
    assert run.name in readme
    assert "| seed | 3 |" in readme


def test_prompts_that_were_changed_since_are_one_line_and_nothing_is_written(tmp_path: Path):
    folder = write_run(tmp_path / "project")
    with (tmp_path / "project" / "prompts.jsonl").open("a") as file:
        file.write('{"prompt": "One more?"}\n')
    with pytest.raises(DataError, match="it would be another run: prompts"):
        export_project(folder, tmp_path / "sent")
    assert not (tmp_path / "sent").exists()


def test_a_model_of_the_machine_is_named_with_its_digest(tmp_path: Path):
    (tmp_path / "ours" / "model").mkdir(parents=True)
    run_file = write_project(tmp_path / "project", run=RUN.replace("some-model", f"{tmp_path}/ours/model"))
    assert here("run", run_file, "--only", "critique").returncode == 0
    (folder,) = (tmp_path / "project" / "runs").iterdir()
    written = export_project(folder, tmp_path / "sent")
    (missing,) = written.missing
    assert missing.startswith("models/model: the model in the folder model, SHA-256")
    assert written.commands == ["publius run run.yaml --only critique"]
    assert all(str(tmp_path) not in (tmp_path / "sent" / name).read_text() for name in written.files)


@pytest.mark.parametrize("secret", ["{project}/notes/rules.txt", "hf_{key}"])
def test_a_path_or_key_in_the_constitution_is_one_line_and_nothing_is_written(secret: str, tmp_path: Path):
    said = secret.format(project=tmp_path / "project", key="aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4h")
    rules = f"name: small\nprinciples:\n  - {{id: plain, text: The reply is plain as in {said} it is.}}\n"
    run_file = write_project(tmp_path / "project", constitution=rules)
    assert here("run", run_file, "--only", "critique").returncode == 0
    (folder,) = (tmp_path / "project" / "runs").iterdir()
    done = here("export", folder, "--project", "--to", tmp_path / "sent")
    assert done.returncode == 2
    assert "constitution.yaml:" in done.stderr
    assert not (tmp_path / "sent").exists()
    assert (
        here("export", folder, "--project", "--format", "parquet", "--to", tmp_path / "sent").returncode == 2
    )


def test_columns_that_are_copied_and_not_used_are_named(tmp_path: Path):
    run_file = write_project(tmp_path / "project")
    rows = [{"prompt": f"What is {n}?", "user": f"u{n}", "id": n, "note": "n" * 2000} for n in range(6)]
    (tmp_path / "project" / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert here("run", run_file, "--only", "critique", "--set", "prompts.keep=[id]").returncode == 0
    (folder,) = (tmp_path / "project" / "runs").iterdir()
    done = here("export", folder, "--project", "--to", tmp_path / "sent")
    said = " ".join(done.stderr.split())
    assert "data/prompts.jsonl is a copy with all columns" in said
    assert "does not use 3 columns of it (id, user, note)" in said
    readme = " ".join((tmp_path / "sent" / "README.md").read_text().split())
    assert "`data/prompts.jsonl` is a copy with all of its columns" in readme
    assert "these 3 columns: `id`, `user`, `note`." in readme


def test_nothing_is_said_of_columns_where_all_are_read(run: Path, tmp_path: Path):
    done = here("export", run, "--project", "--to", tmp_path / "sent")
    assert "is a copy with all" not in done.stderr + (tmp_path / "sent" / "README.md").read_text()


def test_a_rehearsal_says_first_that_it_was_one_and_what_to_change(run: Path, tmp_path: Path):
    done = here("export", run, "--project", "--to", tmp_path / "sent")
    assert "a rehearsal: the texts of policy, critic, labeler are from the scripted engine" in done.stderr
    title, _, first, *rest = (tmp_path / "sent" / "README.md").read_text().splitlines()
    assert title == "# To repeat the rehearsal small"
    assert first.startswith(
        "**This was a rehearsal**: the texts of policy, critic, labeler are from the scripted"
    )
    said = " ".join(rest)
    assert "change `engine.kind` in `run.yaml` to `transformers`" in said
    assert "its id is another one than the one below" in said
    assert "| policy | the scripted engine, in place of `some-model` |" in rest
    settings = (tmp_path / "sent" / "run.yaml").read_text()
    assert settings.startswith("# A REHEARSAL with made-up texts, by engine.kind: scripted.")


def test_the_settings_of_a_rehearsal_are_those_of_the_roles_that_were_scripted():
    models = {
        "policy": "a/b",
        "critic": {"id": "a/b", "engine": {"kind": "scripted"}},
        "labeler": {"id": "a/c", "engine": {"kind": "scripted"}},
    }
    needed = {"name": "x", "constitution": "c.yaml", "prompts": "p.jsonl", "models": models}
    config = RunConfig.model_validate({**needed, "seed": 0, "prompts": {"path": "p.jsonl"}})
    assert stand_in_settings(config) == ("models.critic.engine.kind", "models.labeler.engine.kind")
