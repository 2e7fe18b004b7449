"""What previews of a run asked of servers. It counts under the budget of the run, which may not exist yet.

.publius/previews/<name of the run folder>.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from core.store.files import os_errors, write_atomic
from engines.endpoint.spending import ServerRecord, merged_records, server_records_of
from publius.runs.manifest import MANIFEST, usable_manifest


def preview_servers(project: Path, run_name: str) -> list[ServerRecord]:
    """Return what the previews of a run have asked of servers so far."""
    try:
        found = json.loads(_path(project, run_name).read_text(encoding="utf-8"))
        return [ServerRecord.from_json(value) for value in found]
    except (OSError, ValueError, TypeError, AttributeError):
        return []  # there is none, or it is damaged


def record_preview(project: Path, run_name: str, records: Iterable[ServerRecord]) -> None:
    """Add what a preview asked of servers to what earlier ones did."""
    later = list(records)
    if not later:
        return
    path = _path(project, run_name)
    with os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    merged = [record.as_json() for record in merged_records(preview_servers(project, run_name), later)]
    write_atomic(path, json.dumps(merged, indent=2, ensure_ascii=False) + "\n")


def servers_asked(project: Path, folder: Path) -> list[ServerRecord]:
    """Return what a run and its previews have asked of servers so far; the run folder need not exist."""
    manifest = usable_manifest(folder / MANIFEST)
    stages = () if manifest is None else manifest["stages"].values()
    return merged_records(server_records_of(stages), preview_servers(project, folder.name))


def _path(project: Path, run_name: str) -> Path:
    return project / ".publius" / "previews" / f"{run_name}.json"
