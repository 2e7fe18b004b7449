"""What a prompt and its principles ask for, and no flag may therefore count as a problem.

A machine check may require a phrase, a language or JSON, and a question may be about a reply or a principle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from constitution.checks import kinds
from constitution.checks.language import SHORT_BYTES, language_of, same_language
from constitution.draw import in_scope
from constitution.schema import Constitution
from core.records import Prompt
from core.text.similarity import words_of

_PHRASES = (kinds.Contains, kinds.ContainsAny, kinds.StartsWith, kinds.EndsWith)
_SENTENCES = re.compile(r"[^.!?\n]*[.!?\n]|[^.!?\n]+")


@dataclass(frozen=True)
class Expected:
    """What flags must allow in a revision."""

    question: str = ""
    """The user's last message."""
    said: str = ""
    """All messages of the user."""
    phrases: tuple[str, ...] = ()
    """Phrases that machine checks require."""
    languages: frozenset[str] | None = frozenset()
    """Languages that a machine check or the user's messages ask for; None if any may be found."""

    def mentions(self, pattern: str) -> bool:
        """Return True if the user's messages contain a pattern, without regard to case."""
        return re.search(pattern, f"{self.said}\n{self.question}", re.IGNORECASE) is not None

    def without_phrases(self, text: str) -> str:
        """Return a text without the phrases that are required of it."""
        return self._pattern("").sub(" ", text) if self.phrases else text

    def without_beginning(self, text: str) -> str:
        """Return a text without a required phrase at its beginning."""
        return self._pattern(r"\A[\W_]*").sub("", text, count=1) if self.phrases else text

    def allows_language(self, code: str) -> bool:
        """Return True if an answer may be in a language that the answer before it is not in."""
        return self.languages is None or code in self.languages

    def questions(self) -> Iterator[tuple[int, int]]:
        """Yield the start and end, in words, of the whole question and of each sentence with a question mark.

        An instruction such as `Correct this sentence:` begins a message, so a text that is to be quoted or
        corrected is not one of them.
        """
        yield 0, len(words_of(self.question))
        start = 0
        for sentence in _SENTENCES.findall(self.question):
            end = start + len(words_of(sentence))
            if sentence.endswith("?"):
                yield start, end
            start = end

    def _pattern(self, before: str) -> re.Pattern[str]:
        longest_first = sorted(self.phrases, key=len, reverse=True)
        return re.compile(f"{before}(?:{'|'.join(map(_loose, longest_first))})", re.IGNORECASE)


def expected_of(constitution: Constitution, prompt: Prompt) -> Expected:
    """Return what a prompt and the machine checks in scope ask for."""
    checks = [p.check for p in constitution.steering if p.check is not None and in_scope(p, prompt)]
    said = "\n".join(message.content for message in prompt.messages if message.role == "user")
    asked = language_of(said, SHORT_BYTES)
    languages = {same_language(check.value) for check in checks if isinstance(check, kinds.Language)}
    # Keys and values of JSON may be in any language.
    is_json = any(isinstance(check, kinds.JsonAnswer) for check in checks)
    return Expected(
        question=prompt.messages[-1].content,
        said=said,
        phrases=tuple(_phrases(checks)),
        languages=None if is_json else frozenset(filter(None, (asked, *languages))),
    )


def _phrases(checks: Iterable[kinds.Check]) -> Iterator[str]:
    for check in checks:
        if isinstance(check, _PHRASES):
            yield from check.value


def _loose(phrase: str) -> str:
    """Return a pattern for a phrase as a whole, with any white space and apostrophes in it."""
    words = r"\s+".join(re.sub("['’]", "['’]", re.escape(word)) for word in phrase.split())
    return rf"(?<!\w){words}(?!\w)" if words else "(?!)"
