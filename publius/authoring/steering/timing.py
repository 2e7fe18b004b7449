"""A short measurement of how fast this machine generates with a model and trains it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from core.chat import turns_of
from core.concurrency import for_each
from core.digests import derive_seed
from core.errors import DataError, RequestError
from core.lazy import require
from core.notices import note
from core.progress import progress
from core.records import Generation, Prompt
from core.terminal.interrupts import run_interruptibly
from engines.cached import CachedEngine
from engines.hf.threads import fixed_threads
from engines.loading import pick_device
from engines.protocols import GenerationRequest
from publius.config.run_file import RunConfig
from publius.runs.engines import Engines, conversations
from training.config import LoraConfig
from training.policy import TRAIN_EXTRA, free_memory, load_policy

_PROMPTS = 32
"""Held-out prompts that the base model answers; the evaluation finds these answers in the cache.

With fewer the last answers of a batch, decoded alone, would make generation look slow."""
_PASSES, _PASS_TOKENS = 2, 512
"""Forward and backward passes that are timed, and the tokens of each."""
_MIN_TOKENS = 64
_FORWARD = 3.0
"""Forward passes in the time of one forward and backward pass."""


@dataclass(frozen=True)
class Speed:
    """How fast a machine runs a model, and how long its answers are."""

    generated_per_s: float
    """Tokens generated per second, with several answers at once."""
    trained_per_s: float
    """Tokens trained on per second, forward and backward."""
    answer_tokens: float
    """Mean tokens of an answer."""
    prompt_tokens: float
    """Mean tokens of a prompt."""
    load_s: float
    """Seconds to load the model."""
    answered: float = 0
    """Held-out prompts that the base model has answered, which the evaluation finds in the cache."""

    @property
    def scored_per_s(self) -> float:
        """Tokens per second whose log-probabilities are computed."""
        return _FORWARD * self.trained_per_s


def measure_speed(config: RunConfig, engines: Engines, prompts: Sequence[Prompt]) -> Speed:
    """Return the speed of a run's policy on this machine; takes some seconds.

    Args:
        config: the configuration of the run.
        engines: its engines.
        prompts: held-out prompts; some are answered greedily, as the evaluation will.

    Raises:
        DataError: the model answers none of the prompts.
        EngineError: the model cannot be loaded or trained.
    """
    note(f"measuring the speed of {config.models.policy.id} on this machine")
    engine = engines.of("policy")
    asked = prompts[:_PROMPTS]
    run_interruptibly(_answers(config, engine, asked[:1], max_new_tokens=1))  # loads libraries and model
    engines.take_counts()
    started = time.monotonic()
    answers = run_interruptibly(_answers(config, engine, asked))
    seconds, written = time.monotonic() - started, engines.take_counts().completion_tokens
    if not answers:
        raise DataError(f"{config.models.policy.id} answered none of {len(asked)} prompts", where="--prompts")
    if written < _MIN_TOKENS:  # the answers were in the cache: time others
        started = time.monotonic()
        other = _answers(config, engine, asked, seed=time.time_ns() % 2**32, temperature=1.0)
        fresh = run_interruptibly(other)
        seconds, written = time.monotonic() - started, sum(a.completion_tokens for a in fresh)
    engines.keep()
    trained_per_s, load_s = _training_speed(config)
    return Speed(
        generated_per_s=max(written, 1) / max(seconds, 1e-3),
        trained_per_s=trained_per_s,
        answer_tokens=sum(a.completion_tokens for a in answers) / len(answers),
        prompt_tokens=sum(a.prompt_tokens for a in answers) / len(answers),
        load_s=load_s,
        answered=len(answers),
    )


async def _answers(
    config: RunConfig, engine: CachedEngine, prompts: Sequence[Prompt], seed: int = 0, **sampling: Any
) -> list[Generation]:
    """Return the answers of those prompts that the model can answer."""
    found: list[Generation] = []
    chosen = config.eval.sampling.model_copy(update=sampling)
    with progress("speed", len(prompts)) as task:

        async def ask(prompt: Prompt) -> None:
            own = derive_seed(config.seed + seed, prompt.id, "eval")
            request = GenerationRequest(turns_of(prompt.messages), chosen, own, "speed")
            with contextlib.suppress(RequestError):  # the evaluation counts it
                found.append(await engine.generate(request))
            task.advance()

        await for_each(iter(prompts), ask, conversations(config.engine))
    return found


def _training_speed(config: RunConfig) -> tuple[float, float]:
    """Return the tokens per second of forward and backward passes, and the seconds to load the policy."""
    torch = require("torch", TRAIN_EXTRA)
    device = pick_device(config.engine.device)
    lora: LoraConfig = config.lora
    with fixed_threads(device):
        started = time.monotonic()
        policy: Any = load_policy(config.models.policy, lora, config.engine.device, config.seed)
        load_s = time.monotonic() - started
        policy.train()
        ids = torch.randint(1, policy.config.get_text_config().vocab_size, (4, _PASS_TOKENS // 4))
        ids = ids.to(next(policy.parameters()).device)
        seconds: list[float] = []
        for _ in range(1 + _PASSES):  # the first one warms up
            started = time.monotonic()
            policy(input_ids=ids, labels=ids).loss.backward()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds.append(time.monotonic() - started)
    del policy
    free_memory()
    return _PASS_TOKENS / mean(seconds[1:]), load_s
