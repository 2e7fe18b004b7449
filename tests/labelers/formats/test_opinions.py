"""Opinions become judgments: everything that refers to a side is converted when the answers are swapped."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.errors import RequestError
from core.records import Candidate, Comparison, Judgment, Message
from labelers.formats.opinions import Opinion, Outcome, Pair, records_of

PROMPT = (Message(role="user", content="How do I get ink out of a shirt?"),)


def labelled(opinion: Opinion, *, swapped: bool) -> tuple[Comparison, Judgment]:
    """The records of one opinion on two answers, of which the second is `a` if swapped."""
    for take in range(50):
        first, second = Candidate(f"First, take {take}.", "one"), Candidate(f"Second, take {take}.", "two")
        comparison, (judgment,) = records_of(Pair(PROMPT, first, second, (opinion,)), "crowd")
        if (comparison.response_a == second.response) == swapped:
            return comparison, judgment
    raise AssertionError("the hash prefers one side")


@pytest.mark.parametrize(
    ("outcome", "plain", "swapped"),
    [
        ("first", ("a", 1.0), ("b", 0.0)),
        ("second", ("b", 0.0), ("a", 1.0)),
        ("tie", ("tie", 0.5), ("tie", 0.5)),
        ("both_bad", ("both_bad", None), ("both_bad", None)),
        ("skip", ("skip", None), ("skip", None)),
        ("unparsed", ("unparsed", None), ("unparsed", None)),
    ],
)
def test_verdict_and_probability_follow_the_swap(
    outcome: Outcome, plain: tuple[str, float | None], swapped: tuple[str, float | None]
):
    for is_swapped, expected in ((False, plain), (True, swapped)):
        _, judgment = labelled(Opinion(verdict=outcome), swapped=is_swapped)
        assert (judgment.verdict, judgment.p_a) == expected


def test_margin_order_and_soft_probability_follow_the_swap():
    opinion = Opinion(verdict="first", p_first=0.75, margin=1.5, shown_first="second")
    for swapped, expected in ((False, (0.75, 1.5, "b")), (True, (0.25, -1.5, "a"))):
        comparison, judgment = labelled(opinion, swapped=swapped)
        assert (judgment.p_a, judgment.margin, judgment.shown_first) == expected
        assert comparison.origin_a == ("two" if swapped else "one")


def test_all_that_is_told_of_a_person_is_kept():
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    told = {
        "annotator": "ann",
        "dimension": "safety",
        "confidence": 0.8,
        "comment": "Because.",
        "duration_s": 3.5,
        "created": moment,
        "group": "g",
        "weight": 0.5,
        "model": "judge",
    }
    _, judgment = labelled(Opinion(verdict="tie", **told), swapped=False)
    assert judgment.model_dump(include=set(told)) == told


def test_people_without_names_are_told_apart():
    pair = Pair(
        PROMPT,
        Candidate("One.", ""),
        Candidate("Two.", ""),
        (Opinion(verdict="first", seat=1), Opinion(verdict="first", seat=2)),
    )
    comparison, judgments = records_of(pair, "crowd")
    assert [j.annotator for j in judgments] == [f"{comparison.id}:1", f"{comparison.id}:2"]
    assert len({j.id for j in judgments}) == 2


def test_the_same_said_twice_is_one_judgment_and_another_verdict_is_another():
    def id_of(**fields: object) -> str:
        return labelled(Opinion.model_validate({"verdict": "first", **fields}), swapped=False)[1].id

    assert id_of(annotator="x", comment="a") == id_of(annotator="x", comment="b")
    others = [{"annotator": "y"}, {"verdict": "tie"}, {"dimension": "safety"}, {"group": "g"}, {"model": "m"}]
    ids = {id_of(**({"annotator": "x"} | other)) for other in others}
    assert len(ids | {id_of(annotator="x")}) == 6


def test_of_unnamed_people_the_time_tells_one_from_another():
    early, late = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    ids = {labelled(Opinion(verdict="first", created=c), swapped=False)[1].id for c in (early, late, None)}
    assert len(ids) == 3


@pytest.mark.parametrize(("first", "second", "reason"), [("x", "x", "the same"), ("x", " ", "empty")])
def test_a_pair_that_is_none_is_refused(first: str, second: str, reason: str):
    with pytest.raises(RequestError, match=reason):
        records_of(Pair(PROMPT, Candidate(first, ""), Candidate(second, "")), "crowd")
