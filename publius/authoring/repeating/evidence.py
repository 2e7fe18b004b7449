"""What a project carries besides inputs: the run's results to compare with, and the audit of its labeler."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.notices import warn
from core.store.files import write_atomic
from evaluation.judges.certificate import AUDITS
from publius.models.hub.leaks import found_leaks
from publius.runs.parts.audited import audit_folder_of

EXPECTED = "expected"
"""Folder of a project with the results of its runs."""
_METRICS = Path("eval") / "metrics.json"
_COLUMNS = ("name", "value", "low", "high", "n", "unit", "p_value")
_CERTIFICATE = ("audit.json", "audit.md")
"""Files of an audit that are carried: the gold labels are not."""


def carry_evidence(run: Path, target: Path, name: str, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Write the metrics of a run's evaluation, and copy the certificate of its labeler; return their places.

    Args:
        run: the run folder.
        target: the project.
        name: name of the run folder that the project makes.
        manifest: of the run.
    """
    return (*_expected(run, target, name), *_audit(run, target, manifest))


def _expected(run: Path, target: Path, name: str) -> tuple[str, ...]:
    try:
        metrics = json.loads((run / _METRICS).read_text(encoding="utf-8"))["metrics"]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
    ):  # not evaluated, or damaged: there is nothing to compare
        return ()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([metric.get(column) for column in _COLUMNS] for metric in metrics)
    place = f"{EXPECTED}/{name}.csv"
    (target / EXPECTED).mkdir(exist_ok=True)
    write_atomic(target / place, text.getvalue())
    return (place,)


def _audit(run: Path, target: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    folder = audit_folder_of(run, manifest)
    if folder is None:
        return ()
    files = {
        f"{AUDITS}/{folder.name}/{file}": folder / file for file in _CERTIFICATE if (folder / file).is_file()
    }
    for leak in found_leaks(files, [run.resolve().parent.parent]):
        warn(f"not in it: the certificate of the labeler, which has {leak.what} ({leak.place})")
        return ()
    for place, file in files.items():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / place)
    return tuple(files)
