"""Where an exported data set is from: files of prompts or pairs, given answers, files of human labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.notices import counted
from core.records import Comparison
from core.text.documents import code_span, escaped
from labelers.formats.columns import names_one
from publius.config.run_file import RunConfig
from publius.runs.reader import RunReader

LABEL_FILES = "label_files"
"""Key of what each folder of human labels was imported from, beside the counts of the step `people`."""
_PEOPLE_STAGE = "people"
_IMPORT, _COMPARISONS = "import.json", "comparisons.jsonl"
_DIGITS = 16
"""Digits of a digest that are shown."""
_SHOWN = 12
"""Models that are named."""


def label_file(folder: Path, judgments: int) -> dict[str, Any]:
    """Return what the manifest holds of a folder of labels: its file, with digest, votes and dropped rows.

    Args:
        folder: the folder of an import, or of the annotation page, which has no file.
        judgments: number of its judgments that are in the run.
    """
    found: dict[str, Any] = {"folder": folder.name, "judgments": judgments}
    try:
        summary = json.loads((folder / _IMPORT).read_bytes())
        dropped = {entry["reason"]: entry["count"] for entry in summary.get("dropped_for", ())}
        return found | {"file": summary["source"], "digest": summary.get("digest"), "dropped": dropped}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return found


def where_from(files: RunReader, manifest: Mapping[str, Any], *, is_given: bool) -> list[str]:
    """Return lines on where prompts, given answers and human labels are from, as Markdown.

    Args:
        files: the run's records.
        manifest: its manifest.
        is_given: True if the answers are pairs of the user's own.
    """
    lines = [_prompts(files.config, manifest, "Pairs" if is_given else "Prompts")]
    given = files.comparisons.sorted() if is_given else files.added_comparisons.sorted()
    lines += _answers(given)
    lines += [_labels(entry) for entry in manifest["stages"].get(_PEOPLE_STAGE, {}).get(LABEL_FILES, ())]
    return lines


def _prompts(config: RunConfig, manifest: Mapping[str, Any], what: str) -> str:
    rows = (manifest.get("prompts") or {}).get("rows")
    if rows is None and config.prompts.path.name == _COMPARISONS:  # publius label --pairs RUN
        return f"Pairs: those of the run {code_span(config.prompts.path.parent.name)}."
    parts = [f"{what}: {_named(config.prompts.path)}"]
    if digest := manifest.get("identity", {}).get("prompts"):
        parts.append(_digest(digest))
    if rows is not None:
        parts.append(counted(rows, "row"))
    stage = "compare" if what == "Pairs" else "prompts"
    entry = manifest.get("stages", {}).get(stage, {})
    if "records" in entry:
        used = counted(entry["records"], what.lower()[:-1])
        parts.append(f"{used} used{_left_out(entry.get('left_out', {}))}")
    if lost := (manifest.get("prompts") or {}).get("tools"):
        parts[-1] += f"; {lost}"
    return f"{', '.join(parts)}."


def _answers(given: Iterable[Comparison]) -> list[str]:
    """Return the line on answers that no stage of the run wrote; none without any."""
    origins = Counter(name for pair in given for name in (pair.origin_a, pair.origin_b))
    if not origins:
        return []
    named = {name: count for name, count in origins.most_common() if names_one(name)}
    listed = [f"{code_span(name)} ({count:,})" for name, count in list(named.items())[:_SHOWN]]
    if len(named) > _SHOWN:
        listed.append(f"{counted(len(named) - _SHOWN, 'more')}")
    unnamed = origins.total() - sum(named.values())
    if unnamed:
        listed.append(f"{unnamed:,} whose model is not named")
    return [f"Given answers, by origin: {', '.join(listed)}."]


def _labels(entry: Mapping[str, Any]) -> str:
    votes = counted(entry["judgments"], "judgment")
    if "file" not in entry:
        return f"Human labels: folder {code_span(entry['folder'])}, {votes}."
    parts = [f"Human labels: {_named(Path(entry['file']))}"]
    if entry.get("digest"):
        parts.append(_digest(entry["digest"]))
    return f"{', '.join([*parts, votes])}{_left_out(entry['dropped'], 'dropped at the import')}."


def _named(path: Path) -> str:
    """Return a file's name, or a Hugging Face id; the place of a file means nothing elsewhere."""
    return code_span(path.name if path.is_absolute() or path.exists() else str(path))


def _digest(digest: str) -> str:
    return f"digest `{digest[:_DIGITS]}`"


def _left_out(reasons: Mapping[str, int], how: str = "left out") -> str:
    if not reasons:
        return ""
    said = ", ".join(f"{escaped(reason)} ({count:,})" for reason, count in reasons.items())
    return f"; {sum(reasons.values()):,} {how}: {said}"
