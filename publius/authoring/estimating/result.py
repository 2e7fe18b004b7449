"""The result of an estimate: requests, tokens, seconds and US dollars, each with its bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from publius.authoring.estimating.lengths import AnswerLengths
from publius.authoring.estimating.prices import RunPrices
from publius.authoring.estimating.speeds import KnownSpeed
from publius.authoring.estimating.stages import TrainingCost
from publius.authoring.steering.plan import REFERENCE_COST

_HOUR_S = 3600.0


class Bounds(NamedTuple):
    """An expected number with its bounds."""

    lower: float
    expected: float
    upper: float

    def as_json(self) -> dict[str, int]:
        """Return the rounded numbers by name."""
        return {name: round(value) for name, value in self._asdict().items()}


@dataclass(frozen=True)
class CallEstimate:
    """Requests of one purpose in one stage to the model of one role."""

    stage: str
    role: str
    purpose: str
    model: str
    calls: Bounds
    """Requests that are sent to the model."""
    reused: float
    """Requests whose answer is in the cache."""
    prompt_tokens: float
    generated: Bounds
    by_characters: bool

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON-able values."""
        return {
            "stage": self.stage,
            "role": self.role,
            "purpose": self.purpose,
            "model": self.model,
            "calls": self.calls.as_json(),
            "reused": round(self.reused),
            "prompt_tokens": round(self.prompt_tokens),
            "generated_tokens": self.generated.as_json(),
            "counted_by": "characters" if self.by_characters else "tokenizer",
        }


@dataclass(frozen=True)
class RunEstimate:
    """What a run will ask, train, take and cost."""

    name: str
    plan: str
    """Digest of the run with its models by name."""
    prompts: dict[str, int]
    """Number of prompts by split."""
    sampled: int | None
    """Number of prompts on which the stages were run; None if all."""
    stages: tuple[str, ...]
    rows: tuple[CallEstimate, ...]
    trainings: tuple[TrainingCost, ...]
    scored: dict[str, float]
    """Tokens of forward passes by stage."""
    lengths: AnswerLengths
    excluded: dict[str, dict[str, int]]
    """Prompts and records that stages cannot use, by stage and reason."""
    prices: RunPrices
    speed: KnownSpeed | None
    spent_before: dict[str, dict[str, float]]
    """Requests, tokens and seconds that the run had spent by stage when the estimate was made."""

    def seconds(self, stage: str) -> float | None:
        """Return the expected seconds of a stage; None without a speed."""
        if self.speed is None:
            return None
        speed = self.speed.speed
        rows = [row for row in self.rows if row.stage == stage]
        read = sum(row.prompt_tokens for row in rows) + self.scored.get(stage, 0.0)
        written, trained = sum(row.generated.expected for row in rows), 0.0
        for training in (t for t in self.trainings if t.method == stage):
            read, written = read + training.prompt_tokens, written + training.generated_tokens
            trained += training.tokens * (1.0 if stage == "reward" else REFERENCE_COST)
        return read / speed.scored_per_s + written / speed.generated_per_s + trained / speed.trained_per_s

    @property
    def total_seconds(self) -> float | None:
        """Expected seconds of all stages; None without a speed."""
        found = [self.seconds(stage) for stage in self.stages]
        return None if None in found else sum(value for value in found if value is not None)

    def usd(self) -> Bounds | None:
        """Return the price in US dollars; None without any price."""
        hourly, total_s = self.prices.hour, self.total_seconds
        if not self.prices.by_role and (hourly is None or total_s is None):
            return None
        machine = hourly * total_s / _HOUR_S if hourly is not None and total_s is not None else 0.0
        sums = [machine, machine, machine]
        for row in self.rows:
            price = self.prices.by_role.get(row.role)
            if price is None:
                continue
            share = row.calls.upper / row.calls.expected if row.calls.expected else 1.0
            least = row.calls.lower / row.calls.expected if row.calls.expected else 0.0
            for place, (part, written) in enumerate(zip((least, 1.0, share), row.generated, strict=True)):
                sums[place] += price.usd(part * row.prompt_tokens, written)
        return Bounds(*sums)

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as JSON-able values."""
        usd, seconds = self.usd(), self.total_seconds
        return {
            "run": self.name,
            "plan": self.plan,
            "prompts": self.prompts,
            "sampled_prompts": self.sampled,
            "requests": [row.as_json() for row in self.rows],
            "stages": {stage: self._stage_json(stage) for stage in self.stages},
            "training": [_training_json(training) for training in self.trainings],
            "total": {
                "calls": total_of(row.calls for row in self.rows).as_json(),
                "reused": round(sum(row.reused for row in self.rows)),
                "prompt_tokens": round(sum(row.prompt_tokens for row in self.rows)),
                "generated_tokens": total_of(row.generated for row in self.rows).as_json(),
                "seconds": None if seconds is None else round(seconds, 1),
                "usd": None if usd is None else {k: round(v, 4) for k, v in usd._asdict().items()},
            },
            "lengths": [
                {
                    "model": model,
                    "purpose": purpose,
                    "max_new_tokens": limit,
                    "tokens": round(length.tokens, 1),
                    "measured_answers": length.measured,
                }
                for (model, purpose, limit), length in sorted(self.lengths.used.items())
            ],
            "left_out": self.excluded,
            "speed": None
            if self.speed is None
            else {
                "generated_per_s": round(self.speed.speed.generated_per_s, 1),
                "read_per_s": round(self.speed.speed.scored_per_s, 1),
                "trained_per_s": round(self.speed.speed.trained_per_s, 1),
                "source": self.speed.source,
            },
            "prices": {
                "usd_per_million_tokens": {
                    role: price.model_dump() for role, price in self.prices.by_role.items()
                },
                "usd_per_hour": self.prices.hour,
                "source": self.prices.source or None,
            },
            "spent_before": self.spent_before,
        }

    def _stage_json(self, stage: str) -> dict[str, Any]:
        rows, seconds = [row for row in self.rows if row.stage == stage], self.seconds(stage)
        return {
            "calls": total_of(row.calls for row in rows).as_json(),
            "reused": round(sum(row.reused for row in rows)),
            "prompt_tokens": round(sum(row.prompt_tokens for row in rows)),
            "generated_tokens": total_of(row.generated for row in rows).as_json(),
            "seconds": None if seconds is None else round(seconds, 1),
        }


def total_of(parts: Iterable[Bounds]) -> Bounds:
    """Return the sums of numbers with bounds."""
    found = list(parts)
    return Bounds(*(sum(part[place] for part in found) for place in range(3)))


def _training_json(training: TrainingCost) -> dict[str, Any]:
    values: dict[str, Any] = {
        "method": training.method,
        "examples": round(training.examples),
        "steps": training.steps,
        "tokens": round(training.tokens),
    }
    if training.most_generated:
        values |= {
            "prompt_tokens": round(training.prompt_tokens),
            "generated_tokens": Bounds(
                training.examples, training.generated_tokens, training.most_generated
            ).as_json(),
        }
    return values
