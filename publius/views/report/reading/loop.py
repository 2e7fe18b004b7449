"""The critique loop of a run in numbers, as its manifest has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from critique.statistics import ATTRIBUTION
from publius.views.report.figures import COUNT, SHARE, Figure, FigureBook
from publius.views.report.reading.sources import RunSource

_ROUNDS = {
    "revisions": "revisions",
    "kept": "kept",
    "no_fault": "no fault found",
    "skipped": "skipped",
    "better": "checks better",
    "worse": "checks worse",
    "words_before": "words before",
    "words_after": "words after",
}


@dataclass(frozen=True)
class LoopResults:
    """What the rounds of critique and revision did."""

    rounds: tuple[tuple[str, Mapping[str, Figure]], ...]
    """Figures by title, for each round."""
    principles: tuple[tuple[str, Mapping[str, Figure]], ...]
    """Figures by title, for each principle."""
    compliant: tuple[Figure, ...]
    """Share of the prompts with a check whose answer passes all: the draft, and after each round."""
    dropped: Mapping[str, Figure]
    """Number of discarded revisions by reason, and of revisions by flag."""


def read_loop(run: RunSource, book: FigureBook) -> LoopResults | None:
    """Return the statistics of a run's critique loop; None if the run has none."""
    loop: Mapping[str, Any] = run.manifest["stages"].get("critique", {}).get("loop", {})
    if not loop:
        return None
    prefix = f"{run.label}.loop"
    checked = loop.get("checked", 0)
    shares = [
        book.add(Figure(f"{prefix}.compliant.{number}", count / checked, SHARE, checked))
        for number, count in enumerate(loop.get("compliant", ()))
        if checked
    ]
    rounds = [
        (name, _named(f"{prefix}.rounds.{name}", counts, _ROUNDS, book))
        for name, counts in loop["rounds"].items()
    ]
    principles = [
        (name, _named(f"{prefix}.principles.{name}", counts, ATTRIBUTION, book))
        for name, counts in loop["principles"].items()
    ]
    return LoopResults(tuple(rounds), tuple(principles), tuple(shares), _problems(prefix, loop, book))


def _named(
    prefix: str, counts: Mapping[str, Any], titles: Mapping[str, str], book: FigureBook
) -> dict[str, Figure]:
    return {
        title: book.add(Figure(f"{prefix}.{key}", counts[key], "words" if key.startswith("words") else COUNT))
        for key, title in titles.items()
        if key in counts
    }


def _problems(prefix: str, loop: Mapping[str, Any], book: FigureBook) -> dict[str, Figure]:
    """Return the discarded revisions by reason and the flags of all revisions, over all rounds."""
    found: dict[str, int] = {}
    for counts in loop["rounds"].values():
        for kind, title in (("dropped", "discarded by {}"), ("flags", "flagged {}")):
            for name, count in counts.get(kind, {}).items():
                named = title.format(str(name).replace("_", " "))
                found[named] = found.get(named, 0) + count
    return {title: book.count(f"{prefix}.{title}", count) for title, count in sorted(found.items())}
