"""Answers of several pairs become one labelled answer each."""

from __future__ import annotations

import pytest

from core.records import Message, Preference, Prompt
from publius.runs.exporting.unpaired import AS_OFTEN_WORSE, UnpairedAnswers

ASKED = Prompt.of("How do I boil an egg?")


def preference(chosen: str, rejected: str, p: float) -> Preference:
    said = (Message(role="assistant", content=chosen),), (Message(role="assistant", content=rejected),)
    return Preference(
        id=f"{chosen}>{rejected}",
        comparison_id=f"{chosen}{rejected}",
        prompt=ASKED.messages,
        prompt_id=ASKED.id,
        chosen=said[0],
        rejected=said[1],
        p_chosen=p,
        sources={"ai": 1},
        by_principle={},
        constitution_digest="",
        origin_chosen=f"of {chosen}",
        origin_rejected=f"of {rejected}",
    )


def test_an_answer_is_once_in_the_rows_with_the_label_of_its_mean_probability():
    found = UnpairedAnswers()
    pairs = [preference("a", "b", 0.9), preference("b", "c", 0.7), preference("a", "c", 0.8)]
    rows = {row.completion[0].content: row for row in found.of(pairs)}
    assert {text: row.is_good for text, row in rows.items()} == {"a": True, "b": False, "c": False}
    assert {text: round(row.p_better, 6) for text, row in rows.items()} == {"a": 0.85, "b": 0.4, "c": 0.25}
    assert rows["b"].comparison_ids == ("ab", "bc")
    assert (rows["b"].origin, rows["c"].origin) == ("of b", "of c")
    assert (found.contested, found.left_out.total()) == (1, 0)


def test_an_answer_as_often_worse_as_better_is_counted_and_a_tie_labels_none():
    found = UnpairedAnswers()
    rows = list(found.of([preference("a", "b", 0.9), preference("b", "c", 0.9), preference("d", "e", 0.5)]))
    assert [(row.completion[0].content, row.is_good) for row in rows] == [("a", True), ("c", False)]
    assert (found.contested, dict(found.left_out)) == (0, {AS_OFTEN_WORSE: 1})


def test_a_pair_alone_gives_its_probability_to_both_answers():
    chosen, rejected = UnpairedAnswers().of([preference("a", "b", 0.6)])
    assert (chosen.p_better, rejected.p_better) == (pytest.approx(0.6), pytest.approx(0.4))
