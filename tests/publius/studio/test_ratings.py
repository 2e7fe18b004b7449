"""Ratings: stored as judgments of an annotator, used as gold, and asked in the order of `publius select`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, RunStateError
from core.records import Comparison, Prompt
from publius.audit.gold import read_gold
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
