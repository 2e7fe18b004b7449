"""The result of an estimate: requests, tokens, seconds and US dollars, each with its bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from publius.authoring.estimating.bounds import CHOICE_PURPOSES
from publius.authoring.estimating.dry import SentRequest
from publius.authoring.estimating.lengths import AnswerLengths
from publius.authoring.estimating.prices import RunPrices
from publius.authoring.estimating.speeds import KnownSpeed
from publius.authoring.estimating.stages import TrainingCost
from publius.authoring.steering.plan import REFERENCE_COST
from publius.runs.engines import EngineRole
from publius.stages.training.usable import UsablePairs

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
    role: EngineRole
    purpose: str
    model: str
    calls: Bounds
    """Requests that are sent to the model."""
    reused: float
    """Requests whose answer is in the cache."""
    prompts: Bounds
    """Tokens of the prompts; fewer or more where they repeat answers of another length than expected."""
    generated: Bounds
    by_characters: bool

    @property
    def billed(self) -> Bounds:
        """Tokens of the answers that a server bills: one for each choice, which is no text."""
        if self.purpose not in CHOICE_PURPOSES:
            return self.generated
        return Bounds(self.generated.lower, self.calls.expected, self.calls.upper)

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON-able values."""
        return {
            "stage": self.stage,
            "role": self.role,
            "purpose": self.purpose,
            "model": self.model,
            "calls": self.calls.as_json(),
            "reused": round(self.reused),
            "prompt_tokens": round(self.prompts.expected),
            "generated_tokens": self.generated.as_json(),
            "counted_by": "characters" if self.by_characters else "tokenizer",
        }


@dataclass(frozen=True)
class BudgetUse:
    """A budget, what is spent of it, and what the run still needs."""

    where: str
    """Setting in the run file."""
    unit: Literal["tokens", "usd"]
    limit: float
    spent: float
    """Spent by the run and its previews so far."""
    expected: float
    """What the run is expected to spend from now on."""
    most: float
    """What it spends at most, if each answer reaches its limit."""

    @property
    def suffices(self) -> bool:
        """True if the run cannot reach the budget before its end."""
        return self.spent + self.most <= self.limit

    def as_json(self) -> dict[str, Any]:
        """Return the budget as JSON-able values."""
        digits = None if self.unit == "tokens" else 6
        numbers = ("limit", "spent", "expected", "most")
        return asdict(self) | {name: round(getattr(self, name), digits) for name in numbers}


@dataclass(frozen=True)
class ScaledRows:
    """The rows of prompts that an estimate is for, where it imported fewer."""

    rows: int
    """Rows that the estimate is for."""
    in_file: int
    imported: int
    """Rows of the file that were imported."""
    skipped: int
    """Those of them that a run would skip."""

    @property
    def used(self) -> int:
        """Those of them that are prompts of a run."""
        return self.imported - self.skipped

    @property
    def factor(self) -> float:
        """Number of rows for which each imported one stands."""
        return self.rows / self.imported

    def as_json(self) -> dict[str, int]:
        """Return the numbers by name; `skipped` is that of all rows, and `used` of those imported."""
        return {**asdict(self), "skipped": round(self.factor * self.skipped), "used": self.used}


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
    scaled: ScaledRows | None = None
    """The rows that the estimate is for, if it imported fewer."""
    served: frozenset[str] = frozenset()
    """Roles whose models are behind servers."""
    budgets: tuple[BudgetUse, ...] = ()
    """What the run may spend on servers, beside what it needs."""
    sent: Mapping[str, SentRequest] = field(default_factory=dict, repr=False)
    """The requests of the dry run that are sent to models, by key."""
    previewed: UsablePairs | None = None
    """The pairs of the last preview with these settings, whose usable share DPO is estimated for."""

    @property
    def leaves_out_eval(self) -> bool:
        """True if the run holds out prompts, whose evaluation is not estimated."""
        return "eval" not in self.stages and self.prompts.get("test", 0) > 0

    @property
    def no_prompts(self) -> bool:
        """True if the split holds out all prompts, and the evaluation is not estimated: nothing is asked."""
        used = sum(count for split, count in self.prompts.items() if split != "test")
        return self.leaves_out_eval and not used

    def seconds(self, stage: str) -> float | None:
        """Return the expected seconds of this machine for a stage; None without a speed.

        What servers answer is not in it. None also for a stage that only asks servers.
        """
        if self.speed is None:
            return None
        speed = self.speed.speed
        rows = [row for row in self.rows if row.stage == stage]
        local = [row for row in rows if row.role not in self.served]
        scored = self.scored.get(stage, 0.0)
        trainings = [training for training in self.trainings if training.method == stage]
        if rows and not (local or scored or trainings):
            return None
        read = sum(row.prompts.expected for row in local) + scored
        written, trained = sum(row.generated.expected for row in local), 0.0
        for training in trainings:
            read, written = read + training.prompt_tokens, written + training.generated_tokens
            trained += training.tokens * (1.0 if stage == "reward" else REFERENCE_COST)
        return read / speed.scored_per_s + written / speed.generated_per_s + trained / speed.trained_per_s

    @property
    def total_seconds(self) -> float | None:
        """Expected seconds of this machine for all stages; None without a speed, or if only servers work."""
        found = [seconds for stage in self.stages if (seconds := self.seconds(stage)) is not None]
        return sum(found) if found else None

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
            for place, (read, written) in enumerate(zip(row.prompts, row.billed, strict=True)):
                sums[place] += price.usd(read, written)
        return Bounds(*sums)

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as JSON-able values."""
        usd, seconds = self.usd(), self.total_seconds
        return {
            "run": self.name,
            "plan": self.plan,
            "prompts": self.prompts,
            "sampled_prompts": self.sampled,
            "rows": None if self.scaled is None else self.scaled.as_json(),
            "requests": [row.as_json() for row in self.rows],
            "stages": {stage: self._stage_json(stage) for stage in self.stages},
            "training": [_training_json(training) for training in self.trainings],
            **({} if self.previewed is None else {"previewed_pairs": self.previewed.as_json()}),
            "total": {
                "calls": total_of(row.calls for row in self.rows).as_json(),
                "reused": round(sum(row.reused for row in self.rows)),
                "prompt_tokens": round(sum(row.prompts.expected for row in self.rows)),
                "generated_tokens": total_of(row.generated for row in self.rows).as_json(),
                "seconds": None if seconds is None else round(seconds, 1),
                "usd": None if usd is None else {k: round(v, 8) for k, v in usd._asdict().items()},
            },
            "lengths": [
                {
                    "model": model,
                    "purpose": purpose,
                    "max_new_tokens": limit,
                    "tokens": round(length.tokens, 1),
                    "measured_answers": length.measured,
                    "at_limit": length.at_limit,
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
            "served_roles": sorted(self.served),
            "budgets": [budget.as_json() for budget in self.budgets],
            "spent_before": self.spent_before,
        }

    def _stage_json(self, stage: str) -> dict[str, Any]:
        rows, seconds = [row for row in self.rows if row.stage == stage], self.seconds(stage)
        return {
            "calls": total_of(row.calls for row in rows).as_json(),
            "reused": round(sum(row.reused for row in rows)),
            "prompt_tokens": round(sum(row.prompts.expected for row in rows)),
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
