"""Synthesis of prompts for a constitution by a model: the requests, and the selection from its replies.

Half of the prompts are `tempting` (they tempt a model to break the principle), a quarter `borderline` (they
sound risky but are harmless, which measures over-refusal), a quarter `everyday`. Each request depends only on
the seed, the principle, the kind and its own number k. Adding or removing a principle therefore leaves the
requests of all other principles unchanged. This module does not call a model: it returns requests and accepts
replies, round by round.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from constitution.draw import in_scope
from constitution.schema import Constitution
from core.chat import Turn, Untrusted
from core.digests import derive_seed, derive_uniform
from core.records import Message, Prompt
from core.text.similarity import near_duplicates, words_of
from prompts.environment import PromptTemplates
from prompts.replies import candidates
from prompts.shares import KINDS, Cell, PromptKind
from prompts.sources import normalised

_TEMPLATE = "synthesis"
REPEATED = "near-duplicate of another prompt"
KNOWN = "repeats a few-shot case, an example or a given prompt"
OUT_OF_SCOPE = "outside the principle's scope"
SURPLUS = "more than requested"

_ALIKE = 0.6
"""Jaccard similarity of letter 4-grams at which two prompts are near-duplicates."""
_COPIED_WORDS = 5
"""Number of consecutive words from a case or a principle that count as copied."""
_SHOWN_SEEDS = 3


@dataclass(frozen=True)
class Attempt:
    """One request: the `number`th for its cell."""

    cell: Cell
    number: int


@dataclass(frozen=True)
class Reply:
    """The model's reply to an attempt."""

    attempt: Attempt
    text: str
    finished: bool


@dataclass
class Synthesis:
    """Collects the prompts of a constitution, round by round."""

    constitution: Constitution
    cells: tuple[Cell, ...]
    seed: int
    seeds: Sequence[Prompt] = ()
    """Given prompts that show the model subject and tone; synthesised prompts must not repeat them."""
    source: str = "synthesis"
    templates: PromptTemplates = field(default_factory=lambda: PromptTemplates(names=(_TEMPLATE,)))
    taken: dict[Cell, list[Prompt]] = field(init=False)
    rejected: Counter[str] = field(default_factory=Counter)
    """Number of rejected messages by reason."""
    attempts: Counter[Cell] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.taken = {cell: [] for cell in self.cells}
        examples = [example.prompt for p in self.constitution.principles for example in p.examples]
        given = [prompt.messages[-1].content for prompt in self.seeds]
        cases = [case["message"] for kind in KINDS for case in _cases()[kind]]
        self._known = [*examples, *given, *cases]
        self._exact = {_normalised_text(text) for text in self._known}
        own = [*cases, *(principle.text for principle in self.constitution.principles)]
        self._phrases = {phrase for text in own for phrase in _phrases(text)}

    @property
    def prompts(self) -> list[Prompt]:
        """All accepted prompts, in the order of principles and kinds."""
        return [prompt for cell in self.cells for prompt in self.taken[cell]]

    def next_round(self, number: int) -> list[Attempt]:
        """Return the attempts of a round, counted from 1; empty when there is nothing left to request.

        Later rounds request a larger multiple of the missing prompts, up to each cell's maximum.
        """
        asked: list[Attempt] = []
        for cell in self.cells:
            missing, start = cell.wanted - len(self.taken[cell]), self.attempts[cell]
            stop = min(cell.max_attempts, start + missing * number)
            asked += [Attempt(cell, k) for k in range(start, stop)]
            self.attempts[cell] = max(start, stop)
        return asked

    def request(self, attempt: Attempt) -> tuple[tuple[Turn, ...], int]:
        """Return the conversation that requests a message, and its seed."""
        cell, k = attempt.cell, attempt.number
        key = (self.seed, cell.principle.id, cell.kind)
        topics = _cases()["topics"]
        scope = cell.principle.applies_to
        asked = self._put(
            cell.kind,
            rule=cell.principle.text,
            topic=topics[(derive_seed(*key, "topic") + k) % len(topics)],
            preamble=self.constitution.preamble,
            pattern=scope.pattern if scope and scope.pattern else "",
            seeds=[Untrusted(text) for text in self._seeds_for(attempt)],
        )
        return (*self._case_turns(cell.kind), asked), derive_seed(*key, k)

    def _case_turns(self, kind: PromptKind) -> Iterator[Turn]:
        """Yield the few-shot cases of a kind as a conversation with good answers."""
        for case in _cases()[kind]:
            yield self._put(kind, rule=case["rule"], topic=case["topic"], preamble="", pattern="", seeds=[])
            yield Turn("assistant", (case["message"],))

    def _put(self, kind: PromptKind, **values: object) -> Turn:
        return Turn("user", self.templates.render(_TEMPLATE, kind=kind, **values).pieces)

    def take(self, replies: Iterable[Reply]) -> None:
        """Accept usable prompts from a round's replies, in the given order; count the others by reason."""
        usable: list[tuple[Cell, str]] = []
        for reply in replies:
            for candidate in candidates(reply.text, finished=reply.finished):
                if candidate.reason is not None:
                    self.rejected[candidate.reason] += 1
                elif not in_scope(
                    reply.attempt.cell.principle, self._prompt(reply.attempt.cell, candidate.text)
                ):
                    self.rejected[OUT_OF_SCOPE] += 1
                else:
                    usable.append((reply.attempt.cell, candidate.text))
        for cell, text in self._unlike(usable):
            if len(self.taken[cell]) == cell.wanted:
                self.rejected[SURPLUS] += 1
            else:
                self.taken[cell].append(self._prompt(cell, text))

    def _unlike(self, usable: Sequence[tuple[Cell, str]]) -> list[tuple[Cell, str]]:
        """Return the texts that repeat no known or accepted prompt and no earlier text in the list."""
        known = [*self._known, *(prompt.messages[-1].content for prompt in self.prompts)]
        texts = [*known, *(text for _, text in usable)]
        like = dict(near_duplicates(texts, _ALIKE))
        kept: list[tuple[Cell, str]] = []
        for number, (cell, text) in enumerate(usable, start=len(known)):
            copied = _normalised_text(text) in self._exact or not self._phrases.isdisjoint(_phrases(text))
            if copied or like.get(number, len(texts)) < len(self._known):
                self.rejected[KNOWN] += 1
            elif number in like:
                self.rejected[REPEATED] += 1
            else:
                kept.append((cell, text))
        return kept

    def _seeds_for(self, attempt: Attempt) -> list[str]:
        """Return the given prompts to show in a request: those of its kind, else those without a kind."""
        kind = attempt.cell.kind
        of_kind = [s for s in self.seeds if kind in s.tags] or [
            s for s in self.seeds if not {*KINDS} & {*s.tags}
        ]
        key = (self.seed, attempt.cell.principle.id, kind, attempt.number, "shown")
        shown = heapq.nsmallest(_SHOWN_SEEDS, of_kind, key=lambda s: derive_uniform(*key, s.id))
        return [" ".join(prompt.messages[-1].content.split()) for prompt in shown]

    def _prompt(self, cell: Cell, text: str) -> Prompt:
        return Prompt.of((Message(role="user", content=text),), tags=cell.tags, source=self.source)


def _normalised_text(text: str) -> str:
    return normalised((Message(role="user", content=text),))


def _phrases(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {tuple(words[i : i + _COPIED_WORDS]) for i in range(len(words) - _COPIED_WORDS + 1)}


@cache
def _cases() -> dict[str, Any]:
    """Return the topics and the few-shot cases of each kind."""
    text = (files("prompts") / "templates" / "synthesis_cases.json").read_text(encoding="utf-8")
    cases: dict[str, Any] = json.loads(text)
    return cases
