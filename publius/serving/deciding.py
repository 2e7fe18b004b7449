"""Decisions from an engine: each question is asked as a choice between letters, or between Yes and No."""

from __future__ import annotations

import asyncio
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.chat import Turn, Untrusted
from core.concurrency import all_or_none
from core.digests import digest
from core.errors import ConfigError, DataError, EngineError
from core.text.invisible import without_invisible
from engines.decisions.questions import (
    DecisionAnswer,
    DecisionCall,
    Decisions,
    Option,
    TypedQuestion,
    YesNoQuestion,
)
from engines.decisions.wire import MAX_QUESTIONS
from engines.protocols import ChoiceRequest, ChoiceScores, Engine
from engines.requests.failures import failure_of_one_request
from prompts.environment import PromptTemplates, fence_for

DECISION_TEMPLATE = "decision"
_LETTERS = string.ascii_uppercase
_WORDS = ("Yes", "No")
_INDENTED = "\n   "


@dataclass(frozen=True)
class EngineDecider:
    """Answers questions by the probabilities of an engine's next token.

    Args:
        engine: the engine.
        both_orders: ask each choice a second time with its options in reverse, and average the log-odds: a
            constant preference for a place cancels.
        templates: the template `decision`.
    """

    engine: Engine
    both_orders: bool = False
    templates: PromptTemplates = field(default_factory=lambda: PromptTemplates(names=(DECISION_TEMPLATE,)))

    _possible: set[tuple[str, ...]] = field(default_factory=set)
    """Choices that the model can answer with."""
    _looking: dict[tuple[str, ...], asyncio.Future[None]] = field(default_factory=dict)
    """Looks at whether it can, in progress."""

    @property
    def identity(self) -> str:
        """Digest of the engine, of the orders and of the template."""
        return digest(self.engine.identity, self.both_orders, self.templates.digest)[:32]

    async def decide(self, call: DecisionCall) -> Decisions:
        """Return the answers to all questions of a request.

        Raises:
            DataError: if there are too many questions or options, or the model cannot answer such questions.
            RequestError: if the state is too long for the model.
        """
        if len(call.questions) > MAX_QUESTIONS:
            raise DataError(
                f"{len(call.questions)} questions", where="questions", accepted=f"at most {MAX_QUESTIONS}"
            )
        # All of them before the first is sent: one that cannot be asked fails the whole request.
        asked = [self._orders(call, named.question) for named in call.questions]
        found = await all_or_none(map(self._answer, asked))
        tokens = sum(score.prompt_tokens for scores, _ in found for score in scores)
        reads = sum(len(scores) for scores, _ in found)
        return Decisions(self.engine.model, tuple(answer for _, answer in found), tokens, reads)

    def _orders(self, call: DecisionCall, question: TypedQuestion) -> list[ChoiceRequest]:
        """Return the requests to the engine for a question, one for each order of its options."""
        orders = [question.options]
        if self.both_orders and not isinstance(question, YesNoQuestion):
            orders.append(question.options[::-1])
        return [self.request(call, question, options) for options in orders]

    async def _answer(
        self, requests: Sequence[ChoiceRequest]
    ) -> tuple[Sequence[ChoiceScores], DecisionAnswer]:
        """Return the engine's scores, one for each order, and the answer."""
        await self._require(requests[0])
        with failure_of_one_request(self.engine.model):
            scores = await all_or_none(map(self.engine.choose, requests))
        logprobs = [scores[0].logprobs, *(score.logprobs[::-1] for score in scores[1:])]
        mean = [sum(values) / len(logprobs) for values in zip(*logprobs, strict=True)]
        masses = [score.answer_mass for score in scores if score.answer_mass is not None]
        mass = min(masses) if len(masses) == len(scores) else None
        is_label = all(score.top_token in requests[0].choices for score in scores)
        missing = max((s.missing_mass for s in scores if s.missing_mass is not None), default=None)
        return scores, DecisionAnswer(softmax(mean), mass, is_label, missing, _bounded(scores))

    async def _require(self, request: ChoiceRequest) -> None:
        """Raise DataError if the model cannot answer with these choices as its next token.

        A server is asked whether it can, once for all questions that wait for it.
        """
        choices = request.choices
        if choices in self._possible:
            return
        if choices not in self._looking:
            looking = asyncio.ensure_future(asyncio.to_thread(self._look, request))
            self._looking[choices] = looking
            looking.add_done_callback(lambda done: self._looked(choices, done))
        try:
            await asyncio.shield(self._looking[choices])
        except (EngineError, ConfigError) as error:
            raise DataError(str(error), where="questions") from error

    def _looked(self, choices: tuple[str, ...], done: asyncio.Future[None]) -> None:
        del self._looking[choices]
        if not done.cancelled():
            done.exception()  # which those who wait have, if their clients are still there

    def _look(self, request: ChoiceRequest) -> None:
        self.engine.require_choices(request.prefill, request.choices)
        self._possible.add(request.choices)

    def request(
        self, call: DecisionCall, question: TypedQuestion, options: Sequence[Option]
    ) -> ChoiceRequest:
        """Return the request to the engine for a question, with its options in the given order."""
        letters = not isinstance(question, YesNoQuestion)
        if len(options) > len(_LETTERS):
            raise DataError(f"{len(options)} options", where="questions", accepted=f"at most {len(_LETTERS)}")
        labels = _LETTERS[: len(options)] if letters else _WORDS
        state = without_invisible(call.state)
        texts = [state, call.instructions, question.instructions]
        texts += [without_invisible(text) for option in options for text in (option.name, option.description)]
        rendered = self.templates.render(
            DECISION_TEMPLATE,
            fence=fence_for(texts),
            state=Untrusted(state),
            rules=_text(call.instructions),
            instructions=_text(question.instructions),
            options=[
                _shown(label, option, letters)
                for label, option in zip(labels, options, strict=True)
                if letters or option.description
            ],
            letters=letters,
        )
        choices = tuple(f" {label}" for label in labels)
        return ChoiceRequest((Turn("user", rendered.pieces),), choices, "decide", rendered.prefill)


def softmax(logits: Sequence[float]) -> tuple[float, ...]:
    """Return the probabilities of a softmax distribution."""
    top = max(logits)
    weights = [math.exp(value - top) for value in logits]
    return tuple(weight / sum(weights) for weight in weights)


def _bounded(scores: Sequence[ChoiceScores]) -> tuple[bool, ...]:
    """Return for which options a log-probability of the first order or of the reverse one is a bound."""
    found = [score.bounded or (False,) * len(score.logprobs) for score in scores]
    both = [found[0], *(bounded[::-1] for bounded in found[1:])]
    options = tuple(map(any, zip(*both, strict=True)))
    return options if any(options) else ()


def _text(text: str) -> Untrusted | str:
    """Return a client's text; an empty one is shown to the template as empty."""
    return Untrusted(text) if text else ""


def _shown(label: str, option: Option, letters: bool) -> dict[str, object]:
    name, description = (_in_its_place(text) for text in (option.name, option.description))
    if letters:
        return {"label": label, "name": Untrusted(name), "description": _text(description)}
    return {"label": label, "name": _text(description), "description": ""}


def _in_its_place(text: str) -> str:
    """Return the text of an option with further lines indented: none of them begins another option."""
    return without_invisible(text).replace("\n", _INDENTED)
