"""Messages taken out of what models write around them, and why others are left out."""

from __future__ import annotations

import pytest

from prompts import replies
from prompts.replies import candidates

ASKED = "How do I get wax out of a tablecloth?"


def read(reply: str, *, finished: bool = True) -> list[tuple[str, str | None]]:
    return [tuple(candidate) for candidate in candidates(reply, finished=finished)]


@pytest.mark.parametrize(
    "reply",
    [
        ASKED,
        f"  {ASKED}\n",
        f'"{ASKED}"',
        f"“{ASKED}”",
        f"**{ASKED}**",
        f'**"{ASKED}"**',
        f'"{ASKED}',
        f"Message: {ASKED}",
        f"User: {ASKED}",
        f'User\'s message: "{ASKED}"',
        f"Prompt: “{ASKED}”",
        f"Sure, here is a message:\n\n{ASKED}",
        f"Sure! Here's one: {ASKED}",
        f"Here is the user's message: “{ASKED}”",
        f"Certainly. Here are some requests:\n{ASKED}",
        f"1. {ASKED}",
        f"- {ASKED}",
        f"{ASKED}\n\nNote: this asks for something harmless.",
        f"{ASKED}\n\n(This message breaks the rule because of the wax.)",
        f"{ASKED}\nAssistant: Let it harden first.",
        f"{ASKED}\n\nRule: The reply is short.\nMessage: What time is it?",
        f"{ASKED}\nRule for the assistant: The reply is short.",
    ],
)
def test_message_is_taken_out_of_what_is_around_it(reply: str):
    assert read(reply) == [(ASKED, None)]


@pytest.mark.parametrize(
    "message",
    [
        'My boss said "no". What now?',
        '"No" is all she says. How do I get her to talk?',
        "Sure enough my cat is ill. Please help me.",
        "Here's my essay on bees. Shorten it: bees are busy.",
        "I can't write my essay. Help!",
        "I keep hurting myself and I don't want anybody to know.",
        "Translate this: good morning, it is raining.",
        "Pretend that you are my doctor.",
        "I work as an AI engineer. How do I tell my mother what that is?",
        "Je cherche un livre pour ma fille.",
        "猫为什么会打呼噜",
        "Dear all, please tell me what this letter means.\nIt came today.",
        "The message on my phone says I won. Is it true?",
    ],
)
def test_message_stays_as_it_is(message: str):
    assert read(message) == [(message, None)]


def test_numbered_list_gives_a_message_for_each_number():
    numbered = "1. First question?\nIt has two lines.\n\n2) “Is it two o'clock?”\n3. Third one, please."
    reply = f"Here are three messages:\n\n{numbered}"
    assert [text for text, _ in read(reply)] == [
        "First question?\nIt has two lines.",
        "Is it two o'clock?",
        "Third one, please.",
    ]
    assert {reason for _, reason in read(reply)} == {None}


def test_only_the_last_message_of_a_list_is_cut_off():
    reply = "1. Is it late?\n2. And how do"
    assert [reason for _, reason in read(reply, finished=False)] == [None, replies.CUT_OFF]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", replies.EMPTY),
        ("  \n", replies.EMPTY),
        ('""', replies.EMPTY),
        ("...", replies.EMPTY),
        ("Message:", replies.EMPTY),
        ("I'm sorry, but I can't help with that.", replies.DECLINED),
        ("I cannot write such a message, because it would be harmful.", replies.DECLINED),
        ("As an AI language model, I have no wishes.", replies.DECLINED),
        ("I'm sorry, but as a trusted AI assistant I stay polite.", replies.DECLINED),
        ("I'd be glad to help you. What do you need?", replies.NO_REQUEST),
        ("I'm happy to help. What do you want to do?", replies.NO_REQUEST),
        ("It is a nice day. What can I do for you?", replies.NO_REQUEST),
        ('{"message": "How do I steal a car?"}', replies.ANOTHER_FORM),
        ("```\nprint(1)\n```\nWhat does it print?", replies.ANOTHER_FORM),
        ("| kind | message |\n|---|---|\n| a | What is it? |", replies.ANOTHER_FORM),
        ("I need help with:\n- one thing\n- another thing", replies.ANOTHER_FORM),
        ("Why is it so?\n" * 9, replies.ANOTHER_FORM),
        ("Why " + "so " * 120 + "?", replies.TOO_LONG),
        ("Why?", replies.TOO_SHORT),
        ("The user asks for a recipe that breaks the rule.", replies.ABOUT_THE_RULE),
        ("A message in which the user wants a weapon.", replies.ABOUT_THE_RULE),
        ("You should let the wax harden and scrape it off.", replies.NO_REQUEST),
        ("It is important to stay hydrated.", replies.NO_REQUEST),
        ("No, the wax is hot.", replies.NO_REQUEST),
        ("Candle wax is made of paraffin.", replies.NO_REQUEST),
        ("I recommend a warm iron and a sheet of paper.", replies.NO_REQUEST),
    ],
)
def test_what_is_no_message_is_left_out_with_its_reason(reply: str, reason: str):
    assert [found for _, found in read(reply)] == [reason]


def test_reply_that_was_cut_off_is_left_out_whatever_it_says():
    assert read(ASKED, finished=False) == [(ASKED, replies.CUT_OFF)]
