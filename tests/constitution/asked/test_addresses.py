"""Addresses that a reply is to give: for every question, or for those that a rule is about."""

from __future__ import annotations

import pytest

from constitution.asked.limits import limits
from constitution.asked.rules import asked_checks

FOR_ALL = {
    "Every reply gives the address help@shop.example.": "{kind: contains, value: [help@shop.example]}",
    "Always link to shop.example/returns.": "{kind: contains, value: [shop.example/returns]}",
    "Refer to the refunds desk (refunds@shop.example).": "{kind: contains, value: [refunds@shop.example]}",
    "Point to our status page https://a.example in every reply.": (
        "{kind: contains, value: ['https://a.example']}"
    ),
    "Include the link www.clinic.example/book!": "{kind: contains, value: [www.clinic.example/book]}",
    "Tell the guest to write to help@shop.example.": "{kind: contains, value: [help@shop.example]}",
    "Always include our phone number: +47 22 33 44 55.": "{kind: contains, value: [+47 22 33 44 55]}",
    "Never link to oldshop.example.": "{kind: contains_none, value: [oldshop.example]}",
    "Don't mention other.example.": "{kind: contains_none, value: [other.example]}",
}
FOR_SOME = {
    "Cancelled trips: say that safety is first, and point to the live page a.example/now.": "a.example/now",
    "No promises. Only the refunds desk (money@a.example) decides; give that address.": "money@a.example",
    "If a customer asks about an invoice, give the address bills@a.example.": "bills@a.example",
    "For refunds, link to a.example/refunds.": "a.example/refunds",
    "Refer to a.example/prices for prices.": "a.example/prices",
    "Link to a.example/refunds if the guest wants money back.": "a.example/refunds",
    "Never promise a refund, but link to a.example/refunds.": "a.example/refunds",
}
NONE = """
Only the refunds desk (refunds@shop.example) decides.
Questions come from the page shop.example/ask.
Send complaints to the desk and not to boss@shop.example.
Do none of this: link to shop.example, use emojis.
Link to shop.example unless the guest is a child.
If you mention refunds, link to shop.example/refunds.
If possible, link to shop.example.
Link to shop.example or call 0800 123 456.
Tell nobody that boss@line.example reads along.
Our pages link to shop.example.
Give the address of the nearest clinic.
If lost@line.example has answered, say so.
Mention that shop.example is closed.
The first sentence names shop.example.
Never ask for a link to shop.example.
Point to the page in shop.example/a and shop.example/b; give that address.
Never give that address (boss@shop.example) to anyone.
""".strip().splitlines()
SOME = "it asks for it in every reply; `applies_to` limits it to the questions that the rule is about"


@pytest.mark.parametrize("text", FOR_ALL)
def test_an_address_for_every_reply_is_a_whole_rule(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert ([line.flow for line in asked.checks], asked.whole) == ([FOR_ALL[text]], True)
    assert [*limits(asked, text)] == []


@pytest.mark.parametrize("text", FOR_SOME)
def test_an_address_for_some_questions_is_a_part_with_a_scope(text: str):
    asked = asked_checks(text)
    assert asked is not None
    assert [(line.kind, line.value) for line in asked.checks] == [("contains", [FOR_SOME[text]])]
    assert (asked.whole, [*limits(asked, text)]) == (False, [SOME])


@pytest.mark.parametrize("text", NONE)
def test_other_sentences_with_an_address_have_no_check(text: str):
    assert asked_checks(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("If someone smells gas, the reply has to begin with the emergency number 0800 11 22 33.", [SOME]),
        ("When somebody reports a fire, open with the emergency number 0800 11 22 33.", [SOME]),
        ("Every reply starts with our hotline 0800 11 22 33.", []),
    ],
)
def test_a_reply_that_begins_with_a_number_has_it(text: str, said: list[str]):
    asked = asked_checks(text)
    assert asked is not None
    assert [line.flow for line in asked.checks] == ["{kind: contains, value: [0800 11 22 33]}"]
    assert (asked.left[-1], [*limits(asked, text)]) == ("that the reply begins with it", said)


def test_a_number_that_is_not_to_be_the_first_thing_may_be_anywhere_else():
    assert asked_checks("Do not begin with the emergency number 0800 11 22 33.") is None
