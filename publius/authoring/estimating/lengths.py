"""Expected lengths of answers, in tokens: measured where the project's cache has answers, else a default.

A limit on the length cuts longer answers off, so the expected length under the limit c is the mean of
min(L, c). Answers that were drawn under a limit of at least c give it directly. Without any, L is taken as
log-normal with the median and spread of the kind of answer:

    E[min(L, c)] = exp(m + s^2 / 2) F((ln c - m - s^2) / s) + c (1 - F((ln c - m) / s)),   m = ln(median)

with F the distribution function of the standard normal distribution.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any, NamedTuple

from core.records import Sampling
from core.store.cache import StoredAnswer

RECENT = 20_000
"""Answers of the cache, the newest ones, of which lengths are taken."""
_ENOUGH = 8
"""Measured answers that are enough to be used in place of the default."""


class _Spread(NamedTuple):
    """A log-normal distribution of lengths."""

    median: float
    sigma: float

    def mean_below(self, limit: int) -> float:
        """Return the mean of the lengths, each at most the limit, in tokens."""
        normal, mu = NormalDist(), math.log(self.median)
        z = (math.log(limit) - mu) / self.sigma
        whole = math.exp(mu + self.sigma**2 / 2) * normal.cdf(z - self.sigma)
        return whole + limit * (1 - normal.cdf(z))


DEFAULTS: dict[str, _Spread] = {
    "answer": _Spread(190, 0.8),
    "revision": _Spread(80, 1.3),
    "critique": _Spread(60, 1.1),
}
"""Lengths by kind of answer where nothing was measured: of instruction-tuned models on open questions."""


class ExpectedLength(NamedTuple):
    """Expected length of an answer."""

    tokens: float
    """Tokens that the model generates."""
    shown: float
    """Tokens of these that are the answer itself, without thoughts; later prompts repeat only them."""
    measured: int
    """Number of measured answers behind it; 0 for the default."""
    at_limit: int = 0
    """Number of these that reach the limit, so that most of them are cut off."""


@dataclass(frozen=True)
class _Length:
    tokens: int
    shown: float
    limit: int


class AnswerLengths:
    """Expected lengths by model and purpose.

    Args:
        stored: answers of earlier requests, such as the newest ones of the project's cache.
    """

    def __init__(self, stored: Iterable[StoredAnswer] = ()) -> None:
        self._by_purpose: dict[tuple[str, str], list[_Length]] = defaultdict(list)
        self._by_kind: dict[tuple[str, str], list[_Length]] = defaultdict(list)
        for answer in stored:
            found = _length_of(answer.value)
            if found is not None:
                model, length = found
                self._by_purpose[model, answer.operation].append(length)
                self._by_kind[model, answer_kind(answer.operation)].append(length)
        self.used: dict[tuple[str, str, int], ExpectedLength] = {}
        """The lengths that were asked for, by model, purpose and limit."""

    def of(self, model: str, purpose: str, sampling: Sampling) -> ExpectedLength:
        """Return the expected length of an answer.

        Args:
            model: name of the model in records.
            purpose: purpose of the request.
            sampling: its parameters, with the limit on the length.
        """
        limit = sampling.max_new_tokens
        key = (model, purpose, limit)
        if key not in self.used:
            self.used[key] = self._expected(model, purpose, limit)
        return self.used[key]

    def _expected(self, model: str, purpose: str, limit: int) -> ExpectedLength:
        kind = answer_kind(purpose)
        for measured in (self._by_purpose[model, purpose], self._by_kind[model, kind]):
            # An answer that was cut off earlier than this limit says only that it would have been longer.
            usable = [length for length in measured if length.limit >= limit]
            if len(usable) >= _ENOUGH:
                tokens = fmean(min(length.tokens, limit) for length in usable)
                shown = fmean(min(length.shown, limit) for length in usable)
                at_limit = sum(length.tokens >= limit for length in usable)
                return ExpectedLength(tokens, shown, len(usable), at_limit)
        tokens = DEFAULTS[kind].mean_below(limit)
        return ExpectedLength(tokens, tokens, 0)


def answer_kind(purpose: str) -> str:
    """Return the kind of answer that a request asks for: `critique`, `revision` or `answer`."""
    return purpose if purpose in DEFAULTS else "answer"


def _length_of(value: str) -> tuple[str, _Length] | None:
    """Return the model and the length of a stored generation; None for other values."""
    try:
        answer: Any = json.loads(value)
        limit = answer["sampling"]["max_new_tokens"]
        tokens, model = int(answer["completion_tokens"]), str(answer["model"])
        text, thoughts = len(answer["text"]), len(answer.get("reasoning") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # scores, losses, or a value that is damaged: the engine asks that again
    shown = tokens * text / (text + thoughts) if thoughts else float(tokens)
    return model, _Length(tokens, shown, int(limit))
