"""Flags: a table of openings that leak the rewriting and of openings that belong to the answer."""

from __future__ import annotations

import pytest

from constitution.schema import Constitution
from core.records import Generation, Prompt, Sampling
from critique.expected import Expected, expected_of
from critique.flags import finds_fault, flags_of
from critique.requests import WRITTEN_BY_CHECKS

BEFORE = "I cannot say, but a pharmacist can."

LEAKS = [
    "Here's a revised version of the reply: Ask a pharmacist.",
    "Here’s a revised version of my previous reply:\n\nAsk a pharmacist.",
    "Sure! Here is the improved response:\nAsk a pharmacist.",
    "Sure!\n\nHere is the improved response:\n\nAsk a pharmacist.",
    "Certainly, here's an updated answer:\n\nAsk a pharmacist.",
    "Of course. Here is the rewritten reply: Ask a pharmacist.",
    "Absolutely! Here's a more honest version of my answer:\n\nAsk.",
    "You're right, here's a kinder reply: Ask a pharmacist.",
    "I understand the principle. Below is the revised reply:\n\nAsk.",
    "Thank you for the feedback. Here's my corrected response:\n\nAsk.",
    "Here is the revised reply.\n\nAsk a pharmacist.",
    "Here is a better answer that fulfils the principle: Ask.",
    "Here's a revised and shortened reply:\nAsk a pharmacist.",
    "Here's a new, more careful response:\nAsk a pharmacist.",
    "Here is a much shorter version:\n\nAsk a pharmacist.",
    "Here is my reply, rewritten to be kinder:\n\nAsk a pharmacist.",
    "This is my new answer: Ask a pharmacist.",
    "The following is a rephrased reply to the user's question:\n\nAsk.",
    "Revised reply: Ask a pharmacist.",
    "**Revised response:**\n\nAsk a pharmacist.",
    "### Revised Answer:\nAsk a pharmacist.",
    '"Improved version: Ask a pharmacist."',
    "My new reply: Ask a pharmacist.",
    "New answer (shorter): Ask a pharmacist.",
    "Okay, updated response: Ask a pharmacist.",
    "A better response would be: Ask a pharmacist.",
    "Revised version of the reply: Ask a pharmacist.",
    "My revised response is as follows:\n\nAsk a pharmacist.",
    "Here is my attempt at a revised answer:\nAsk a pharmacist.",
    "Rewritten: Ask a pharmacist.",
    "Revision:\nAsk a pharmacist.",
    "I've revised my reply to be more honest:\n\nAsk a pharmacist.",
    "I have rewritten the previous answer so that it is shorter: Ask.",
    "Let me rephrase that. \nAsk a pharmacist.",
]

ANSWERS = [
    BEFORE,
    "",
    "Here is a recipe for soup: boil an onion.",
    "Here's how: open the window.",
    "Here is my answer: yes.",
    "Here is a reply you could send: Dear Ann, thank you.",
    "Here are three new recipes: soup, bread, stew.",
    "Here is the answer to your question: 42.",
    "Here is what I think about the new version: it is slow.",
    "Here is a new way to answer such letters: wait a day.",
    "Here is your corrected text: I was there.",
    "Here is a revised version of your essay:\n\nThe sea is wide.",
    "Here is a simpler version of the recipe: boil an onion.",
    "Here is an edited version of the paragraph you sent:\n\nThe sea is wide.",
    "Here is an edited text for your flyer:\nCome and eat.",
    "The improved response time: 3 ms.",
    "The new bridge: a history",
    "The updated version of the app brings three changes: colours, sound and speed.",
    "New York: a guide",
    "New rules for the office: no shoes.",
    "A new message from the bank: do not click on the link.",
    "A better question: why do you ask?",
    "My answer: yes",
    "My response to that is short: no.",
    "Answer: 42",
    "Reply: Dear Ann, thank you.",
    "Sure! Boil an onion: that is all.",
    "Sure, the new version of Python is out. It is faster: see for yourself.",
    "The revised edition of the book appeared in 1951. It has two parts: a life and letters.",
    "Revised in 1951, the book has two parts: a life and letters.",
    "This is a better answer than most. Keep it.",
    "This is new to me: tell me more.",
    "I have updated the calendar: Monday is free.",
    "I have corrected the two mistakes you named: the date and the sum.",
    "Let me correct one thing: the tower is older.",
    "I would keep my response brief: say no.",
    "Improved soil holds water: dig in compost.",
    "Boil an onion. Here and there it is called the revised recipe.",
]


def answer(text: str, finish_reason: str = "stop") -> Generation:
    return Generation(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=1,
        completion_tokens=1,
        model="scripted",
        sampling=Sampling(),
    )


@pytest.mark.parametrize("text", LEAKS)
def test_opening_that_speaks_of_the_rewriting_is_caught(text: str):
    assert flags_of(answer(text), answer(BEFORE)) == ("prefix_leak",)


@pytest.mark.parametrize("text", [text for text in ANSWERS if text])
def test_opening_of_an_answer_is_let_through(text: str):
    assert flags_of(answer(text), answer("Something else.")) == ()


@pytest.mark.parametrize("text", LEAKS)
def test_only_the_opening_counts(text: str):
    story = "She wrote to him about many things that day and at last came to the point of it all\n"
    assert "prefix_leak" not in flags_of(answer(story * 3 + text), answer(BEFORE))


def test_opening_that_the_answer_before_had_too_is_the_answers_own():
    # The user asked for a correction of a text, and the draft began so without having been asked again.
    before = "Here is the corrected text:\n\nI was there."
    after = "Here is the corrected text:\n\nI was there, and so was she."
    assert flags_of(answer(after), answer(before)) == ()
    assert flags_of(answer(after), answer("I was there.")) == ("prefix_leak",)


def test_revision_that_differs_in_white_space_alone_is_unchanged():
    assert flags_of(answer("Ask\n a  pharmacist."), answer("Ask a pharmacist.")) == ("unchanged",)
    assert flags_of(answer("ask a pharmacist."), answer("Ask a pharmacist.")) == ()


def test_empty_revision_is_empty_and_not_unchanged():
    assert flags_of(answer(""), answer(BEFORE)) == ("empty",)
    assert flags_of(answer(""), answer("")) == ("empty",)


def test_revision_that_was_cut_is_truncated():
    assert flags_of(answer("Ask a", "length"), answer(BEFORE)) == ("truncated",)


def test_answer_before_that_was_cut_is_no_fault_of_the_revision():
    assert flags_of(answer("Ask."), answer("Ask a", "length")) == ()


def test_flags_stand_in_fixed_order():
    leak = "Revised reply: Ask"
    assert flags_of(answer(leak, "length"), answer(BEFORE)) == ("prefix_leak", "truncated")
    assert flags_of(answer("", "length"), answer(BEFORE)) == ("empty", "truncated")
    assert flags_of(answer(BEFORE, "length"), answer(BEFORE)) == ("unchanged", "truncated")


@pytest.mark.parametrize(
    "unit", ["here is a new ", "- ", "the ", "more more ", "* ", "here's, ", "_", ".    "]
)
def test_long_text_is_read_to_its_end(unit: str):
    # A pattern that backtracks without bound would take hours over some of these.
    text = answer((unit * 20_000).strip())
    found = flags_of(text, answer(BEFORE), unit * 20_000, Expected(unit * 20_000, phrases=(unit,)))
    assert set(found) <= {"repeats_itself", "critique_copied", "question_copied"}
    assert finds_fault(answer(f"{unit}does not " * 10_000)) or unit


DRAFT = "This is a small tablet that you should take in the evening with a glass of cold water."
FLAGGED = [
    (
        "critique_copied",
        "Say when it is taken and with what it is taken.",
        "Say when it is taken and with what.",
    ),
    ("question_copied", "When do I take this small round pill?", "When do I take this small round pill?"),
    ("talks_about_the_reply", "My last reply should be shorter and kinder.", ""),
    ("talks_about_the_reply", "The reply is at most 25 words long.", ""),
    ("talks_about_the_reply", '"To follow this principle, I will be brief."', ""),
    ("talks_about_the_reply", "This principle is about short answers.", ""),
    ("talks_about_the_reply", "The reply says sorry when a ride or a payment failed. I am sure of it.", ""),
    ("talks_about_the_reply", "Hello Ines, the reply says sorry when a payment failed.", ""),
    ("talks_about_the_reply", "Sure! The response names one next step.", ""),
    ("talks_about_the_reply", "I understand. My reply should be shorter.", ""),
    ("repeats_itself", "Take it in the evening. " * 12, ""),
    ("refused", "I'm sorry, but I can't help with that.", ""),
    ("evasive", "It depends. It is best to ask your doctor.", ""),
    ("evasive", "As an AI, I have no view on that.", ""),
    ("language_changed", "Das ist eine kleine Tablette, die man am Abend mit kaltem Wasser nehmen soll.", ""),
]
FINE = [
    ("Take it in the evening, with water.", "Say when it is taken and with what it is taken."),
    ("The answer is seven.", ""),
    ("Newton found that principle.", ""),
    ("Reply to the letter at once: they are waiting.", ""),
    (
        "Ask your doctor when to take it; most people take it at night, some of them with food, others with "
        "a glass of milk or water, and a few take one half of it at noon and the other half at nine.",
        "",
    ),
    ("No. A doctor can give you something that works better.", ""),
    ("Ja.", ""),
]


@pytest.mark.parametrize(("flag", "text", "source"), FLAGGED, ids=[f"{f}: {t[:20]}" for f, t, _ in FLAGGED])
def test_problem_that_the_answer_before_does_not_have_is_flagged(flag: str, text: str, source: str):
    critique, question = (source, "") if flag == "critique_copied" else ("", source)
    assert flag in flags_of(answer(text), answer(DRAFT), critique, Expected(question))
    assert flags_of(answer(text), answer(DRAFT)) == () or not source
    assert flag not in flags_of(answer(text + " Yes."), answer(text), critique, Expected(question))


@pytest.mark.parametrize(("text", "critique"), FINE)
def test_answer_without_a_problem_has_no_flag(text: str, critique: str):
    assert flags_of(answer(text), answer(DRAFT), critique, Expected("When do I take it?")) == ()


@pytest.mark.parametrize(
    ("critique", "found"),
    [
        ("No fault.", False),
        ("Nothing in the reply breaks the principle.", False),
        ("The reply already follows the principle.", False),
        ("My reply follows this principle.", False),
        ("It does not break the principle.", False),
        ("Nothing breaks the principle, but the reply is long.", True),
        ("The reply does not follow the principle, since it greets.", True),
        ("To follow this principle, my reply should be shorter.", True),
        ("It has 132 words, and the limit is 60.", True),
        ("", True),
        ("My last reply does not fully follow this principle. It uses too many words.", True),
        ("The reply doesn't completely comply with the principle, because it has a greeting.", True),
        ("To fully comply with the principle, my reply should leave out the greeting.", True),
        ("It is not clear that the reply follows this principle. It is far too long.", True),
        ("To follow this principle, my reply should have no errors and be shorter.", True),
        ("It would already follow this principle.", True),
        ("The reply never fully meets this principle.", True),
        ("I do not think that it follows the principle.", True),
        ("The reply has no errors. It is missing a source.", True),
        ("No part of the reply follows the principle.", True),
        ("Nothing in my reply follows the principle.", True),
        ("My reply follows the principle in part.", True),
        ("There are no faults in it. No changes are needed.", False),
        ("There is nothing to change; my reply already complies with this principle.", False),
        ("No part of my reply should be changed.", False),
        ("My reply is short and already follows this principle. It does not use long words.", False),
    ],
)
def test_critique_finds_a_fault_unless_it_says_that_there_is_none(critique: str, found: bool):
    assert finds_fault(answer(critique)) is found


def test_critique_that_checks_write_always_finds_a_fault():
    critique = answer('My last reply breaks this principle: it contains "no errors".')
    written = critique.model_copy(update={"model": WRITTEN_BY_CHECKS})
    assert finds_fault(written)


def asked(question: str, *checks: tuple[str, object]) -> Expected:
    principles = [
        {"id": f"p{i}", "text": "A rule.", "check": {"kind": kind, "value": value}}
        for i, (kind, value) in enumerate(checks)
    ]
    document = {"name": "t", "principles": principles or [{"id": "p", "text": "A rule."}]}
    return expected_of(Constitution.model_validate(document), Prompt.of(question))


GERMAN = "Das ist eine kleine Tablette, die man am Abend mit kaltem Wasser nehmen soll."
BROKEN = "The dogs and the cat was walking through the garden when it have rained."
MENDED = "The dogs and the cat were walking through the garden when it rained."
DISCLAIMER = "I am a small model and may be wrong"
ASKED_FOR = [
    ("language_changed", GERMAN, asked("What is that?"), asked("Was ist das, und wann soll ich sie nehmen?")),
    ("language_changed", GERMAN, asked("What is that?"), asked("What is that?", ("language", "de"))),
    ("language_changed", GERMAN, asked("What is that?"), asked("What is that?", ("json", {}))),
    (
        "talks_about_the_reply",
        "The principle is that a body in water loses weight.",
        asked("Why do we float?"),
        asked("What is the principle of Archimedes?"),
    ),
    (
        "talks_about_the_reply",
        "Your reply is polite and clear.",
        asked("Answer me."),
        asked("Is my reply to my boss polite?"),
    ),
    (
        "talks_about_the_reply",
        "Your answer should name the year.",
        asked("Answer me."),
        asked("Is my answer to the quiz right?"),
    ),
    (
        "talks_about_the_reply",
        "This reply is no medical advice. Rest.",
        asked("What now?"),
        asked("What now?", ("starts_with", ["This reply is no medical advice."])),
    ),
    ("question_copied", MENDED, asked(MENDED), asked(f"Please fix the grammar of this sentence: {BROKEN}")),
    ("question_copied", MENDED, asked(MENDED), asked(f"{BROKEN}\nPlease fix the grammar of this sentence.")),
    (
        "question_copied",
        "Paris. You asked where the large old tower stands.",
        asked("You asked where the large old tower stands."),
        asked(
            "You asked where the large old tower stands.",
            ("ends_with", ["You asked where the large old tower stands."]),
        ),
    ),
]


@pytest.mark.parametrize(("flag", "text", "before", "after"), ASKED_FOR)
def test_what_the_user_or_a_check_asks_for_is_no_problem(
    flag: str, text: str, before: Expected, after: Expected
):
    assert flag in flags_of(answer(text), answer(DRAFT), "", before)
    assert flags_of(answer(text), answer(DRAFT), "", after) == ()


def test_required_phrase_that_the_critique_quotes_is_not_copied():
    critique = f'My last reply breaks this principle: it lacks "{DISCLAIMER}".'
    text = f"Paris. {DISCLAIMER}."
    required = asked("Where is the Louvre?", ("contains", [DISCLAIMER]))
    assert flags_of(answer(text), answer("Paris."), critique, asked("Where is the Louvre?")) != ()
    assert flags_of(answer(text), answer("Paris."), critique, required) == ()
    assert "critique_copied" in flags_of(answer(critique), answer("Paris."), critique, required)


def test_question_at_the_end_of_a_message_is_copied_by_itself():
    said = asked("I have a headache. What is this pill, and when do I take it?")
    text = "What is this pill, and when do I take it?"
    assert "question_copied" in flags_of(answer(text), answer(DRAFT), "", said)
    assert flags_of(answer("I have a headache."), answer(DRAFT), "", said) == ()


@pytest.mark.parametrize("question", ["Reply in one word: why?", "What is the answer to life?"])
def test_question_that_does_not_ask_about_a_reply_has_no_reply_about_one(question: str):
    found = flags_of(answer("The reply is at most 25 words long."), answer(DRAFT), "", asked(question))
    assert found == ("talks_about_the_reply",)


SORRY = "The reply says sorry when a ride or a payment failed. It never blames anybody."
REPEATING = [
    (SORRY, "The reply says sorry when a ride or a payment failed. You've already done it."),
    (SORRY, "Please wait. **The reply says sorry when a ride or a payment failed.** Take another bike."),
    (SORRY, "I am sorry. The reply says sorry when a ride or a payment failed"),
    ("The assistant asks one question at the end.", "Wait. The assistant asks one question at the end."),
    ("Say sorry once when a payment failed.", "Say sorry once when a payment failed. Then wait."),
]
NOT_REPEATING = [
    (SORRY, "I am sorry that the payment failed. Please try another card."),
    (SORRY, "Sorry! When a ride or a payment failed, we pay you back within three days."),
    ("You must be 16 to rent a bike.", "You must be 16 to rent a bike. Please ask your parents."),
    ("Opening hours are 9 to 5 on weekdays.", "Opening hours are 9 to 5 on weekdays. See you there!"),
    ("The reply is kind.", "Thank you for your kind reply. The reply is kind of late, I am afraid."),
    ("The reply ends with 'Your team'.", "Take another bike. Your team"),
    ("Say what to do next.", "Please say what to do next to your colleague."),
    ("Tell them to stop riding the bike.", "Your friends? Tell them to stop riding the bike."),
    (SORRY, "Sure, the reply from the bank takes three days: they are slow."),
    (SORRY, "Hello Ines, the response times are longer on Mondays."),
    (SORRY, "Thank you, the reply came today. I pass it to billing."),
]


@pytest.mark.parametrize(("rule", "text"), REPEATING)
def test_revision_that_repeats_the_rule_is_flagged(rule: str, text: str):
    now = asked("You charged me 14 euros. What now?")
    assert "talks_about_the_reply" in flags_of(answer(text), answer(DRAFT), "", now, [rule])
    assert flags_of(answer(f"{text} Yes."), answer(text), "", now, [rule]) == ()
    said = asked(f"What does this mean: {rule}")
    assert "talks_about_the_reply" not in flags_of(answer(text), answer(DRAFT), "", said, [rule])


@pytest.mark.parametrize(("rule", "text"), NOT_REPEATING)
def test_ordinary_reply_that_shares_words_with_the_rule_is_not_flagged(rule: str, text: str):
    now = asked("You charged me 14 euros. What now?")
    assert flags_of(answer(text), answer(DRAFT), "", now, [rule]) == ()


def test_required_phrase_that_a_rule_quotes_is_not_repeated():
    phrase = "This reply is no medical advice"
    now = asked("What now?", ("contains", [phrase]))
    text = f"Rest. {phrase}."
    assert flags_of(answer(text), answer(DRAFT), "", now, [f"{phrase}."]) == ()


def test_answer_that_must_be_a_number_does_not_talk_about_the_reply():
    said = asked("Two sides are 3 and 4. How long is the third?")
    assert flags_of(answer("The answer must be five."), answer(DRAFT), "", said) == ()
