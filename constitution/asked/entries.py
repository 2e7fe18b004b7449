"""Checks that a rule asks for as entries of the list of principles, which are pasted as they are."""

from __future__ import annotations

import re

from constitution.asked.forms import CAPITALS, UNWANTED, capitals_in
from constitution.asked.languages import LANGUAGE_CODES
from constitution.asked.lines import CheckLine
from constitution.asked.phrasing import plain_rule
from constitution.asked.quantities import repeated_in_words
from constitution.checks.language import SAME
from constitution.gold.wordings import principle_texts
from core.text.yaml_writing import yaml_flow

_ONE = re.compile(r"\b1 (word|sentence|character|list item|paragraph|question|exclamation mark|link)s\b")


def entry_of(line: CheckLine, rule: str) -> str:
    """Return a check as an entry: `- {text: The reply has at most 3 sentences., check: {...}}`.

    Args:
        line: one of the checks that the rule asks for.
        rule: text of the rule, whose words for what it forbids are kept.
    """
    text = _ONE.sub(r"1 \1", _sentence(line, plain_rule(rule)))
    return f"- {yaml_flow({'text': text, 'check': {'kind': line.kind, 'value': line.value}})}"


def _sentence(line: CheckLine, rule: str) -> str:
    """Return what a check asks for in a sentence."""
    plain = line if capitals_in(line) is None else CAPITALS
    for pattern, unwanted in UNWANTED.items():
        found = re.search(rf"\b(?:{pattern})(?!\w)", rule) if plain == unwanted else None
        if found is not None:
            return f"The reply has no {found[0]}."
    repeated = repeated_in_words(line)
    if repeated is not None:
        return f"The reply has {repeated}."
    if line.kind == "language":
        language = next((name for name, code in LANGUAGE_CODES.items() if code == line.value), line.value)
        spoken = "the language of the question" if line.value == SAME else language.capitalize()
        return f"The reply is written in {spoken}."
    return next(iter(principle_texts(line.check, held_out=False)), "The reply is valid JSON.")
