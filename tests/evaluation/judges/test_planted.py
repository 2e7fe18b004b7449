"""Pairs without people: the planted violation, the check and the example decide which answer is better."""

from __future__ import annotations

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import ContainsNone, EndsWithQuestion, MaxWords
from constitution.schema import Constitution, Example, Principle
from evaluation.judges.planted import checked_pairs, example_pairs, planted_constitution, planted_pairs


def test_each_planted_violation_changes_its_answer():
    pairs = planted_pairs(each=3)
    assert len(pairs) == 3 * len(planted_constitution().principles)
    assert all(pair.gold.good != pair.gold.bad for pair in pairs)
    assert {pair.principle.id for pair in pairs} == {p.id for p in planted_constitution().principles}
    assert len({pair.gold.comparison.id for pair in pairs}) == len(pairs)


def test_better_side_is_not_always_the_same():
    assert {pair.gold.better for pair in planted_pairs()} == {"a", "b"}


def test_machine_checks_decide_checked_pairs():
    checks = (MaxWords(kind="max_words", value=30), EndsWithQuestion(kind="ends_with_question", value=True))
    constitution = Constitution(
        name="t",
        principles=tuple(Principle(id=f"p{n}", text="t", check=check) for n, check in enumerate(checks)),
    )
    pairs = checked_pairs(constitution, each=5)
    assert len(pairs) == 10
    for pair in pairs:
        check = pair.principle.check
        assert check is not None
        assert evaluate(check, pair.gold.good).passed
        assert not evaluate(check, pair.gold.bad).passed


def test_check_that_no_answer_fails_has_no_pairs():
    check = ContainsNone(kind="contains_none", value=("zzzz",))
    assert checked_pairs(Constitution(name="t", principles=(Principle(id="p", text="t", check=check),))) == ()


def test_only_test_examples_of_judged_principles_are_used():
    examples = (
        Example(prompt="q", good="g", bad="b", use="test"),
        Example(prompt="r", good="g", bad="b", use="few_shot"),
    )
    judged = Principle(id="judged", text="t", examples=examples)
    checked = Principle(id="c", text="t", check=MaxWords(kind="max_words", value=3), examples=examples[:1])
    found = example_pairs(Constitution(name="t", principles=(judged, checked)))
    assert [(p.principle.id, p.gold.good, p.gold.bad) for p in found] == [("judged", "g", "b")]
