"""Differences from another variant than base, for gates such as `compliance.delta against prompted`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from core.errors import Problem
from core.records import Metric
from evaluation.config import BASE, Variant
from evaluation.gates.config import Gate
from evaluation.measures import Series
from evaluation.metrics import DELTA, metrics_of, variant_rank

Bound = Literal["low", "high"]
BOUNDS: tuple[Bound, ...] = ("low", "high")
_AGAINST, _COMPARED = " against ", "compared"
_NAMED = 12
"""Number of metrics that an error message names."""


def split_name(name: str) -> tuple[str, str | None]:
    """Return the metric of a gate's name, and the variant behind `against`; None without one."""
    metric, _, baseline = name.partition(_AGAINST)
    return metric.strip(), baseline.strip() or None


def variant_in(name: str) -> str | None:
    """Return the variant that a gate's name begins with; None if it leaves the variant out."""
    first = name.partition(".")[0]
    return first if first in get_args(Variant) else None


def is_against(name: str, gate: Gate) -> bool:
    """Return True if a gate names the variant that its difference is from, other than by `against: base`."""
    return _AGAINST in name or gate.against not in (None, BASE)


def joined_name(metric: str, baseline: str) -> str:
    """Return the name of a gate on a difference from another variant."""
    return f"{metric}{_AGAINST}{baseline}"


def difference_against(series: Sequence[Series], variant: str, measure: str, baseline: str) -> Metric | None:
    """Return the paired difference of a variant from another one, with its 95 % interval.

    The prompts are those with a value for every variant that has the measure, as for differences from base.

    Returns:
        The metric, or None if one of the two has no value for each prompt, or both are the same.
    """
    own: Mapping[str, Series] = {one.variant: one for one in series if one.measure == measure}
    if variant == baseline or not {variant, baseline} <= own.keys():
        return None
    complete = set.intersection(*(set(one.values) for one in own.values()))
    pair = [replace(own[baseline], variant=BASE), replace(own[variant], variant=_COMPARED)]
    metrics, _ = metrics_of(pair, complete, seed=0)
    found = next((one for one in metrics if one.name == f"{_COMPARED}.{measure}.{DELTA}"), None)
    return found and found.model_copy(update={"name": f"{variant}.{measure}.{DELTA}"})


def find_difference(
    name: str, baseline: str, series: Sequence[Series], candidate: str | None
) -> tuple[Metric, Bound | None] | None:
    """Return the difference that a gate is on, and the bound if it names one; None without it.

    Args:
        name: such as `sft.compliance.delta`, or without a variant for the candidate's.
        baseline: the variant that it is compared with.
        series: the measures of all variants by prompt.
        candidate: the variant that the run would export.
    """
    for full in (name, f"{candidate}.{name}"):
        for bound in (None, *BOUNDS):
            ending = f".{DELTA}" if bound is None else f".{DELTA}.{bound}"
            if full.endswith(ending):
                variant, _, measure = full.removesuffix(ending).partition(".")
                metric = difference_against(series, variant, measure, baseline)
                if metric is not None:
                    return metric, bound
    return None


def unknown_difference(name: str, baseline: str, series: Sequence[Series], candidate: str | None) -> Problem:
    """Return the problem of a gate on a difference that does not exist, with those that do."""
    variants = sorted({one.variant for one in series}, key=variant_rank)
    where = f"gates.{joined_name(name, baseline)}"
    for needed in (baseline, variant_in(name) or baseline):
        if needed not in variants:
            what = f"the evaluation has no variant {needed!r} with values by prompt"
            return Problem(what, where, ", ".join(variants) or "an evaluation of several variants")
    other = {one.measure for one in series if one.variant == baseline}
    shared = [one for one in series if one.measure in other and one.variant != baseline]
    own = [f"{one.measure}.{DELTA}" for one in shared if one.variant == candidate]
    own = own or [f"{one.variant}.{one.measure}.{DELTA}" for one in shared]
    more = f" and {len(own) - _NAMED} more" if len(own) > _NAMED else ""
    accepted = f"{', '.join(own[:_NAMED])}{more}, each also with .low or .high"
    if not own:
        accepted = f"a measure with values by prompt of {baseline} and of another variant"
    return Problem(f"no difference {name!r} from {baseline} by prompt", where, accepted)
