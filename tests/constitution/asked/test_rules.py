"""Machine checks that rules in words ask for: those understood, and those left to the labeler."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from constitution.asked.forms import CAPITALS, EMOJI
from constitution.asked.rules import asked_checks
from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.gold.wordings import principle_texts
from constitution.loader import load_constitution, preset_names
from core.text.yaml_file import parse_yaml

CHECK: TypeAdapter[Any] = TypeAdapter(Check)
NO_EMOJI = f"{{kind: not_regex, value: '[{EMOJI}]'}}"
PROSE, LIST = "{kind: format, value: prose}", "{kind: format, value: list}"
ENDS, NOT_ENDS = "{kind: ends_with_question, value: true}", "{kind: ends_with_question, value: false}"


def at(side: str, unit: str, value: int) -> str:
    return f"{{kind: {side}_{unit}, value: {value}}}"


def none_of(phrases: str) -> str:
    return f"{{kind: contains_none, value: [{phrases}]}}"


RULES = {
    "Answer in max 80 words": at("max", "words", 80),
    "The reply is at most 80 words long.": at("max", "words", 80),
    "has at most 3 sentences": at("max", "sentences", 3),
    "Keep it short: max. 80 words": at("max", "words", 80),
    "maximum length: 80 words": at("max", "words", 80),
    "Word limit: 80": at("max", "words", 80),
    "An 80-word limit": at("max", "words", 80),
    "80 words or less": at("max", "words", 80),
    "Be brief: at most eighty words.": at("max", "words", 80),
    "No longer than a hundred and fifty words": at("max", "words", 150),
    "Keep replies under 100 words.": at("max", "words", 99),
    "Use fewer than 4 sentences.": at("max", "sentences", 3),
    "Don't write more than 120 words.": at("max", "words", 120),
    "Responses must not exceed 50 words": at("max", "words", 50),
    "Never use more than two sentences.": at("max", "sentences", 2),
    "Limit your answer to 3 sentences.": at("max", "sentences", 3),
    "The answer is finished within 3 sentences.": at("max", "sentences", 3),
    "Answer in one sentence.": at("max", "sentences", 1),
    "At most 280 characters": at("max", "characters", 280),
    "At most 1,000 characters (a text message), please.": at("max", "characters", 1000),
    "Not longer than a postcard: 60 words.": at("max", "words", 60),
    "Not more than fits on a phone: 90 words.": at("max", "words", 90),
    "Replies are no longer than a short e-mail (120 words).": at("max", "words", 120),
    "Do not exceed the length of a chat bubble, 50 words.": at("max", "words", 50),
    "Never longer than one SMS - 160 characters at most.": at("max", "characters", 160),
    "No more than 80 words per reply, because customers read on phones.": at("max", "words", 80),
    "Minimum of 20 words": at("min", "words", 20),
    "More than 20 words": at("min", "words", 21),
    "The reply has no fewer than two sentences.": at("min", "sentences", 2),
    "never uses emojis": NO_EMOJI,
    "No emojis": NO_EMOJI,
    "Emojis are not allowed.": NO_EMOJI,
    "Use at most 5 bullet points.": at("max", "list_items", 5),
    "No more than three list items": at("max", "list_items", 3),
    "No bullet points": PROSE,
    "Avoid bullet points and numbered lists.": PROSE,
    "Answer as a bulleted list.": LIST,
    "end with a question": ENDS,
    "Every reply ends with a question to the customer.": ENDS,
    "Never end with a question.": NOT_ENDS,
    "Ask only one question at a time.": r"{kind: not_regex, value: '(?s)\?.*\?'}",
    "No exclamation marks!": "{kind: not_regex, value: '!'}",
    "Always reply in English": "{kind: language, value: en}",
    "Answer in the language of the question.": "{kind: language, value: same}",
    "Answer in the customer's language.": "{kind: language, value: same}",
    "Always reply in the same language as the user.": "{kind: language, value: same}",
    "The reply is in the language in which the customer writes.": "{kind: language, value: same}",
    "Reply in the guest's language.": "{kind: language, value: same}",
    "Write back in the language of the patient.": "{kind: language, value: same}",
    "Use the language that the client wrote in.": "{kind: language, value: same}",
    "Always respond in whatever language the member writes.": "{kind: language, value: same}",
    "Answer travellers in their own language.": "{kind: language, value: same}",
    "Reply in the guest's language if it is English, Norwegian or German.": "{kind: language, value: same}",
    "Respond in the same language as the guest, be it Finnish or Swedish.": "{kind: language, value: same}",
    "Ask the patient at most two questions.": r"{kind: not_regex, value: '(?s)\?.*\?.*\?'}",
    "Don't use more than one question back to the guest.": r"{kind: not_regex, value: '(?s)\?.*\?'}",
    "Never ask a client more than one question at a time.": r"{kind: not_regex, value: '(?s)\?.*\?'}",
    "Reply with valid JSON.": "{kind: json, value: {}}",
    "Written in the second person.": "{kind: person, value: second}",
    "Reading level at most grade 8.": "{kind: max_grade, value: 8}",
    'Begin with "Hello".': "{kind: starts_with, value: [Hello]}",
    'Sign off with "Your harbour team".': "{kind: ends_with, value: [Your harbour team]}",
    "Never begin with “I”.": "{kind: not_starts_with, value: [I]}",
    'Never say "as an AI" or "certainly".': "{kind: contains_none, value: [as an AI, certainly]}",
    "The reply must mention 'order number'.": "{kind: contains, value: [order number]}",
    "Max. 90 words. People read this on the street, on a phone.": at("max", "words", 90),
    "Max. 90 words. Most customers are on their phones.": at("max", "words", 90),
    "At most 60 words; readers see it on a small screen, often at work.": at("max", "words", 60),
    "Do not mention competitors (Nextbike, Lime, Tier).": none_of("Nextbike, Lime, Tier"),
    "Avoid naming rivals (Call a Bike or Lime).": "{kind: contains_none, value: [Call a Bike, Lime]}",
    'don\'t tell anyone to "calm down" or "be patient"': none_of("calm down, be patient"),
    "Never ask the customer to 'wait'.": "{kind: contains_none, value: [wait]}",
}
SEVERAL = {
    "Write between 50 and 80 words.": [at("min", "words", 50), at("max", "words", 80)],
    "Answer in exactly three sentences.": [at("min", "sentences", 3), at("max", "sentences", 3)],
    "No emojis or exclamation marks.": [NO_EMOJI, "{kind: not_regex, value: '!'}"],
}
PARTS = {
    "The reply is friendly and has at most 3 sentences.": at("max", "sentences", 3),
    "Be polite. No emojis.": NO_EMOJI,
    'Plain words, no abbreviations such as "asap" or "FYI".': "{kind: contains_none, value: [asap, FYI]}",
    'Never use abbreviations, e.g. "asap".': "{kind: contains_none, value: [asap]}",
    'No jargon (such as "churn").': "{kind: contains_none, value: [churn]}",
    "Never name other companies (e.g. Nextbike, Lime).": "{kind: contains_none, value: [Nextbike, Lime]}",
    "Do not mention brands (Nextbike, Lime, etc.).": "{kind: contains_none, value: [Nextbike, Lime]}",
}
OTHERS = """
Max. 90 words on a phone.
Max. 90 words when people read this on a phone.
Max. 90 words. On a phone, at most 60.
People read this on the street, on a phone.
Do not mention competitors (they may sue).
Do not mention competitors (Nextbike, Lime, Tier) in the first sentence.
Do not mention competitors (Nextbike, Lime) unless the customer does.
Mention competitors (Nextbike, Lime) only when asked.
Do not praise competitors (Nextbike, Lime).
Do not mention discounts (Only billing can).
Do not mention prices (Marketing, Finance).
Do not mention competitors (Legal).
Tell people to "calm down" when they shout.
Tell anyone to "breathe in".
Do not tell anyone to "calm down" twice.
Never tell anyone to "wait" without a reason.
Explain abbreviations such as "asap".
Use words such as "please".
No abbreviations such as "asap" in the subject line.
No abbreviations such as "asap" unless the customer uses them.
Do not correct abbreviations such as "asap".
Words like "sorry" are fine.
Refunds are answered within 30 days.
No more than 3 sentences per paragraph
Each bullet point has at most 20 words.
The first sentence is at most 20 words long.
The title is at most 8 words.
The reply names at most 3 products.
Not longer than a text message.
Not longer than a paragraph: 60 words.
Not longer than a text message: 70 words per paragraph.
Not longer than a text message: 70 words for complaints.
Not longer than an SMS, unless asked: 160 characters.
No longer than the question: 60 words are too many for a yes.
The title is not longer than a headline: 8 words.
The reply gives at least two options.
If the customer is angry, use at most 3 sentences.
Use at most 80 words unless asked for more.
Use at most 80 words, but never be rude.
For refunds, use at most 3 sentences.
At most 3 sentences or one list.
About 80 words.
Ideally, at most 80 words.
Use no more words than needed.
The reply says sorry in one sentence.
Answers the question in its first sentence.
Never reply to more than 3 questions
Use bullet points where they help.
The reply has a list of all steps.
Contains a list
No emojis if the customer is angry.
Answer in plain English.
Begin with the answer, not with a list.
End with a question, not with an exclamation mark.
The reply does not answer in English.
Match the customer's language.
Reply in the guest's language if it is French or Dutch; otherwise in English.
Reply in the guest's language if you can.
Reply in English and in the guest's language.
Reply in the language of the contract.
Translate into the guest's language only on request.
The summary is in the visitor's language.
Use plain language with at most 60 words if it is English.
Name the guest's language in the log.
Answer at most one question of the guest.
Ask the guest which language he speaks.
No questions to the patient.
Don't promise refunds.
No questions about age.
Limit refunds to 50 euros
""".strip().splitlines()


IN_CAPITALS = """
No CAPITALS for emphasis.
No all caps.
Never write in ALL CAPS.
No block capitals, please.
No words in capital letters.
Do not use uppercase for emphasis.
We don't use capital letters to shout.
All caps are not allowed.
No shouting in capitals!
No uppercase words
""".strip().splitlines()
OF_OTHER_CAPITALS = """
No capital letters in file names.
No capital letters.
Names of ships are written in capitals.
Capitals of countries are named with the country.
Write the first letter of each sentence in capitals.
Write USA and EU in capitals.
No shouting at guests.
No capital is raised without a vote.
Don't shout.
Use capitals for emphasis.
""".strip().splitlines()


@pytest.mark.parametrize("text", IN_CAPITALS)
def test_words_in_capitals_have_a_check(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert (asked.checks, asked.whole) == ((CAPITALS,), True)


@pytest.mark.parametrize("text", OF_OTHER_CAPITALS)
def test_other_rules_about_capitals_have_none(text: str):
    assert asked_checks(text) is None


def test_the_pattern_of_capitals_takes_no_time_on_long_texts():
    pattern = re.compile(CAPITALS.value)
    assert pattern.search("A1" * 20_000) is None
    assert pattern.search("AA" + " " * 40_000) is None
    assert pattern.search("AA " * 10_000) is not None


@pytest.mark.parametrize("text", RULES)
def test_a_rule_that_asks_for_a_form_gives_the_line_of_its_check(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert [check.flow for check in asked.checks] == [RULES[text]]
    assert asked.whole


@pytest.mark.parametrize("text", SEVERAL)
def test_a_rule_that_takes_several_kinds_gives_them_all(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert [check.flow for check in asked.checks] == SEVERAL[text]


@pytest.mark.parametrize("text", PARTS)
def test_a_form_beside_something_else_is_only_a_part(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert ([check.flow for check in asked.checks], asked.whole) == ([PARTS[text]], False)


@pytest.mark.parametrize("text", OTHERS)
def test_other_rules_are_left_to_the_labeler(text: str):
    assert asked_checks(text) is None


@pytest.mark.parametrize("text", [*RULES, *SEVERAL, *PARTS])
def test_each_line_loads_as_it_is_pasted(text: str, tmp_path):
    asked = asked_checks(text)
    assert asked is not None
    for check in asked.checks:
        path = tmp_path / "rules.yaml"
        path.write_text(f"- text: The reply keeps the rule.\n  {check.line}\n", encoding="utf-8")
        loaded = load_constitution(path).principles[0].check
        assert loaded == CHECK.validate_python(check._asdict())


def test_only_principles_with_the_same_check_of_a_preset_ask_for_one():
    for name in preset_names():
        for principle in load_constitution(name).principles:
            asked = asked_checks(principle.text)
            if asked is not None:
                assert principle.check == CHECK.validate_python(asked.checks[0]._asdict())


@pytest.mark.parametrize(
    "kind",
    [
        "max_words",
        "min_words",
        "max_sentences",
        "min_sentences",
        "max_sentence_words",
        "max_characters",
        "max_list_items",
    ],
)
def test_wordings_of_bounds_that_judges_are_trained_on_are_never_misread(kind: str):
    check = CHECK.validate_python({"kind": kind, "value": 40})
    texts = [*principle_texts(check, held_out=False), *principle_texts(check, held_out=True)]
    read = [asked for text in texts if (asked := asked_checks(text)) is not None]
    assert len(read) >= 4
    assert all([(line.kind, line.value) for line in asked.checks] == [(kind, 40)] for asked in read)


@pytest.mark.parametrize(
    ("text", "passes", "fails"),
    [
        ("No emojis", "Well done ;-)", "Well done 🎉"),
        ("No emojis", "25 °C, 5 € – “fine”", "Fine ✅"),
        ("at most 2 paragraphs", "One.\n\nTwo.\n\n\n", "One.\n\nTwo.\n \n\nThree."),
        ("Answer in one paragraph", "\n\nOne.\nStill one.\n\n", "One.\n\nTwo."),
        ("at most two questions", "Why? How?", "Why? How? When?"),
        ("No links", "See the manual.", "See www.example.org."),
        ("no headings", "#1 is here", "## Steps\nOpen it."),
        ("One link at most", "See https://a.example.", "See https://a.example and https://b.example."),
        (
            "Use at most 2 bullet points.",
            "So:\n- one\n\n  more\n2. two\n",
            "* one\n* two\n\nAnd:\n  1) three",
        ),
        ("No more than one bullet", "- one - and more\n-5 °C", "- one\n\n\n- two"),
        ("At least two list items", "• one\ntext\n• two", "- one\nNo list."),
        ("No greeting", "Open Settings. Hello is a word.", "Hello, open Settings."),
        ("Do not begin with a greeting", "History first.", "Hi there."),
        ("Begin with the step, not with a greeting", "Open Settings.", "Dear customer, open Settings."),
    ],
)
def test_the_patterns_find_what_the_rule_means(text: str, passes: str, fails: str):
    asked = asked_checks(text)
    assert asked is not None
    check = CHECK.validate_python(asked.checks[0]._asdict())
    assert evaluate(check, passes).passed
    assert not evaluate(check, fails).passed


def test_a_pattern_of_paragraphs_takes_no_time_on_blank_lines():
    asked = asked_checks("at most 5 paragraphs")
    assert asked is not None
    pattern = re.compile(asked.checks[0].value)
    assert pattern.search("a" + "\n" * 20_000) is None
    assert pattern.search(" \n" * 10_000) is None


def test_a_line_of_yaml_says_the_same_to_our_reader_and_to_others(tmp_path):
    for flow in (*RULES.values(), "{kind: contains, value: ['1e5', \"null\", 'a, b', 'c: d']}"):
        assert parse_yaml(flow, tmp_path).value == yaml.safe_load(flow)


def test_of_words_that_are_examples_the_others_are_left():
    asked = asked_checks('Plain words, no abbreviations such as "asap" or "FYI".')
    assert asked is not None
    assert (asked.whole, asked.left) == (False, ("plain words", "other abbreviations"))
    asked = asked_checks("Never name other companies (e.g. Nextbike, Lime).")
    assert asked is not None
    assert (asked.whole, asked.left) == (False, ("other names",))


def test_a_rule_full_of_names_takes_no_time():
    for unit in ("Aa, ", "Aa ", "Aa and "):
        assert asked_checks("Do not mention brands (" + (unit * 100)[:250]) is None


def test_a_longer_rule_is_read_part_by_part_and_says_what_is_left():
    asked = asked_checks('Use "you", never "the user" or "the customer".')
    assert asked is not None
    assert [line.flow for line in asked.checks] == [
        "{kind: contains, value: [you]}",
        "{kind: contains_none, value: [the user, the customer]}",
    ]
    asked = asked_checks("No jokes in a row without a break are fine, but not more than 4 sentences in all.")
    assert asked is not None
    assert [line.flow for line in asked.checks] == ["{kind: max_sentences, value: 4}"]
    assert (asked.whole, asked.left) == (False, ("no jokes in a row without a break are fine",))
    asked = asked_checks("Answer in at most 60 words. Mention 'the desk' to everybody.")
    assert asked is not None
    assert asked.left == ("mention 'the desk' to everybody",)


EXCLAMATION = "{kind: not_regex, value: '(?s)!.*!'}"
SUBJECTS = {
    "The letter has no emojis.": [NO_EMOJI],
    "The letter has at most one exclamation mark.": [EXCLAMATION],
    "One exclamation mark at most": [EXCLAMATION],
    "Letters have at most 90 words.": [at("max", "words", 90)],
    "All letters have at most 90 words; a list has no more than four points.": [
        at("max", "words", 90),
        at("max", "list_items", 4),
    ],
    "Our mails have at most 3 sentences and no emojis.": [at("max", "sentences", 3), NO_EMOJI],
    "Every e-mail has fewer than 100 words.": [at("max", "words", 99)],
    "Emails contain no emojis.": [NO_EMOJI],
    "All posts are at most 280 characters.": [at("max", "characters", 280)],
    "The blog post must not exceed 50 words.": [at("max", "words", 50)],
    "Each message ends with a question.": [ENDS],
    "Every text is in English.": ["{kind: language, value: en}"],
    "A response is written as a list.": [LIST],
    "The answer is at most 80 words long and the mail has no emojis": [at("max", "words", 80), NO_EMOJI],
    "A list has no more than four points.": [at("max", "list_items", 4)],
    "No list has more than 4 items.": [at("max", "list_items", 4)],
    "The reply has no list with more than four points.": [at("max", "list_items", 4)],
    "A list in the letter is no longer than 5 entries.": [at("max", "list_items", 5)],
    "Keep lists to at most five items.": [at("max", "list_items", 5)],
    "No more than 3 bullet points": [at("max", "list_items", 3)],
    "No emojis. Ever.": [NO_EMOJI],
    "Also: no emojis. Ever.": [NO_EMOJI],
    'The reply does not use the jargon "hub", "touchpoint" or "pivot".': [
        "{kind: contains_none, value: [hub, touchpoint, pivot]}"
    ],
    'We do not write "hub" or "pivot".': ["{kind: contains_none, value: [hub, pivot]}"],
}
COVERED = {
    'No jargon: we do not write "hub", "touchpoint" or "pivot".': (
        "{kind: contains_none, value: [hub, touchpoint, pivot]}",
        ("no jargon",),
    ),
    'We write "your child", not "the pupil".': (
        "{kind: contains_none, value: [the pupil]}",
        ("we write 'your child'",),
    ),
    "One exclamation mark at most, and never in a letter about illness.": (
        EXCLAMATION,
        ("never in a letter about illness",),
    ),
    "Letters are friendly; they have at most 90 words.": (
        at("max", "words", 90),
        ("letters are friendly",),
    ),
    "Letters have at most 90 words; a subject line has at most 8 words.": (
        at("max", "words", 90),
        ("a subject line has at most 8 words",),
    ),
    "The letter is warm; keep it within 90 words.": (at("max", "words", 90), ("the letter is warm",)),
    "The reply to the customer is friendly and has at most 3 sentences.": (
        at("max", "sentences", 3),
        ("the reply to the customer is friendly",),
    ),
    "The tone is warm, and the letter has at most 90 words.": (
        at("max", "words", 90),
        ("the tone is warm",),
    ),
    "The reply gives an example and has at most 3 sentences.": (
        at("max", "sentences", 3),
        ("the reply gives an example",),
    ),
    "Answer the question in the first two sentences, and use at most 90 words.": (
        at("max", "words", 90),
        ("answer the question in the first two sentences",),
    ),
}
ABOUT_PARTS = """
The first sentence is short and has at most 20 words.
The subject line has at most 8 words.
The subject line is clear and has at most 8 words.
The subject line is clear. It has at most 8 words.
The subject line is friendly, has at most 8 words and no emojis.
Subject line: at most 8 words
Title: no emojis
Keep the subject line short: at most 8 words.
Write a title: at most 8 words
Each paragraph is clear, and has at most 3 sentences.
Per paragraph: at most 3 sentences
No emojis and at most 8 words in the subject line.
No emojis and exclamation marks in the subject line.
The letter ends with a summary that is friendly and has at most 20 words.
The greeting of the letter has no exclamation marks.
The first paragraph of the letter has at most 40 words.
The letter's subject is clear and at most 8 words long.
The text of the button is clear and has at most 3 words.
Every list item is a sentence and has at most 12 words.
A list has at most four points and at most 40 words.
A list has at least two points.
The letter has a list of at most 4 items.
The letter has a title with at most 8 words.
A letter about illness has no emojis.
The attachment is short and has at most 3 sentences.
Questions are short and have at most 12 words.
The P.S. is short and has at most 10 words.
Replies to complaints have at most 90 words and no emojis.
Letters about fees are friendly and have at most 90 words.
State the reason and limit it to 20 words.
The reply gives one example; keep it under 20 words.
""".strip().splitlines()


@pytest.mark.parametrize("text", SUBJECTS)
def test_the_reply_may_be_called_a_letter_or_a_post(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert ([check.flow for check in asked.checks], asked.whole) == (SUBJECTS[text], True)


@pytest.mark.parametrize("text", COVERED)
def test_a_check_of_one_clause_says_what_it_leaves(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert ([check.flow for check in asked.checks], asked.left) == ([COVERED[text][0]], COVERED[text][1])


@pytest.mark.parametrize("text", ABOUT_PARTS)
def test_a_rule_about_a_part_of_the_reply_is_no_check_of_the_whole(text: str):
    assert asked_checks(text) is None
