"""`publius export --labels`: a new file for a labeling tool, or one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.labelers.formats.reading import FIXTURES
from tests.publius.invoking import here
from tests.publius.people import pair, person, write_people
from tests.publius.projects import write_project
from tests.publius.test_cli import mistakes


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    assert here("import", "labels", FIXTURES / "arena.jsonl", "--to", tmp_path / "labels").returncode == 0
    return tmp_path / "labels"


@pytest.mark.parametrize("form", ["argilla", "label-studio", "icai"])
def test_the_command_writes_a_file_that_the_import_reads(form: str, labels: Path, tmp_path: Path):
    file = tmp_path / f"{form}.json"
    done = here("export", labels, "--labels", form, "--to", file, "--json")
    assert json.loads(done.stdout) == {"file": str(file), "comparisons": 7, "judgments": 8}
    back = here("import", "labels", file, "--to", tmp_path / "back", "--json")
    assert json.loads(back.stdout)["judgments"] == 8


def test_a_runs_own_judgments_go_out_too(tmp_path: Path):
    run = json.loads(here("run", write_project(tmp_path), "--json").stdout)["run"]
    done = here("export", run, "--labels", "icai", "--to", tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "run.json").read_text())
    assert {annotator["type"] for annotator in document["annotators"].values()} == {"principle"}
    assert document["metadata"]["default_annotator"] in document["annotators"]


def test_comparisons_that_people_brought_into_a_run_go_out_too(tmp_path: Path):
    theirs = pair("Will you hold the door?", split="preference")
    write_people(tmp_path / "people", [person(theirs.id, "a")], [theirs])
    run_file = write_project(tmp_path)
    humans = ("--set", f"label.humans=[{tmp_path / 'people'}]")
    run = json.loads(here("run", run_file, *humans, "--json").stdout)["run"]
    done = here("export", run, "--labels", "icai", "--to", tmp_path / "run.json", "--json")
    written = json.loads((tmp_path / "run.json").read_text())["comparisons"]
    assert json.loads(done.stdout)["comparisons"] == len(written)
    (brought,) = [comparison for comparison in written if comparison["id"] == theirs.id]
    assert "a" in [annotation["pref"] for annotation in brought["annotations"].values()]


def test_mistakes_are_told_in_one_line(labels: Path, tmp_path: Path):
    (tmp_path / "there.json").write_text("mine")
    (tmp_path / "empty").mkdir()
    told = [
        (("export", labels, "--labels", "excel", "--to", tmp_path / "x"), "unknown format 'excel'"),
        (("export", labels, "--labels", "icai", "--to", tmp_path / "there.json"), "already exists"),
        (("export", tmp_path / "none", "--labels", "icai", "--to", tmp_path / "x"), "no such"),
        (("export", tmp_path / "empty", "--labels", "icai", "--to", tmp_path / "x"), "no comparisons"),
        (("export", labels, "--labels", "icai", "--model", "sft", "--to", tmp_path / "x"), "only one of"),
        (("export", labels, "--labels", "icai", "--to", tmp_path / "no" / "x"), "no such file or folder"),
    ]
    for command, expected in told:
        (line,) = mistakes(here(*command))
        assert expected in line
    assert (tmp_path / "there.json").read_text() == "mine"
    assert not (tmp_path / "x").exists()


def test_no_part_of_a_file_is_left_when_writing_fails(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labelers.writers.icai.comparison_of", broken)
    assert here("export", labels, "--labels", "icai", "--to", tmp_path / "x.json").returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels"]
