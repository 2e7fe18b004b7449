"""The whole circle of docs/human-labels.md: import, run, agreement, select, annotate, run, export, import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.labelers.page.collections import decision
from tests.labelers.page.serving import REPOSITORY, Person, serving
from tests.publius.invoking import here
from tests.publius.projects import RUN, write_project

pytest.importorskip("uvicorn", reason="the extra 'annotate' is not installed")

EXPORT = REPOSITORY / "examples" / "human-labels" / "argilla.json"
VERDICTS = ("first", "both_bad", "skip", "tie")


def said(*command: object) -> dict[str, Any]:
    """What a command prints for programs."""
    done = here(*command, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run_with(run_file: Path, *humans: str) -> Path:
    named = f"principles: 2, humans: [{', '.join(humans)}]"
    run_file.write_text(RUN.replace("principles: 2", named))
    return Path(said("run", run_file)["run"])


def preferences(run: Path) -> dict[str, dict[str, Any]]:
    rows = map(json.loads, (run / "preferences.jsonl").read_text().splitlines())
    return {row["comparison_id"]: row for row in rows}


def selected(run: Path, to: Path) -> list[str]:
    assert here("select", run, "--budget", 20, "--to", to).returncode == 0
    return [json.loads(line)["comparison_id"] for line in to.read_text().splitlines()]


@pytest.mark.slow
def test_labels_go_all_the_way_round(tmp_path: Path):
    run_file, questions, people = write_project(tmp_path), tmp_path / "q.jsonl", tmp_path / "people"
    said("import", "labels", EXPORT, "--to", people / "imported")
    first = run_with(run_file, "people/imported")
    assert {row["sources"].get("argilla", 0) for row in preferences(first).values()} >= {0, 3}
    agreement = said("agreement", people / "imported", first)
    assert agreement["overall"]["annotators"] == 3  # the machine check has no vote on a pair as a whole
    assert {"ai", "argilla/ada"} <= {row["annotator"] for row in agreement["annotators"]}
    ids = selected(first, questions)

    with serving(first, "--select", questions, "--to", people / "page", "--port", 0) as served:
        ana = Person("ana", served)
        view = ana.view()
        for number, verdict in enumerate((*VERDICTS, "second")):
            assert view["task"]["id"] == ids[number]
            view = ana.decide(decision(ids[number], verdict).model_dump(mode="json"))
        ana.undo(view["undo"])  # the last one
        served.interrupt()

    second = run_with(run_file, "people/imported", "people/page")
    by_people = {id for id, row in preferences(second).items() if row["sources"].keys() == {"human"}}
    assert by_people == {ids[0], ids[3]}  # the AI decides what was skipped or undone
    assert ids[1] not in preferences(second)  # both are bad
    assert ids[2] in preferences(second)
    assert set(selected(second, questions)) == {ids[2], *ids[4:]}
    counted = said("agreement", people / "page")
    assert (counted["taken_back"], counted["without_choice"]) == (1, {"skip": 2})

    with serving(second, "--select", questions, "--to", people / "page", "--port", 0) as served:
        assert Person("ana", served).view()["decided"] == len(VERDICTS)
        served.interrupt()

    out = said("export", second, "--labels", "label-studio", "--to", tmp_path / "tasks.json")
    assert out["comparisons"] == len(ids) + 4  # those that people brought, too
    back = said("import", "labels", tmp_path / "tasks.json", "--to", people / "back", "--strict")
    assert back["judgments"] == out["judgments"]
    third = run_with(run_file, "people/back")
    assert third != second
    assert preferences(third) == preferences(second)


def test_a_judgment_in_two_folders_counts_once(tmp_path: Path):
    run_file, people = write_project(tmp_path, 3), tmp_path / "people"
    for name in ("one", "two"):
        said("import", "labels", EXPORT, "--to", people / name)
    run = run_with(run_file, "people/one", "people/two")
    manifest = json.loads((run / "manifest.json").read_text())
    assert (manifest["people"]["judgments"], manifest["people"]["added"]) == (8, 4)
