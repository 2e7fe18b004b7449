"""Draw the answers of a step, and check that trainer and sampler have the same, finite policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import EngineError
from core.libraries import memory_errors
from training.job import TrainingJob
from training.processes import gathered, process_rows
from training.rl.clock import Clock
from training.rl.config import OnPolicyConfig
from training.rl.metrics import GAP
from training.rl.ppo.actor_critic import ActorCritic
from training.rl.rollouts import Drawn, Rollout, RolloutPrompt, Sampler
from training.rl.task import prompt_at

_MAX_FIRST_GAP = 0.1
"""Mean gap in nats at the first step above which sampler and trainer do not have the same policy."""


@dataclass(frozen=True)
class LoopModels:
    """The models in training, and the sampler that draws from the policy."""

    models: ActorCritic
    sampler: Sampler
    read: Callable[[Drawn], str]
    """Returns an answer as a user would read it."""


def prompt_numbers(seed: int, step: int, config: OnPolicyConfig, samples: int, count: int) -> list[int]:
    """Return the index of each answer's prompt at a step, `samples` answers to a prompt together.

    Args:
        seed: decides the order of the prompts.
        step: counted from 1.
        config: number of answers per step.
        samples: answers per prompt.
        count: number of prompts.
    """
    asked = config.rollouts // samples
    places = range((step - 1) * asked, step * asked)
    return [prompt_at(seed, place, count) for place in places for _ in range(samples)]


def draw_answers(
    parts: LoopModels,
    job: TrainingJob,
    config: OnPolicyConfig,
    prompts: Sequence[RolloutPrompt],
    seeds: Sequence[int],
    clock: Clock,
) -> list[Rollout]:
    """Return an answer of the policy to each prompt; each process draws its share."""
    name = config.method
    smaller = (
        f"a smaller {name}.max_batch (now {config.batch(config.rollout_engine)}), "
        f"a smaller {name}.max_new_tokens (now {config.max_new_tokens})"
    )
    with clock.phase("rollout"), memory_errors("sampling answers", job.folder, smaller):
        parts.models.attach_policy()
        parts.sampler.update()
        own = process_rows(prompts)
        drawn = parts.sampler.sample([prompt.ids for prompt in own], process_rows(seeds))
        mine = [Rollout(p, d, parts.read(d)) for p, d in zip(own, drawn, strict=True)]
        rollouts: list[Rollout] = gathered(mine)
    clock.count("rollout", sum(len(rollout.drawn.tokens) for rollout in rollouts))
    return rollouts


def require_same_policy(
    metrics: Mapping[str, float], step: int, job: TrainingJob, config: OnPolicyConfig
) -> None:
    """Raise EngineError if the first answers were drawn from another distribution than is trained."""
    gap = metrics.get(GAP, 0.0)
    # Later gaps may be due to training: the policy sharpens, and its rounding errors grow.
    if step == 1 and not gap <= _MAX_FIRST_GAP:
        raise EngineError(
            f"trainer and sampler differ by {gap:.2g} nats a token at the first step",
            where=job.policy.id,
            accepted=f"a model for which they differ by at most {_MAX_FIRST_GAP} on average, or another "
            f"{config.method}.rollout_engine (now {config.rollout_engine})",
        )


def require_stable(
    metrics: Mapping[str, float], names: Iterable[str], step: int, job: TrainingJob, config: OnPolicyConfig
) -> None:
    """Raise EngineError if a loss or gradient norm is not finite, or a gradient norm too large."""
    limit = job.optim.stop_grad_norm
    for name in names:
        value = metrics.get(name, 0.0)
        too_large = name.endswith("grad_norm_max") and limit is not None and value > limit
        if not math.isfinite(value) or too_large:
            raise EngineError(
                f"{name} is {value:g} at step {step}; the checkpoint before it is intact",
                where=str(job.folder),
                accepted=f"a smaller {config.method}.learning_rate (now {config.learning_rate:g})",
            )
