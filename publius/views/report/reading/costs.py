"""What each stage of a run took: requests, tokens, seconds, money, and the records that it skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.endpoint.spending import server_records_of
from publius.runs.pairs.unpaired import UNPAIRED
from publius.views.report.figures import SECONDS, USD, Figure, FigureBook
from publius.views.report.reading.sources import RunSource

_REQUESTS = ("asked", "reused", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class StageCost:
    """One stage."""

    stage: str
    records: Figure
    requests: Mapping[str, Figure]
    """`asked`, `reused`, `prompt_tokens` and `completion_tokens`."""
    seconds: Figure
    excluded: tuple[tuple[str, Figure], ...]
    """Number of skipped records by reason."""
    advice: str = ""
    """What the stage lacked."""
    unpaired: tuple[tuple[str, Figure], ...] = ()
    """Number of prompts without comparisons by the run's settings, by reason: none of them failed."""


@dataclass(frozen=True)
class Costs:
    """All stages of a run, and their sums."""

    stages: tuple[StageCost, ...]
    total: Mapping[str, Figure]
    """The sums of the requests and `seconds`; `usd` if a server has a price."""


def read_costs(run: RunSource, book: FigureBook) -> Costs:
    """Return what the stages of a run took, in all commands together."""
    entries: Mapping[str, Mapping[str, object]] = run.manifest["stages"]
    prefix = f"{run.label}.cost"
    stages = tuple(_stage(f"{prefix}.{name}", name, entry, book) for name, entry in entries.items())
    total = {
        key: book.count(f"{prefix}.total.{key}", sum(int(stage.requests[key].value) for stage in stages))
        for key in _REQUESTS
    }
    seconds = sum(stage.seconds.value for stage in stages)
    total["seconds"] = book.add(Figure(f"{prefix}.total.seconds", seconds, SECONDS))
    spent = [record.as_json().get("usd") for record in server_records_of(entries.values())]
    if any(usd is not None for usd in spent):
        total["usd"] = book.add(Figure(f"{prefix}.total.usd", sum(usd or 0.0 for usd in spent), USD))
    return Costs(stages, total)


def _stage(prefix: str, name: str, entry: Mapping[str, object], book: FigureBook) -> StageCost:
    requests = entry.get("requests")
    assert isinstance(requests, Mapping)
    return StageCost(
        name,
        book.count(f"{prefix}.records", int(str(entry.get("records", 0)))),
        {key: book.count(f"{prefix}.{key}", requests.get(key, 0)) for key in _REQUESTS},
        book.add(Figure(f"{prefix}.seconds", float(str(entry.get("seconds", 0.0))), SECONDS)),
        _reasons(prefix, entry.get("left_out"), book),
        str(entry.get("advice") or ""),
        _reasons(prefix, entry.get(UNPAIRED, {}), book),
    )


def _reasons(prefix: str, counts: object, book: FigureBook) -> tuple[tuple[str, Figure], ...]:
    assert isinstance(counts, Mapping)
    return tuple(
        (reason, book.count(f"{prefix}.left_out.{reason}", count)) for reason, count in counts.items()
    )
