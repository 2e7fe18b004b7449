"""Machine checks drawn for texts, so that about half of the texts pass: gold labels without a model.

A check's value is drawn for the text that it is to judge: a limit below or above its length, a word that it
has or lacks. Kinds with few values (a refusal or none) draw the value first, and look for a text that passes
and another that fails; some texts are edited to get them. The principle alone thus says little about a label.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar, get_args

from constitution.checks import kinds
from constitution.checks.evaluate import (
    count_characters,
    count_words,
    evaluate,
    longest_sentence,
    reading_grade,
)
from constitution.checks.kinds import Check
from constitution.checks.prose import count_list_items, sentences
from constitution.checks.wording import phrase_list
from constitution.gold.wordings import PATTERNS, SPOKEN_LANGUAGES, principle_texts
from constitution.repair.draft import Draft
from constitution.repair.edits import repaired

_Value = TypeVar("_Value")
_TRIES = 60
"""Texts that are tried for one label."""
_FACTORS = (1.15, 2.5)
"""Smallest and largest factor between a text's length and a limit on it."""
_QUESTIONS = (
    "Does that answer your question?",
    "Is there anything else that you would like to know?",
    "What do you think?",
    "Which of these would suit you best?",
    "Shall I go into more detail?",
)
_WORD = re.compile(r"[^\W\d_]{4,}")


class CheckLabel(NamedTuple):
    """A principle that asks for a machine check, and whether a text passes it."""

    number: int
    """Index of the text that was drawn."""
    text: str
    """The text, edited or as it is."""
    check: Check
    principle: str
    """The principle's text."""
    passed: bool


class _Chance(NamedTuple):
    """Random numbers of one draw."""

    rng: random.Random
    value: float
    """A number in [0, 1) that chooses among few values, the same for all tries of two labels."""

    def one_of(self, values: Sequence[_Value]) -> _Value:
        """Return the value that both labels are about."""
        return values[int(self.value * len(values))]


@dataclass
class CheckDrawer:
    """Draws checks for a pool of texts.

    Args:
        texts: the texts, such as a data set's replies.
        seed: seed of every draw.
        held_out: True to ask in the wordings that no judge is trained on.
    """

    texts: Sequence[str]
    seed: int = 0
    held_out: bool = False
    unavailable: dict[str, int] = field(default_factory=dict)
    """Number of labels of each kind for which no text was found."""

    def labels(self, kind: str, count: int) -> list[CheckLabel]:
        """Return up to `count` labels of one kind: in turn of a text that passes, and of one that fails.

        Where a kind has few values, both are about the same one. Pairs of labels for which no text is found
        are counted in `unavailable`.
        """
        rng = random.Random(f"{self.seed} {kind} {self.held_out}")
        found: list[CheckLabel] = []
        for _ in range(-(-count // 2)):
            value = rng.random()
            both = [self._label(kind, wanted, value, rng) for wanted in (True, False)]
            labels = [label for label in both if label is not None]
            if len(labels) < len(both):
                self.unavailable[kind] = self.unavailable.get(kind, 0) + len(both)
            else:
                found += labels
        return found[:count]

    def _label(self, kind: str, wanted: bool, value: float, rng: random.Random) -> CheckLabel | None:
        for _ in range(_TRIES):
            number = rng.randrange(len(self.texts))
            drawn = _DRAWS[kind](self, self.texts[number], wanted, _Chance(rng, value))
            if drawn is None:
                continue
            check, text = drawn
            asked = principle_texts(check, held_out=self.held_out)
            if asked and evaluate(check, text).passed == wanted:
                return CheckLabel(number, text, check, rng.choice(asked), wanted)
        return None

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words of all texts, each as often as it occurs in different texts."""
        return tuple(word for text in self.texts for word in sorted(set(_WORD.findall(text.lower()))))

    @cached_property
    def beginnings(self) -> tuple[str, ...]:
        """First words of all texts."""
        return tuple(text.split()[0].strip(",.!:;") for text in self.texts if text.split())

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """Last words of all texts."""
        return tuple(text.split()[-1].strip(",.!:;?") for text in self.texts if text.split())

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages that some of the texts are written in, and others are not."""
        checks = [kinds.Language(kind="language", value=code) for code in SPOKEN_LANGUAGES]
        shares = {c.value: sum(evaluate(c, text).passed for text in self.texts) for c in checks}
        return tuple(code for code, count in shares.items() if 0 < count < len(self.texts))


_Drawn = tuple[Check, str] | None
_Draw = Callable[[CheckDrawer, str, bool, _Chance], _Drawn]


def _limit(kind: type[Check], size: Callable[[str], int], *, most: bool) -> _Draw:
    """Return the draw of a limit on a text's length, at least a factor away from it."""

    def draw(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
        factor = chance.rng.uniform(*_FACTORS)
        length = size(text)
        above = wanted == most
        value = max(length + 1, round(length * factor)) if above else int(length / factor)
        return (kind(kind=_name(kind), value=value), text) if value >= 1 else None

    return draw


def _grade(kind: type[Check], *, most: bool) -> _Draw:
    def draw(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
        grade = reading_grade(text)
        if grade is None:
            return None
        away = chance.rng.uniform(1.5, 5)
        value = round(grade + away if wanted == most else grade - away)
        return (kind(kind=_name(kind), value=value), text) if 1 <= value <= 30 else None

    return draw


def _pattern(kind: type[Check]) -> _Draw:
    def draw(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
        return kind(kind=_name(kind), value=chance.one_of(list(PATTERNS))), text

    return draw


def _phrases(kind: type[Check], count: int, *, present: bool) -> _Draw:
    """Return the draw of words that a text has (`present`: passing texts have them) or lacks."""

    def draw(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
        own = _WORD.findall(text.lower())
        if not own:
            return None
        others = [chance.rng.choice(drawer.words) for _ in range(count)]
        if wanted == present:
            others[chance.rng.randrange(count)] = chance.rng.choice(own)
        return kind(kind=_name(kind), value=tuple(dict.fromkeys(others))), text

    return draw


def _edge(kind: type[Check], place: str, *, present: bool) -> _Draw:
    """Return the draw of the word that a text begins or ends with, or that another one does."""

    def draw(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
        words = text.split()
        if not words:
            return None
        own = words[0] if place == "beginnings" else words[-1]
        word = own if wanted == present else chance.rng.choice(getattr(drawer, place))
        word = word.strip(",.!:;?")
        return (kind(kind=_name(kind), value=(word,)), text) if word else None

    return draw


def _json(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
    shape: dict[str, object] = {"type": chance.rng.choice(("object", "array", "string"))}
    framed = repaired([kinds.JsonAnswer.model_validate({"kind": "json", "value": shape})], text)
    if framed is None:
        return None
    # Half of the failing texts are JSON with a mistake: without the mark at the end, or with words before it.
    broken = chance.rng.choice((text, text, framed[:-1], f"Here it is: {framed}"))
    return kinds.JsonAnswer.model_validate({"kind": "json", "value": {}}), framed if wanted else broken


def _format(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
    value = chance.one_of(("list", "prose"))
    draft = Draft.of(text)
    is_list = (value == "list") == wanted
    return kinds.Format(kind="format", value=value), str(draft.as_list() if is_list else draft.as_prose())


def _items(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
    listed = str(Draft.of(text).as_list())  # texts that pass are lists too
    return _limit(kinds.MaxListItems, count_list_items, most=True)(drawer, listed, wanted, chance)


def _person(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
    return kinds.Person(kind="person", value=chance.one_of(("first", "second", "third"))), text


def _question(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
    value = chance.one_of((True, False))
    if value == wanted:
        text = f"{text} {chance.rng.choice(_QUESTIONS)}"
    return kinds.EndsWithQuestion(kind="ends_with_question", value=value), text


def _phrase_list(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
    name = chance.one_of(("boilerplate", "flattery", "hedging", "moralising"))
    if not wanted:
        parts = list(sentences(text)) or [text]
        parts.insert(
            chance.rng.randrange(len(parts) + 1), f"{chance.rng.choice(phrase_list(name)).capitalize()}."
        )
        text = " ".join(parts)
    return kinds.PhraseList(kind="phrase_list", value=name), text


def _refusal(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
    return kinds.Refusal(kind="refusal", value=chance.one_of((True, False))), text


def _language(drawer: CheckDrawer, text: str, wanted: bool, chance: _Chance) -> _Drawn:
    if not drawer.languages:
        return None
    return kinds.Language(kind="language", value=chance.one_of(drawer.languages)), text


def _name(kind: type[Check]) -> str:
    (name,) = get_args(kind.model_fields["kind"].annotation)
    return str(name)


def _count_sentences(text: str) -> int:
    return sum(1 for _ in sentences(text))


def _longest(text: str) -> int:
    return count_words(longest_sentence(text))


_DRAWS: Mapping[str, _Draw] = {
    "max_words": _limit(kinds.MaxWords, count_words, most=True),
    "min_words": _limit(kinds.MinWords, count_words, most=False),
    "max_sentences": _limit(kinds.MaxSentences, _count_sentences, most=True),
    "min_sentences": _limit(kinds.MinSentences, _count_sentences, most=False),
    "max_characters": _limit(kinds.MaxCharacters, count_characters, most=True),
    "min_characters": _limit(kinds.MinCharacters, count_characters, most=False),
    "max_list_items": _items,
    "regex": _pattern(kinds.Matches),
    "not_regex": _pattern(kinds.NotMatches),
    "contains": _phrases(kinds.Contains, 1, present=True),
    "contains_any": _phrases(kinds.ContainsAny, 3, present=True),
    "contains_none": _phrases(kinds.ContainsNone, 2, present=False),
    "starts_with": _edge(kinds.StartsWith, "beginnings", present=True),
    "ends_with": _edge(kinds.EndsWith, "ends", present=True),
    "not_starts_with": _edge(kinds.NotStartsWith, "beginnings", present=False),
    "not_ends_with": _edge(kinds.NotEndsWith, "ends", present=False),
    "max_grade": _grade(kinds.MaxGrade, most=True),
    "min_grade": _grade(kinds.MinGrade, most=False),
    "json": _json,
    "format": _format,
    "person": _person,
    "ends_with_question": _question,
    "phrase_list": _phrase_list,
    "refusal": _refusal,
    "language": _language,
    "max_sentence_words": _limit(kinds.MaxSentenceWords, _longest, most=True),
}
DRAWN_KINDS = tuple(_DRAWS)
"""Kinds of checks that are drawn: all but `python`, whose meaning only its author knows."""
