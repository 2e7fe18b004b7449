"""Task assignment: leases, repeats, undo, gold questions, restarts, failing disks."""

from __future__ import annotations

from collections import Counter

import pytest

from core.errors import RunStateError
from labelers.page.ledger import Ledger
from labelers.page.tasks import Question, pair_task
from tests.labelers.page.collections import (
    Clock,
    answer,
    comparison,
    decision,
    gold_task,
    ranking_task,
    session,
    standing,
    stored,
)


def screen(opened, annotator):
    task = opened.view(annotator)["task"]
    return task and task["id"]


def test_decision_is_stored_with_its_comparison(tmp_path):
    with session(tmp_path, tasks=1) as opened:
        opened.view("ana")
        answer(opened, "ana", "tie", comment="  equal  ")
        assert opened.view("ana")["task"] is None
    (judgment,) = stored(tmp_path)
    assert (judgment.verdict, judgment.comment, judgment.labeler) == ("tie", "equal", "human")
    assert judgment.comparison_id in (tmp_path / "comparisons.jsonl").read_text()


def test_same_request_twice_is_stored_once(tmp_path):
    with session(tmp_path) as opened:
        made = answer(opened, "ana")
        assert opened.decide("ana", made) is None
    assert len(stored(tmp_path)) == 1


def test_same_request_after_a_restart_is_stored_once(tmp_path):
    with session(tmp_path) as opened:
        made = answer(opened, "ana")
    with session(tmp_path) as opened:
        assert opened.decide("ana", made) is None
    assert len(stored(tmp_path)) == 1


def test_second_window_does_not_decide_again(tmp_path):
    with session(tmp_path) as opened:
        made = answer(opened, "ana")
        assert "already" in (opened.decide("ana", decision(made.task, "second")) or "")
    assert len(stored(tmp_path)) == 1


def test_two_people_get_different_tasks_where_one_answer_is_wanted(tmp_path):
    with session(tmp_path, tasks=2) as opened:
        assert screen(opened, "ana") != screen(opened, "ben")
        assert opened.view("cy")["task"] is None
        assert opened.view("cy")["waiting"]


def test_reload_and_restart_give_the_same_task(tmp_path):
    with session(tmp_path) as opened:
        first, other = screen(opened, "ana"), screen(opened, "ben")
        assert screen(opened, "ana") == first
    with session(tmp_path) as opened:
        assert screen(opened, "cy") not in (first, other)  # it is still on their screens
        assert (screen(opened, "ben"), screen(opened, "ana")) == (other, first)


def test_expired_lease_goes_to_another_person_and_the_late_answer_is_refused(tmp_path):
    clock = Clock()
    with session(tmp_path, tasks=1, clock=clock) as opened:
        task = screen(opened, "ana")
        clock.now += 21 * 60
        assert screen(opened, "ben") == task
        assert "in the meantime" in (opened.decide("ana", decision(task)) or "")
        answer(opened, "ben")
    assert [judgment.annotator for judgment in stored(tmp_path)] == ["ben"]


def test_late_answer_is_taken_while_nobody_else_has_the_task(tmp_path):
    clock = Clock()
    with session(tmp_path, tasks=1, clock=clock) as opened:
        task = screen(opened, "ana")
        clock.now += 60 * 60
        assert opened.decide("ana", decision(task)) is None


def test_each_task_gets_exactly_as_many_people_as_are_wanted(tmp_path):
    people = ("ana", "ben", "cy", "di")
    with session(tmp_path, tasks=7, annotators_per_task=2) as opened:
        for _ in range(8):
            for name in people:
                if screen(opened, name):
                    answer(opened, name)
        assert opened.is_complete()
    by_task = Counter(judgment.comparison_id for judgment in stored(tmp_path))
    assert set(by_task.values()) == {2}
    assert len({(j.comparison_id, j.annotator) for j in stored(tmp_path)}) == 14


def test_skip_is_asked_of_somebody_else_and_not_again_of_the_same(tmp_path):
    with session(tmp_path, tasks=1) as opened:
        answer(opened, "ana", "skip")
        assert screen(opened, "ana") is None
        assert opened.is_complete()  # everyone who is there has seen it
        assert screen(opened, "ben") is not None


def test_undo_asks_again_and_only_the_last_decision_stands(tmp_path):
    with session(tmp_path) as opened:
        first = answer(opened, "ana", "first")
        undo = opened.view("ana")["undo"]
        assert opened.undo("ana", undo) is None
        assert screen(opened, "ana") == first.task
        assert opened.undo("ana", undo) is None  # sent twice
        answer(opened, "ana", "skip")
        answer(opened, "ana", "tie")
    judgments = stored(tmp_path)
    assert [j.verdict for j in judgments if j.comparison_id == first.task][1:] == ["skip", "skip"]
    left = standing(judgments)
    assert len(left) == 2  # one for each comparison: the undo is superseded too
    with session(tmp_path) as opened:
        assert opened.view("ana")["decided"] == 2
        assert screen(opened, "ana") not in {j.comparison_id for j in left}


def test_undo_goes_back_further_one_by_one(tmp_path):
    with session(tmp_path) as opened:
        made = [answer(opened, "ana"), answer(opened, "ana")]
        for task in (made[1].task, made[0].task):
            assert opened.undo("ana", opened.view("ana")["undo"]) is None
            assert screen(opened, "ana") == task
        assert opened.view("ana")["undo"] is None
        assert opened.view("ana")["decided"] == 0


def test_an_older_or_foreign_decision_cannot_be_taken_back(tmp_path):
    with session(tmp_path) as opened:
        answer(opened, "ana")
        older = opened.view("ana")["undo"]
        answer(opened, "ana")
        assert "last" in (opened.undo("ana", older) or "")
        assert "last" in (opened.undo("ben", opened.view("ana")["undo"]) or "")


def test_late_repeat_of_a_decision_that_was_taken_back_changes_nothing(tmp_path):
    with session(tmp_path) as opened:
        made = answer(opened, "ana")
        opened.undo("ana", opened.view("ana")["undo"])
        assert opened.decide("ana", made) is None
        assert opened.view("ana")["decided"] == 0
        assert screen(opened, "ana") == made.task


def test_undo_after_a_restart(tmp_path):
    with session(tmp_path) as opened:
        made = answer(opened, "ana")
    with session(tmp_path) as opened:
        assert opened.undo("ana", opened.view("ana")["undo"]) is None
        assert screen(opened, "ana") == made.task


def test_ranking_is_one_decision_that_is_taken_back_whole(tmp_path):
    with session(tmp_path, tasks=[ranking_task("x", "y", "z")]) as opened:
        answer(opened, "ana", "ranking", ranks=(2, 1, 1))
        assert opened.view("ana")["decided"] == 1
        opened.undo("ana", opened.view("ana")["undo"])
        assert len(stored(tmp_path)) == 6
        answer(opened, "ana", "ranking", ranks=(1, 2, 3))
    assert len(standing(stored(tmp_path))) == 3


def cut_after(folder, lines):
    path = folder / "judgments.jsonl"
    kept = path.read_text().splitlines(keepends=True)[:lines]
    path.write_text("".join(kept))


def test_ranking_cut_short_by_a_kill_is_completed_by_its_own_request(tmp_path):
    tasks = [ranking_task("x", "y", "z")]
    with session(tmp_path, tasks=tasks) as opened:
        made = answer(opened, "ana", "ranking", ranks=(1, 2, 3))
    whole = {judgment.id for judgment in stored(tmp_path)}
    cut_after(tmp_path, 1)
    with session(tmp_path, tasks=tasks) as opened:
        assert opened.decide("ana", made) is None
    assert {judgment.id for judgment in stored(tmp_path)} == whole
    assert len(stored(tmp_path)) == 3


def test_ranking_cut_short_gives_way_to_a_new_decision(tmp_path):
    tasks = [ranking_task("x", "y", "z")]
    with session(tmp_path, tasks=tasks) as opened:
        answer(opened, "ana", "ranking", ranks=(1, 2, 3))
    cut_after(tmp_path, 2)
    with session(tmp_path, tasks=tasks) as opened:
        assert opened.view("ana")["task"] is not None
        answer(opened, "ana", "ranking", ranks=(3, 2, 1))
    left = standing(stored(tmp_path))
    assert len(left) == 3
    assert len({judgment.group for judgment in left}) == 1


def test_time_is_no_longer_than_the_task_was_out(tmp_path):
    clock = Clock()
    with session(tmp_path, clock=clock) as opened:
        opened.view("ana")
        clock.now += 5
        answer(opened, "ana", duration_s=4.2)
        opened.view("ana")
        clock.now += 5
        answer(opened, "ana", duration_s=3600.0)
    one, two = (judgment.duration_s for judgment in stored(tmp_path))
    assert one == 4.2
    assert two == pytest.approx(5, abs=0.1)


def test_screen_tells_nothing_about_where_answers_come_from(tmp_path):
    with session(tmp_path, tasks=1) as opened:
        shown = str(opened.view("ana"))
    assert "revision" not in shown
    assert "draft" not in shown


def test_gold_questions_are_mixed_in_unseen_and_kept_apart(tmp_path):
    gold = tuple(gold_task(number) for number in range(4))
    ids = {question.task.id for question in gold}
    shapes, asked = set(), []
    with session(tmp_path, tasks=40, gold=gold, gold_share=0.2) as opened:
        while (view := opened.view("ana"))["task"]:
            shapes.add((*view, *view["task"], len(view["task"]["answers"])))
            asked.append(view["task"]["id"])
            opened.decide("ana", decision(asked[-1]))
    assert len(shapes) == 1
    assert len(asked) == len(set(asked)) == 44
    assert asked[-4:] != [*ids]
    assert {judgment.comparison_id for judgment in stored(tmp_path / "gold")} == ids
    assert not ids & {judgment.comparison_id for judgment in stored(tmp_path)}


def test_gold_question_stays_on_the_screen_and_can_be_taken_back(tmp_path):
    gold = (gold_task(0),)
    with session(tmp_path, gold=gold, gold_share=0.99) as opened:
        assert screen(opened, "ana") == gold[0].task.id == screen(opened, "ana")
        assert screen(opened, "ben") == gold[0].task.id  # of as many people as there are
        answer(opened, "ana")
        opened.undo("ana", opened.view("ana")["undo"])
        assert screen(opened, "ana") == gold[0].task.id


def test_failed_disk_stores_nothing_twice_once_it_works_again(tmp_path, monkeypatch):
    with session(tmp_path) as opened:
        task = opened.view("ana")["task"]["id"]
        made = decision(task)

        def full():
            raise RunStateError("disk full")

        monkeypatch.setattr(opened.ledger.judgments, "sync", full)
        with pytest.raises(RunStateError):
            opened.decide("ana", made)
        monkeypatch.undo()
        assert opened.decide("ana", made) is None
    assert len(stored(tmp_path)) == 1


def test_answers_to_another_question_do_not_count(tmp_path):
    with session(tmp_path, tasks=1) as opened:
        answer(opened, "ana")
    ledger = Ledger(tmp_path, Question("Kinder?", principle_id="kind"))
    assert not ledger.has_decided("ana", pair_task(comparison(0)))
    ledger.close()


def test_unknown_task_is_told(tmp_path):
    with session(tmp_path) as opened:
        assert "no longer" in (opened.decide("ana", decision("0" * 16)) or "")
