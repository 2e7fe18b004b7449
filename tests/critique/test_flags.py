"""Flags: what must and must not be noticed about a revision."""

from __future__ import annotations

import time

import pytest

from core.records import Generation, Sampling
from critique.flags import flags_of


def generation_of(text: str, *, cut: bool = False) -> Generation:
    return Generation(
        text=text,
        finish_reason="length" if cut else "stop",
        prompt_tokens=1,
        completion_tokens=1,
        model="scripted",
        sampling=Sampling(),
    )


BEFORE = generation_of("Boil the lentils for twenty minutes.")

LEAKS = [
    "Here's a revised version of the reply:\n\nBoil them.",
    "Here’s a revised version of my last reply:\nBoil them.",
    "Sure! Here is the improved response:\nBoil them.",
    "Sure, here's an updated answer:\n\nBoil them.",
    "Certainly. Here is a new reply:\n\nBoil them.",
    "Of course! Here's a more concise version:\n\nBoil them.",
    "Okay - here is a shorter, kinder reply: Boil them.",
    "Here is the rewritten response that fulfils the principle:\n\nBoil them.",
    "Here is a revised reply, which is shorter and more honest:\n\nBoil them.",
    "Here is my attempt at a revised answer:\nBoil them.",
    "Here is the improved reply to the user's message:\nBoil them.",
    "Here's a less wordy answer to your question:\nBoil them.",
    "Here is the reply again, with one reason only:\nBoil them.",
    "Here is the response rewritten to be brief:\nBoil them.",
    "Here's the new reply.\n\nBoil them.",
    "Here's another attempt:\nBoil them.",
    "Below is the revised response:\n\nBoil them.",
    "This is the corrected answer:\nBoil them.",
    "Thank you for the feedback! Here's a revised version:\n\nBoil them.",
    "You're right, my last reply was too long. Here is a better response:\n\nBoil them.",
    "I apologize for the confusion. Here is the corrected response:\n\nBoil them.",
    "Revised reply: Boil them.",
    "**Revised Answer:**\n\nBoil them.",
    "### Improved version:\nBoil them.",
    "*New reply*: Boil them.",
    '"Revised response: Boil them."',
    "Rewritten reply (shorter): Boil them.",
    "My revised response is as follows:\nBoil them.",
    "The revised reply would be: Boil them.",
    "Sure! Revised reply: Boil them.",
    "Revision: Boil them.",
    "I have revised my reply to be clearer.\n\nBoil them.",
    "I've rewritten the response so that it is honest: Boil them.",
    "Let me rewrite that answer: Boil them.",
    "Let me try that again: Boil them.",
    "You are right. I will revise my answer.\n\nBoil them.",
]

CLEAN = [
    "Here is a recipe for soup:\n1. Boil the lentils.",
    "Here's how it works:\nBoil them.",
    "Here are three better answers to that interview question:\n1. I learn fast.",
    "Here is the answer: 42.",
    "Here's a polite reply you could send to your boss:\nDear Ann,",
    "Here's a revised version of your email:\n\nDear Ann,",
    "Here is an updated version of the function with error handling:\n\ndef f(): ...",
    "Here's a new version of the song:\nLa la.",
    "Here is an edited text for your flyer:\nCome and eat.",
    "Sure! Here is a plan:\nBoil them.",
    "Of course. Boil them for twenty minutes.",
    "The new bridge: a history",
    "The new version of Python has three features: speed, speed and speed.",
    "The better answer depends on two things: cost and time.",
    "The improved response time: 3 ms.",
    "New version: 2.0 is out.",
    "New message format: JSON.",
    "My answer: yes",
    "Answer: yes.",
    "Reply: not at all.",
    "A better response to grief is to listen. Here is why:",
    "A more honest answer to that question: nobody knows.",
    "This is a better time of year for lentils: autumn.",
    "This is a more general answer to what Kant asked: reason has limits.",
    "I revised my opinion of lentils: they are good.",
    "I have revised the answer key for your class: question 3 was wrong.",
    "I would rewrite the first paragraph: it is too long.",
    "Let me try to explain: lentils are seeds.",
    "Revision is the best way to learn: start early.",
    "Rewrite the first line: it is too long.",
    "Revised in 1994, the law says: no lentils at sea.",
    "Boil them. A revised reply: from the ministry came later.",
    "",
]


@pytest.mark.parametrize("text", LEAKS)
def test_an_opening_about_the_rewriting_is_a_leak(text: str):
    assert flags_of(generation_of(text), BEFORE) == ("prefix_leak",)


@pytest.mark.parametrize("text", CLEAN)
def test_an_opening_about_the_matter_is_no_leak(text: str):
    assert "prefix_leak" not in flags_of(generation_of(text), BEFORE)


def test_a_leak_is_found_in_any_case():
    assert flags_of(generation_of(LEAKS[0].upper()), BEFORE) == ("prefix_leak",)


def test_an_announcement_that_the_draft_made_too_is_what_the_user_asked_for():
    draft = generation_of("Here's an improved version:\n\nDear Ann, please come at nine.")
    revision = generation_of("Here's an improved version:\n\nDear Ann, could you come at nine?")
    assert flags_of(revision, draft) == ()
    assert flags_of(revision, BEFORE) == ("prefix_leak",)


@pytest.mark.parametrize("text", ["!" * 4000, "- " * 2000, "new, " * 800, "here is a " * 400, "a. " * 1300])
def test_degenerate_text_takes_no_time(text: str):
    started = time.process_time()
    assert flags_of(generation_of(text), BEFORE) == ()
    assert time.process_time() - started < 0.5  # a pattern that backtracks would take hours


@pytest.mark.parametrize(
    ("text", "cut", "expected"),
    [
        ("Boil them for ten minutes.", False, ()),
        ("", False, ("empty",)),
        ("", True, ("empty", "truncated")),
        (BEFORE.text, False, ("unchanged",)),
        ("Boil the lentils\n\nfor  twenty minutes. ", False, ("unchanged",)),
        ("Boil the Lentils for twenty minutes.", False, ()),
        (BEFORE.text, True, ("unchanged", "truncated")),
        ("Revised reply: boil the", True, ("prefix_leak", "truncated")),
    ],
)
def test_flags_stand_in_fixed_order(text: str, cut: bool, expected: tuple[str, ...]):
    assert flags_of(generation_of(text, cut=cut), BEFORE) == expected


def test_an_empty_revision_of_an_empty_answer_is_empty_and_not_unchanged():
    assert flags_of(generation_of(""), generation_of("")) == ("empty",)
