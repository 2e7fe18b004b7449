"""Filters of preferences, read in one way by `show`, `export` and `annotate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from constitution.schema import Constitution
from core.errors import ConfigError, DataError
from core.records import Preference


@dataclass(frozen=True)
class PreferenceFilter:
    """Conditions that a preference must meet. Each one that is not set lets every preference pass."""

    min_p: float | None = None
    """Lowest probability of the chosen answer."""
    tags: tuple[str, ...] = ()
    """Tags of which its prompt must have one."""
    principles: tuple[str, ...] = ()
    """Principles of which it must be judged under one."""
    sources: tuple[str, ...] = ()
    """Labelers of which one must have judged it."""

    @classmethod
    def of(
        cls,
        min_p: float | None = None,
        tags: Iterable[str] | None = None,
        principles: Iterable[str] | None = None,
        sources: Iterable[str] | None = None,
    ) -> Self:
        """Return the filter of the options of a command, which are None if they are not given."""
        return cls(min_p, tuple(tags or ()), tuple(principles or ()), tuple(sources or ()))

    def __bool__(self) -> bool:
        return self.min_p is not None or bool(self.tags or self.principles or self.sources)

    def reason(self, preference: Preference) -> str | None:
        """Return the first reason to leave a preference out; None if it passes."""
        if self.min_p is not None and preference.p_chosen < self.min_p:
            return f"with p of the chosen answer below {self.min_p:g}"
        return (
            self.reason_for_tags(preference.tags)
            or _missing(self.principles, preference.by_principle, "not judged under")
            or _missing(self.sources, preference.sources, "not judged by")
        )

    def reason_for_tags(self, tags: Iterable[str]) -> str | None:
        """Return why a record with these tags is left out, or None if it passes."""
        return _missing(self.tags, tags, "without the tag")

    def as_json(self) -> dict[str, Any]:
        """Return the conditions that are set."""
        found = {"min_p": self.min_p, "tag": self.tags, "principle": self.principles, "source": self.sources}
        return {
            name: list(v) if isinstance(v, tuple) else v for name, v in found.items() if v not in (None, ())
        }

    def __str__(self) -> str:
        """Return the conditions as options of a command, such as `--min-p 0.8 --tag billing`."""
        parts = [] if self.min_p is None else [f"--min-p {self.min_p:g}"]
        named = (("--tag", self.tags), ("--principle", self.principles), ("--source", self.sources))
        return " ".join([*parts, *(f"{option} {value}" for option, values in named for value in values)])

    def require_known(self, constitution: Constitution | None) -> None:
        """Refuse a principle that the constitution does not have. Raises ConfigError."""
        known = [principle.id for principle in constitution.principles] if constitution else []
        for name in self.principles:
            if known and name not in known:
                raise ConfigError(
                    f"unknown principle {name!r}", where="--principle", accepted=f"one of {', '.join(known)}"
                )


NO_FILTER = PreferenceFilter()
"""Lets every preference pass."""


@dataclass
class LeftOut:
    """Counts what a filter leaves out, and the names that it could have asked for."""

    conditions: PreferenceFilter
    reasons: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    principles: Counter[str] = field(default_factory=Counter)
    seen: int = 0

    def passing(self, preferences: Iterable[Preference]) -> Iterator[Preference]:
        """Yield the preferences that pass, and count the others by reason.

        Raises:
            DataError: at the end, if there are preferences and none passed.
        """
        for preference in preferences:
            if self.lets_pass(preference):
                yield preference
        self.require_some()

    def lets_pass(self, preference: Preference) -> bool:
        """Return True if a preference passes; count it otherwise."""
        self.seen += 1
        if not self.conditions:
            return True
        self.tags.update(preference.tags)
        self.sources.update(preference.sources)
        self.principles.update(preference.by_principle)
        reason = self.conditions.reason(preference)
        if reason is not None:
            self.reasons[reason] += 1
        return reason is None

    def require_some(self) -> None:
        """Raise DataError if there are preferences and none passed."""
        if not self.seen or self.reasons.total() < self.seen:
            return
        counts = "; ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        raise DataError(
            f"no preference of {self.seen:,} passes: {counts}",
            where=str(self.conditions),
            accepted=_accepted(self),
        )


def _missing(wanted: tuple[str, ...], found: Iterable[str], what: str) -> str | None:
    if not wanted or any(name in wanted for name in found):
        return None
    return f"{what} {' or '.join(wanted)}"


def _accepted(left_out: LeftOut) -> str:
    """Return the names that the run's preferences have, for the conditions that are set."""
    conditions = left_out.conditions
    named = (
        ("tags", conditions.tags, left_out.tags),
        ("principles", conditions.principles, left_out.principles),
        ("sources", conditions.sources, left_out.sources),
    )
    shown = [f"{title} {', '.join(sorted(found)) or 'none'}" for title, given, found in named if given]
    return "; ".join(["other conditions", *shown])
