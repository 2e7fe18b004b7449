"""The sheet for people: what is drawn, in which order, and what it does not show."""

from __future__ import annotations

import csv
import io

from constitution.schema import Principle
from evaluation.judged.gold import SHEET_COLUMNS, answer_sheet, drawn_rows
from tests.evaluation.answers import answer_of, answers_of
from tests.evaluation.judged.rated import KIND, PLAIN, rated

TEXTS = [f"text {n}" for n in range(12)]
CHANCES = {(p.text, text): 0.8 for p in (KIND, PLAIN) for text in (*TEXTS, "the same", "=cmd()")}


def test_sheet_has_the_answers_of_all_variants_to_random_prompts():
    answers = [*answers_of("base", *TEXTS), *answers_of("sft", *reversed(TEXTS))]
    ratings = rated(answers, CHANCES, KIND, PLAIN)
    rows = drawn_rows(ratings, answers, [KIND, PLAIN], 5, 0)
    assert [row.principle.id for row in rows] == ["kind"] * 10 + ["plain"] * 10
    drawn = [row.answer.prompt.id for row in rows]
    assert len(set(drawn[:10])) == 5
    assert drawn[:10:2] == drawn[1:10:2]  # the rows of a prompt follow each other
    assert drawn[:10] != sorted(drawn[:10])
    assert set(drawn[:10]) != set(drawn[10:])  # each principle has a draw of its own
    assert {row.answer.variant for row in rows[:2]} == {"base", "sft"}
    again = drawn_rows(ratings[::-1], answers[::-1], [KIND, PLAIN], 5, 0)
    assert [row.question for row in again] == [row.question for row in rows]


def test_answer_of_several_variants_is_one_row_and_unrated_prompts_are_not_drawn():
    answers = [*answers_of("base", "the same", "text 1"), *answers_of("sft", "the same", " ")]
    rows = drawn_rows(rated(answers, CHANCES, KIND), answers, [KIND], 5, 0)
    assert [row.answer.generation.text for row in rows] == ["the same"]


def test_sheet_shows_neither_variant_nor_rating_and_no_formula():
    formula = Principle(id="kind", text="=SUM(1, 2)")
    answers = [answer_of("base", "Why?", "=cmd()")]
    chances = {(formula.text, "=cmd()"): 0.123}
    text = answer_sheet(drawn_rows(rated(answers, chances, formula), answers, [formula], 5, 0))
    header, row = csv.reader(io.StringIO(text))
    assert tuple(header) == SHEET_COLUMNS
    assert row[1:] == ["kind", "'=SUM(1, 2)", "user: Why?\n\nassistant: =cmd()", ""]
    assert "base" not in text
    assert "0.123" not in text
