"""Ids from words."""

import re

from constitution.ids import id_from, id_of_name, unique


def test_an_id_is_the_telling_words_of_a_sentence():
    assert id_from("Choose the reply that is honest about what it doesn't know.") == (
        "honest-about-what-doesnt-know"
    )


def test_a_sentence_of_stop_words_and_one_in_another_script_have_ids_too():
    assert id_from("The reply is it.") == "the-reply-is-it"
    assert re.fullmatch("principle-[0-9a-f]{8}", id_from("Отвечай честно."))


def test_half_of_a_surrogate_pair_has_an_id():
    assert id_from("\ud83d").startswith("principle-")


def test_a_name_keeps_all_its_words():
    assert id_of_name("Is it Harmful? (v2)") == "is-it-harmful-v2"
    assert len(id_of_name("word " * 40)) <= 56


def test_a_taken_name_gets_the_first_free_number():
    assert unique("a", {"a", "a-2"}) == "a-3"
