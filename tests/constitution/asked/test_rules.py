"""Machine checks that rules in words ask for: those understood, and those left to the labeler."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from constitution.asked.forms import EMOJI
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
    "No more than 80 words per reply, because customers read on phones.": at("max", "words", 80),
    "Minimum of 20 words": at("min", "words", 20),
    "More than 20 words": at("min", "words", 21),
    "The reply has no fewer than two sentences.": at("min", "sentences", 2),
    "never uses emojis": NO_EMOJI,
    "No emojis": NO_EMOJI,
    "Emojis are not allowed.": NO_EMOJI,
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
    "Reply with valid JSON.": "{kind: json, value: {}}",
    "Written in the second person.": "{kind: person, value: second}",
    "Reading level at most grade 8.": "{kind: max_grade, value: 8}",
    'Begin with "Hello".': "{kind: starts_with, value: [Hello]}",
    "Never begin with “I”.": "{kind: not_starts_with, value: [I]}",
    'Never say "as an AI" or "certainly".': "{kind: contains_none, value: [as an AI, certainly]}",
    "The reply must mention 'order number'.": "{kind: contains, value: [order number]}",
}
SEVERAL = {
    "Write between 50 and 80 words.": [at("min", "words", 50), at("max", "words", 80)],
    "Answer in exactly three sentences.": [at("min", "sentences", 3), at("max", "sentences", 3)],
    "No emojis or exclamation marks.": [NO_EMOJI, "{kind: not_regex, value: '!'}"],
}
PARTS = {
    "The reply is friendly and has at most 3 sentences.": at("max", "sentences", 3),
    "Be polite. No emojis.": NO_EMOJI,
}
OTHERS = """
Refunds are answered within 30 days.
No more than 3 sentences per paragraph
Each sentence has at most 20 words.
The first sentence is at most 20 words long.
The title is at most 8 words.
The reply names at most 3 products.
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
The reply does not answer in English.
Don't promise refunds.
No questions about age.
Limit refunds to 50 euros
""".strip().splitlines()


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
    "kind", ["max_words", "min_words", "max_sentences", "min_sentences", "max_characters"]
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
