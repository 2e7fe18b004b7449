"""Comparisons to label: a draft and its revision, or pairs of samples from one model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import combinations, product

from core.chat import Turn, turns_of
from core.digests import derive_seed
from core.records import Candidate, Comparison, CritiqueTrace, Generation, Prompt, ScoredAnswer
from critique.config import CompareConfig
from critique.scoring import NO_PAIR, best_and_worst
from engines.protocols import GenerationRequest, Generator

_SAMPLE, _PROMPTED = "sample", "prompted"
NO_DIFFERENCE = frozenset(
    (
        "no revision was kept",
        "these two answers are already compared",
        "an answer is empty",
        "the answers are the same",
        *NO_PAIR,
    )
)
"""Reasons for which a prompt has no comparison although the model answered it."""


def draft_against_revision(trace: CritiqueTrace) -> Comparison | str:
    """Return the comparison of a trace's draft and last kept revision, or the reason why there is none."""
    answers = trace.answers()
    if len(answers) == 1:
        return "no revision was kept"
    last = max(revision.round for revision in trace.revisions if revision.kept)
    draft, revision = _candidate(answers[0], "draft"), _candidate(answers[-1], f"revision:{last}")
    return _compare(trace.prompt, draft, revision, group=trace.id)


async def sample(
    policy: Generator, prompt: Prompt, config: CompareConfig, seed: int
) -> tuple[Generation, ...]:
    """Sample `config.samples` answers from the policy to the prompt, each with its own seed."""
    return await _sampled(policy, prompt, turns_of(prompt.messages), config, seed, config.samples)


async def sample_prompted(
    policy: Generator, prompt: Prompt, turns: tuple[Turn, ...], config: CompareConfig, seed: int
) -> dict[str, Generation]:
    """Sample half of the answers with the constitution in front and half without; return them by origin.

    Args:
        policy: the model.
        prompt: the prompt.
        turns: its conversation with the constitution as its system message.
        config: the number of answers, and their sampling parameters.
        seed: seed of the run; the seeds of the plain answers are those of `sample`.
    """
    half, bare = config.samples // 2, turns_of(prompt.messages)
    prompted, plain = await asyncio.gather(
        _sampled(policy, prompt, turns, config, seed, half, _PROMPTED),
        _sampled(policy, prompt, bare, config, seed, half),
    )
    return {**_by_origin(prompted, _PROMPTED), **_by_origin(plain, _SAMPLE)}


def pair_samples(
    prompt: Prompt, samples: Sequence[Generation], config: CompareConfig
) -> Iterator[Comparison | str]:
    """Yield a comparison for each pair of samples, or the reason why the pair has none."""
    return pair_answers(prompt, _by_origin(samples, _SAMPLE), config)


def pair_answers(
    prompt: Prompt, answers: dict[str, Generation], config: CompareConfig
) -> Iterator[Comparison | str]:
    """Yield a comparison for each pair of answers, or the reason why the pair has none.

    Args:
        prompt: the prompt.
        answers: answers to it by origin, in their order. With `from: prompted`, prompted ones only meet
            plain ones.
        config: which of them are paired.
    """
    numbered = [_candidate(generation, origin) for origin, generation in answers.items()]
    halves = config.source == "prompted"
    prompted = [candidate for candidate in numbered if halves and candidate.origin.startswith(_PROMPTED)]
    plain = [candidate for candidate in numbered if candidate not in prompted]
    if config.pairs == "all":
        pairs = list(product(prompted, plain) if prompted else combinations(numbered, 2))
    elif prompted:
        pairs = list(zip(prompted, plain, strict=False))
    else:
        pairs = list(zip(numbered[::2], numbered[1::2], strict=False))
    compared: set[str] = set()
    for first, second in pairs:
        outcome = _compare(prompt, first, second, group=prompt.id)
        if isinstance(outcome, Comparison) and outcome.id in compared:
            yield "these two answers are already compared"
            continue
        if isinstance(outcome, Comparison):
            compared.add(outcome.id)
        yield outcome


def best_against_worst(
    prompt: Prompt, answers: Sequence[ScoredAnswer], config: CompareConfig
) -> Comparison | str:
    """Return the comparison of the best and the worst answer, or the reason why there is none."""
    found = best_and_worst(answers)
    if isinstance(found, str):
        return found
    best, worst = found
    weight = best.score - worst.score if config.weight == "spread" else None
    first, second = (_candidate(answer.answer, answer.origin) for answer in (best, worst))
    return _compare(prompt, first, second, group=prompt.id, weight=weight)


async def _sampled(
    policy: Generator,
    prompt: Prompt,
    turns: tuple[Turn, ...],
    config: CompareConfig,
    seed: int,
    count: int,
    name: str = _SAMPLE,
) -> tuple[Generation, ...]:
    requests = [
        GenerationRequest(
            turns, config.sampling, derive_seed(seed, prompt.id, name, k), name, affinity=prompt.id
        )
        for k in range(count)
    ]
    return tuple(await asyncio.gather(*(policy.generate(request) for request in requests)))


def _by_origin(answers: Sequence[Generation], name: str) -> dict[str, Generation]:
    return {f"{name}:{k}": generation for k, generation in enumerate(answers)}


def _candidate(answer: Generation, origin: str) -> Candidate:
    return Candidate(answer.text, origin, answer.finish_reason == "stop")


def _compare(
    prompt: Prompt, first: Candidate, second: Candidate, group: str, weight: float | None = None
) -> Comparison | str:
    if not first.response or not second.response:
        return "an answer is empty"
    if first.response == second.response:
        return "the answers are the same"
    return Comparison.of(prompt, first, second, group, weight)
