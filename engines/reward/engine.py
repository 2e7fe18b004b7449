"""An engine that compares replies by a reward model.

It takes the place of a language model in `label.mode: choice`. It is asked no question: which reply is
better is what the reward model was trained on, so it reads no principle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from core.digests import digest
from core.errors import ConfigError, EngineError, RequestError
from core.records import Generation
from engines.config import ModelConfig
from engines.loading import (
    UNKNOWN_CONTEXT,
    ModelFiles,
    context_tokens,
    load_tokenizer,
    locate,
    parameter_count,
    pick_dtype,
)
from engines.protocols import (
    ChoiceRequest,
    ChoiceScores,
    GenerationRequest,
    RequestForm,
    require_finite,
    require_form,
)
from engines.requests.gathering import GatheredCalls
from engines.reward.folder import reward_base, reward_identity
from engines.reward_settings import read_reward_settings
from engines.tokenization import TurnEncoder, WrittenAnswer
from engines.trees import Tree

if TYPE_CHECKING:
    from engines.hf.reward_model import RewardModel


class RewardEngine:
    """Gives the probability that each of several whole answers to a conversation is the best one.

    The log-probabilities are the log-softmax of the scores over the temperature of the calibration, so for
    two answers p = sigmoid((r_1 - r_2) / T) (Bradley and Terry 1952). Answers are ordered before they are
    scored: their order means nothing, and so it does not even change the rounding.

    Args:
        model: the reward model, as it was configured.
        folder: its folder (`engines.reward.folder.reward_folder`).
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: if an adapter or a quantization is configured for it.
    """

    forms: frozenset[RequestForm] = frozenset({"answers"})
    compares_replies = True

    def __init__(self, model: ModelConfig, folder: Path, device: str = "auto") -> None:
        for setting in ("adapter", "quantization"):
            if getattr(model, setting) is not None:
                raise ConfigError(
                    f"{setting} is set for a reward model, which is loaded as it is",
                    where=model.id,
                    accepted=f"a model without {setting}",
                )
        self._config, self._folder, self._device = model, folder, device
        self._loaded: RewardModel | None = None
        self._trees: WeakKeyDictionary[ChoiceRequest, Tree] = WeakKeyDictionary()
        self._calls = GatheredCalls(self._scores)

    @property
    def model(self) -> str:
        """Name of the reward model in records, with the model that its adapters are for."""
        return f"{self._folder.name} ({self._files.name})" if self._named else self._files.name

    @cached_property
    def identity(self) -> str:
        """Digest of weights and settings, of the data type and the chat template's arguments."""
        kwargs = self._config.chat_template_kwargs
        return digest("reward", reward_identity(self._folder), self._dtype, kwargs)[:32]

    @property
    def is_base(self) -> bool:
        """True if the model has no chat template and is shown conversations in ChatML."""
        return self._encoder.is_base

    @property
    def parameters(self) -> int | None:
        """Number of the model's weights; None if its files do not tell."""
        return parameter_count(self._files)

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Raise ConfigError: a reward model is asked no question."""
        raise ConfigError(
            "a reward model compares replies; it answers no question about one",
            where=self.model,
            accepted="label.mode: choice",
        )

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of the reward model and the token ids of conversation and answers."""
        tree = self._tree(self._comparison(request))
        return digest("reward", self.identity, tree.prompt_ids, tree.answers)

    def prompt_tokens(self, request: GenerationRequest | ChoiceRequest) -> int:
        """Return the number of tokens of conversation and answers. Raises RequestError if it is too long."""
        return len(self._fitting(self._comparison(request)))

    async def generate(self, request: GenerationRequest) -> Generation:
        """Raise EngineError: a reward model writes no text."""
        raise self._writes_nothing()

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the log-probability of each answer that it is the best one.

        Raises:
            EngineError: if the request has other choices than whole answers.
            FailedRequestError: if a score is NaN or infinite.
            RequestError: if an answer is too long for the model.
        """
        comparison = self._comparison(request)
        tree = self._fitting(comparison)
        order = sorted(range(len(tree.answers)), key=tree.answers.__getitem__)
        ordered = Tree(tree.prompt_ids, tuple(tree.answers[place] for place in order))
        found = await self._calls.ask(ordered)
        require_finite(found)
        scores = dict(zip(order, found, strict=True))
        logprobs = log_softmax([scores[place] for place in range(len(order))])
        return ChoiceScores(
            logprobs=tuple(logprobs),
            top_token=request.choices[max(range(len(logprobs)), key=logprobs.__getitem__)],
            prompt_tokens=len(tree),
            model=self.model,
        )

    def close(self) -> None:
        """Free the model. Safe to call twice; the next request loads it again."""
        self._loaded = None

    def _scores(self, trees: Sequence[Tree]) -> list[list[float]]:
        """Return the scores of the answers of each tree, over the temperature."""
        if self._loaded is None:
            from engines.hf.reward_model import load_reward_model

            self._loaded = load_reward_model(self._folder, self._device, self._base)
        temperature = self._loaded.settings.temperature
        found = iter(self._loaded.scores(trees))
        return [[next(found) / temperature for _ in tree.answers] for tree in trees]

    def _comparison(self, request: GenerationRequest | ChoiceRequest) -> ChoiceRequest:
        if isinstance(request, GenerationRequest):
            raise self._writes_nothing()
        if request.form is None:
            self.require_choices(request.prefill, request.choices)
        require_form(self, request.form)
        return request

    def _fitting(self, request: ChoiceRequest) -> Tree:
        tree = self._tree(request)
        tokens = len(tree.prompt_ids) + max(map(len, tree.answers))
        if tokens > self._context:
            raise RequestError(
                "conversation and reply are too long for the reward model",
                detail=f"{tokens} tokens, at most {self._context}",
                accepted="shorter replies",
            )
        return tree

    def _tree(self, request: ChoiceRequest) -> Tree:
        """Return the token ids of conversation and answers; they are stored as long as the request exists."""
        found = self._trees.get(request)
        if found is None:
            answers = [WrittenAnswer(answer.text, answer.finished) for answer in request.answers]
            prompt, encoded = self._encoder.encode_answers(request.turns, answers)
            found = self._trees[request] = Tree(prompt, tuple(encoded))
        return found

    def _writes_nothing(self) -> EngineError:
        return EngineError(
            "a reward model writes no text",
            where=str(self._folder),
            accepted="a reward model as models.labeler or models.judge, a language model for the other roles",
        )

    @cached_property
    def _named(self) -> ModelConfig | None:
        """The model that the adapters name as theirs; None if the folder has a whole model."""
        return reward_base(self._folder, read_reward_settings(self._folder))

    @cached_property
    def _base(self) -> ModelConfig:
        """The language model of the reward model, with the settings of the run file."""
        own = {"dtype": self._config.dtype, "chat_template_kwargs": self._config.chat_template_kwargs}
        return (self._named or ModelConfig(id=str(self._folder))).model_copy(update=own)

    @cached_property
    def _files(self) -> ModelFiles:
        files = locate(self._base)
        if self._named is None and not Path(self._config.id).expanduser().is_dir():
            return ModelFiles(self._config.id, files.folder, files.identity)  # the id names it, no digest
        return files

    @cached_property
    def _dtype(self) -> str:
        return pick_dtype(self._config.dtype, self._device)

    @cached_property
    def _encoder(self) -> TurnEncoder:
        return TurnEncoder(load_tokenizer(self._files), self._config.chat_template_kwargs, self._files.name)

    @cached_property
    def _context(self) -> int:
        return context_tokens(self._files) or UNKNOWN_CONTEXT


def log_softmax(scores: Sequence[float]) -> list[float]:
    """Return the logarithms of the softmax of scores."""
    highest = max(scores)
    total = highest + math.log(math.fsum(math.exp(score - highest) for score in scores))
    return [score - total for score in scores]
