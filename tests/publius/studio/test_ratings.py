"""Ratings: stored as judgments of an annotator, used as gold, and asked in the order of `publius select`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, RunStateError
from core.records import Comparison, Prompt
from publius.audit.gold import read_gold
from publius.runs.reader import RunReader
from publius.studio.ratings.desk import RatingDesk
from tests.labelers.page.collections import comparison, decision, standing, stored
from tests.publius.invoking import here
from tests.publius.projects import RUN, write_project


def desk_in(folder: Path) -> RatingDesk:
    return RatingDesk(folder, folder / ".publius" / "studio" / "queue", lambda: ("The reply is kind.",))


def rate_all(desk: RatingDesk, verdict: str = "first") -> int:
    count = 0
    while (task := desk.view("me")["task"]) is not None:
        assert desk.decide("me", decision(task["id"], verdict)) is None
        count += 1
    return count


def test_pairs_are_rated_once_and_there_after_a_restart(tmp_path: Path):
    desk = desk_in(tmp_path)
    assert desk.add([comparison(number) for number in range(3)]) == 3
    assert desk.add([comparison(1), comparison(3)]) == 1
    assert desk.view("me")["question"]["guide"] == ("The reply is kind.",)
    assert rate_all(desk) == 4
    desk.close()
    again = desk_in(tmp_path)
    shown = again.view("me")
    assert (shown["task"], shown["decided"], shown["left"]) == (None, 4, 0)
    again.add([comparison(9)])
    assert again.view("me")["left"] == 1
    again.close()
    assert len(stored(tmp_path / "ratings")) == 4


def test_rating_that_is_taken_back_is_asked_again(tmp_path: Path):
    desk = desk_in(tmp_path)
    desk.add([comparison(0)])
    rate_all(desk)
    undo = desk.view("me")["undo"]
    assert desk.undo("me", undo) is None
    assert desk.view("me")["task"] is not None
    rate_all(desk, "second")
    desk.close()
    (judgment,) = standing(stored(tmp_path / "ratings"))
    assert judgment.annotator == "me"


def test_only_one_process_writes_ratings(tmp_path: Path):
    desk = desk_in(tmp_path)
    desk.add([comparison(0)])
    with pytest.raises(RunStateError, match="another process"):
        desk_in(tmp_path).view("me")
    desk.close()


def test_queue_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("publius.studio.ratings.desk.MOST_QUEUED", 2)
    desk = desk_in(tmp_path)
    with pytest.raises(DataError, match="pairs to rate"):
        desk.add([comparison(number) for number in range(3)])
    desk.close()


def said(*command: object) -> dict[str, Any]:
    done = here(*command, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_queue_is_that_of_select_and_a_run_uses_the_ratings(tmp_path: Path):
    run_file = write_project(tmp_path)
    run = Path(said("run", run_file)["run"])
    chosen = here("select", run, "--budget", 5)
    wanted = [
        json.loads(line)["comparison_id"] for line in chosen.stdout.splitlines() if line.startswith("{")
    ]
    desk = desk_in(tmp_path)
    assert desk.select(run, 5) == len(wanted) == 5
    asked = []
    while (task := desk.view("me")["task"]) is not None:
        asked.append(task["id"])
        desk.decide("me", decision(task["id"], "first"))
    assert asked == wanted
    run_file.write_text(RUN.replace("principles: 2", "principles: 2, humans: [ratings]"))
    second = Path(said("run", run_file)["run"])  # while the desk is open
    desk.close()
    rows = map(json.loads, (second / "preferences.jsonl").read_text().splitlines())
    by_me = {row["comparison_id"] for row in rows if row["sources"].keys() == {"human"}}
    assert by_me == set(wanted)


def test_ratings_are_gold_of_an_audit_and_of_a_correction(tmp_path: Path):
    write_project(tmp_path)
    desk = desk_in(tmp_path)
    pairs = [_pair(number) for number in range(30)]
    desk.add(pairs)
    better: dict[str, str] = {}
    while (task := desk.view("me")["task"]) is not None:
        good = next(place for place, text in enumerate(task["answers"]) if text.startswith("good"))
        better[task["id"]] = task["answers"][good]
        verdict = ("first", "second")[good]
        desk.decide("me", decision(task["id"], verdict))
    gold, (source,) = read_gold([str(tmp_path / "ratings")])
    assert {pair.comparison.id: pair.good for pair in gold} == better
    assert source.comparisons == len(pairs)
    config = tmp_path / "run.yaml"
    audit = here("audit", "labeler", config, "--gold", tmp_path / "ratings", "--json")
    desk.close()
    assert audit.returncode in (0, 1), audit.stderr
    assert "30" in audit.stdout


def _pair(number: int) -> Comparison:
    prompt = Prompt.of(f"Question {number}?")
    return Comparison.of(prompt, (f"good {number}", "draft"), (f"bad {number}", "revision:1"))


def test_removed_pair_is_asked_no_more_until_it_is_queued_again(tmp_path: Path):
    desk = desk_in(tmp_path)
    desk.add([comparison(number) for number in range(3)])
    first = desk.view("me")["task"]["id"]
    assert desk.remove("me", first) == 1
    assert desk.remove("me", first) == 0
    assert desk.view("me")["left"] == 2
    assert "no longer part" in (desk.decide("me", decision(first, "first")) or "")
    desk.close()
    again = desk_in(tmp_path)
    assert rate_all(again) == 2
    assert again.add([comparison(number) for number in range(3)]) == 1
    assert again.view("me")["task"]["id"] == first
    again.close()


def test_emptied_queue_keeps_ratings_and_the_last_one_can_be_undone(tmp_path: Path):
    desk = desk_in(tmp_path)
    desk.add([comparison(number) for number in range(3)])
    assert desk.decide("me", decision(desk.view("me")["task"]["id"], "first")) is None
    assert desk.remove("me", None) == 2
    shown = desk.view("me")
    assert (shown["task"], shown["decided"], shown["left"]) == (None, 1, 0)
    assert desk.undo("me", shown["undo"]) is None
    assert desk.view("me")["left"] == 1
    desk.close()


def test_correction_fitted_from_ratings_reaches_the_next_run(tmp_path: Path):
    run_file = write_project(tmp_path, prompts=30)
    run = Path(said("run", run_file)["run"])
    before = labels_in(run)
    desk = desk_in(tmp_path)
    with RunReader(run) as reader:
        desk.add(reader.comparison(identity) for identity in before)
    for number in range(len(before)):
        task = desk.view("me")["task"]
        chosen, _ = before[task["id"]]
        agrees = number % 5 > 0
        is_first = (task["answers"][0] == chosen) == agrees
        assert desk.decide("me", decision(task["id"], "first" if is_first else "second")) is None
    fitted = tmp_path / "correction.json"
    said("audit", "correction", run_file, "--gold", tmp_path / "ratings", "--to", fitted)
    desk.close()
    run_file.write_text(RUN.replace("principles: 2", "principles: 2, correction: correction.json"))
    second = Path(said("run", run_file)["run"])
    correction = json.loads(fitted.read_text())
    assert json.loads((second / "correction.json").read_text()) == correction
    assert correction["sources"].keys() == {"ratings"}
    assert correction["comparisons"] == len(before)
    after = labels_in(second)
    moved = [identity for identity, (_, p) in after.items() if p != pytest.approx(before[identity][1])]
    assert len(moved) > len(before) / 2


def labels_in(run: Path) -> dict[str, tuple[str, float]]:
    """Return the chosen text of each preference of a run, with its probability."""
    rows = map(json.loads, (run / "preferences.jsonl").read_text().splitlines())
    return {row["comparison_id"]: (row["chosen"][-1]["content"], row["p_chosen"]) for row in rows}
