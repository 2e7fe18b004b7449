"""Edits of an answer so that it fails a machine check: where natural answers rarely break a principle.

The counterpart of `constitution.repair.edits`. Several edits are known for most kinds of checks, and one is
drawn, so that what learns from edited answers does not learn a single phrase. Edits add, mark, remove or
reorder; the check has the last word, and an edit that does not fail it is not used.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch

from constitution.checks import kinds
from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.checks.wording import phrase_list
from constitution.repair.draft import Draft
from constitution.repair.patterns import example_of

_QUESTIONS = (
    "Does that answer your question?",
    "Is there anything else that you would like to know?",
    "What do you think?",
    "Which of these would suit you best?",
    "Shall I go into more detail?",
)
_REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot answer this question.",
    "I'm not able to help with this request.",
    "Sorry, I won't help with that.",
)
_REMARKS = {
    "first": ("I think that is all.", "I would start there.", "We have seen this before."),
    "second": ("You should try it.", "You can start there.", "It is up to you."),
}
_LONG = 60
"""Largest number of sentences that are added to exceed a limit."""
_FEWEST_WORDS = 8
"""Words that an answer must have to be cut off."""
_STOP = re.compile(r"\.(?=\s|$)")
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True)
class _Answer:
    """An answer to edit."""

    text: str
    others: Sequence[str]
    """Answers to other questions."""
    rng: random.Random

    @property
    def draft(self) -> Draft:
        """The answer as lines of sentences."""
        return Draft.of(self.text)

    def with_sentence(self, change: Callable[[str], str]) -> str:
        """Return the text with one of its sentences changed."""
        sentence = self.rng.choice(self.draft.sentences or (self.text,))
        return self.text.replace(sentence, change(sentence), 1)

    def with_added(self, sentence: str) -> str:
        """Return the text with a sentence before, behind or between its own."""
        place = self.rng.choice(("before", "behind", "between"))
        if place == "before":
            return f"{sentence} {self.text}"
        if place == "behind":
            return f"{self.text} {sentence}"
        return self.with_sentence(lambda own: f"{own} {sentence}")

    def with_word(self, change: Callable[[str], str]) -> str:
        """Return the text with one of its longer words changed."""
        found = list(_WORD.finditer(self.text))
        if not found:
            return self.text
        word = self.rng.choice(found)
        return f"{self.text[: word.start()]}{change(word[0])}{self.text[word.end() :]}"


def broken(check: Check, text: str, others: Sequence[str] = (), *, seed: object = 0) -> str | None:
    """Return an answer edited so that it fails a check, or None if no edit achieves that.

    An answer that fails is returned as it is.

    Args:
        check: the machine check.
        text: the answer.
        others: answers to other questions, for edits that lengthen an answer or change its language.
        seed: which of the edits is drawn; a text that stands for it.
    """
    if not evaluate(check, text).passed:
        return text
    edits = list(_edits(check, _Answer(text, others, random.Random(f"{seed} {text}"))))
    random.Random(f"edit {seed} {text}").shuffle(edits)
    return next((one for one in edits if one.strip() and not evaluate(check, one).passed), None)


def cut_short(text: str, *, seed: object = 0) -> tuple[str, ...]:
    """Return an answer's first sentences, and the answer cut off inside of a sentence, where it is longer.

    Neither is an edit of what is said: a judge that learns from edited answers should see such answers too.
    """
    draft, words = Draft.of(text), text.split()
    rng = random.Random(f"short {seed} {text}")
    found = [str(draft.first(rng.randint(1, len(draft.sentences) - 1)))] if len(draft.sentences) > 1 else []
    if len(words) > _FEWEST_WORDS:
        cut = " ".join(words[: rng.randint(len(words) // 2, len(words) - 1)])
        found.append(cut.rstrip(".,;:!?"))
    return tuple(one for one in found if one)


@singledispatch
def _edits(check: Check, answer: _Answer) -> Iterator[str]:
    """Yield edits of an answer that passes a check, of which some may fail it."""
    return iter(())


@_edits.register
def _(check: kinds.MaxWords | kinds.MaxSentences | kinds.MaxCharacters, answer: _Answer) -> Iterator[str]:
    pool = [s for other in answer.others for s in Draft.of(other).sentences] or list(answer.draft.sentences)
    text = answer.text
    for _ in range(_LONG if pool else 0):
        text = f"{text} {answer.rng.choice(pool)}"
        if not evaluate(check, text).passed:
            yield text
            return


@_edits.register
def _(check: kinds.MaxSentenceWords, answer: _Answer) -> Iterator[str]:
    own = [sentence for sentence in answer.draft.sentences if "\n" not in sentence]  # several lines are code
    pool = [*own, *(s for other in answer.others for s in Draft.of(other).sentences)]
    for _ in own[:2]:
        first = answer.rng.choice(own)
        joined = first
        for _ in range(_LONG):
            word = answer.rng.choice((" and", ", and", ", while", ";"))
            joined = f"{joined.rstrip('.!?…:;')}{word} {_small(answer.rng.choice(pool))}"
            if not evaluate(check, joined).passed:
                break
        yield answer.text.replace(first, joined, 1)


@_edits.register
def _(check: kinds.MaxListItems, answer: _Answer) -> Iterator[str]:
    pool = [s for other in answer.others for s in Draft.of(other).sentences] or list(answer.draft.sentences)
    items = list(answer.draft.sentences)
    while pool and len(items) <= min(check.value, _LONG):
        items.append(answer.rng.choice(pool))
    yield from _listed(items)


@_edits.register
def _(check: kinds.MinWords | kinds.MinSentences | kinds.MinCharacters, answer: _Answer) -> Iterator[str]:
    for count in range(len(answer.draft.sentences) - 1, 0, -1):
        yield str(answer.draft.first(count))
    words = answer.text.split()
    yield f"{' '.join(words[: answer.rng.randint(1, max(1, len(words) - 1))]).rstrip('.,;:')}."


@_edits.register
def _(check: kinds.NotMatches, answer: _Answer) -> Iterator[str]:
    marked = [text for text in _marked(answer) if not evaluate(check, text).passed]
    yield from marked
    example = example_of(check.value)
    if not marked and example is not None:
        yield from _with_phrase(answer, example)
        yield f"{answer.text}{example}"
        yield f"{example}{answer.text}"


@_edits.register
def _(check: kinds.Matches, answer: _Answer) -> Iterator[str]:
    yield str(answer.draft.keep(lambda sentence: not evaluate(check, sentence).passed))
    yield re.sub(check.value, "", answer.text)
    yield str(answer.draft.as_prose())


@_edits.register
def _(check: kinds.Contains | kinds.ContainsAny, answer: _Answer) -> Iterator[str]:
    for phrases in (*((phrase,) for phrase in check.value), check.value):
        yield _without(kinds.ContainsNone(kind="contains_none", value=phrases), answer)


@_edits.register
def _(check: kinds.ContainsNone, answer: _Answer) -> Iterator[str]:
    yield from _with_phrase(answer, answer.rng.choice(check.value))


@_edits.register
def _(check: kinds.PhraseList, answer: _Answer) -> Iterator[str]:
    *sentences, _ = _with_phrase(answer, answer.rng.choice(phrase_list(check.value)))
    yield from sentences  # without the one in the midst of other words


@_edits.register
def _(check: kinds.StartsWith, answer: _Answer) -> Iterator[str]:
    yield str(answer.draft.without(0))
    for phrase in check.value:
        if answer.text.lower().startswith(phrase.lower()):
            rest = answer.text[len(phrase) :].lstrip(" ,:;.!-")
            yield f"{rest[:1].upper()}{rest[1:]}"


@_edits.register
def _(check: kinds.EndsWith, answer: _Answer) -> Iterator[str]:
    yield str(answer.draft.without_last())
    for phrase in check.value:
        place = answer.text.lower().rfind(phrase.lower())
        yield answer.text[:place].rstrip(" ,:;-") if place > 0 else ""


@_edits.register
def _(check: kinds.NotStartsWith, answer: _Answer) -> Iterator[str]:
    phrase = answer.rng.choice(check.value)
    yield f"{phrase.rstrip(',.!:;')}, {_small(answer.text)}"
    yield f"{phrase.rstrip(',.!:;')}! {answer.text}"
    yield f"{phrase} {_small(answer.text)}"


@_edits.register
def _(check: kinds.NotEndsWith, answer: _Answer) -> Iterator[str]:
    phrase = answer.rng.choice(check.value)
    bare = phrase.rstrip(".!")
    yield from (f"{answer.text} {bare}.", f"{answer.text} {bare}!", f"{answer.text}\n\n{phrase}")
    yield f"{answer.text.rstrip(' .!?')}, {_small(bare)}"


@_edits.register
def _(check: kinds.MaxGrade, answer: _Answer) -> Iterator[str]:
    sentences = [sentence.rstrip(".!?") for sentence in answer.draft.sentences]
    yield f"{' and '.join(sentences)}."
    yield f"{' and '.join(sentences * 4)}."


@_edits.register
def _(check: kinds.MinGrade, answer: _Answer) -> Iterator[str]:
    words = [word.strip(".,;:!?") for word in answer.text.split()]
    for size in (8, 5, 3):
        parts = [" ".join(words[start : start + size]) for start in range(0, len(words), size)]
        yield ". ".join(parts) + "."


@_edits.register
def _(check: kinds.JsonAnswer, answer: _Answer) -> Iterator[str]:
    text = answer.text.strip()
    yield from (text[:-1], f"Here it is: {text}", f"{text}\n\nI hope that this helps.")


@_edits.register
def _(check: kinds.Language, answer: _Answer) -> Iterator[str]:
    yield from _another(check, answer)


@_edits.register
def _(check: kinds.Format, answer: _Answer) -> Iterator[str]:
    draft = answer.draft
    if check.value == "list":
        yield str(draft.as_prose())
        return
    yield from _listed(draft.sentences if len(draft.sentences) > 1 else re.split(r"(?<=[,;:]) ", answer.text))


@_edits.register
def _(check: kinds.Person, answer: _Answer) -> Iterator[str]:
    if check.value == "first":
        yield str(answer.draft.keep(lambda sentence: not evaluate(check, sentence).passed))
        return
    for person in ("first", "second") if check.value == "third" else ("first",):
        yield answer.with_added(answer.rng.choice(_REMARKS[person]))
    yield answer.with_sentence(lambda own: f"I think that {_small(own)}")


@_edits.register
def _(check: kinds.EndsWithQuestion, answer: _Answer) -> Iterator[str]:
    if check.value:
        yield str(answer.draft.without_last())
        yield f"{answer.text.rstrip(' ?')}."
    else:
        yield from (f"{answer.text} {question}" for question in _QUESTIONS)


@_edits.register
def _(check: kinds.Refusal, answer: _Answer) -> Iterator[str]:
    if not check.value:
        yield from _REFUSALS
        yield from (f"{refusal} {answer.text}" for refusal in _REFUSALS)
        return
    yield str(answer.draft.keep(lambda sentence: not evaluate(check, sentence).passed))
    yield from _another(check, answer)


def _listed(sentences: Sequence[str]) -> Iterator[str]:
    """Yield sentences as lists of different forms."""
    for bullet in ("- ", "* "):
        yield "\n".join(f"{bullet}{sentence}" for sentence in sentences)
    yield "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, start=1))


def _another(check: Check, answer: _Answer) -> Iterator[str]:
    """Yield an answer to another question that fails the check, if there is one."""
    failing = [other for other in answer.others if not evaluate(check, other).passed]
    if failing:
        yield answer.rng.choice(failing)


def _without(check: kinds.ContainsNone, answer: _Answer) -> str:
    """Return the text without the sentences that have one of the phrases."""
    return str(answer.draft.keep(lambda sentence: evaluate(check, sentence).passed))


def _marked(answer: _Answer) -> Iterator[str]:
    """Yield the text with other punctuation, letters or layout."""
    yield answer.with_sentence(str.upper)
    yield answer.with_word(str.upper)
    yield answer.with_sentence(lambda own: f"{own.rstrip('.')} (so it is said).")
    yield answer.with_word(lambda word: f"({word})")
    yield answer.with_word(lambda word: f'"{word}"')
    yield answer.with_word(lambda word: f"**{word}**")
    yield _STOP.sub("!", answer.text)
    yield answer.with_sentence(lambda own: f"{own.rstrip('.!?')}!")
    yield _STOP.sub(";", answer.text, count=1)
    yield re.sub(r"\.\s+(\w)", lambda found: f"; {found[1].lower()}", answer.text, count=1)
    yield answer.text.replace(", ", "; ", 1)
    yield answer.text.replace(", ", " - ", 1)
    yield str(answer.draft.as_list())


def _with_phrase(answer: _Answer, phrase: str) -> Iterator[str]:
    """Yield the text with a phrase as a sentence, before or behind a sentence, and inside of one."""
    bare = phrase.rstrip(".!,")
    name = f"{bare[:1].upper()}{bare[1:]}"
    yield answer.with_added(f"{name}.")
    yield f"{name}! {answer.text}"
    yield answer.with_sentence(lambda own: f"{name}, {_small(own)}")
    yield answer.with_sentence(lambda own: f"{own.rstrip('.')}, {bare}.")
    words = answer.text.split(" ")
    place = answer.rng.randint(0, len(words))
    yield " ".join([*words[:place], phrase, *words[place:]])


def _small(text: str) -> str:
    """Return a sentence as it goes on behind other words: without the capital of its first word."""
    return f"{text[:1].lower()}{text[1:]}" if text[1:2].islower() else text
