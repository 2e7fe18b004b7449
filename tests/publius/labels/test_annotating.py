"""`publius annotate` as a command: what is asked, the gold slice's end, and one line for each mistake."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from core.records import Comparison, Exclusion, Judgment, Preference
from publius.labels.annotating import Collection, make_plan, open_session
from publius.labels.gold import labeler_accuracy
from publius.labels.sources import read_annotation_source
from publius.runs.pairs.filters import PreferenceFilter
from publius.stages.runner import RunRequest, execute
from tests.labelers.page.collections import answer, comparison, decision, group_of, session, stored
from tests.labelers.page.serving import Person, serving, write_folder
from tests.publius.invoking import here
from tests.publius.projects import Recorder, write_project

pytest.importorskip("uvicorn", reason="the extra 'annotate' is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of the scripted engine."""
    project = tmp_path_factory.mktemp("project")
    execute(RunRequest(write_project(project, prompts=12)), Recorder())
    (folder,) = (project / "runs").iterdir()
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_folder(tmp_path / "labels", [comparison(number) for number in range(3)])


def mistake(*arguments: object) -> str:
    """Return the one line that a command says about a mistake of the user's."""
    done = here("annotate", *arguments)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def asked(collection: Collection) -> list[str]:
    return [task.id for task in make_plan(collection, read_annotation_source(collection.folder)).tasks]


def records(folder: Path, kind: type[Any], name: str) -> list[Any]:
    return [kind.model_validate_json(line) for line in (folder / name).read_text().splitlines()]


def test_all_comparisons_of_a_run_are_asked_with_its_principles(run):
    plan = make_plan(Collection(run), read_annotation_source(run))
    comparisons = records(run, Comparison, "comparisons.jsonl")
    assert [task.id for task in plan.tasks] == sorted(c.id for c in comparisons)
    assert "The reply uses plain words." in plan.question.guide


def test_principle_and_dimension_are_asked_about(run):
    plan = make_plan(Collection(run, principle="kind"), read_annotation_source(run))
    assert (plan.question.principle_id, "The reply is kind" in plan.question.text) == ("kind", True)
    plan = make_plan(Collection(run, dimension="helpfulness"), read_annotation_source(run))
    assert (plan.question.dimension, "helpfulness" in plan.question.text) == ("helpfulness", True)


def test_filters_select_the_comparisons_to_ask(run, caplog):
    preferences = records(run, Preference, "preferences.jsonl")
    least = sorted(p.p_chosen for p in preferences)[len(preferences) // 2]
    wanted = sorted(p.comparison_id for p in preferences if p.p_chosen >= least)
    caplog.set_level("INFO", logger="publius")
    assert asked(Collection(run, conditions=PreferenceFilter.of(least))) == wanted
    left_out = len(records(run, Comparison, "comparisons.jsonl")) - len(wanted)
    assert f"left out: {left_out} with p of the chosen answer below {least:g}" in caplog.text


def test_filters_that_no_comparison_passes_are_an_error(run):
    line = mistake(run, "--source", "anna")
    assert line.startswith("error: --source anna: no comparison of 12 passes: 12 not judged by anna")


def test_selection_gives_ids_and_order(run, tmp_path):
    ids = [c.id for c in records(run, Comparison, "comparisons.jsonl")]
    chosen = [ids[4], ids[1], ids[4]]
    rows = [{"comparison_id": i, "reason": "uncertain", "score": 0.5, "control": False} for i in chosen]
    path = tmp_path / "chosen.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    assert asked(Collection(run, select=path)) == [ids[4], ids[1]]


def test_gold_slice_is_drawn_among_what_the_labeler_judged_and_stays_the_same(run):
    slice_ = asked(Collection(run, gold=5))
    judged = {j.comparison_id for j in records(run, Judgment, "judgments.jsonl") if j.labeler == "ai"}
    assert len(slice_) == 5
    assert set(slice_) <= judged
    assert slice_ == asked(Collection(run, gold=5)) == asked(Collection(run, gold=7))[:5]
    assert slice_ != sorted(slice_)


def test_comparisons_that_the_label_stage_left_out_are_not_asked(folder):
    left_out = comparison(1).id
    (folder / "exclusions.jsonl").write_text(Exclusion.of("label", left_out, "nearly the same").to_line())
    assert left_out not in asked(Collection(folder))
    assert len(asked(Collection(folder))) == 2


def test_gold_questions_are_not_asked_as_comparisons_too(folder, tmp_path):
    known = comparison(0)
    row = {"prompt": "What is pill 0?", "chosen": "Ask a doctor.", "rejected": "Take it."}
    path = tmp_path / "gold.jsonl"
    path.write_text(json.dumps(row) + "\n")
    plan = make_plan(Collection(folder, gold_questions=path), read_annotation_source(folder))
    assert known.id not in [task.id for task in plan.tasks]
    (gold,) = plan.gold
    assert gold.better == ("a" if known.response_a == "Ask a doctor." else "b")


@pytest.mark.slow
def test_gold_slice_ends_with_the_labelers_accuracy(run, tmp_path):
    comparisons = {c.id: c for c in records(run, Comparison, "comparisons.jsonl")}
    ai: dict[str, list[float]] = {}
    for judgment in records(run, Judgment, "judgments.jsonl"):
        if judgment.labeler == "ai" and judgment.p_a is not None:
            ai.setdefault(judgment.comparison_id, []).append(judgment.p_a)
    with serving(run, "--gold", 5, "--to", tmp_path / "gold", "--port", 0) as served:
        ana = Person("ana", served)
        view, answered = ana.view(), 0
        while task := view["task"]:
            asked_about = comparisons[task["id"]]
            prefers_a = sum(ai[task["id"]]) / len(ai[task["id"]]) > 0.5
            liked = asked_about.response_a if prefers_a else asked_about.response_b
            verdict = ("first", "second")[task["answers"].index(liked)]
            verdict = {3: "tie", 4: "first" if verdict == "second" else "second"}.get(answered, verdict)
            view = ana.decide(decision(task["id"], verdict).model_dump(mode="json"))
            answered += 1
        outcome, _ = served.wait()  # it ends by itself
    assert (outcome["given"], outcome["complete"]) == (5, True)
    accuracy = outcome["gold"]["accuracy"]
    assert (accuracy["name"], accuracy["n"], accuracy["value"]) == ("labeler.accuracy", 4, 0.75)
    # Wilson's interval of 3 right of 4.
    assert (accuracy["low"], accuracy["high"]) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert outcome["gold"]["left_out"] == {"annotators prefer neither answer": 1}
    assert json.loads((tmp_path / "gold" / "gold.json").read_text()) == outcome["gold"]


def test_comparison_that_most_people_find_both_bad_says_nothing_of_the_labeler(run, tmp_path):
    collection, source = (
        Collection(run, to=tmp_path / "gold", gold=1, annotators_per=3),
        read_annotation_source(run),
    )
    plan = make_plan(collection, source)
    with open_session(collection, source, plan) as opened:
        for name, verdict in (("ana", "both_bad"), ("ben", "both_bad"), ("cleo", "first")):
            answer(opened, name, verdict)
        report = labeler_accuracy(source, plan.tasks, opened.ledger, None)
    assert (report.accuracy, report.excluded) == (None, {"annotators find both answers bad": 1})


@pytest.mark.slow
def test_labels_form_a_folder_of_their_own_that_goes_on_with_the_same_link(folder):
    human = folder / "human"
    with serving(folder, "--port", 0) as served:
        ana = Person("ana", served)
        ana.decide(decision(ana.view()["task"]["id"]).model_dump(mode="json"))
        token = served.token
        outcome, err = served.interrupt()
    assert (outcome["given"], outcome["gold"], err) == (1, None, "")
    assert len(stored(human)) == len(records(human, Comparison, "comparisons.jsonl")) == 1
    with serving(folder, "--port", 0) as served:
        assert served.token == token
        assert Person("ana", served).view()["decided"] == 1
    with serving(folder, "--port", 0, "--token", "another-token-of-mine") as served:
        assert served.token == "another-token-of-mine"


def test_port_in_use_is_told(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = mistake(folder, "--port", port)
    assert f"--port {port}: the port is already in use" in line
    assert not (folder / "human").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "no.such.host.invalid"], "cannot resolve the address"),
        (["--host", "203.0.113.7"], "this machine has no such address"),
        (["--token", "short"], "16 to 128"),
        (["--principle", "kind"], "has no constitution"),
        (["--gold", "2"], "has judged only 0 of 3 comparisons"),
        (["--gold", "1", "--rank"], "--gold cannot be combined with --select"),
        (["--select", "/no/such/file"], "cannot be read"),
        (["--gold-questions", "/no/such/file"], "no such file or folder"),
        (["--port", "70000"], "--port"),
        (["--gold-share", "0.9"], "--gold-share"),
        (["--annotators-per", "0"], "--annotators-per"),
    ],
)
def test_option_that_does_not_fit_is_told_in_one_line(folder, options, said):
    assert said in mistake(folder, "--port", 0, *options)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lists no comparisons"),
        (b'{"comparison_id": "0123456789abcdef"}', ":1: comparison '0123456789abcdef' is not among the 3"),
        (b"\n[]", ":2: no comparison_id"),
        (b'{"id": 3}', ":1: no comparison_id"),
        (b"{", ":1: not JSON"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_wrong_selection_is_told_with_its_line(folder, tmp_path, content, said):
    path = tmp_path / "chosen.jsonl"
    path.write_bytes(content)
    assert said in mistake(folder, "--select", path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"prompt": "x", "response_a": "y", "response_b": "z"}', "does not say which answer is better"),
        ("{", "not JSON"),
        ("", "has no pairs"),
    ],
)
def test_wrong_gold_file_is_told(folder, tmp_path, row, said):
    path = tmp_path / "gold.jsonl"
    path.write_text(row)
    assert said in mistake(folder, "--gold-questions", path)


def test_gold_file_that_leaves_nothing_to_ask_is_told(folder, tmp_path):
    path = tmp_path / "gold.jsonl"
    rows = [
        {"prompt": f"What is pill {n}?", "chosen": "Ask a doctor.", "rejected": "Take it."} for n in range(3)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "nothing is left to ask" in mistake(folder, "--gold-questions", path)


def test_folder_without_comparisons_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no comparisons found" in mistake(tmp_path / "empty")
    assert "no such folder" in mistake(tmp_path / "nowhere")
    write_folder(tmp_path / "none", [])
    assert "publius compare RUN.yaml" in mistake(tmp_path / "none")


def test_labels_of_another_run_are_refused(folder, tmp_path):
    other = write_folder(tmp_path / "other", group_of("x", "y"))
    with session(other / "human", tasks=1) as opened:
        answer(opened, "ana")
    assert (
        mistake(other, "--port", 0).count("another run") == 1
    )  # its labels are about pills, not about x and y
    assert "another run" in mistake(other, "--to", other / "human", "--port", 0)


def test_run_folder_is_no_place_for_labels(run):
    assert "labels need a folder of their own" in mistake(run, "--to", run, "--port", 0)


def test_broken_record_file_is_told(folder):
    (folder / "comparisons.jsonl").write_text('{"id": "x"}\n{"id": "y"}\n')
    assert "comparisons.jsonl" in mistake(folder)


def test_disk_that_is_read_only_is_told(folder, monkeypatch):
    def read_only(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    assert "not writable (Read-only file system)" in mistake(folder, "--port", 0)


def test_place_that_is_a_file_is_told(folder, tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in mistake(folder, "--to", tmp_path / "file" / "human", "--port", 0)


def test_folder_in_use_is_told(folder):
    with session(folder / "human"):
        assert "another process" in mistake(folder, "--port", 0)


def test_missing_extra_names_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert "[annotate]'" in mistake(folder, "--port", 0)
