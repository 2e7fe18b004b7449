"""What requests to servers took: tries, retries by reason, tokens, price; and the budget that limits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from core.errors import EngineError
from core.notices import counted
from engines.endpoint.settings import Budget, Prices

_SHOWN = 3
"""Reasons in the progress line; the manifest has all."""


@dataclass
class Traffic:
    """Counts of the requests to one or more servers."""

    tries: int = 0
    """Requests sent, the first try of each and all retries."""
    retries: Counter[str] = field(default_factory=Counter)
    """Tries that were followed by another try of the same request, by what was wrong with them."""
    failures: Counter[str] = field(default_factory=Counter)
    """Requests that were given up, by reason."""
    changes: Counter[str] = field(default_factory=Counter)
    """Requests that were changed for what the server accepts, by what was changed."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    circuit_opened: int = 0
    """Times that sending was stopped because the server failed on one request after the other."""

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.tries + other.tries,
            self.retries + other.retries,
            self.failures + other.failures,
            self.changes + other.changes,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.usd + other.usd,
            self.circuit_opened + other.circuit_opened,
        )

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers, as the server counted them."""
        return self.prompt_tokens + self.completion_tokens

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values, without those that are 0."""
        values = {
            "tries": self.tries,
            "retries": dict(self.retries.most_common()),
            "failures": dict(self.failures.most_common()),
            "changed": dict(self.changes.most_common()),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": round(self.usd, 6),
            "circuit_opened": self.circuit_opened,
        }
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Traffic:
        """Return the counts that `as_json` returned as values; what is missing is 0."""
        return cls(
            value.get("tries", 0),
            Counter(value.get("retries", {})),
            Counter(value.get("failures", {})),
            Counter(value.get("changed", {})),
            value.get("prompt_tokens", 0),
            value.get("completion_tokens", 0),
            value.get("usd", 0.0),
            value.get("circuit_opened", 0),
        )

    def summary(self) -> str:
        """Return the retries, such as `retried 7 (timed out: 5, no connection: 2)`; empty without any."""
        if not self.retries:
            return ""
        shown = [f"{reason}: {count:,}" for reason, count in self.retries.most_common(_SHOWN)]
        others = len(self.retries) - len(shown)
        reasons = ", ".join([*shown, *([f"{counted(others, 'other reason')}"] if others else [])])
        return f"retried {self.retries.total():,} ({reasons})"


@dataclass(frozen=True)
class ServerRecord:
    """What was asked of one model of a server, as the manifest of a run has it."""

    model: str
    url: str
    traffic: Traffic
    seen: Mapping[str, Any] = field(default_factory=dict)
    """How the server described the model, and the names and fingerprints under which it answered."""
    role: str = ""
    """Role whose settings the model had; empty in older manifests. Roles of one model are counted apart if
    they have settings of their own, such as a budget."""

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON-able values."""
        role = {"role": self.role} if self.role else {}
        return {"model": self.model, "url": self.url, **role, **self.traffic.as_json(), **self.seen}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServerRecord:
        """Return the record that `as_json` returned as values."""
        seen = {name: value[name] for name in ("served", "models", "fingerprints") if name in value}
        model, url, role = (str(value.get(name, "")) for name in ("model", "url", "role"))
        return cls(model, url, Traffic.from_json(value), seen, role)


def server_records_of(stages: Iterable[Mapping[str, Any]]) -> list[ServerRecord]:
    """Return what the stages of a manifest asked of servers, with the counts of all stages added."""
    return merged_records(
        (), (ServerRecord.from_json(value) for entry in stages for value in entry.get("servers", ()))
    )


def merged_records(earlier: Iterable[ServerRecord], later: Iterable[ServerRecord]) -> list[ServerRecord]:
    """Return the records of two times, with the counts of one role's model at one server added."""
    found = {(record.model, record.url, record.role): record for record in earlier}
    for record in later:
        key = (record.model, record.url, record.role)
        before = found[key].traffic if key in found else Traffic()
        found[key] = replace(record, traffic=before + record.traffic)
    return list(found.values())


@runtime_checkable
class AsksServer(Protocol):
    """An engine that asks a server, and counts what that takes."""

    def share_budget(self, spending: Spending) -> None:
        """Count what is spent under a budget that several engines share."""
        ...

    def resume(self, earlier: Iterable[ServerRecord], role: str) -> None:
        """Take over what earlier commands of the run spent in a role, and saw."""
        ...

    def report_change(self, memory: Path) -> None:
        """Warn if the server describes the model in another way than the file says, and update the file."""
        ...

    def take_record(self) -> ServerRecord:
        """Return what was asked since this was last called."""
        ...

    def state(self) -> str:
        """Return what the progress line should say about the server; empty if all is well."""
        ...


class Spending:
    """What was spent under one budget, by all servers that share it.

    Args:
        budget: the budget; None limits nothing.
        where: the setting that holds it, for messages.
    """

    def __init__(self, budget: Budget | None = None, where: str = "engine.budget") -> None:
        self._budget = budget
        self._where = where
        self.tokens = 0
        self.usd = 0.0

    @property
    def is_limited(self) -> bool:
        """True if there is a budget."""
        return self._budget is not None

    def add(self, tokens: int, usd: float) -> None:
        """Count tokens and their price."""
        self.tokens += tokens
        self.usd += usd

    def exceeded(self) -> EngineError | None:
        """Return the error that says that the budget is spent, or None while it is not."""
        budget = self._budget
        if budget is None:
            return None
        if budget.tokens is not None and self.tokens >= budget.tokens:
            return self._error("tokens", f"{budget.tokens:,} tokens", f"{self.tokens:,} used")
        if budget.usd is not None and self.usd >= budget.usd:
            return self._error("usd", f"${budget.usd:,.2f}", f"${self.usd:,.4f} used")
        return None

    def _error(self, field_name: str, limit: str, used: str) -> EngineError:
        return EngineError(
            f"the budget of {limit} is spent ({used})",
            where=f"{self._where}.{field_name}",
            accepted="a higher budget; completed work is saved, and the same command resumes",
        )


def price_of(prices: Prices | None, prompt_tokens: int, completion_tokens: int) -> float:
    """Return the price of so many tokens in US dollars; 0 if no prices are known."""
    return 0.0 if prices is None else prices.usd(prompt_tokens, completion_tokens)
