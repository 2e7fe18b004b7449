"""What is unusual in a conversation, and the reasons that name a source's own columns."""

from __future__ import annotations

import pytest

from core.conversations import oddities, prompt_of, shown, sides_of
from core.errors import RequestError
from core.records import Message, Role


def talk(*turns: tuple[Role, str]) -> tuple[Message, ...]:
    return tuple(Message(role=role, content=content) for role, content in turns)


def test_turns_that_alternate_are_nothing_odd():
    assert (
        oddities(talk(("system", "Be brief."), ("user", "Hello."), ("assistant", "Hi."), ("user", "So?")))
        == ()
    )


def test_two_turns_of_one_role_and_an_empty_one_are_odd():
    found = oddities(talk(("user", "Hello."), ("user", "Hello?"), ("assistant", " "), ("user", "So?")))
    assert found == ("two consecutive turns have the same role", "a turn before the answer is empty")


@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        (("q", "x", "x"), "left and right are the same"),
        (("q", "x", ""), "an answer is empty (in right)"),
        (
            (None, "\n\nHuman: q\n\nAssistant: x", "\n\nHuman: p\n\nAssistant: y"),
            "left and right differ in more",
        ),
        (("q", 7, "x"), "left is neither text nor a list of messages"),
    ],
)
def test_reasons_name_the_columns_that_were_read(sides: tuple[object, object, object], reason: str):
    with pytest.raises(RequestError) as caught:
        sides_of(*sides, names=("left", "right"))
    assert str(caught.value).startswith(reason)


def test_a_prompt_alone_is_read_like_one_beside_answers():
    assert prompt_of("\n\nHuman: Hello\n\nAssistant:") == talk(("user", "Hello"))
    with pytest.raises(RequestError, match="the prompt is empty"):
        prompt_of(" ")


def test_a_long_value_is_shown_by_its_beginning():
    assert shown("x" * 100) == "'" + "x" * 59 + "..."
