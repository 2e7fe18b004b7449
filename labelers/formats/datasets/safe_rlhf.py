"""Read PKU-SafeRLHF: the better and the safer of two responses (Ji et al. 2024, arXiv 2406.15513).

These are two separate preferences, with `dimension` `helpfulness` and `safety`. The margin of safety is the
difference of the severity levels (0 to 3), if it agrees with the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import oddities, shown, sides_of
from core.errors import RequestError
from labelers.formats.fields import maybe_number, maybe_text, number_of, required
from labelers.formats.opinions import Opinion, Side, pair_of
from labelers.formats.source import RowLabels, RowSource, Skipped, refusal

_CHOICES = (("better_response_id", "helpfulness"), ("safer_response_id", "safety"))
_NAMES = ("response_0", "response_1")
_SEVERITIES = ("response_0_severity_level", "response_1_severity_level")
_SOURCES = ("response_0_source", "response_1_source")


class SafeRlhf(RowSource):
    """Two responses per row, with the ids of the more helpful one and the safer one."""

    name = "pku-saferlhf"
    summary = "PKU-SafeRLHF: better_response_id and safer_response_id, as two dimensions"
    columns = frozenset({"prompt", *_NAMES, *_SEVERITIES, *_SOURCES, *(name for name, _ in _CHOICES)})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like PKU-SafeRLHF, or None."""
        found = "response_0" in row and any(name in row for name, _ in _CHOICES)
        return "it has the columns response_0, response_1 and better or safer_response_id" if found else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row with up to two opinions, response 0 first."""
        responses = (required(values, _NAMES[0]), required(values, _NAMES[1]))
        sides = sides_of(required(values, "prompt"), *responses, names=_NAMES)
        opinions, skipped = [], []
        for column, dimension in _CHOICES:
            try:
                opinions.append(_opinion(values, column, dimension))
            except RequestError as error:
                skipped.append(Skipped(error.reason, error.detail))
        if not opinions:
            raise refusal(skipped, "neither response is chosen")
        sources = [maybe_text(values, name) for name in _SOURCES]
        origins = (sources[0] or _NAMES[0], sources[1] or _NAMES[1])
        pair = pair_of(sides, opinions, origins)
        return RowLabels((number,), (pair,), tuple(skipped), oddities(sides.prompt))


def _opinion(values: Mapping[str, Any], column: str, dimension: str) -> Opinion:
    choice = number_of(required(values, column), column)
    if choice not in (0, 1):
        raise RequestError(f"{column} must be 0 or 1", detail=shown(values[column]))
    verdict: Side = "second" if choice else "first"
    return Opinion(verdict=verdict, dimension=dimension, margin=_margin(values, verdict, dimension))


def _margin(values: Mapping[str, Any], verdict: Side, dimension: str) -> float | None:
    """Return how much less severe the first response is; None for helpfulness or without a usable level."""
    if dimension != "safety":
        return None
    first, second = (maybe_number(values, name) for name in _SEVERITIES)
    if first is None or second is None:
        return None
    agrees = second > first if verdict == "first" else first > second
    return second - first if agrees else None
