"""Output of `publius cache`."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table

from core.notices import counted
from publius.console import out
from publius.runs.request_cache import CacheCheck, CacheListing, PruneResult

_SHOWN_DATE = "%Y-%m-%d %H:%M"


def print_cache(listing: CacheListing) -> None:
    """Print the number and size of the answers by model and purpose."""
    table = Table(box=None, pad_edge=False)
    for title in ("model", "purpose", "answers", "size", "last used (UTC)"):
        table.add_column(title, justify="right" if title in ("answers", "size") else "left")
    for row in listing.as_json()["groups"]:
        used = datetime.fromisoformat(row["last_used"]).strftime(_SHOWN_DATE)
        table.add_row(row["model"] or "-", row["purpose"], f"{row['answers']:,}", size(row["bytes"]), used)
    out.print(table)
    out.print(f"\n{listing.path}: {counted(listing.answers, 'answer')}, {size(listing.bytes)}")


def print_pruned(result: PruneResult) -> None:
    """Print how many answers were removed, and the size before and after."""
    out.print(
        f"{counted(result.removed, 'answer')} removed, {result.answers:,} left; {result.path}: "
        f"{size(result.bytes_before)} before, {size(result.bytes)} now"
    )


def print_cache_check(result: CacheCheck) -> None:
    """Print whether the file is intact; a warning has named where a damaged one is now."""
    if result.damage is None:
        out.print(f"{result.path}: intact, {counted(result.answers, 'answer')}")
    else:
        out.print(f"{result.path}: damaged ({result.damage}); renamed to {result.set_aside}")


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits, such as `1.4 MB`."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count} B"
