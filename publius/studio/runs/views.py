"""What the page shows of runs and the report's code computes; the command hands it over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol


class RunViews(Protocol):
    """The report's readings of runs, as JSON-able values. All of them only read the run folders."""

    def side_by_side(self, folders: Sequence[Path]) -> dict[str, Any]:
        """Return runs with their prompts and answers, results, groups, movements and flipped preferences."""

    def training_curves(self, folder: Path) -> list[dict[str, Any]]:
        """Return the metrics of each training of a run over its steps, unfinished trainings too."""
