"""Boilerplate is one phrase in many answers."""

from __future__ import annotations

from core.text.phrases import boilerplate_share


def test_a_phrase_of_five_words_is_found_wherever_it_stands():
    texts = [
        "As a helpful assistant I think that cats sleep.",
        "Rain falls, and as a helpful assistant, I like it.",
        "AS A HELPFUL ASSISTANT I cannot say.",
        "Water boils at a hundred degrees at sea level.",
    ]
    assert boilerplate_share(texts) == 0.75


def test_short_answers_count_as_one_phrase():
    assert boilerplate_share(["Yes.", "yes", "No."]) == 2 / 3


def test_different_answers_share_nothing():
    assert boilerplate_share(["One two three four five.", "Six seven eight nine ten."]) == 0.0
    assert boilerplate_share(["Just one answer."]) == 0.0
    assert boilerplate_share([]) == 0.0
    assert boilerplate_share([""]) == 0.0


def test_answers_that_say_nothing_are_all_alike():
    assert boilerplate_share(["", " ", "..."]) == 1.0


def test_a_phrase_twice_in_one_answer_counts_once():
    assert boilerplate_share(["a b c d e a b c d e", "f g h i j", "k l m n o"]) == 0.0
