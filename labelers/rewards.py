"""Rewards for reinforcement learning (`core/rewards.py`): checks, reward models, the AI labeler, functions.

Each scores single answers. A score of None means that the answer cannot be scored; it is then excluded from
the update and counted.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from constitution.checks.evaluate import evaluate
from constitution.checks.prompted import check_on
from constitution.draw import draw, in_scope
from constitution.schema import Constitution, Principle
from core.chat import turns_of
from core.concurrency import for_each
from core.errors import ConfigError, RequestError
from core.rewards import Sample
from engines.config import ModelConfig
from engines.protocols import ChoiceRequest, ChoiceScorer
from engines.tokenization import WrittenAnswer
from engines.trees import Tree
from labelers.config import LabelConfig
from labelers.modes.reading import is_readable
from labelers.modes.tokens import about_reply, fulfilment
from labelers.questions import questions_for
from prompts.environment import PromptTemplates

if TYPE_CHECKING:
    from engines.hf.reward_model import RewardModel

_Result = TypeVar("_Result")


def check_scores(constitution: Constitution, sample: Sample) -> list[tuple[Principle, float]]:
    """Return the score in [0, 1] of each machine check that applies to the prompt, with its principle."""
    return [
        (principle, evaluate(check_on(principle.check, sample.prompt), sample.text).score)
        for principle in constitution.steering
        if principle.check is not None and in_scope(principle, sample.prompt)
    ]


def mean_score(parts: Sequence[tuple[Principle, float]]) -> float | None:
    """Return the mean of the scores, weighted by the principles' weights; None without any weight."""
    total = math.fsum(principle.weight for principle, _ in parts)
    return math.fsum(p.weight * score for p, score in parts) / total if total > 0 else None


class CheckReward:
    """Reward in [0, 1] from the machine-checkable principles that apply to the prompt.

    It is the mean of the checks' graded scores, weighted by the principles' weights; 1 if all pass.

    Args:
        constitution: the constitution, with at least one machine check.
    """

    name = "checks"

    def __init__(self, constitution: Constitution) -> None:
        self._constitution = constitution

    def scores(self, samples: Sequence[Sample]) -> list[float | None]:
        """Return the score of each answer; None if no machine check applies to the prompt."""
        return [mean_score(check_scores(self._constitution, sample)) for sample in samples]


class ModelReward:
    """The score of a reward model or an ensemble, normalised by its mean and standard deviation.

    The model may have a different tokenizer from the policy: it scores the text, rendered with its own chat
    template.

    Args:
        folder: the output of `publius train reward`, or any sequence classifier with one score.
        name: the name under which its metrics are logged.
        device: `auto`, `cpu` or `cuda`.
        base: the base model of the adapters; None uses the one that they name.
        max_tokens: the maximum length of prompt and answer together; longer ones are not scored.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        device: str = "auto",
        base: ModelConfig | None = None,
        max_tokens: int = 32_768,
    ) -> None:
        self.name = name
        self._folder, self._device, self._base, self._max_tokens = folder, device, base, max_tokens

    def load(self) -> None:
        """Load the reward model, which the first answers would do otherwise."""
        _ = self._model

    def scores(self, samples: Sequence[Sample]) -> list[float | None]:
        """Return the score of each answer; None if the model cannot score it.

        It is too long, the chat template rejects it, or the model's score is NaN or infinite.
        """
        trees = [self._encoded(sample) for sample in samples]
        found = iter(self._model.scores([tree for tree in trees if tree is not None]))
        settings = self._model.settings
        scores = [None if tree is None else (next(found) - settings.mean) / settings.std for tree in trees]
        return [score if score is not None and math.isfinite(score) else None for score in scores]

    @cached_property
    def _model(self) -> RewardModel:
        from engines.hf.reward_model import load_reward_model

        return load_reward_model(self._folder, self._device, self._base)

    def _encoded(self, sample: Sample) -> Tree | None:
        encoder = self._model.encoder
        try:
            answer = WrittenAnswer(sample.text, sample.finished)
            prompt, answers = encoder.encode_answers(turns_of(sample.prompt.messages), [answer])
        except RequestError:
            return None
        tree = Tree(prompt, tuple(answers))
        return tree if 0 < len(tree) <= self._max_tokens else None


class LabelerReward:
    """Direct RLAIF: the AI labeler's probability in [0, 1] that an answer fulfils the principles.

    It is P(yes) / (P(yes) + P(no)) under each principle drawn for the prompt, averaged by the principles'
    weights. In Lee et al. 2023 (arXiv 2309.00267) the labeler gives a grade; here it answers yes
    or no, with `label.polarity: both` in both polarities.

    Args:
        constitution: its principles without a machine check are used.
        templates: the templates of the question.
        config: the number of principles per answer, and the minimum total probability of yes and no.
        engine: the labeler.
        seed: seed of the draw of principles; all answers to a prompt are judged under the same ones.
        concurrency: the maximum number of concurrent requests.
        name: the name under which its metrics are logged.
    """

    def __init__(
        self,
        constitution: Constitution,
        templates: PromptTemplates,
        config: LabelConfig,
        engine: ChoiceScorer,
        seed: int,
        concurrency: int,
        name: str = "labeler",
    ) -> None:
        self.name = name
        self._constitution, self._templates, self._config = constitution, templates, config
        self._engine, self._seed, self._concurrency = engine, seed, concurrency

    def scores(self, samples: Sequence[Sample]) -> list[float | None]:
        """Return the score of each answer; None if no answer of the labeler about it was readable."""
        return _run_in_thread(self._scores(samples))

    async def _scores(self, samples: Sequence[Sample]) -> list[float | None]:
        found: list[float | None] = [None] * len(samples)

        async def score(number: int) -> None:
            found[number] = await self._score(samples[number])

        await for_each(iter(range(len(samples))), score, self._concurrency)
        return found

    async def _score(self, sample: Sample) -> float | None:
        return mean_score(await self.by_principle(sample))

    async def by_principle(self, sample: Sample) -> list[tuple[Principle, float]]:
        """Return the probability of yes under each drawn principle; those without a readable answer lack."""
        candidates = [
            p for p in self._constitution.steering if p.check is None and in_scope(p, sample.prompt)
        ]
        drawn = draw(candidates, self._config.principles, self._seed, sample.prompt.id, "reward")
        answers = await asyncio.gather(*(self._fulfils(sample, principle) for principle in drawn))
        return [(p, yes) for p, yes in zip(drawn, answers, strict=True) if yes is not None]

    async def _fulfils(self, sample: Sample, principle: Principle) -> float | None:
        """Return the probability of yes; None if neither word is likely or the answer is too long."""
        try:
            answers = await asyncio.gather(*map(self._engine.choose, self.requests(sample, principle)))
        except RequestError:
            return None
        if not all(is_readable(answer, self._config.min_answer_mass) for answer in answers):
            return None
        return 1 / (1 + math.exp(min(-fulfilment(answers), 700.0)))  # math.exp overflows above 709

    def requests(self, sample: Sample, principle: Principle) -> tuple[ChoiceRequest, ...]:
        """Return the requests to the labeler."""
        questions = questions_for(self._engine, self._constitution, self._templates)
        asked = about_reply(questions, self._config, principle, sample.prompt, sample.text)
        return tuple(replace(request, purpose="reward") for request in asked)


class FunctionReward:
    """A user's reward function, with the signature of TRL's reward functions.

    It is called with `prompts` and `completions`, lists of conversations whose turns have `role` and
    `content`, and returns a list of numbers, with None for an answer that it cannot score.

    Args:
        function: the function.
        name: the name under which its metrics are logged.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.name = name
        self._function = function

    def scores(self, samples: Sequence[Sample]) -> Sequence[float | None]:
        """Return the function's result as it is; the caller validates it."""
        prompts = [[m.model_dump() for m in sample.prompt.messages] for sample in samples]
        completions = [[{"role": "assistant", "content": sample.text}] for sample in samples]
        scores: Sequence[float | None] = self._function(prompts=prompts, completions=completions)
        return scores


def load_function_reward(place: str, where: str) -> FunctionReward:
    """Load the reward function named as `file.py:function`.

    Args:
        place: path of a Python file, a colon, and the name of a function in it.
        where: the setting that names it, for error messages.

    Raises:
        ConfigError: if there is no such file or function, or the file cannot be executed.
    """
    path, _, name = place.rpartition(":")
    accepted = "file.py:function, a function that takes prompts and completions"
    specification = importlib.util.spec_from_file_location(f"publius_reward_{name}", path)
    if specification is None or specification.loader is None or not Path(path).is_file():
        raise ConfigError(f"Python file not found: {path!r}", where=where, accepted=accepted)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look up their module there
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ConfigError(
            f"{path} cannot be executed ({type(error).__name__}: {error})", where=where, accepted=accepted
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{path} has no function {name!r}", where=where, accepted=accepted)
    return FunctionReward(function, name)


def _run_in_thread(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine in a new thread, since this thread may already run an event loop; return its result."""
    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(asyncio.run, work).result()
