from __future__ import annotations

import pytest

from labelers.formats.repeated import RepeatedAnswers


def line_of(rows: list[tuple[str, str, str]]) -> str | None:
    found = RepeatedAnswers()
    for prompt, one, other in rows:
        found.add(prompt, (one, other))
    return found.line()


def test_texts_that_answer_at_least_half_of_the_prompts_are_named_with_their_number():
    rows = [(f"Question {n}?", "It depends.", f"Answer {n}.") for n in range(3)]
    rows += [(f"Question {n}?", f"Reply {n}.", f"Answer {n}.") for n in range(3, 6)]
    said = line_of(rows)
    assert said is not None
    assert "many of 6 prompts: 'It depends.' to 3;" in said
    assert line_of([*rows, ("Question 6?", "Yes.", "No.")]) is None


def test_both_texts_are_named_and_long_ones_are_cut():
    said = line_of([(f"Question {n}?", "It  depends.", "word " * 30) for n in range(5)])
    assert said is not None
    assert "'It depends.' to 5 and 'word word word word word word word word ...' to 5" in said


def test_one_answer_in_several_pairs_of_a_prompt_counts_once():
    ranking = [(prompt, "Best.", f"{prompt} {n}") for prompt in "abcdefgh" for n in range(2)]
    others = [(prompt, f"Best of {prompt}.", f"{prompt} {n}") for prompt in "ijklmnopq" for n in range(9)]
    assert line_of([*ranking, *others]) is None


@pytest.mark.parametrize("number", [1, 4])
def test_a_few_prompts_say_nothing(number: int):
    assert line_of([(f"Question {n}?", "Yes.", "No.") for n in range(number)]) is None
