"""Messages under the names that data sets give to roles and contents."""

from __future__ import annotations

import itertools

import pytest

from core.errors import RequestError
from core.text.messages import (
    CONTENT_KEYS,
    ROLE_KEYS,
    by_message,
    is_conversation,
    is_message,
    parsed_messages,
)


@pytest.mark.parametrize(("who", "what"), list(itertools.product(ROLE_KEYS, CONTENT_KEYS)))
def test_roles_and_contents_are_read_in_any_combination(who: str, what: str):
    talk = [{who: "Customer", what: "My bike squeaks."}, {who: "support agent", what: "Oil it."}]
    assert is_conversation(talk)
    found = [(message.role, message.content) for message in parsed_messages(talk, "turns")]
    assert found == [("user", "My bike squeaks."), ("assistant", "Oil it.")]


@pytest.mark.parametrize(
    ("word", "role"),
    [("end-user", "user"), (" Visitor", "user"), ("OPERATOR", "assistant"), ("instruction", "system")],
)
def test_words_that_mean_a_role_are_known_in_any_case(word: str, role: str):
    assert parsed_messages([{"speaker": word, "text": "Hi"}], "turns")[0].role == role


def test_an_unknown_role_is_named_with_its_count_and_key():
    talk = [{"speaker": name, "text": "Hi"} for name in ("kunde", "agent", "kunde", "Tamsin")]
    with pytest.raises(RequestError, match=r"other than system, user, assistant") as caught:
        parsed_messages(talk, "turns")
    assert "found 'kunde' (2), 'Tamsin' (1) in speaker" in caught.value.detail


def test_messages_that_do_not_say_who_speaks_name_their_keys():
    with pytest.raises(RequestError) as caught:
        parsed_messages([{"name": "Ann", "text": "Hi"}], "turns")
    assert "found keys 'name', 'text'; who speaks is read from role" in caught.value.detail


@pytest.mark.parametrize(
    "value",
    [{"type": "text", "text": "Hi"}, {"author": "Ann", "text": "Nice"}, {"type": "function", "body": "{}"}],
)
def test_parts_and_comments_are_no_messages(value: dict[str, str]):
    assert not is_message(value)
    assert not is_conversation([value])


def test_an_object_with_lists_of_speakers_and_texts_is_its_messages():
    columns = {"speaker": ["customer", "agent"], "text": ["Hi", "Hello"]}
    assert [message.role for message in parsed_messages(columns, "turns")] == ["user", "assistant"]
    labels = {"author": ["Ann", "Ben"], "text": ["Hi", "Hello"]}
    assert by_message(labels) is labels
