"""Sentences that only say why a rule is there, and sentences that ask for something."""

from __future__ import annotations

import pytest

from constitution.asked.clauses.reasons import is_reason
from constitution.asked.rules import asked_checks

REASONS = """
Guests hate it.
Our customers really dislike them.
Nobody talks like this.
Most people do not read that.
It annoys people.
That confuses our readers.
It sounds cold.
This is the law.
It is our house style.
It's required by law.
That is why we are liked.
""".strip().splitlines()
RULES = """
It is friendly.
Readers understand it.
It makes people feel welcome.
It reads like a letter.
Readers understand each step.
It looks like a list.
We apologise for it.
Guests are greeted.
This is the first sentence.
The law is quoted.
Never annoy guests.
""".strip().splitlines()


@pytest.mark.parametrize("text", REASONS)
def test_a_reason_is_no_part_of_a_rule(text: str):
    asked = asked_checks(f'We never write "kindly". {text}')
    assert asked is not None
    assert (asked.whole, asked.left) == (True, ())


@pytest.mark.parametrize("text", RULES)
def test_what_may_be_a_rule_is_no_reason(text: str):
    assert not is_reason(text.casefold())
    asked = asked_checks(f'We never write "kindly". {text}')
    assert asked is None or (asked.whole, len(asked.left)) == (False, 1)


def test_a_reason_does_not_hide_another_rule_behind_it():
    asked = asked_checks("No emojis. Guests hate them. Be warm.")
    assert asked is not None
    assert ([line.kind for line in asked.checks], asked.left) == (["not_regex"], ("be warm",))


def test_a_reason_alone_asks_for_nothing():
    assert asked_checks("Guests hate it.") is None
