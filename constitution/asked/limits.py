"""What the checks of a rule do not see, in sentences for people.

Each sentence belongs to one check: `emoticons such as :-) are no emojis and pass` is true of the check for
emojis, and false of the one for smileys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from constitution.asked.addresses import BEGINS_WITH_IT, gives_addresses
from constitution.asked.forms import CAPITALS, EMOJIS, LINKS, SMILEYS, capitals_in
from constitution.asked.languages import names_only_some
from constitution.asked.phrasing import plain_rule
from constitution.asked.rules import AskedChecks
from constitution.checks.language import SAME

_UNSEEN: Mapping[object, str] = {
    EMOJIS.value: "emoticons such as :-) are no emojis and pass",
    SMILEYS.value: "of the emoticons it finds :) and :(, also with a nose or a wink; others such as :D pass",
    CAPITALS.value: "it finds words of five or more capitals and two words in capitals in a row, while "
    "single ones of up to four, such as USA and EUR, and words with digits pass",
    LINKS.value: "web addresses without https:// or www. pass",
}
"""By the value of a check: what it does not find."""
_LIST = re.compile(r"(?i)\blists? ")


def limits(asked: AskedChecks, text: str) -> Iterator[str]:
    """Yield what the checks that a rule asks for do not see, each once.

    Args:
        asked: the checks.
        text: the rule.
    """
    yield from dict.fromkeys(_UNSEEN[line.value] for line in asked.checks if _is_known(line.value))
    for words in filter(None, map(capitals_in, asked.checks)):
        yield (
            f"it finds {', '.join(words)}, words of five or more capitals and two words in capitals in a "
            "row, while other single ones of up to four, such as USA and EUR, and words with digits pass"
        )
    if any(line.value == SAME for line in asked.checks) and names_only_some(plain_rule(text)):
        yield "it asks for the language of every question, also for others than those named"
    if gives_addresses(asked.checks) and any(left != BEGINS_WITH_IT for left in asked.left):
        yield "it asks for it in every reply; `applies_to` limits it to the questions that the rule is about"
    if any(line.kind == "max_list_items" for line in asked.checks) and _LIST.search(text):
        yield "the items of all lists in a reply are counted together"


def _is_known(value: object) -> bool:
    return isinstance(value, str) and value in _UNSEEN
