"""What previews of a run leave behind: what they asked of servers, their speed, and pairs that DPO can use.

The run may not exist yet. What servers were asked, in .publius/previews/<name of the run folder>.json, counts
under its budget. The speed, in .publius/speeds/<name>.json, is for estimates of the project's runs, and the
pairs, in .publius/pairs/<name>.json, for those of this run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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


def record_preview_speed(
    project: Path, run_name: str, configuration: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the requests and seconds of a preview's stages, unless it asked no model.

    Args:
        project: folder of the run file.
        run_name: name of the run folder. Another preview of the run replaces this one.
        configuration: the settings of the run that say which models were asked.
        stages: entries of stages as in a manifest.
    """
    asked = {name: entry for name, entry in stages.items() if entry.get("requests", {}).get("asked")}
    if not asked:
        return
    path = _speeds(project) / f"{run_name}.json"
    with os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    found = {"configuration": configuration, "stages": asked}
    write_atomic(path, json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def preview_speeds(project: Path) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the settings and the entries of stages of the project's previews; damaged files are ignored."""
    for path in sorted(_speeds(project).glob("*.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            yield dict(found["configuration"]), {name: dict(entry) for name, entry in found["stages"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue


def record_preview_pairs(project: Path, run_name: str, found: Mapping[str, int]) -> None:
    """Write how many pairs of a preview DPO can use, and why not the others; it replaces an earlier one."""
    path = _pairs(project, run_name)
    with os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(dict(found), indent=2) + "\n")


def preview_pairs(project: Path, run_name: str) -> dict[str, int] | None:
    """Return what the last preview of a run found of its pairs; None without one, or if it is damaged."""
    try:
        found = json.loads(_pairs(project, run_name).read_text(encoding="utf-8"))
        return {name: int(count) for name, count in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _pairs(project: Path, run_name: str) -> Path:
    return project / ".publius" / "pairs" / f"{run_name}.json"


def _speeds(project: Path) -> Path:
    return project / ".publius" / "speeds"


def _path(project: Path, run_name: str) -> Path:
    return project / ".publius" / "previews" / f"{run_name}.json"
