"""Outcomes of gates: each passes, fails or is inconclusive.

A gate on a metric looks at its 95 % interval: it passes if the whole interval keeps the limit, fails if none
of it does, and is inconclusive if the limit is inside. With the half-width h on the limit's side and the
distance d of the value from the limit, n (h / d)^2 prompts would decide if value and variance stayed as they
are, since h falls with the square root of n.

A gate on a bound (`sft.win_rate.low`) compares this number alone, and is never inconclusive: who asks for the
lower bound has said how to treat uncertainty.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from core.errors import ConfigError, Problem
from core.notices import counted
from core.records import Metric
from evaluation.config import BASE, STEERED
from evaluation.gates.against import (
    BOUNDS,
    Bound,
    find_difference,
    is_against,
    joined_name,
    split_name,
    unknown_difference,
    variant_in,
)
from evaluation.gates.config import CLEARLY, DEFAULT_GATES, Gate
from evaluation.judged.names import is_corrected
from evaluation.measures import Series
from evaluation.metrics import variant_rank
from evaluation.quality import TEXT_MEASURES

GateOutcome = Literal["pass", "fail", "inconclusive"]
_UNTRAINED = (BASE, "prompted")
_ROUNDING = 1e-9
_NAMED = 12
"""Number of metrics that an error message names."""


@dataclass(frozen=True)
class GateResult:
    """The outcome of one gate."""

    gate: str
    """Name of the metric, with its variant, and of the bound if the gate is on one."""
    limit: str
    """The limit, such as `>= 0.8`."""
    outcome: GateOutcome
    level: Literal["error", "warn"]
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    more_prompts: int | None = None
    """Number of further prompts that would decide an inconclusive gate at this value and variance; None if
    prompts cannot decide it."""
    is_default: bool = False
    strict: bool = False
    """True if the gate also fails where it is inconclusive."""

    @property
    def blocks(self) -> bool:
        """True if the gate ends the command with exit code 1 and prevents an export."""
        failed = self.outcome == "fail" or (self.outcome == "inconclusive" and self.strict)
        return failed and self.level == "error"

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values."""
        return {**asdict(self), "blocks": self.blocks}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> GateResult:
        """Return the outcome that `as_json` made."""
        return cls(**{name: value for name, value in content.items() if name != "blocks"})

    def line(self) -> str:
        """Return the outcome in words, such as `steered.compliance 61.4 % [52.0, 70.9], limit >= 80 %`."""
        interval = ""
        if self.low is not None and self.high is not None:
            interval = f" [{self._number(self.low)}, {self._number(self.high)}]"
        text = f"{self.gate} {self._number(self.value)}{interval}{self._unit}, limit {self.limit}"
        if self.outcome != "inconclusive":
            return text
        if self.more_prompts is None:
            return f"{text}: the interval contains the limit"
        more = counted(self.more_prompts, "more prompt")
        return f"{text}: the interval contains the limit; about {more} would decide"

    def _number(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.unit == "share" else f"{value:.3g}"

    @property
    def _unit(self) -> str:
        return " %" if self.unit == "share" else ""


def decide_gates(
    gates: Mapping[str, Gate], metrics: Sequence[Metric], series: Sequence[Series] = ()
) -> tuple[GateResult, ...]:
    """Return the outcomes of a run's gates, and of the default gates that they do not replace or switch off.

    A gate without a variant is on the model that the run would export: `steered`, or else the variant trained
    last. A default gate whose metric was not measured is left out.

    Args:
        gates: the gates by name.
        metrics: the metrics of the evaluation.
        series: the measures by prompt, for differences from another variant than base.

    Raises:
        ConfigError: a gate names a metric that the evaluation does not have.
    """
    found = {metric.name: metric for metric in metrics}
    candidate = candidate_of(metrics)
    problems: list[Problem] = []
    results: list[GateResult] = []
    replaced: set[str] = set()
    for name, gate in gates.items():
        if is_against(name, gate):
            outcome = _decided_against(name, gate, series, candidate)
        else:
            place = find_metric(name, found, candidate)
            replaced.add(place[0] if place else f"{candidate}.{name}")
            outcome = (
                decide_gate(gate, found[place[0]], place[1]) if place else _unknown(name, found, candidate)
            )
        if gate.off:
            continue
        if isinstance(outcome, Problem):
            problems.append(outcome)
        else:
            results.append(outcome)
    if problems:
        raise ConfigError.of(problems)
    for name, gate in DEFAULT_GATES.items():
        full = f"{candidate}.{name}"
        if candidate is not None and full in found and full not in replaced:
            results.append(decide_gate(gate, found[full], None, is_default=True))
    return tuple(results)


def _decided_against(
    full_name: str, gate: Gate, series: Sequence[Series], candidate: str | None
) -> GateResult | Problem:
    """Return the outcome of a gate on a difference from a named variant, or what is wrong with it."""
    name, named = split_name(full_name)
    baseline = named or gate.against or BASE
    if gate.against not in (None, baseline):
        what = f"the name has {baseline}, and against is {gate.against}"
        return Problem(what, f"gates.{full_name}", "one of the two")
    difference = find_difference(name, baseline, series, candidate)
    if difference is None:
        return unknown_difference(name, baseline, series, candidate)
    result = decide_gate(gate, *difference)
    return replace(result, gate=joined_name(result.gate, baseline))


def decide_gate(gate: Gate, metric: Metric, bound: Bound | None, *, is_default: bool = False) -> GateResult:
    """Return the outcome of one gate on a metric, or on a bound of its interval."""
    value, low, high = metric.value, metric.low, metric.high
    if bound is not None:
        value = {"low": low, "high": high}[bound] if low is not None else value  # type: ignore[assignment]
    if bound is not None or low is None or high is None:
        low = high = None
    least, most = (value, value) if low is None or high is None else (low, high)
    outcome = _outcome(gate, least, most)
    level = gate.level
    if is_default and outcome == "fail" and _outcome(_times(gate, CLEARLY), least, most) == "fail":
        level = "error"
    return GateResult(
        gate=metric.name if bound is None else f"{metric.name}.{bound}",
        limit=_limit(gate, metric.unit),
        outcome=outcome,
        level=level,
        value=value,
        low=low,
        high=high,
        n=metric.n,
        unit=metric.unit,
        more_prompts=_more(gate, metric) if outcome == "inconclusive" else None,
        is_default=is_default,
        strict=gate.on_inconclusive == "fail",
    )


def candidate_of(metrics: Sequence[Metric]) -> str | None:
    """Return the variant that a run would export: the chosen one, or else the one trained last."""
    variants = {metric.name.partition(".")[0] for metric in metrics} - set(_UNTRAINED)
    return STEERED if STEERED in variants else max(variants, key=variant_rank, default=None)


def find_metric(
    name: str, found: Mapping[str, Metric], candidate: str | None
) -> tuple[str, Bound | None] | None:
    """Return the name of the metric that a gate is on, and the bound if it names one; None without it.

    A metric's own name comes first: a principle may have the id `low`.
    """
    for full in (name, f"{candidate}.{name}"):
        if full in found:
            return full, None
        stem, _, last = full.rpartition(".")
        if stem in found and last in BOUNDS:
            return stem, "low" if last == "low" else "high"
    return None


def _outcome(gate: Gate, least: float, most: float) -> GateOutcome:
    """Return the outcome for a value that is between `least` and `most`."""
    at_least = -math.inf if gate.at_least is None else gate.at_least - _ROUNDING
    at_most = math.inf if gate.at_most is None else gate.at_most + _ROUNDING
    if at_least <= least and most <= at_most:
        return "pass"
    return "fail" if most < at_least or least > at_most else "inconclusive"


def _more(gate: Gate, metric: Metric) -> int | None:
    """Return how many more prompts would decide a gate whose limit is inside the interval."""
    assert metric.low is not None
    assert metric.high is not None
    if metric.name.split(".")[1] in TEXT_MEASURES:
        return None  # over texts that ship, whose number does not change
    if is_corrected(metric.name.partition(".")[2]):
        return None  # more labels would decide, not more prompts alone
    needed = 0.0
    for limit in (gate.at_least, gate.at_most):
        if limit is None or not metric.low <= limit <= metric.high:
            continue
        distance = abs(metric.value - limit)
        if distance <= _ROUNDING:
            return None
        half = metric.value - metric.low if limit < metric.value else metric.high - metric.value
        needed = max(needed, metric.n * (half / distance) ** 2)
    return max(1, math.ceil(needed - _ROUNDING * metric.n) - metric.n)


def _times(gate: Gate, factor: float) -> Gate:
    limits = {"at_least": gate.at_least, "at_most": gate.at_most}
    return gate.model_copy(update={k: None if v is None else factor * v for k, v in limits.items()})


def _limit(gate: Gate, unit: str) -> str:
    scale, sign = (100, " %") if unit == "share" else (1, "")
    sides = ((">=", gate.at_least), ("<=", gate.at_most))
    return " and ".join(f"{side} {limit * scale:g}{sign}" for side, limit in sides if limit is not None)


def _unknown(name: str, found: Mapping[str, Metric], candidate: str | None) -> Problem:
    """Return the problem of a gate on a metric that was not measured, with the nearest names."""
    known = [*found, *(full.removeprefix(f"{candidate}.") for full in found)]
    near = list(dict.fromkeys(difflib.get_close_matches(name, known, n=3, cutoff=0.6)))
    listed = [metric for metric in found if metric.startswith(f"{candidate}.")] or list(found)
    shown = near or listed[:_NAMED]
    more = "" if near or len(listed) <= _NAMED else f" and {len(listed) - _NAMED} more in eval/metrics.json"
    what = f"the evaluation has no metric {name!r}"
    needed = variant_in(name)
    if needed and not any(metric.startswith(f"{needed}.") for metric in found):
        what = f"the evaluation has no variant {needed!r}, so no metric {name!r}"
    elif near:
        what += f"; did you mean {near[0]}?"
    accepted = f"{', '.join(shown)}{more}, each also with .low or .high"
    return Problem(what, f"gates.{name}", accepted)
