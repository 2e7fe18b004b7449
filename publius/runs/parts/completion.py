"""When a stage is complete: the digests of the files that it reads and writes are those noted at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from publius.runs.inputs import digest_lines

COMPLETE = "complete"
"""Name in the manifest's entry of a stage of the digests with which it was complete."""
_SOURCES = {"revisions": ("traces",), "samples": ("samples",)}
"""Record files that comparisons are made from, by `compare.from`; others are made from new answers."""


def stage_digests(folder: Path, stage: str, compared: str) -> dict[str, str]:
    """Return a digest of each file that a data stage reads and writes, whatever the order of its lines.

    Args:
        folder: the run folder.
        stage: name of the stage.
        compared: the run's `compare.from`.
    """
    names = {
        "critique": ("prompts", "traces"),
        "sample": ("prompts", "samples"),
        "compare": ("prompts", *_SOURCES.get(compared, ()), "comparisons"),
        "label": ("comparisons", "added_comparisons", "judgments"),
    }[stage]
    return {name: digest_lines(folder / f"{name}.jsonl").digest for name in names}


def was_completed(folder: Path, manifest: Mapping[str, Any], stage: str, compared: str) -> bool:
    """Return True if a data stage was complete in a folder, and no record was changed since.

    Args:
        folder: the run folder.
        manifest: its manifest.
        stage: name of the stage.
        compared: the run's `compare.from`.
    """
    noted = manifest["stages"].get(stage, {}).get(COMPLETE)
    return noted is not None and noted == stage_digests(folder, stage, compared)
