"""Which examples are shown, and whether the good answer comes first."""

from __future__ import annotations

from constitution.schema import Example, Principle
from prompts.few_shots import few_shots


def example(number: int, use: str = "few_shot") -> Example:
    return Example.model_validate(
        {"prompt": f"Question {number}?", "good": f"Good {number}.", "bad": f"Bad {number}.", "use": use}
    )


def principle(*examples: Example, name: str = "kind") -> Principle:
    return Principle(id=name, text="The reply is kind.", examples=examples)


def test_examples_for_tests_are_never_shown():
    mixed = principle(example(1), example(2, "test"), example(3))
    assert [shown.prompt for shown, _ in few_shots(mixed)] == ["Question 1?", "Question 3?"]
    assert few_shots(principle(example(1, "test"))) == ()


def test_good_answer_comes_first_in_every_other_example():
    for name in ("a", "b", "c", "d", "e"):
        firsts = [first for _, first in few_shots(principle(*map(example, range(6)), name=name))]
        assert firsts == [firsts[0], not firsts[0]] * 3


def test_half_of_the_principles_begin_with_the_good_answer():
    begin = [few_shots(principle(example(1), name=f"p{n}"))[0][1] for n in range(400)]
    assert 160 < sum(begin) < 240


def test_rewording_leaves_the_order_as_it_is():
    one = principle(example(1), example(2))
    other = one.model_copy(update={"text": "The reply is gentle."})
    assert few_shots(one) == few_shots(other)
