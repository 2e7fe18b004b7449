"""Principles that ask for a machine check in words: several wordings for each kind, some of them held out."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from functools import cache, singledispatch

import yaml

from constitution.checks import kinds
from constitution.checks.kinds import Check

HELD_OUT = 2
"""Number of wordings of each kind, the last ones, that no judge is trained on."""
PATTERNS: Mapping[str, str] = {
    r"\d": "a number written in digits",
    r"!": "an exclamation mark",
    r"\(": "a bracket",
    r";": "a semicolon",
    r"\b[A-Z]{2,}\b": "a word in capital letters",
    r"[\"“”]": "a quotation mark",
    r"(?i)\bhttps?://": "a web address",
    r"(?i)\bfor (?:example|instance)\b": "an example",
}
"""Regular expressions that can be said in words."""
SPOKEN_LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian"}
"""Languages that can be said in words."""
_PERSONS = {
    "first": "first person (I or we)",
    "second": "second person (you), without I or we",
    "third": "third person, without I, we or you",
}
_PHRASES = {
    "boilerplate": "phrases typical of a chatbot",
    "flattery": "flattery of the user",
    "hedging": "hedging",
    "moralising": "moralising",
}


@cache
def wordings() -> Mapping[str, tuple[str, ...]]:
    """Return the wordings of each kind of check, with `{value}` for the value in words."""
    file = importlib.resources.files("constitution.gold") / "wordings.yaml"
    found: Mapping[str, Sequence[str]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {kind: tuple(texts) for kind, texts in found.items()}


def principle_texts(check: Check, *, held_out: bool) -> tuple[str, ...]:
    """Return the texts of principles that ask for a check; none if its value cannot be said in words.

    Args:
        check: the machine check.
        held_out: True for the wordings that no judge is trained on, else those that it may be trained on.
    """
    said, texts = _said(check), wordings().get(check.kind, ())
    if said is None:
        return ()
    chosen = texts[-HELD_OUT:] if held_out else texts[:-HELD_OUT]
    return tuple(text.format(value=said) for text in chosen)


def kind_in_words(text: str) -> str | None:
    """Return the kind of machine check that a principle asks for in one of the wordings; None for others."""
    for kind, texts in wordings().items():
        for wording in texts:
            before, _, after = wording.partition("{value}")
            if text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after):
                return kind
    return None


@singledispatch
def _said(check: Check) -> str | None:
    """Return the value of a check in words, as the kind's wordings take it."""
    return str(check.value)


@_said.register
def _(check: kinds.Matches | kinds.NotMatches) -> str | None:
    return PATTERNS.get(check.value)


@_said.register
def _(check: kinds.MaxGrade | kinds.MinGrade) -> str:
    return f"{check.value:g}"


@_said.register
def _(check: kinds.Contains) -> str:
    return _listed(check.value, "and")


@_said.register
def _(
    check: kinds.ContainsAny
    | kinds.ContainsNone
    | kinds.StartsWith
    | kinds.EndsWith
    | kinds.NotStartsWith
    | kinds.NotEndsWith,
) -> str:
    return _listed(check.value, "or")


@_said.register
def _(check: kinds.JsonAnswer) -> str | None:
    return "" if check.value == "{}" else None


@_said.register
def _(check: kinds.Language) -> str | None:
    return SPOKEN_LANGUAGES.get(check.value)


@_said.register
def _(check: kinds.Format) -> str:
    return "a list" if check.value == "list" else "running text without a list"


@_said.register
def _(check: kinds.Person) -> str:
    return _PERSONS[check.value]


@_said.register
def _(check: kinds.EndsWithQuestion) -> str:
    return "ends" if check.value else "does not end"


@_said.register
def _(check: kinds.PhraseList) -> str:
    return _PHRASES[check.value]


@_said.register
def _(check: kinds.Refusal) -> str:
    return "refuses" if check.value else "does not refuse"


@_said.register
def _(check: kinds.PythonCheck) -> None:
    return None


def _listed(phrases: Sequence[str], word: str) -> str:
    quoted = [f'"{phrase}"' for phrase in phrases]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"
