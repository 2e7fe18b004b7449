"""People's judgments in a run: matched, added, counted out, and part of the run's identity."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from core.records import Comparison, Exclusion, Preference
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.people import pair, person, write_people
from tests.publius.projects import RUN, Recorder, record_lines, write_project

PEOPLE = RUN.replace(
    "label: {principles: 2}", "label: {principles: 2, humans: [people], aggregation: majority}"
)


def records(run: Path, name: str, kind: type) -> list:
    path = run / name
    return [kind.model_validate_json(line) for line in path.read_text().splitlines()] if path.exists() else []


def preferences(run: Path) -> dict[str, Preference]:
    return {p.comparison_id: p for p in records(run, "preferences.jsonl", Preference)}


def run(run_file: Path, *overrides: str, make: Recorder | None = None) -> RunOutcome:
    return execute(RunRequest(run_file, overrides), make or Recorder())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose run file names the folder `people`, and a run of it without people."""
    run_file = write_project(tmp_path, run=PEOPLE)
    return run_file


@pytest.fixture
def own(project: Path) -> list[Comparison]:
    """The run's own comparisons, in order."""
    return records(
        run(project, "label.humans=[]", "label.aggregation=graded").folder, "comparisons.jsonl", Comparison
    )


def test_people_override_the_labeler_on_matched_comparisons(project: Path, own: list[Comparison]):
    first = own[0]
    write_people(project.parent / "people", [person(first.id, "a", who) for who in ("anna", "ben")])
    outcome = run(project)
    found = preferences(outcome.folder)
    assert found[first.id].sources == {"crowd": 2}
    assert (found[first.id].p_chosen, found[first.id].chosen[0].content) == (1.0, first.response_a)
    assert set(found[own[1].id].sources) <= {"ai", "check"}
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    assert manifest["people"] == {"judgments": 2, "matched": 1, "added": 0, "annotators": 2}


def test_comparisons_of_people_are_added_with_a_split(project: Path):
    pairs = [pair(f"May I ask {n}?") for n in range(60)]
    write_people(project.parent / "people", [person(p.id, "a") for p in pairs], pairs)
    outcome = run(project)
    added = records(outcome.folder, "added_comparisons.jsonl", Comparison)
    splits = {c.prompt.split for c in added}
    assert splits == {"train", "preference"}
    held_out = 60 - len(added)
    assert 0 < held_out < 12  # one in twenty
    left_out = json.loads((outcome.folder / "manifest.json").read_text())["stages"]["people"]["left_out"]
    assert left_out == {"prompt is held out for evaluation": held_out}
    found = preferences(outcome.folder)
    assert {c.id for c in added} <= found.keys()
    assert all(found[c.id].sources == {"crowd": 1} for c in added)


def test_prompt_in_other_dress_shares_the_split_of_the_runs_prompt(project: Path):
    rows = [json.loads(line) for line in (project.parent / "prompts.jsonl").read_text().splitlines()]
    rows[0]["split"] = "test"
    (project.parent / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    same = pair(rows[0]["prompt"].upper() + "!!")
    write_people(project.parent / "people", [person(same.id, "a")], [same])
    assert same.id not in preferences(run(project).folder)


def test_split_that_came_with_the_comparison_is_kept(project: Path):
    pairs = [pair("One?", split="test"), pair("Two?", split="train")]
    write_people(project.parent / "people", [person(p.id, "a") for p in pairs], pairs)
    found = preferences(run(project).folder)
    assert pairs[0].id not in found
    assert found[pairs[1].id].split == "train"


def test_labeler_is_asked_about_added_comparisons_only_where_it_counts(project: Path):
    added = pair("May I?", split="train")
    write_people(project.parent / "people", [person(added.id, "a")], [added])
    silent, asked = Recorder(), Recorder()
    run(project, make=silent)
    assert not any("May I?" in text for text in silent.texts("label"))
    outcome = run(project, "label.mix=pooled", make=asked)
    assert any("May I?" in text for text in asked.texts("label"))
    assert preferences(outcome.folder)[added.id].sources == {"ai": 2, "check": 1, "crowd": 1}


def test_what_cannot_be_used_is_counted_with_its_reason(project: Path, own: list[Comparison]):
    unjudged = pair("Nobody?")
    judgments = [
        person(own[0].id, "a"),
        person("gone", "a"),
        person(own[0].id, "a", "robot", labeler="ai", p_a=0.9),
    ]
    write_people(project.parent / "people", judgments, [unjudged])
    outcome = run(project)
    left_out = json.loads((outcome.folder / "manifest.json").read_text())["stages"]["people"]["left_out"]
    assert left_out == {
        "comparison not found in the run or in the label folder": 1,
        "not a human judgment": 1,
        "no human judgment": 1,
    }


def test_near_duplicates_that_people_judged_are_labelled(project: Path, own: list[Comparison]):
    alike = "label.near_duplicate=0.01"
    alone = run(project, "label.humans=[]", "label.aggregation=graded", alike)
    left_out = excluded_pairs(alone)
    judged = next(one for one in own if one.id in left_out)
    people = write_people(project.parent / "people", [person(judged.id, "b", who) for who in ("anna", "ben")])
    outcome = run(project, alike)
    assert excluded_pairs(outcome) == left_out - {judged.id}
    assert preferences(outcome.folder)[judged.id].sources == {"crowd": 2}
    said = " ".join(here("agreement", people, alone.folder).stdout.split())
    name = alone.folder.name
    assert f"{name} did not label 1 comparison of people: answers are near-duplicates" in said
    assert "--set label.near_duplicate=1 keeps" in said
    assert "--set label.near_duplicate=1 keeps" in " ".join(here("show", alone.folder).stdout.split())


def excluded_pairs(outcome: RunOutcome) -> set[str]:
    found = records(outcome.folder, "exclusions.jsonl", Exclusion)
    return {one.record_id for one in found if one.reason == "answers are near-duplicates"}


def test_labeling_again_changes_nothing(project: Path, own: list[Comparison]):
    added = pair("Again?", split="train")
    write_people(project.parent / "people", [person(own[0].id, "b"), person(added.id, "a")], [added])
    first = run(project)
    before = record_lines(first.folder)
    again = execute(RunRequest(project, (), ("label",)), Recorder())
    assert (again.folder, record_lines(again.folder)) == (first.folder, before)
    compared = execute(RunRequest(project, (), ("compare",)), Recorder())
    assert compared.stages[0].records == len(own)


def test_judgment_taken_back_has_no_say(project: Path, own: list[Comparison]):
    said = person(own[0].id, "a")
    write_people(project.parent / "people", [said, person(own[0].id, "skip", supersedes=said.id)])
    assert "crowd" not in preferences(run(project).folder)[own[0].id].sources


def test_more_judgments_make_another_run_that_asks_nothing_anew(project: Path, own: list[Comparison]):
    folder = write_people(project.parent / "people", [person(own[0].id, "a")])
    first = run(project)
    write_people(folder, [person(own[1].id, "a")])
    make = Recorder()
    second = run(project, make=make)
    assert second.folder != first.folder
    assert make.requests == []


def test_folder_is_known_by_its_content_and_not_by_its_name(project: Path, own: list[Comparison]):
    write_people(project.parent / "people", [person(own[0].id, "a")])
    first = run(project)
    (project.parent / "people").rename(project.parent / "moved")
    assert run(project, "label.humans=[moved]").folder == first.folder


def test_labeler_answers_do_not_depend_on_the_mix(project: Path, own: list[Comparison]):
    write_people(project.parent / "people", [person(own[0].id, "a")])
    ids = []
    for mix in ("override", "pooled"):
        lines = record_lines(run(project, f"label.mix={mix}").folder)["judgments.jsonl"]
        ids.append({json.loads(line)["id"] for line in lines})
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("label.humans=[nowhere]", "nowhere: no such folder; accepted: a label folder or a run folder"),
        ("label.humans=[.]", "the folder has no judgments.jsonl"),
        ("label.mix=vote", "label.mix"),
        ("label.weights={experts: 2}", "no judgments from the source 'experts'; accepted: ai, check, crowd"),
        ("label.rules=[{mix: humans, sources: [crwod]}]", "no judgments from the source 'crwod'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    project: Path, own: list[Comparison], override: str, said: str
):
    write_people(project.parent / "people", [person(own[0].id, "a")])
    done = here("run", project, "--set", override)
    assert done.returncode == 2
    (line,) = [line for line in " ".join(done.stderr.split("\n")).split("error: ")[1:]]
    assert said in " ".join(line.split())


def test_other_answers_under_an_id_of_the_run_are_refused(project: Path, own: list[Comparison]):
    turned = own[0].model_copy(update={"response_a": own[0].response_b, "response_b": own[0].response_a})
    write_people(project.parent / "people", [person(own[0].id, "a")], [turned])
    done = here("run", project)
    assert done.returncode == 2
    assert f"the content of record '{own[0].id}' is not that of its id" in " ".join(done.stderr.split())


def test_summary_show_and_export_know_of_people(project: Path, own: list[Comparison], tmp_path: Path):
    added = pair("May I?", split="train")
    write_people(project.parent / "people", [person(own[0].id, "a"), person(added.id, "a")], [added])
    done = here("run", project)
    assert "2 judgments by 1 annotator, on 1 comparison of the run and 1 added" in " ".join(
        done.stdout.split()
    )
    folder = run(project).folder
    shown = here("show", folder, added.id)
    assert re.search(r"anna +1\.00", shown.stdout)
    exported = here("export", folder, "--to", tmp_path / "set")
    assert exported.returncode == 0
    rows = "".join(path.read_text() for path in (tmp_path / "set" / "judgments").glob("*.jsonl"))
    assert rows.count('"labeler": "crowd"') == 2
    card = (tmp_path / "set" / "README.md").read_text()
    assert "Human labels: folder `people`, 2 judgments." in card
    assert "synthetic" not in card.casefold()
