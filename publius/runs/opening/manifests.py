"""The manifest of a run folder that is opened for writing: the one in it, or a new one."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from constitution.schema import Constitution
from core.errors import RunStateError, shell_command
from core.notices import warn
from core.store.files import is_there
from prompts.environment import PromptTemplates
from publius.config.run_file import RunConfig
from publius.runs.inputs import restore_correction, restore_inputs, restore_templates
from publius.runs.manifest import MANIFEST, package_versions, usable_manifest, write_manifest
from publius.runs.opening.identity import RunIdentity
from publius.runs.opening.rules import NEW_LOOPS, NEW_RUNS, has_new_traces, loop_rules_in

_TRACES = "traces.jsonl"


def open_manifest(
    folder: Path,
    config: RunConfig,
    constitution: Constitution,
    identity: RunIdentity,
    templates: PromptTemplates,
) -> dict[str, Any]:
    """Return the manifest of a run folder, with the run's inputs restored; it is written if there is none.

    Raises:
        RunStateError: it is that of another run, or it is lost and the labels in the folder depend on it.
    """
    path = folder / MANIFEST
    exists = is_there(path)
    manifest = usable_manifest(path) if exists else None
    if manifest is not None and manifest["digest"] != identity.digest:
        raise RunStateError(
            "the manifest is that of another run",
            where=str(path),
            accepted=f"a folder of this run, {identity.digest[:8]}; without the file, it is one",
            run=shell_command("rm", path),
        )
    restore_inputs(folder, config, constitution, is_new=not exists)
    restore_templates(folder, templates, is_new=not exists)
    restore_correction(folder, config.label.correction, is_new=not exists)
    if manifest is not None:
        return manifest
    if exists:
        warn(f"{path} is damaged; it is written again, without the requests and seconds of earlier stages")
    # A damaged manifest still shows whether the loop had today's rules; without one, the traces may.
    if exists:
        loop = loop_rules_in(path.read_bytes())
    else:
        loop = NEW_LOOPS if has_new_traces(folder / _TRACES) else "first"
    # Older runs combine labels by another rule, which only the manifest records.
    combined = config.label.humans and is_there(folder / "preferences.jsonl")
    if combined and not (exists and b'"tiers"' in path.read_bytes()):
        raise RunStateError(
            "the manifest is lost, and with it the rule by which the labels were combined",
            where=str(path),
            accepted="the file from a backup; or a new run, which reuses all answers",
            run=shell_command("mv", folder, folder.with_name(folder.name + ".old")),
        )
    manifest = _new_manifest(config, identity, loop=loop)
    write_manifest(folder, manifest)
    return manifest


def _new_manifest(config: RunConfig, identity: RunIdentity, *, loop: str) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": config.name,
        "digest": identity.digest,
        "identity": vars(identity),
        "seed": config.seed,
        "models": {role: config.models.of(role).id for role in ("policy", "critic", "labeler")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": package_versions(),
        "tiers": NEW_RUNS,
        "loop": loop,
        "stages": {},
    }
