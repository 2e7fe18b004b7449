"""Length in preference pairs: whether the chosen answers are longer or shorter than the rejected ones.

A model that learns from such pairs may learn length instead of quality (Singhal et al. 2023, arXiv
2310.03716).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from constitution.checks.evaluate import count_words
from core.records import Metric
from evaluation.reward.metrics import weighted_share
from training.examples import PreferencePair

LEANS = 0.6
"""Share of pairs above which one side counts as systematically longer; the whole interval has to be."""


class _PairWords(NamedTuple):
    """Words of a pair's answers, and its prompt, whose pairs are one cluster."""

    chosen: int
    rejected: int
    prompt: str


def length_leaning(pairs: Iterable[PreferencePair]) -> str | None:
    """Return a sentence with figures if the chosen answers are systematically longer or shorter; else None.

    Ties, and answers of equal length, are left out. The interval is Wilson's, over prompts.
    """
    found = [_words(pair) for pair in pairs if pair.p_chosen != 0.5]
    apart = [words for words in found if words.chosen != words.rejected]
    if not apart:
        return None
    for side, is_so in (("longer", True), ("shorter", False)):
        share = weighted_share(
            side,
            [float((words.chosen > words.rejected) == is_so) for words in apart],
            [1.0] * len(apart),
            [words.prompt for words in apart],
        )
        if share is not None and share.low is not None and share.low > LEANS:
            return _sentence(side, share, found)
    return None


def _words(pair: PreferencePair) -> _PairWords:
    prompt = "\n".join(message.content for message in pair.prompt)
    return _PairWords(count_words(pair.chosen), count_words(pair.rejected), prompt)


def _sentence(side: str, share: Metric, pairs: Sequence[_PairWords]) -> str:
    chosen, rejected = fmean(words.chosen for words in pairs), fmean(words.rejected for words in pairs)
    return (
        f"chosen answers are {side} than rejected ones in {100 * share.value:.0f} % of {share.n:,} pairs of "
        f"unequal length ({100 * (share.low or 0):.0f} to {100 * (share.high or 0):.0f}): {chosen:.1f} "
        f"against {rejected:.1f} words on average; the model may learn length from them"
    )
