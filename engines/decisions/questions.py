"""Typed questions about a state, and their answers: what all dialects of decision endpoints have in common.

A state is any text: a conversation, a document. A question about it is a yes/no question, a choice between
options, or a score on an ordered scale. The answer is a probability for each option, read from the model's
next token; no text is written.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.records import Message

YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a choice, or a level of a scale."""

    name: str
    description: str = ""
    is_boolean: bool = False
    """True if the name, `true` or `false`, is a boolean in the request and in its answer."""


@dataclass(frozen=True, slots=True)
class YesNoQuestion:
    """A question that is answered by yes or no. The two texts describe when each answer is right."""

    instructions: str
    yes: str = ""
    no: str = ""

    @property
    def options(self) -> tuple[Option, ...]:
        """Both answers, yes first."""
        return (Option(YES, self.yes), Option(NO, self.no))


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A question that is answered by one of several options."""

    instructions: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class ScoreQuestion:
    """A question that is answered by a level of a scale; the options are the levels, from the lowest."""

    instructions: str
    options: tuple[Option, ...]


TypedQuestion = YesNoQuestion | ChoiceQuestion | ScoreQuestion


@dataclass(frozen=True, slots=True)
class NamedQuestion:
    """A question of a request with its name, which the answer repeats."""

    name: str | None
    question: TypedQuestion


@dataclass(frozen=True, slots=True)
class DecisionCall:
    """One request to a decision endpoint: a state and the questions about it."""

    state: str
    questions: tuple[NamedQuestion, ...]
    model: str | None = None
    """Name of the model that is asked; None for the server's own."""
    instructions: str = ""
    """Text that the model reads before state and question; not every dialect has it."""
    messages: tuple[Message, ...] = ()
    """The conversation that the state is, without the instructions; empty if it is one text."""


@dataclass(frozen=True, slots=True)
class DecisionAnswer:
    """The answer to one question."""

    probabilities: tuple[float, ...]
    """Probability of each option, in the order of the options; they sum to 1."""
    label_mass: float | None = None
    """Probability of all options together among all next tokens; None if the server does not report it."""
    top_is_label: bool | None = None
    """True if the most likely next token is one of the options; None if the server does not report it."""
    missing_mass: float | None = None
    """Probability of the next tokens that a server does not list; None if all were looked at."""
    bounded: tuple[bool, ...] = ()
    """Which probabilities come from upper bounds, as a server does not list the token; empty if none does."""

    @property
    def best(self) -> int:
        """Position of the most likely option, the first one of equals."""
        return max(range(len(self.probabilities)), key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """Probability of the most likely option among all next tokens, as vLLM defines it."""
        return self.probabilities[self.best] * (1.0 if self.label_mass is None else self.label_mass)

    @property
    def expected(self) -> float:
        """Expected position, from 0: the score on a scale."""
        return sum(place * p for place, p in enumerate(self.probabilities))


@dataclass(frozen=True, slots=True)
class Decisions:
    """The answers to one request, in the order of its questions."""

    model: str
    answers: tuple[DecisionAnswer | None, ...]
    """None for a question that the model refused to answer."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
