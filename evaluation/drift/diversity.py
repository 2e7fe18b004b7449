"""Diversity of the answers of one variant: different word pairs, and similarity across prompts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np

from core.digests import derive_uniform
from core.records import Answer, Metric
from core.statistics.bootstrap import LEVEL, Floats
from core.text.similarity import word_grams, words_of
from evaluation.config import BASE
from evaluation.drift.names import DISTINCT
from evaluation.metrics import DELTA, MIN_PROMPTS

_MOST_WORDS = 100
"""Maximum number of words of an answer that `distinct_2` reads."""
_MOST_COMPARED = 400
"""Maximum number of answers that are compared with each other; with more, they are chosen by hash."""


def self_similarity(answers: Sequence[Answer]) -> dict[str, float]:
    """Return the mean similarity of each answer to those to other prompts, by prompt id.

    The similarity is the Jaccard similarity of word pairs, as in `sameness`, which counts near-duplicates
    only. An empty answer is similar to none.
    """
    written = {a.prompt.id: word_grams(a.generation.text, 2) for a in answers}
    chosen = sorted(written, key=lambda prompt_id: derive_uniform("similarity", prompt_id))[:_MOST_COMPARED]
    if len(chosen) < 2:
        return {}
    sums = dict.fromkeys(chosen, 0.0)
    for one, other in combinations(chosen, 2):
        shared = len(written[one] & written[other])
        similarity = shared / max(1, len(written[one]) + len(written[other]) - shared)
        sums[one] += similarity
        sums[other] += similarity
    return {prompt_id: total / (len(chosen) - 1) for prompt_id, total in sums.items()}


def distinct_metrics(texts: Mapping[str, Mapping[str, str]], differences: int = 1) -> tuple[Metric, ...]:
    """Return the share of different word pairs of each variant, and its difference from base.

    Longer answers repeat more pairs, so all variants are read to the same length: of each prompt's answers
    as many words as the shortest of them has, at most 100 (distinct-2, Li et al. 2016, arXiv 1510.03055, at
    equal length). Intervals and p-values are those of the jackknife over prompts (Efron and Stein 1981) with
    Student's t distribution.

    Args:
        texts: the answers by variant and prompt id.
        differences: number of all differences of the report, for the intervals that hold together.

    Returns:
        No metrics if there are fewer than `MIN_PROMPTS` prompts with two words of every variant.
    """
    shared = sorted(set.intersection(*(set(given) for given in texts.values()))) if texts else []
    pairs = _pairs_at_equal_length(texts, shared)
    prompts = [prompt_id for prompt_id in shared if all(pairs[variant][prompt_id] for variant in texts)]
    if len(prompts) < MIN_PROMPTS:
        return ()
    jackknifed = {v: _jackknife([pairs[v][prompt_id] for prompt_id in prompts]) for v in texts}
    found = [_metric(f"{v}.{DISTINCT}", value, without) for v, (value, without) in jackknifed.items()]
    if BASE in jackknifed:
        base, base_without = jackknifed[BASE]
        for variant, (value, without) in jackknifed.items():
            if variant != BASE:
                name = f"{variant}.{DISTINCT}.{DELTA}"
                found.append(_difference(name, value - base, without - base_without, differences))
    return tuple(found)


def _pairs_at_equal_length(
    texts: Mapping[str, Mapping[str, str]], prompts: Sequence[str]
) -> dict[str, dict[str, list[tuple[str, str]]]]:
    words = {v: {p: words_of(given[p])[:_MOST_WORDS] for p in prompts} for v, given in texts.items()}
    length = {p: min(len(given[p]) for given in words.values()) for p in prompts}
    return {v: {p: list(pairwise(given[p][: length[p]])) for p in prompts} for v, given in words.items()}


def _jackknife(pairs: Sequence[Sequence[tuple[str, str]]]) -> tuple[float, Floats]:
    """Return the share of different pairs, and the shares without each prompt."""
    prompts_of = Counter(pair for of_prompt in pairs for pair in set(of_prompt))
    own = np.array([sum(prompts_of[pair] == 1 for pair in set(of_prompt)) for of_prompt in pairs])
    sizes = np.array([len(of_prompt) for of_prompt in pairs])
    different, total = len(prompts_of), int(sizes.sum())
    return different / total, (different - own) / (total - sizes)


def _metric(name: str, value: float, without: Floats) -> Metric:
    half = _half_width(without, LEVEL)
    low, high = max(value - half, 0.0), min(value + half, 1.0)
    return Metric(name=name, value=value, low=low, high=high, n=len(without), unit="share")


def _difference(name: str, value: float, without: Floats, differences: int) -> Metric:
    from scipy.special import stdtr

    error, own = _error(without), _half_width(without, LEVEL)
    together = _half_width(without, 1 - (1 - LEVEL) / max(1, differences))
    p_value = 2 * float(stdtr(len(without) - 1, -abs(value) / error)) if error else float(value == 0)
    return Metric(
        name=name,
        value=value,
        low=max(value - own, -1.0),
        high=min(value + own, 1.0),
        simultaneous_low=max(value - together, -1.0),
        simultaneous_high=min(value + together, 1.0),
        n=len(without),
        unit="share",
        p_value=p_value,
    )


def _half_width(without: Floats, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(len(without) - 1, (1 + level) / 2)) * _error(without)


def _error(without: Floats) -> float:
    """Return the jackknife's standard error from the values without each prompt."""
    count = len(without)
    return math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
