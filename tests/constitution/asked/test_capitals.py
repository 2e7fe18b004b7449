"""Words in capitals that a rule names itself are found by its check, however short they are."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from constitution.asked.entries import entry_of
from constitution.asked.limits import limits
from constitution.asked.rules import asked_checks
from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check

CHECK: TypeAdapter[Check] = TypeAdapter(Check)
NAMED = {
    "No capitals for emphasis (URGENT, NOT) and no emoticons.": "NOT",
    "No capitals for emphasis (URGENT, NOT).": "NOT",
    "Never use words in capitals (such as NOW or FREE).": "NOW, FREE",
    "No capitals for emphasis, like URGENT or NOT.": "NOT",
    "No uppercase words such as ASAP or FREE.": "ASAP, FREE",
    "Do not use all caps (WOW, YES!).": "WOW, YES",
    "No capitals for emphasis (“NOT”, “NOW” etc.).": "NOT, NOW",
}
PLAIN = [
    "No all caps (e.g. NEVER).",
    "No words in capitals (USA and EUR are fine).",
    "No capitals for emphasis (except SWL).",
    "No competitors (BMW, VW) and no capitals.",
]


@pytest.mark.parametrize("text", NAMED)
def test_the_words_that_a_rule_names_are_found(text: str):
    asked = asked_checks(text)
    assert asked is not None
    check = CHECK.validate_python(asked.checks[0].check)
    for word in NAMED[text].split(", "):
        assert not evaluate(check, f"It is {word} possible to say.").passed
    assert evaluate(check, "It is not possible to pay 5 EUR in the USA.").passed
    assert not evaluate(check, "This is IMPORTANT.").passed
    said = f"it finds {NAMED[text]}, words of five or more capitals and two words in capitals"
    assert any(limit.startswith(said) for limit in limits(asked, text))
    assert "The reply has no " in entry_of(asked.checks[0], text)


@pytest.mark.parametrize("text", PLAIN)
def test_acronyms_and_names_in_brackets_are_not_added(text: str):
    asked = asked_checks(text)
    plain = asked_checks("No capitals.")
    assert asked is not None
    assert plain is not None
    assert asked.checks == plain.checks


def test_a_word_that_the_check_would_find_all_the_same_and_the_rule_allows_leaves_none():
    assert asked_checks("No words in capitals (except IMPORTANT).") is None
