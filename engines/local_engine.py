"""Base class of engines that run a model on this machine: model files, encoding, request keys, limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from functools import cached_property, lru_cache
from typing import ClassVar
from weakref import WeakKeyDictionary

from core.digests import digest
from core.errors import RequestError
from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.loading import (
    UNKNOWN_CONTEXT,
    ModelFiles,
    context_tokens,
    load_tokenizer,
    locate,
    parameter_count,
    pick_dtype,
)
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest, RequestForm, require_form
from engines.thinking import require_no_thinking
from engines.tokenization import TurnEncoder, WrittenAnswer, next_token
from engines.trees import BranchedPrompt, Tree

_STORED_CHOICES = 64


class LocalEngine(ABC):
    """One Hugging Face model. This class encodes and checks requests; subclasses run them.

    The tokenizer is loaded when the first key is computed, the weights when the first request runs. A run
    whose answers are all in the cache never loads the model.

    Args:
        model: the model.
        engine: how requests are run.
    """

    kind: ClassVar[str]
    """Name of the engine in keys and identities."""
    decoding: ClassVar[int]
    """Version of the decoding, raised when answers to the same request change: old ones are not reused."""
    limits: str
    """Name of the limit on a request's length, for error messages."""
    forms: frozenset[RequestForm] = frozenset()
    """Forms of choices that the engine takes beside single tokens behind a conversation."""

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        self._config = model
        self._engine = engine
        self._encoded: WeakKeyDictionary[GenerationRequest | ChoiceRequest, tuple[int, ...]]
        self._encoded = WeakKeyDictionary()
        self._parts: WeakKeyDictionary[ChoiceRequest, BranchedPrompt | Tree] = WeakKeyDictionary()
        self._choice_ids = lru_cache(_STORED_CHOICES)(self.require_choices)

    @property
    def model(self) -> str:
        """Name of the model in records."""
        return self._files.name

    @property
    def identity(self) -> str:
        """Digest of the engine's kind, the model's files, its data type and the chat template's arguments."""
        kwargs = self._config.chat_template_kwargs
        return digest(self.kind, self._files.identity, self._dtype, kwargs, *self._variant)

    @property
    def is_base(self) -> bool:
        """True if the model has no chat template and is prompted in ChatML."""
        return self.encoder.is_base

    @cached_property
    def encoder(self) -> TurnEncoder:
        """Encoder of conversations for this model."""
        return TurnEncoder(load_tokenizer(self._files), self._config.chat_template_kwargs, self.model)

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of token ids, model, data type and sampling; the seed counts only when sampling."""
        return self._key(request, self._ids(request))

    def older_key(self, request: GenerationRequest | ChoiceRequest) -> str | None:
        """Return the key that older versions gave a request whose token ids have changed; None for others."""
        if isinstance(request, ChoiceRequest) and request.form is not None:
            return None
        try:
            older = self.encoder.older_ids(request.turns, request.prefill)
        except RequestError:
            return None
        return None if older == self._ids(request) else self._key(request, older)

    def _key(self, request: GenerationRequest | ChoiceRequest, ids: tuple[int, ...]) -> str:
        model = (self.kind, self._decoding_version, self._files.identity, self._dtype, *self._variant)
        if isinstance(request, ChoiceRequest):
            if request.form is not None:
                return digest(request.form, model, asdict(self.parts(request)), request.choices)
            return digest("choose", model, ids, request.choices)
        sampling = request.sampling
        seed = request.seed if sampling.temperature > 0 else None
        schema = (request.json_schema,) if request.json_schema else ()
        return digest("generate", model, ids, sampling.model_dump(), seed, *schema)

    def prompt_tokens(self, request: GenerationRequest | ChoiceRequest) -> int:
        """Return the number of tokens of a request's prompt; the weights are not loaded.

        Raises:
            RequestError: if prompt and answer exceed the model's context.
        """
        return len(self._fitting_ids(request))

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the model's answer. Raises RequestError if prompt and answer exceed the model's context."""
        return await self._generate(request, self._fitting_ids(request))

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the token id of each choice after the prefill.

        Raises:
            ConfigError: if the model may think before it answers.
            EngineError: if a choice is not a single token.
        """
        require_no_thinking(self.model, self.encoder, self._config.chat_template_kwargs)
        return tuple(next_token(self.encoder, self.model, prefill, choice) for choice in choices)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return log-probabilities of the choices.

        Raises:
            EngineError: if a choice is not a single token, or the engine does not take the request's form.
            RequestError: if the request is too long.
        """
        if request.answers:
            require_form(self, request.form)
            self._require_context(self._positions(request))
            return await self._choose(request, self._ids(request), ())
        require_form(self, request.form)
        choice_ids = self._choice_ids(request.prefill, request.choices)
        return await self._choose(request, self._fitting_ids(request), choice_ids)

    def _fitting_ids(self, request: GenerationRequest | ChoiceRequest) -> tuple[int, ...]:
        """Return the token ids of a request. Raises RequestError if they leave no room for the answer."""
        ids = self._ids(request)
        self._require_context(self._positions(request))
        return ids

    def _positions(self, request: GenerationRequest | ChoiceRequest) -> int:
        """Return the number of positions that a request and its answer take."""
        if isinstance(request, GenerationRequest):
            return len(self._ids(request)) + request.sampling.max_new_tokens
        if request.form is None:
            return len(self._ids(request)) + 1
        parts = self.parts(request)
        if isinstance(parts, BranchedPrompt):
            return parts.context + 1
        return len(parts.prompt_ids) + max(map(len, parts.answers))

    def parts(self, request: ChoiceRequest) -> BranchedPrompt | Tree:
        """Return the token ids of a request of another form, in parts."""
        found = self._parts.get(request)
        if found is None:
            if request.branches is not None:
                found = self.encoder.encode_branches(request.turns, request.branches, request.prefill)
            else:
                answers = [WrittenAnswer(answer.text, answer.finished) for answer in request.answers]
                prompt, encoded = self.encoder.encode_answers(request.turns, answers)
                found = Tree(prompt, tuple(encoded))
            self._parts[request] = found
        return found

    def _ids(self, request: GenerationRequest | ChoiceRequest) -> tuple[int, ...]:
        """Return the token ids of a request; they are stored as long as the request exists.

        Those of a request in parts are one part after the other, each once.
        """
        ids = self._encoded.get(request)
        if ids is None and isinstance(request, ChoiceRequest) and request.form is not None:
            ids = self._encoded[request] = self.parts(request).ids
        elif ids is None:
            ids = self._encoded[request] = self.encoder.encode(request.turns, request.prefill).ids
        return ids

    @abstractmethod
    def close(self) -> None:
        """Stop the engine and free its memory. Safe to call twice; the next request restarts it."""

    @abstractmethod
    async def _generate(self, request: GenerationRequest, ids: tuple[int, ...]) -> Generation:
        """Run an encoded request whose length has been checked."""

    @abstractmethod
    async def _choose(
        self, request: ChoiceRequest, ids: tuple[int, ...], choice_ids: tuple[int, ...]
    ) -> ChoiceScores:
        """Score the choices of an encoded request whose length has been checked."""

    @cached_property
    def _files(self) -> ModelFiles:
        return locate(self._config)

    @cached_property
    def parameters(self) -> int | None:
        """Number of the model's weights; None if its files do not tell."""
        return parameter_count(self._files)

    @cached_property
    def _dtype(self) -> str:
        return pick_dtype(self._config.dtype, self._engine.device)

    @property
    def _decoding_version(self) -> int:
        """Version of the decoding in keys."""
        return self.decoding

    @cached_property
    def _variant(self) -> tuple[object, ...]:
        """Settings of the engine that change answers and are not at their defaults."""
        return ()

    @cached_property
    def _context(self) -> int:
        """The model's context length in tokens."""
        return context_tokens(self._files) or UNKNOWN_CONTEXT

    @property
    @abstractmethod
    def _max_tokens(self) -> int:
        """Maximum number of tokens in a prompt and its answer."""

    def _require_context(self, tokens: int) -> None:
        if tokens > self._max_tokens:
            raise RequestError(
                f"prompt and answer are too long for {self.limits}",
                detail=f"{tokens} tokens, at most {self._max_tokens}",
                accepted="shorter prompts or a smaller max_new_tokens",
            )
