"""Edited principles, with the measures that show what an edit did; or why nothing does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from constitution.diff import Change
from constitution.schema import Constitution
from evaluation.judged.names import judged_measure
from evaluation.measures import COMPLIANCE
from evaluation.presentation import title_of


@dataclass(frozen=True)
class EditedPrinciple:
    """A principle that differs from that of the first group."""

    principle: str
    measures: tuple[str, ...]
    """Names of the measures of this principle: of its machine check, and of a judge's ratings."""
    why_not: str = ""
    """Why nothing measures it; empty if something does."""

    @property
    def line(self) -> str:
        """What measures the principle, in words."""
        titles = ("its machine check" if m.startswith(COMPLIANCE) else title_of(m, "") for m in self.measures)
        return f"measured by {' and '.join(titles)}" if self.measures else f"not measured: {self.why_not}"


def edited_principles(
    changes: Sequence[Change], constitution: Constitution | None, measures: Collection[str]
) -> tuple[EditedPrinciple, ...]:
    """Return the principles that changes edit or add, with what measures each.

    Args:
        changes: differences between two constitutions.
        constitution: the second one.
        measures: names of all measures of the evaluations; none if nothing was evaluated.
    """
    names = dict.fromkeys(change.principle for change in changes if change.principle is not None)
    found = []
    for name in names:
        principle = None if constitution is None else constitution.find(name)
        if principle is None:
            continue  # removed
        own = tuple(m for m in (f"{COMPLIANCE}.{name}", judged_measure(name)) if m in measures)
        has_check = principle.check is not None
        found.append(EditedPrinciple(name, own, "" if own else _why_not(has_check, bool(measures))))
    return tuple(found)


def _why_not(has_check: bool, is_evaluated: bool) -> str:
    if not is_evaluated:
        return "no run was evaluated (publius eval)"
    if has_check:
        return "its machine check was not evaluated (publius eval)"
    return "it has no machine check, and no judge rated it (check, or models.judge and publius eval)"
