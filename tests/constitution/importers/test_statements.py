"""Which sentences of prose state a rule without `must`."""

from __future__ import annotations

import pytest

from constitution.importers.under_keys.statements import states_a_rule

RULES = """
If a bike has broken brakes or a loose wheel, the first sentence tells them to stop riding.
If a customer is angry, say so.
When a ride failed, we apologise once.
If the brake is broken, tell them to stop.
When somebody is in danger, the reply gives the emergency number.
If they ask for a refund, you pass it to billing.
If a child writes, and they are alone, the reply names a grown-up.
In case of fire, the first line is the emergency number.
Whenever a customer mentions an injury, the assistant asks whether they are safe.
Unless they ask, give no prices.
For complaints, the reply begins with an apology.
In emergencies: tell them to call 112.
If a card was stolen, it tells them to block it at once.
If the customer is new, when they write for the first time, the reply welcomes them.
The reply names the next step.
Every reply ends with our name.
The first sentence says what to do.
The answer has no jargon.
Tell them to stop riding.
Keep it short.
Say sorry once.
""".strip().splitlines()

PROSE = """
What a reader borrows is nobody's concern.
Readers come with little time.
Once upon a time.
It may say when the book is due.
Written for the reading room.
The replies were written in March.
The answer was usually short.
The first reply was too long.
People read this on the street, on a phone.
If nobody answers, the shop is closed.
If a bike is broken, the workshop repairs it.
When the shop opened in 1990, there were three of us.
Before we moved, the office was in Bern.
After the accident in May, the team met.
Answer times are measured weekly.
Help is on its way.
Links are short.
(new since the accident in May)
Does the reply name a step?
The reply names:
Velostadt rents 900 bikes in the city.
We answer 200 letters a day.
The assistant works for the city library.
Reports of damage go to the workshop.
Return policy in short: 30 days.
Contact forms are read by two people.
The last line was closed in 2019.
""".strip().splitlines()


@pytest.mark.parametrize("sentence", RULES)
def test_what_the_reply_does_or_what_is_asked_for_is_a_rule(sentence: str):
    assert states_a_rule(sentence)


@pytest.mark.parametrize("sentence", PROSE)
def test_what_tells_of_something_else_is_none(sentence: str):
    assert not states_a_rule(sentence)


@pytest.mark.parametrize("unit", ["if a, ", "if a, and b, ", "the reply ", "tell the "])
def test_long_sentence_is_read_to_its_end(unit: str):
    assert states_a_rule(unit * 50_000) in (True, False)
    assert states_a_rule(f"{unit * 50_000} must be short")
