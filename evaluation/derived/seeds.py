"""Several seeds of one training as one evaluation: means over seeds, intervals over prompts, and the spread.

A prompt's value is its mean over the seeds, so that a prompt counts once however many seeds there are: an
interval is clustered by prompt. It says what another set of prompts would change, and not what another seed
would; for that, the value of each seed is beside it. With two or three seeds an interval over them would say
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from core.records import Metric
from evaluation.measures import Series
from evaluation.metrics import DELTA, metrics_of


@dataclass(frozen=True)
class SeedMetrics:
    """The metrics of several seeds of one training."""

    metrics: tuple[Metric, ...]
    """As those of one evaluation, of the means over seeds. Measures of which single prompts are not known
    have no interval, and the largest p-value of the seeds: each of their differences is a test in every seed,
    and all tests of an evaluation are corrected for their number together."""
    by_seed: Mapping[str, tuple[float, ...]]
    """The value of each seed by the metric's name, on the same prompts; differences have none."""
    lacking: tuple[str, ...] = ()
    """Metrics that some seeds have and others do not, which are left out."""
    without: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Places of the runs that lack such a metric, by the metric's name."""

    def as_json(self) -> dict[str, Any]:
        """Return the metrics as JSON-able values, each with the values of its seeds."""
        return {
            "metrics": [
                metric.model_dump(mode="json", exclude_none=True)
                | ({"by_seed": list(self.by_seed[metric.name])} if metric.name in self.by_seed else {})
                for metric in self.metrics
            ],
            "left_out": list(self.lacking),
        }


def mean_by_prompt(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over runs for each prompt that all of them have, by prompt id."""
    shared = set.intersection(*(set(run) for run in runs))
    return {prompt: fmean(run[prompt] for run in runs) for prompt in sorted(shared)}


def pooled_series(series: Sequence[Sequence[Series]]) -> list[Series]:
    """Return the measures that all runs have, each with its mean over the runs by prompt."""
    runs = [{(one.variant, one.measure): one for one in own} for own in series]
    known = [key for key in runs[0] if all(key in run for run in runs)]
    return [
        Series(variant, measure, runs[0][variant, measure].unit, values)
        for variant, measure in known
        if (values := mean_by_prompt([run[variant, measure].values for run in runs]))
    ]


def metrics_over_seeds(
    series: Sequence[Sequence[Series]], recorded: Sequence[Sequence[Metric]], seed: int = 0
) -> SeedMetrics:
    """Return the metrics of runs that differ only in their seed.

    Args:
        series: the measures of each run by prompt.
        recorded: the metrics of each run as recorded, for measures whose values by prompt are not.
        seed: seed of the significance tests.

    Raises:
        DataError: a value is not finite.
    """
    runs = [{(one.variant, one.measure): one for one in own} for own in series]
    pooled = pooled_series(series)
    prompts = {prompt for one in pooled for prompt in one.values}
    metrics, _ = metrics_of(pooled, prompts, seed)
    by_seed = dict(_by_seed(pooled, runs))
    names = {metric.name for metric in metrics}
    found = [dict(_without_values(own, names)) for own in recorded]
    every = dict.fromkeys(name for own in found for name in own)
    shared = [name for name in every if all(name in own for own in found)]
    means = [_mean([own[name] for own in found]) for name in shared]
    by_seed |= {name: tuple(own[name].value for own in found) for name in shared if not _is_delta(name)}
    lacking = tuple(name for name in every if name not in shared and not _is_delta(name))
    without = {name: tuple(place for place, own in enumerate(found) if name not in own) for name in lacking}
    return SeedMetrics((*metrics, *means), by_seed, lacking, without)


def _by_seed(
    pooled: Sequence[Series], runs: Sequence[Mapping[tuple[str, str], Series]]
) -> list[tuple[str, tuple[float, ...]]]:
    """Return the mean of each run on the prompts that the metric is based on, by the metric's name."""
    complete: dict[str, set[str]] = {}
    for one in pooled:
        complete[one.measure] = complete.get(one.measure, set(one.values)) & set(one.values)
    return [
        (
            f"{one.variant}.{one.measure}",
            tuple(fmean(run[one.variant, one.measure].values[p] for p in sorted(prompts)) for run in runs),
        )
        for one in pooled
        if (prompts := complete[one.measure])
    ]


def _without_values(metrics: Sequence[Metric], known: Set[str]) -> Iterator[tuple[str, Metric]]:
    """Yield the recorded metrics that do not follow from values by prompt, by name."""
    for metric in metrics:
        if metric.name not in known and (not _is_delta(metric.name) or metric.p_value is not None):
            yield metric.name, metric


def _is_delta(name: str) -> bool:
    return name.endswith(f".{DELTA}")


def _mean(metrics: Sequence[Metric]) -> Metric:
    """Return the mean of a metric over runs, without an interval; a difference has the largest p-value."""
    first = metrics[0]
    value = fmean(metric.value for metric in metrics)
    mean = Metric(name=first.name, value=value, n=min(metric.n for metric in metrics), unit=first.unit)
    p_values = [metric.p_value for metric in metrics if metric.p_value is not None]
    if not _is_delta(first.name) or not p_values:
        return mean
    unchanged = all(metric.changed == 0 or metric.low == metric.high == 0 for metric in metrics)
    return mean.model_copy(update={"p_value": max(p_values), "changed": 0 if unchanged else None})
