"""Comparisons to label: a draft and its revision, or pairs of samples from one model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import combinations

from core.chat import turns_of
from core.digests import derive_seed
from core.records import Candidate, Comparison, CritiqueTrace, Generation, Prompt
from critique.config import CompareConfig
from engines.protocols import GenerationRequest, Generator


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
    turns = turns_of(prompt.messages)
    requests = [
        GenerationRequest(turns, config.sampling, derive_seed(seed, prompt.id, "sample", k), "sample")
        for k in range(config.samples)
    ]
    return tuple(await asyncio.gather(*(policy.generate(request) for request in requests)))


def pair_samples(
    prompt: Prompt, samples: Sequence[Generation], config: CompareConfig
) -> Iterator[Comparison | str]:
    """Yield a comparison for each pair of samples, or the reason why the pair has none."""
    numbered = [_candidate(generation, f"sample:{k}") for k, generation in enumerate(samples)]
    if config.pairs == "all":
        pairs = list(combinations(numbered, 2))
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


def _candidate(answer: Generation, origin: str) -> Candidate:
    return Candidate(answer.text, origin, answer.finish_reason == "stop")


def _compare(prompt: Prompt, first: Candidate, second: Candidate, group: str) -> Comparison | str:
    if not first.response or not second.response:
        return "an answer is empty"
    if first.response == second.response:
        return "the answers are the same"
    return Comparison.of(prompt, first, second, group)
