"""Gates of a run folder: their outcomes in `eval/metrics.json`, and what a failed one prevents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import RunStateError
from core.notices import warn
from evaluation.gates.decide import GateResult

_METRICS = Path("eval") / "metrics.json"


def gate_results(evaluation: Mapping[str, Any] | None) -> tuple[GateResult, ...]:
    """Return the outcomes in the content of `metrics.json`; none in those of older versions."""
    return tuple(map(GateResult.of_json, (evaluation or {}).get("gates", ())))


def failed_gates(evaluation: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return a line for each gate that prevents an export: those that failed, or could not be checked."""
    unchecked = (evaluation or {}).get("gates_not_checked", ())
    return (*unchecked, *(result.line() for result in gate_results(evaluation) if result.blocks))


def require_gates(folder: Path, *, force: bool) -> tuple[str, ...]:
    """Return the failed gates of a run that is exported nevertheless.

    Args:
        folder: a run folder, or the folder of a training in one.
        force: True to export a run with a failed gate.

    Raises:
        RunStateError: a gate failed, and `force` is False.
    """
    run = folder if (folder / _METRICS).exists() else folder.parent
    failed = failed_gates(_read(run / _METRICS))
    if failed and not force:
        raise RunStateError(
            f"the run failed {len(failed)} gate{'s' if len(failed) > 1 else ''}: {'; '.join(failed)}",
            where=str(run),
            accepted="a run that passes its gates, or --force, which the card will say",
        )
    for line in failed:
        warn(f"exported with a failed gate: {line}")
    return failed


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
