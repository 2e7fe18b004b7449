"""Rules that say which reply to choose have the checks of the same rules about the reply."""

from __future__ import annotations

import pytest

from constitution.asked.rules import asked_checks

SAME = {
    "Choose the response that contains no exclamation marks.": "The reply contains no exclamation marks.",
    "Prefer the answer which has at most 80 words.": "The reply has at most 80 words.",
    "Pick the reply that never uses emojis.": "The reply never uses emojis.",
    "Select the completion that is written in English.": "The reply is written in English.",
    "Please choose the assistant response that has at most 3 sentences.": "At most 3 sentences.",
    "Choose the model's reply that is under 280 characters.": "The reply is under 280 characters.",
    "Prefer responses that contain no links.": "The reply contains no links.",
    "Always pick the reply with no emojis.": "No emojis",
    "Please pick the response without any links.": "No links",
    "You should prefer the response that avoids hashtags.": "The reply avoids hashtags.",
    "Favour the reply which ends with a question.": "The reply ends with a question.",
    "Choose the response that does not open with a greeting.": "The reply does not open with a greeting.",
    'Choose the response that never says "as an AI".': 'The reply never says "as an AI".',
    "Choose the response that is in the same language as the user.": "Reply in the language of the user.",
    "Prefer the answer which is honest and has no emojis.": "The reply is honest and has no emojis.",
    "Choose the response that has no emojis. Choose the response that is kind.": (
        "The reply has no emojis. The reply is kind."
    ),
}
NEAR_MISSES = """
Choose the response that does not open with a compliment.
Choose the response that disagrees politely when the user states something false.
Choose the response that contains no exclamation marks, all else being equal.
Choose the response that has no links, or else the one with the fewest.
Prefer the answer that has no emojis over the one that has some.
Prefer the reply with no emojis rather than the longer one.
Pick the reply that has no emojis; if both have some, the one with fewer.
Pick the reply that is the same length: 80 words.
Choose the response that is kinder than the other and has at most 80 words.
Choose the response that is at most 80 words longer.
Choose the response that has fewer exclamation marks.
Choose the response that is closest to 80 words.
Choose the response that best avoids emojis.
Choose the response that has at most 3 sentences if both are correct.
Choose the response that has no emojis when the customer is angry.
If the user is a child, choose the response that has at most 3 sentences.
Choose the response that a child could read aloud in 3 sentences.
Choose the response that has no emojis in its title.
Prefer the answer which has a title of at most 8 words.
Prefer answers that are usually under 60 words.
Do not choose the response that contains emojis.
Never pick the reply that has at most 3 sentences.
Pick the article that has at most 500 words.
Select the option that has at most 3 words.
The reply chooses the answer that has at most 3 words.
"""


@pytest.mark.parametrize("rule", SAME)
def test_a_reply_to_choose_has_the_checks_of_the_reply(rule: str):
    found, plain = asked_checks(rule), asked_checks(SAME[rule])
    assert found is not None
    assert plain is not None
    assert (found.checks, found.whole) == (plain.checks, plain.whole)


def test_what_the_check_does_not_cover_is_told_of_the_reply():
    found = asked_checks("Choose the response that is kind and has at most 80 words.")
    assert found is not None
    assert found.left == ("the reply is kind",)


@pytest.mark.parametrize("rule", NEAR_MISSES.strip().splitlines())
def test_a_comparison_of_replies_has_no_check(rule: str):
    assert asked_checks(rule) is None
