"""The check labeler: worked probabilities, verdicts, and which principles it judges."""

from __future__ import annotations

import math

import pytest

from constitution.checks.kinds import Check, ContainsNone, MaxWords
from constitution.schema import Constitution, Principle, Scope
from core.records import Comparison, Judgment, Message, Prompt
from labelers.check import check_judgments, check_probability, checked_principles

PROMPT = Prompt.of((Message(role="user", content="What is this pill?"),))
SHORT = MaxWords(kind="max_words", value=60)


def words(count: int) -> str:
    return " ".join(["word"] * count)


def comparison(a: str, b: str, prompt: Prompt = PROMPT) -> Comparison:
    return Comparison(id="c1", prompt=prompt, response_a=a, response_b=b, origin_a="x", origin_b="y")


def constitution(*checks: Check | None, **fields: object) -> Constitution:
    """A constitution with one principle for each check, or for None one that needs a model."""
    principles = [
        Principle.model_validate({"id": f"p{n}", "text": f"Text {n}.", "check": check, **fields})
        for n, check in enumerate(checks)
    ]
    return Constitution(name="test", principles=tuple(principles))


def judge(a: str, b: str, check: Check = SHORT, confidence: float = 0.95) -> Judgment:
    (judgment,) = check_judgments(comparison(a, b), constitution(check), confidence)
    return judgment


@pytest.mark.parametrize(
    ("score_a", "score_b", "expected"),
    [
        (1.0, 0.0, 0.95),
        (0.0, 1.0, 0.05),
        (1.0, 0.99, 0.95),  # however near it came, it failed
        (1.0, 1.0, 0.5),
        (0.0, 0.0, 0.5),
        (0.4, 0.4, 0.5),
        (0.5, 0.25, 19**0.25 / (1 + 19**0.25)),  # 0.95 / 0.05 = 19, to the power of the difference
        (0.25, 0.75, 1 / (1 + 19**0.5)),
    ],
)
def test_probability_of_worked_scores(score_a: float, score_b: float, expected: float):
    assert check_probability(score_a, score_b, 0.95) == pytest.approx(expected, abs=1e-12)


def test_two_that_pass_are_exactly_one_half():
    assert check_probability(1.0, 1.0, 0.8) == 0.5


@pytest.mark.parametrize("confidence", [0.51, 0.8, 0.95, 0.999])
def test_swapped_scores_swap_the_probability(confidence: float):
    scores = [0.0, 0.1, 0.5, 0.9, 0.999, 1.0]
    for a in scores:
        for b in scores:
            both = check_probability(a, b, confidence) + check_probability(b, a, confidence)
            assert both == pytest.approx(1.0, abs=1e-12)


def test_nearer_failure_is_better_but_never_as_good_as_a_pass():
    graded = [check_probability(score, 0.1, 0.95) for score in (0.1, 0.2, 0.5, 0.9, 0.999)]
    assert graded == sorted(graded)
    assert graded[0] == 0.5
    assert graded[-1] < check_probability(1.0, 0.1, 0.95)


@pytest.mark.parametrize(
    ("a", "b", "p_a", "verdict", "comment"),
    [
        (60, 61, 0.95, "a", "a passes, b fails"),
        (61, 60, 0.05, "b", "a fails, b passes"),
        (10, 60, 0.5, "tie", "a passes, b passes"),
        (120, 240, 1 / (1 + math.exp(-math.log(19) / 4)), "a", "a fails, b fails"),
        (240, 120, 1 / (1 + math.exp(math.log(19) / 4)), "b", "a fails, b fails"),
        (120, 120, 0.5, "both_bad", "a fails, b fails"),
    ],
)
def test_judgment_of_two_lengths_under_a_limit(a: int, b: int, p_a: float, verdict: str, comment: str):
    judgment = judge(words(a), words(b))
    assert judgment.p_a == pytest.approx(p_a, abs=1e-12)
    assert (judgment.verdict, judgment.comment) == (verdict, comment)
    assert (judgment.labeler, judgment.comparison_id, judgment.principle_id) == ("check", "c1", "p0")
    assert judgment.model is None


def test_margin_is_the_difference_of_the_scores():
    assert judge(words(120), words(240)).margin == pytest.approx(0.25)
    assert judge(words(240), words(60)).margin == pytest.approx(-0.75)


def test_confidence_is_the_probability_of_a_pass_against_a_failure():
    assert judge(words(1), words(99), confidence=0.8).p_a == pytest.approx(0.8)
    assert judge(words(99), words(1), confidence=0.8).p_a == pytest.approx(0.2)


def test_only_principles_with_a_check_are_judged():
    document = constitution(SHORT, None, ContainsNone(kind="contains_none", value=("sorry",)))
    judgments = list(check_judgments(comparison("Sorry.", "Ask."), document, 0.95))
    assert [(judgment.principle_id, judgment.p_a) for judgment in judgments] == [
        ("p0", 0.5),
        ("p2", pytest.approx(0.05)),
    ]


def test_principles_out_of_scope_are_passed_over():
    document = constitution(SHORT, applies_to=Scope(tags=("medicine",)))
    assert checked_principles(comparison("a", "b"), document) == ()
    tagged = comparison("a", "b", Prompt.of(PROMPT.messages, tags=("medicine",)))
    assert checked_principles(tagged, document) == document.principles


def test_id_follows_the_check_and_not_the_wording():
    (one,) = check_judgments(comparison("a", "b"), constitution(SHORT), 0.95)
    (reworded,) = check_judgments(comparison("a", "b"), constitution(SHORT, text="Be brief."), 0.95)
    assert reworded.id == one.id
    others = [
        judge("a", "b", MaxWords(kind="max_words", value=61)).id,
        judge("a", "b", confidence=0.9).id,
    ]
    assert len({one.id, *others}) == 3


def test_judgment_line_reads_back():
    judgment = judge(words(61), words(3))
    assert Judgment.model_validate_json(judgment.to_line()) == judgment


def test_two_failing_answers_that_differ_by_rounding_are_equally_bad():
    assert check_probability(0.3, 0.3 + 1e-9, 0.95) == 0.5
    assert check_probability(0.3, 0.3 + 1e-3, 0.95) < 0.5
    assert check_probability(1.0, 1.0 - 1e-9, 0.95) == 0.95  # a pass against a fail is never rounding
