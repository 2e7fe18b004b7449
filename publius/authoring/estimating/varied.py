"""Estimate runs that vary settings: the estimate of each, and of all with what they share counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.notices import each_once
from publius.authoring.estimating.dry import SentRequest
from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from publius.authoring.estimating.result import Bounds, RunEstimate, total_of
from publius.config.variations import Combination
from publius.runs.engines import EngineMaker, make_engine
from publius.stages.varied import PlannedRun


@dataclass(frozen=True)
class VariedEstimate:
    """The estimates of runs that are made one after another in one project."""

    combinations: tuple[Combination, ...]
    estimates: tuple[RunEstimate, ...]

    @property
    def shared(self) -> SentRequest:
        """Requests that more than one run would send, without the first time: the request cache has them."""
        seen: dict[str, SentRequest] = {}
        again = [0.0, 0.0, 0.0]
        for estimate in self.estimates:
            for key, sent in estimate.sent.items():
                if key in seen:
                    again = [total + part for total, part in zip(again, sent, strict=True)]
                seen[key] = sent
        return SentRequest(*again)

    def calls(self) -> Bounds:
        """Return the requests of all runs; at least those of the largest, at most those without sharing."""
        found = [total_of(row.calls for row in estimate.rows) for estimate in self.estimates]
        return self._together(found, self.shared.calls)

    def generated(self) -> Bounds:
        """Return the generated tokens of all runs, bounded in the same way."""
        found = [total_of(row.generated for row in estimate.rows) for estimate in self.estimates]
        return self._together(found, self.shared.generated_tokens)

    @property
    def shared_seconds(self) -> float | None:
        """Seconds of this machine for requests in common; None without a speed, or if servers answer some."""
        speed = next((one.speed for one in self.estimates if one.speed is not None), None)
        if speed is None or any(one.served for one in self.estimates):
            return None
        read, written, shared = speed.speed.scored_per_s, speed.speed.generated_per_s, self.shared
        return shared.prompt_tokens / read + shared.generated_tokens / written

    def as_json(self) -> dict[str, Any]:
        """Return the estimates and their total as JSON-able values.

        Seconds count requests in common once where this machine answers all of them. US dollars, and seconds
        where servers answer some, are sums over the runs.
        """
        seconds = [one.total_seconds for one in self.estimates if one.total_seconds is not None]
        usd = [one for estimate in self.estimates if (one := estimate.usd()) is not None]
        read = sum(row.prompts.expected for one in self.estimates for row in one.rows)
        return {
            "runs": [
                {"settings": dict(combination.settings), "estimate": estimate.as_json()}
                for combination, estimate in zip(self.combinations, self.estimates, strict=True)
            ],
            "total": {
                "calls": self.calls().as_json(),
                "shared_calls": round(self.shared.calls),
                "prompt_tokens": round(read - self.shared.prompt_tokens),
                "generated_tokens": self.generated().as_json(),
                "seconds": round(max(sum(seconds) - (self.shared_seconds or 0.0), *seconds), 1)
                if seconds
                else None,
                "seconds_shared": None if self.shared_seconds is None else round(self.shared_seconds, 1),
                "usd": {k: round(v, 4) for k, v in total_of(usd)._asdict().items()} if usd else None,
            },
        }

    @staticmethod
    def _together(found: Sequence[Bounds], shared: float) -> Bounds:
        total = total_of(found)
        return Bounds(max(one.lower for one in found), total.expected - shared, total.upper)


def estimate_varied(
    planned: Sequence[PlannedRun], like: EstimateRequest, make: EngineMaker = make_engine
) -> VariedEstimate:
    """Estimate every run before one runs.

    Args:
        planned: the runs.
        like: speed and prices that the estimates are based on.
        make: builds the engines, whose keys and tokenizers are used.
    """
    estimates = []
    with each_once() as begin:
        for number, plan in enumerate(planned, start=1):
            begin()
            title = f"run {number} of {len(planned)}, {plan.combination}"
            request = plan.request
            own = EstimateRequest(
                request.run_file, request.overrides, request.stages, like.rate, like.prices, like.rows, title
            )
            estimates.append(estimate_run(own, make))
    return VariedEstimate(tuple(plan.combination for plan in planned), tuple(estimates))
