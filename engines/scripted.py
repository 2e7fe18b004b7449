"""The scripted engine, which answers by rule without a model, for tests and dry runs.

Answers come from a queue if one is given, else from a function of the request; the default function returns
random words. The engine records every request. It tests the pipeline, not the behaviour of a model.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, get_args

from core.digests import derive_seed, derive_uniform, digest
from core.records import Generation
from engines.protocols import (
    ChoiceRequest,
    ChoiceScores,
    GenerationRequest,
    RequestForm,
    require_finite,
)

Answerer = Callable[[GenerationRequest], str]
Chooser = Callable[[ChoiceRequest], tuple[float, ...]]

_Value = TypeVar("_Value")

_WORDS = (
    "a plain answer says what was asked for in few words and gives one reason then stops",
    "when there is doubt it says so and when help is needed it names where help is found",
)


def ramble(request: GenerationRequest) -> str:
    """Return words that depend only on the request and its seed; greedy requests ignore the seed."""
    seed = request.seed if request.sampling.temperature > 0 else 0
    start = derive_seed(seed, *(turn.text for turn in request.turns))
    count = 5 + start % 40
    vocabulary = " ".join(_WORDS).split()
    words = [vocabulary[derive_seed(start, i) % len(vocabulary)] for i in range(count)]
    return " ".join(words).capitalize() + "."


def lean(request: ChoiceRequest) -> tuple[float, ...]:
    """Return log-probabilities that depend only on the conversation; their probabilities sum to 0.98."""
    texts, found = [turn.text for turn in request.turns], list[float]()
    for naming, choices in enumerate(_by_naming(request, request.choices)):
        weights = [derive_uniform(choice, *texts, *(naming,) * bool(naming)) for choice in choices]
        found += [math.log(0.98 * weight / sum(weights)) for weight in weights]
    return tuple(found)


class ScriptedEngine:
    """An engine without a model.

    Args:
        answers: texts returned in order before `answerer` is called.
        answerer: writes an answer to a generation request.
        chooser: returns one log-probability per choice.
        model: the name in records.
        keep_history: record every request in `history`.
    """

    def __init__(
        self,
        answers: Iterable[str] = (),
        answerer: Answerer = ramble,
        chooser: Chooser = lean,
        model: str = "scripted",
        keep_history: bool = True,
    ) -> None:
        self._answers = deque(answers)
        self._answerer = answerer
        self._chooser = chooser
        self._model = model
        self._keep_history = keep_history
        self.history: list[GenerationRequest | ChoiceRequest] = []
        """Requests that were run, in order."""

    @property
    def model(self) -> str:
        """Name of the model in records."""
        return self._model

    @property
    def identity(self) -> str:
        """The model's name: nothing else determines the answers."""
        return self._model

    @property
    def is_base(self) -> bool:
        """False: the scripted engine needs no chat template."""
        return False

    @property
    def forms(self) -> frozenset[RequestForm]:
        """All forms: the function that chooses sees the request."""
        return frozenset(get_args(RequestForm))

    @property
    def parameters(self) -> int:
        """0: a script has no weights."""
        return 0

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of the conversation's text and the sampling or choices."""
        turns = [(turn.role, turn.text) for turn in request.turns]
        if isinstance(request, ChoiceRequest):
            further = (request.form, request.answers) if request.form else ()
            return digest("choose", self._model, turns, request.prefill, request.choices, *map(str, further))
        seed = request.seed if request.sampling.temperature > 0 else None
        return digest("generate", self._model, turns, request.prefill, request.sampling.model_dump(), seed)

    def prompt_tokens(self, request: GenerationRequest | ChoiceRequest) -> int:
        """Return the number of words of a conversation, which count as its tokens."""
        return sum(len(turn.text.split()) for turn in request.turns)

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the indices of the choices: the scripted engine accepts all."""
        return tuple(range(len(choices)))

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the next scripted answer, cut at `max_new_tokens` words."""
        if self._keep_history:
            self.history.append(request)
        text = self._answers.popleft() if self._answers else self._answerer(request)
        words = text.split(" ")
        limit = request.sampling.max_new_tokens
        return Generation(
            text=" ".join(words[:limit]).strip(),
            finish_reason="length" if len(words) > limit else "stop",
            prompt_tokens=self.prompt_tokens(request),
            completion_tokens=min(len(words), limit),
            model=self._model,
            sampling=request.sampling,
            seed=request.seed if request.sampling.temperature > 0 else None,
        )

    async def stream(self, request: GenerationRequest, tell: Callable[[str], None]) -> Generation:
        """Return the next scripted answer, after reporting the first half of its words."""
        answer = await self.generate(request)
        words = answer.text.split(" ")
        tell(" ".join(words[: len(words) // 2]))
        return answer

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the scripted log-probabilities."""
        if self._keep_history:
            self.history.append(request)
        logprobs = self._chooser(request)
        require_finite(logprobs)
        return ChoiceScores(
            logprobs=logprobs,
            answer_mass=None if request.answers else min(map(_mass, _by_naming(request, logprobs))),
            top_token=request.choices[logprobs.index(max(logprobs))],
            prompt_tokens=self.prompt_tokens(request),
            model=self._model,
            lengths=tuple(len(answer.text.split()) for answer in request.answers) or None,
        )

    def close(self) -> None:
        """Do nothing: no memory is held."""


def _by_naming(request: ChoiceRequest, values: Sequence[_Value]) -> list[Sequence[_Value]]:
    """Return the values of the choices for each naming of the branches; without branches there is one."""
    each = len(values) // (len(request.branches.namings) if request.branches else 1)
    return [values[first : first + each] for first in range(0, len(values), each)]


def _mass(logprobs: Sequence[float]) -> float:
    return min(1.0, sum(math.exp(value) for value in logprobs))
