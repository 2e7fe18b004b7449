"""Best of n by the run's reward model: answers to held-out prompts are sampled, scored and checked."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from constitution.schema import Constitution
from core.concurrency import for_each
from core.digests import derive_seed
from core.errors import ConfigError, RequestError, RunStateError
from core.notices import note
from core.progress import progress
from core.records import Generation, Prompt, Sampling
from core.rewards import Sample
from core.store.files import is_there, os_errors, write_atomic
from engines.cached import CachedEngine
from engines.protocols import GenerationRequest
from engines.reward_settings import FILE as REWARD_SETTINGS
from evaluation.config import BASE, Variant
from evaluation.drift.reward_curve import RewardCurve, RewardedAnswer, reward_curve, share_of_checks
from publius.config.run_file import REWARD_MODEL, RunConfig
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.stages.base import COMMANDS, Stage, live_note
from publius.stages.training.rewards import reward_model_of
from publius.stages.variants import turns_for
from training.policy import free_memory

BEST_OF_PURPOSE = "best_of"
"""Purpose of the requests, for their counts."""
BEST_OF_FILE = "best_of.jsonl"
"""File in `eval/` with every sampled answer, its reward and its checks."""
_STAGE: Stage = "eval"
_NO_CHECK = "no machine check is in scope"


@dataclass(frozen=True)
class SampledPolicy:
    """The policy that answers are sampled from: the one that reinforcement learning would start from."""

    variant: Variant
    engine: CachedEngine


def require_checks_as_gold(config: RunConfig, constitution: Constitution) -> None:
    """Raise ConfigError if best-of-n is asked for, and no principle has a check that could be gold."""
    if config.eval.best_of is not None and all(p.check is None for p in constitution.principles):
        raise ConfigError(
            "no principle has a machine check, which best-of-n needs as gold",
            where="eval.best_of",
            accepted="a constitution with a check, or no eval.best_of",
        )


def sampled_policy(run: Run, engines: Engines) -> SampledPolicy | None:
    """Return the policy to sample from; None if best-of-n is not asked for, or no reward model was learned.

    Raises:
        RunStateError: if the run has no reward model yet.
    """
    if run.config.eval.best_of is None:
        return None
    folder = run.folder / REWARD_MODEL
    if run.adapter(REWARD_MODEL) is None and not is_there(folder / REWARD_SETTINGS):
        if run.advice_of(REWARD_MODEL) is not None:
            note("eval.best_of: skipped, since the reward model had nothing to learn from")
            return None
        raise RunStateError(
            "eval.best_of needs the run's reward model, which is not trained yet",
            where=str(folder),
            run=f"{COMMANDS['reward']} RUN.yaml",
        )
    adapter = run.adapter("sft")
    variant: Variant = BASE if adapter is None else "sft"
    return SampledPolicy(variant, engines.policy_with(adapter))


def best_of_sampling(config: RunConfig) -> Sampling:
    """Return the sampling parameters: those of the evaluation, at temperature 1 if that is greedy."""
    sampling = config.eval.sampling
    return sampling if sampling.temperature > 0 else sampling.model_copy(update={"temperature": 1.0})


async def sampled_answers(
    run: Run, engines: Engines, policy: SampledPolicy, prompts: Sequence[Prompt]
) -> dict[str, list[Generation]]:
    """Return the answers to each prompt in order of their number; those that fail are excluded.

    Each has a seed of its own, so that a larger `eval.best_of` samples only the answers that are new.
    """
    count = run.config.eval.best_of or 0
    engines.keep(policy.engine)
    found: dict[tuple[str, int], Generation] = {}
    asked = [(prompt, number) for prompt in prompts for number in range(count)]
    sampling = best_of_sampling(run.config)
    with progress(f"{BEST_OF_PURPOSE} {policy.variant}", len(asked)) as task:

        async def work(one: tuple[Prompt, int]) -> None:
            prompt, number = one
            seed = derive_seed(run.config.seed, prompt.id, BEST_OF_PURPOSE, number)
            turns = turns_for(run, policy.variant, prompt)
            request = GenerationRequest(turns, sampling, seed, BEST_OF_PURPOSE, affinity=prompt.id)
            try:
                found[prompt.id, number] = await policy.engine.generate(request)
            except RequestError as error:
                run.leave_out(_STAGE, prompt.id, error, f"{BEST_OF_PURPOSE} {number}")
            task.advance()

        async with live_note(task, engines, time.monotonic()):
            await for_each(iter(asked), work, conversations(run.config.engine))
    return {
        prompt.id: [found[prompt.id, number] for number in range(count) if (prompt.id, number) in found]
        for prompt in prompts
    }


def curve_of(
    run: Run, policy: SampledPolicy, prompts: Sequence[Prompt], answers: dict[str, list[Generation]]
) -> RewardCurve:
    """Score all answers with the run's reward model, write them to `eval/`, and return the curve."""
    known = [p for p in prompts if share_of_checks(run.constitution, p, "") is not None]
    unchecked = len(prompts) - len(known)
    samples = [
        Sample(prompt, answer.text, answer.finish_reason == "stop")
        for prompt in known
        for answer in answers[prompt.id]
    ]
    scores = iter(_scores(run, samples))
    rewarded = [
        RewardedAnswer(prompt.id, number, answer.text, next(scores), _checks(run, prompt, answer.text))
        for prompt in known
        for number, answer in enumerate(answers[prompt.id])
    ]
    folder = run.folder / "eval"
    with os_errors(folder):
        folder.mkdir(exist_ok=True)
    lines = (json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in rewarded)
    write_atomic(folder / BEST_OF_FILE, "".join(lines))
    excluded = {_NO_CHECK: unchecked} if unchecked else {}
    failed = sum(not answers[prompt.id] for prompt in known)
    if failed:
        excluded["no answer"] = failed
    return reward_curve(rewarded, policy.variant, run.config.eval.best_of or 0, run.config.seed, excluded)


def _scores(run: Run, samples: Sequence[Sample]) -> Sequence[float | None]:
    reward = reward_model_of(run)
    try:
        return reward.scores(samples)
    finally:
        del reward
        free_memory()


def _checks(run: Run, prompt: Prompt, text: str) -> float:
    share = share_of_checks(run.constitution, prompt, text)
    assert share is not None, "prompts without a check in scope are left out"
    return share
