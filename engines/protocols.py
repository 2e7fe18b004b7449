"""Protocols of inference engines, with their requests and results.

The packages above use engines through these protocols only. Scoring a given answer and reward models have
interfaces of their own, in training and evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from core.chat import Piece, Turn
from core.errors import EngineError, FailedRequestError
from core.records import Finite, Generation, Probability, Record, Sampling
from engines.decisions.questions import TypedQuestion


@dataclass(frozen=True, slots=True, weakref_slot=True)
class GenerationRequest:
    """Request for an answer to a conversation."""

    turns: tuple[Turn, ...]
    sampling: Sampling
    seed: int
    purpose: str
    """Purpose (`draft`, `critique`, ...), used for counts and never part of the request's key."""
    prefill: str = ""
    """Text that the answer is made to begin with; the result does not repeat it."""
    json_schema: str = ""
    """JSON Schema, as text, that the answer must fulfil, where the engine can see to that; empty for none."""
    affinity: str | None = field(default=None, repr=False)
    """Name of what requests that share text are about, such as the prompt's id. Never part of the key: an
    engine with several copies of a model sends requests of one affinity to the same copy."""


RequestForm = Literal["branches", "answers"]
"""Forms of a choice that few engines take: answers behind branches of a prompt, and whole answers."""


@dataclass(frozen=True, slots=True)
class Branches:
    """Content of the last message with branches that do not see each other.

    The message is the shared text, the branches and the question. All branches have the same positions, which
    follow those of the shared text; each sees that text and itself, and the question sees everything. So the
    order of the branches means nothing. Only their names differ: the question is answered for each naming.
    """

    shared: tuple[Piece, ...]
    namings: tuple[tuple[tuple[Piece, ...], ...], ...]
    """Each naming of the branches, with the content of each branch."""
    question: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An assistant's answer whose probability is asked for."""

    text: str
    finished: bool = True
    """True if it ended by itself: the end of the turn then counts as a token of it."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ChoiceRequest:
    """Request for the probabilities of a few single-token answers as the assistant's next token."""

    turns: tuple[Turn, ...]
    choices: tuple[str, ...]
    purpose: str
    prefill: str = ""
    question: TypedQuestion | None = None
    """For engines that take typed questions (`TakesQuestions`): the question about the text of the turns,
    whose options are the choices."""
    branches: Branches | None = None
    """Branches of the last turn's content. Choices are then given for each naming in turn, and the last turn
    has the content of the first naming in order."""
    answers: tuple[WholeAnswer, ...] = ()
    """Whole answers to the turns, in place of single tokens; the choices are their names."""
    judged: str | None = field(default=None, repr=False)
    """The text of the last turn that the question is about, for engines that read its hidden states."""
    principle: str | None = field(default=None, repr=False)
    """Text of the principle that the question is about, for engines with a probe for each."""
    affinity: str | None = field(default=None, repr=False)
    """As `GenerationRequest.affinity`."""

    @property
    def form(self) -> RequestForm | None:
        """The form of the request; None for single tokens behind a conversation, which every engine takes."""
        if self.branches is not None:
            return "branches"
        return "answers" if self.answers else None


class ChoiceScores(Record):
    """Exact next-token log-probabilities of the offered answers."""

    logprobs: tuple[Finite, ...]
    """Natural logarithms, normalised over the whole vocabulary, in the order of the choices."""
    answer_mass: Probability | None = None
    """Sum of the choices' probabilities: the share of the model's probability mass on the offered answers.
    None if a server does not report it."""
    top_token: str
    """Most likely next token, whether or not it was offered; written as it was offered if it was."""
    prompt_tokens: int
    model: str
    missing_mass: Probability | None = None
    """Probability of the tokens that a server does not list; None if all tokens were looked at."""
    bounded: tuple[bool, ...] | None = None
    """Which log-probabilities are upper bounds, because a server does not list the token; None if none is."""
    lengths: tuple[int, ...] | None = None
    """Number of tokens of each whole answer, whose log-probability is the sum over them."""


def require_finite(logprobs: Sequence[float]) -> None:
    """Raise FailedRequestError if a log-probability is NaN or infinite. Engines call it first."""
    if not all(map(math.isfinite, logprobs)):
        shown = ", ".join(f"{value:.4g}" for value in logprobs)
        raise FailedRequestError("the model's log-probabilities are not finite", detail=shown)


class Generator(Protocol):
    """Generates text."""

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the model's answer. Raises RequestError if this request is too long for the model."""
        ...


class ChoiceScorer(Protocol):
    """Scores single-token answers."""

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return log-probabilities of the choices. Raises EngineError if a choice is not a single token."""
        ...


class Engine(Generator, ChoiceScorer, Protocol):
    """A model, which is loaded at the latest when the first request runs."""

    @property
    def model(self) -> str:
        """Name of the model in records."""
        ...

    @property
    def identity(self) -> str:
        """Digest of everything about the model that affects its answers."""
        ...

    @property
    def is_base(self) -> bool:
        """True if the model has no chat template."""
        ...

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the choices' token ids; raise if the model cannot answer with them as its first token."""
        ...

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of everything that determines the answer; the seed counts only when sampling."""
        ...

    def close(self) -> None:
        """Stop the engine and free its memory. Safe to call twice."""
        ...


@runtime_checkable
class TakesQuestions(Protocol):
    """An engine that may take typed questions about a text, in place of conversations."""

    @property
    def takes_questions(self) -> bool:
        """True if every `ChoiceRequest` must have a question."""
        ...


def takes_questions(engine: object) -> bool:
    """Return True if an engine is asked typed questions."""
    return isinstance(engine, TakesQuestions) and engine.takes_questions


@runtime_checkable
class ComparesReplies(Protocol):
    """An engine that may compare whole replies to a conversation, and is asked no question."""

    @property
    def compares_replies(self) -> bool:
        """True if every `ChoiceRequest` must have whole answers; which of them is best is what it says."""
        ...


def compares_replies(engine: object) -> bool:
    """Return True if an engine compares replies by itself: a reward model."""
    return isinstance(engine, ComparesReplies) and engine.compares_replies


@runtime_checkable
class HasOwnQuestion(Protocol):
    """An engine that may answer one question alone: the template `pointwise`, which it was trained with."""

    @property
    def has_own_question(self) -> bool:
        """True if it answers only this question."""
        ...


def has_own_question(engine: object) -> bool:
    """Return True if an engine is a trained judge, which answers only the template `pointwise`."""
    return isinstance(engine, HasOwnQuestion) and engine.has_own_question


@runtime_checkable
class TakesForms(Protocol):
    """An engine that takes choices in further forms."""

    @property
    def forms(self) -> frozenset[RequestForm]:
        """Forms of `ChoiceRequest` that it takes beside the usual one."""
        ...


def forms_of(engine: object) -> frozenset[RequestForm]:
    """Return the further forms of choices that an engine takes."""
    return engine.forms if isinstance(engine, TakesForms) else frozenset()


def require_form(engine: Engine, form: RequestForm | None) -> None:
    """Raise EngineError if an engine does not take a form of choices."""
    if form is not None and form not in forms_of(engine):
        raise EngineError(
            f"{_FORM_NAMES[form]} are not available",
            where=engine.model,
            accepted="a model that the transformers engine runs (engine.kind: transformers)",
        )


_FORM_NAMES: dict[RequestForm, str] = {
    "branches": "replies side by side, as in label.mode: symmetric,",
    "answers": "probabilities of whole answers, as in label.mode: contrastive,",
}


@runtime_checkable
class SharesModel(Protocol):
    """An engine that can use the loaded model of another engine."""

    def join(self, other: object) -> bool:
        """Use the model of another engine if it is the same one; return True if so.

        Call it before the first request. The model is freed when all engines that used it are closed.
        """
        ...

    def shares_model_with(self, other: object) -> bool:
        """Return True if both engines use one loaded model."""
        ...


@runtime_checkable
class KnowsSize(Protocol):
    """An engine that knows how large its model is."""

    @property
    def parameters(self) -> int | None:
        """Number of the model's weights; None if its files do not tell."""
        ...


@runtime_checkable
class ReportsProgress(Protocol):
    """An engine that shows that it is working before the first of its requests is answered."""

    @property
    def progress(self) -> int | None:
        """A number that changes with each step of work; None while the model is loading."""
        ...


@runtime_checkable
class CountsDrawnTokens(Protocol):
    """An engine that counts the tokens of its answers while they are drawn, before an answer is complete."""

    @property
    def drawn_tokens(self) -> int:
        """Number of tokens drawn so far, those of unfinished answers included. It may be some seconds old."""
        ...


@runtime_checkable
class StreamsAnswers(Protocol):
    """An engine that reports an answer while it is drawn."""

    async def stream(self, request: GenerationRequest, tell: Callable[[str], None]) -> Generation:
        """Return the model's answer as `generate` does; call `tell` with its text so far, now and then.

        The calls are made on the caller's event loop. The last of them may lack the end of the answer.
        """
        ...


@runtime_checkable
class RemembersPrompts(Protocol):
    """An engine that can keep what it has read of scored prompts, for prompts that begin like them."""

    def remember_prompts(self) -> None:
        """Keep it from now on; call it before the first request."""
        ...


@runtime_checkable
class HasOlderKeys(Protocol):
    """An engine that knows which keys its requests had in older versions."""

    def older_key(self, request: GenerationRequest | ChoiceRequest) -> str | None:
        """Return the key that older versions gave a request whose token ids have changed; None for others."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """An engine that knows how many tokens a prompt has before its model is loaded."""

    def prompt_tokens(self, request: GenerationRequest | ChoiceRequest) -> int:
        """Return the number of tokens of a request's prompt. Raises RequestError if it is too long."""
        ...
