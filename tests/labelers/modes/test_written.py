"""Judges that write: reasons before a letter, and grades as JSON."""

from __future__ import annotations

import json
import math

import pytest

from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import Chooser
from labelers.modes.written import clamped, grade_in
from tests.labelers.modes.cases import BAD, GOOD, comparison, judge, labeler, shown, sigmoid


def reasons(request: GenerationRequest) -> str:
    return f"The first reply says: {shown(request)[-2]}"


def after_reasons(true: float, liking: float) -> Chooser:
    """A judge with log-odds `true` for GOOD and a liking for A, which reads what it has written."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        asked, written, _ = request.turns
        first = GOOD if written.text.endswith(GOOD) else BAD
        assert first in asked.text
        log_odds = (true if first == GOOD else -true) + liking
        return math.log(sigmoid(log_odds)), math.log(sigmoid(-log_odds))

    return choose


@pytest.mark.parametrize(("true", "p"), [(0.2, sigmoid(0.2)), (3.0, 0.6), (-9.0, 0.4)])
def test_reasoned_is_the_mean_of_both_orders_clamped_to_forty_to_sixty_percent(true: float, p: float):
    by = labeler(after_reasons(true, 2.0), reasons, mode="reasoned")
    judgment = judge(comparison(), by)
    assert judgment.p_a == pytest.approx(p)
    assert judgment.orders is not None
    assert judgment.orders.a_first == pytest.approx(true + 2.0)
    assert judge(comparison(BAD, GOOD), by).p_a == pytest.approx(1 - p)
    free = judge(
        comparison(), labeler(after_reasons(true, 2.0), reasons, mode="reasoned", reasoned_clamp=1.0)
    )
    assert free.p_a == pytest.approx(sigmoid(true))


def test_reasons_are_recorded_with_their_order():
    judgment = judge(comparison(), labeler(after_reasons(1.0, 0.0), reasons, mode="reasoned"))
    assert judgment.comment == (
        f"[a first] The first reply says: {GOOD}\n\n[b first] The first reply says: {BAD}"
    )


def test_the_judges_reasons_are_no_part_of_the_judgments_id():
    one = judge(comparison(), labeler(after_reasons(1.0, 0.0), reasons, mode="reasoned"))
    by = labeler(lambda request: (-0.5, -1.0), lambda request: "Both are short.", mode="reasoned")
    assert judge(comparison(), by).id == one.id


def test_a_judge_that_refuses_is_not_asked_for_a_letter():
    by = labeler(
        after_reasons(1.0, 0.0), lambda request: "I'm sorry, I can't help with that.", mode="reasoned"
    )
    judgment = judge(comparison(), by)
    assert (judgment.verdict, judgment.p_a, judgment.problem) == ("unparsed", None, "refused")
    assert "can't help" in (judgment.raw or "")
    assert all(isinstance(request, GenerationRequest) for request in by.engine.history)


def test_reasons_are_written_greedily_unless_the_settings_say_otherwise():
    by = labeler(after_reasons(1.0, 0.0), reasons, mode="reasoned", verdict={"max_new_tokens": 40})
    judge(comparison(), by)
    sampling = by.engine.history[0].sampling
    assert (sampling.temperature, sampling.max_new_tokens) == (0.0, 40)


@pytest.mark.parametrize("highest", [0.6, 0.9, 1.0])
def test_clamped_log_odds_are_symmetric(highest: float):
    for log_odds in (-50.0, -0.1, 0.0, 0.3, 50.0):
        assert clamped(-log_odds, highest) == -clamped(log_odds, highest)
        assert sigmoid(clamped(log_odds, highest)) <= highest + 1e-12


def graded(good: str, bad: str):
    return lambda request: good if shown(request)[-1] == GOOD else bad


def said(grade: int | None) -> str:
    return json.dumps({"reason": f"It is a {grade}.", "grade": grade})


def test_rubric_is_the_difference_of_the_grades_in_nats_for_each_point():
    by = labeler(answerer=graded(said(4), said(2)), mode="rubric", rating_scale=0.7)
    judgment = judge(comparison(), by)
    assert (judgment.margin, judgment.p_a) == (2.0, pytest.approx(sigmoid(1.4)))
    assert judgment.comment == "[a] It is a 4.\n\n[b] It is a 2."
    assert judge(comparison(BAD, GOOD), by).p_a == pytest.approx(1 - sigmoid(1.4))
    assert judge(comparison(GOOD, GOOD), by).verdict == "tie"
    schema = json.loads(by.engine.history[0].json_schema)
    assert schema["properties"]["grade"]["anyOf"][0]["maximum"] == 5


@pytest.mark.parametrize(
    ("answer", "problem", "verdict"),
    [
        ("The reply is good.", "unreadable", "unparsed"),
        ('{"reason": "x", "grade": 6}', "unreadable", "unparsed"),
        ('{"reason": "x", "grade": "4"}', "unreadable", "unparsed"),
        ('{"reason": "x", "grade": true}', "unreadable", "unparsed"),
        ('{"reason": "x"}', "unreadable", "unparsed"),
        ("[" * 5000, "unreadable", "unparsed"),
        ('{"reason": "it is ' + "very " * 300, "cut_off", "unparsed"),
        ("I'm sorry, but I can't grade this.", "refused", "unparsed"),
        (said(None), "abstained", "skip"),
    ],
)
def test_what_is_no_grade_is_named_and_is_never_a_tie(answer: str, problem: str, verdict: str):
    judgment = judge(comparison(), labeler(answerer=graded(said(3), answer), mode="rubric"))
    assert (judgment.verdict, judgment.p_a, judgment.problem) == (verdict, None, problem)


def test_first_object_of_an_answer_is_read_whatever_is_around_it():
    found = grade_in(f"Sure:\n```json\n{said(3)}\n```", 5)
    assert not isinstance(found, str)
    assert found.grade == 3
