"""What a note says that a check does not see, beside the check itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter

from constitution.asked.forms import UNWANTED
from constitution.asked.limits import limits
from constitution.asked.rules import asked_checks
from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check

CHECK: TypeAdapter[Any] = TypeAdapter(Check)
EMOTICONS = "emoticons such as :-) are no emojis and pass"
FACES = "of the emoticons it finds :) and :(, also with a nose or a wink; others such as :D pass"
ADDRESSES = "web addresses without https:// or www. pass"
SHOUTS = (
    "it finds words of five or more capitals and two words in capitals in a row, while single ones of up to "
    "four, such as USA and EUR, and words with digits pass"
)
LISTS = "the items of all lists in a reply are counted together"

TOLD: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "No emojis.": (EMOTICONS, ("Hello :-) there",), ("Hello 😀",)),
    "No smileys.": (FACES, ("Fine :D", "Fine :P"), ("Hello :-) there", "Oh :(", "Well ;-)", "Hello 😀")),
    "No links.": (ADDRESSES, ("See example.org.",), ("See https://example.org.", "See www.example.org.")),
    "No words in capitals.": (
        SHOUTS,
        ("STOP it, pay 50 EUR.", "USA, EUR", "COVID-19, AB12CDEFG", "10 AM in CET", "I AM late", "USA\nEUR"),
        (
            "This is IMPORTANT.",
            "DO NOT go.",
            "READ A BOOK",
            "DON'T WORRY",
            "**STOP NOW**",
            "NON-REFUNDABLE",
            "ØNSKET",
        ),
    ),
    "A list has at most 3 items.": (
        LISTS,
        ("- a\n- b\n\nAnd:\n\n- c",),
        ("- a\n- b\n\nAnd:\n\n- c\n- d",),
    ),
}
"""Rules with the sentence about their check, texts that it says pass, and texts that it says fail."""
SILENT = {
    "No bullet points.": ("One.", "- one\n- two"),
    "No exclamation marks.": ("Fine.", "Fine!"),
    "No question marks.": ("Fine.", "Fine?"),
    "No semicolons.": ("One, two.", "One; two."),
    "No em dashes.": ("One - two.", "One — two."),
    "No headings.": ("#1 is here", "## Steps"),
    "No bold text.": ("2 * 3", "**Stop**"),
    "No code blocks.": ("`ls`", "```\nls\n```"),
    "No tables.": ("a or b", "| a | b |"),
    "No asterisks.": ("Fine.", "Fine*"),
    "No hashtags.": ("# Title", "#fun"),
    "No digits.": ("seven", "7"),
    "No brackets.": ("One.", "One (two)."),
    "No greetings.": ("Open it.", "Hello, open it."),
}
"""Rules about whose check nothing is said, with a text that passes and one that fails."""


@pytest.mark.parametrize("rule", TOLD)
def test_what_is_said_of_a_check_is_true_of_it(rule: str):
    sentence, passing, failing = TOLD[rule]
    asked = asked_checks(rule)
    assert asked is not None
    assert [*limits(asked, rule)] == [sentence]
    (check,) = (CHECK.validate_python(line._asdict()) for line in asked.checks)
    assert [text for text in passing if not evaluate(check, text).passed] == []
    assert [text for text in failing if evaluate(check, text).passed] == []


NAMED = "it asks for the language of every question, also for others than those named"


@pytest.mark.parametrize(
    ("rule", "sentences"),
    [
        ("Reply in the guest's language.", []),
        ("Reply in the guest's language if it is English or German.", [NAMED]),
        ("Answer in the customer's language (French or Dutch).", [NAMED]),
        ("Answer in the customer's language (as Dutch people do).", []),
    ],
)
def test_languages_that_a_rule_names_are_not_seen(rule: str, sentences: list[str]):
    asked = asked_checks(rule)
    assert asked is not None
    assert [line.value for line in asked.checks] == ["same"]
    assert [*limits(asked, rule)] == sentences


@pytest.mark.parametrize("rule", SILENT)
def test_other_checks_find_what_the_rule_forbids_and_nothing_is_said_of_them(rule: str):
    passing, failing = SILENT[rule]
    asked = asked_checks(rule)
    assert asked is not None
    assert [*limits(asked, rule)] == []
    (check,) = (CHECK.validate_python(line._asdict()) for line in asked.checks)
    assert evaluate(check, passing).passed
    assert not evaluate(check, failing).passed


def test_every_form_that_can_be_forbidden_is_tried_above():
    tried = [rule.casefold().removeprefix("no ").rstrip(".") for rule in (*TOLD, *SILENT)]
    assert [form for form in UNWANTED if not any(re.fullmatch(form, name) for name in tried)] == []


def test_two_checks_have_both_their_sentences():
    asked = asked_checks("No emojis and no links.")
    assert asked is not None
    assert [*limits(asked, "No emojis and no links.")] == [EMOTICONS, ADDRESSES]
