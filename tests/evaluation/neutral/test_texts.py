"""The texts that ship with the package."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files

from core.text.similarity import near_duplicates
from evaluation.neutral.texts import neutral_passages, reference_answers


def test_there_are_five_passages_of_each_register_with_60_to_120_words():
    passages = neutral_passages()
    assert set(Counter(passage.register for passage in passages).values()) == {5}
    assert len({passage.register for passage in passages}) == 8
    assert all(60 <= len(passage.text.split()) <= 120 for passage in passages)
    assert len({passage.id for passage in passages}) == len(passages) == 40


def test_every_reference_answer_has_30_to_90_words_and_a_question():
    answers = reference_answers()
    assert len({answer.id for answer in answers}) == len(answers) == 40
    assert all(30 <= len(answer.answer.split()) <= 90 for answer in answers)
    assert all(answer.question.endswith(("?", ".")) for answer in answers)


def test_a_limit_keeps_every_register_and_takes_texts_of_the_whole():
    some = neutral_passages(16)
    assert set(Counter(passage.register for passage in some).values()) == {2}
    assert set(some) < set(neutral_passages())
    assert len(set(reference_answers(16))) == 16
    assert neutral_passages(100) == neutral_passages()


def test_no_text_is_like_another_or_like_a_demo_prompt():
    rows = (files("prompts") / "demo" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    demo = [row.get("prompt") or row["messages"][-1]["content"] for row in map(json.loads, rows)]
    questions = [answer.question for answer in reference_answers()]
    texts = [passage.text for passage in neutral_passages()]
    assert list(near_duplicates(texts + [answer.answer for answer in reference_answers()], 0.3)) == []
    close = list(near_duplicates([*demo, *questions], 0.5))
    assert [later for later, _ in close if later >= len(demo)] == []
