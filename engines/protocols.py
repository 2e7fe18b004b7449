"""What an engine can do, and the requests and answers it exchanges.

The rooms above know engines by these small protocols alone. Two more, for scoring a given answer and for
reward models, belong to training and evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.chat import Turn
from core.records import Generation, Probability, Record, Sampling


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Ask for an answer to a conversation."""

    turns: tuple[Turn, ...]
    sampling: Sampling
    seed: int
    purpose: str
    """What it is for (`draft`, `critique`, ...): for counting, never part of the request's key."""
    prefill: str = ""
    """Text of ours that the answer must begin with; it is not repeated in the result."""


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """Ask how likely each of a few one-token answers is as the next token of the assistant's turn."""

    turns: tuple[Turn, ...]
    choices: tuple[str, ...]
    purpose: str
    prefill: str = ""


class ChoiceScores(Record):
    """Exact next-token log-probabilities of the offered answers."""

    logprobs: tuple[float, ...]
    """Natural logarithms over the whole vocabulary, in the order of the choices."""
    answer_mass: Probability
    """Sum of the choices' probabilities: how much of the model's belief is on the answers at all."""
    top_token: str
    """The most likely next token, offered or not."""
    prompt_tokens: int
    model: str


class Generator(Protocol):
    """Writes text."""

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the model's answer. Raises RequestError if this request is too long for the model."""
        ...


class ChoiceScorer(Protocol):
    """Scores one-token answers."""

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return log-probabilities of the choices. Raises EngineError if a choice is not one token."""
        ...


class Engine(Generator, ChoiceScorer, Protocol):
    """A model that is loaded, or will be upon the first request."""

    @property
    def model(self) -> str:
        """The model's name, as it stands in records."""
        ...

    @property
    def identity(self) -> str:
        """Digest of everything about the model that determines its answers."""
        ...

    @property
    def is_base(self) -> bool:
        """Whether the model has no chat template of its own."""
        ...

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the choices' tokens; raises if the model cannot answer with one of them at once."""
        ...

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of all that determines the answer; the seed counts only when sampling."""
        ...

    def close(self) -> None:
        """Stop the engine and free its memory. Safe to call twice."""
        ...
