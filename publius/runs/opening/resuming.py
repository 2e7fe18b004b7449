"""Open the folder of a run, new or resumed; remove one in which nothing was recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from constitution.loader import load_constitution
from core.errors import RunStateError
from core.store.files import is_there, os_errors
from publius.config.run_file import RunConfig
from publius.runs.folder import Run
from publius.runs.inputs import TEMPLATE_FOLDER
from publius.runs.manifest import MANIFEST, read_manifest, usable_manifest
from publius.runs.opening.identity import RunIdentity, identities_of, place_of
from publius.runs.parts.shards import Shard

_PROMPTS = "prompts"
"""Name in the manifest of the import of the prompts."""
_COPIED = ("prompts.jsonl", "prompt_columns.jsonl", "exclusions.jsonl")
"""Files of records that a run has before its first stage."""


def open_run(
    config: RunConfig,
    project: Path,
    models: Mapping[str, str],
    resume: Path | None = None,
    *,
    shard: Shard | None = None,
    writable: bool = True,
    before_new: Callable[[], object] = lambda: None,
) -> Run:
    """Open the run of a configuration, new or resumed, and lock it for this process.

    Args:
        config: the run configuration, with absolute paths.
        project: the folder that holds `runs/`.
        models: a digest of each role's model.
        resume: the run folder that the user expects to resume.
        shard: the part of the run to open, which has a folder of its own; None for the whole run.
        writable: False for the other processes of a distributed training, which write nothing; the run folder
            has to exist then.
        before_new: called before a new folder is created, so what it raises leaves no folder behind.

    Raises:
        RunStateError: if `resume` is a different run, or the folder is in use or not writable.
    """
    constitution = load_constitution(config.constitution)
    folder, identity = place_of(project, config, constitution, models)
    if shard is not None:
        folder = folder.with_name(folder.name + shard.suffix)
    if resume is not None:
        identity = _resumed(resume, identities_of(config, constitution, models))
        folder = resume
    if writable and not (folder / "manifest.json").exists():
        before_new()
    run = Run(folder, config, constitution, identity, writable=writable)
    try:
        run.take_shard(shard)
    except BaseException:
        run.close()
        raise
    return run


def remove_if_nothing_recorded(folder: Path) -> bool:
    """Remove a closed run folder that has no record of a stage, only what any run copies; True if removed.

    A command that fails before its first record thus leaves no unfinished run behind.
    """
    manifest = usable_manifest(folder / MANIFEST)
    if manifest is None or set(manifest["stages"]) - {_PROMPTS}:
        return False
    excluded = folder / "exclusions.jsonl"
    if is_there(excluded):
        with excluded.open("rb") as lines:
            if any(b'"stage":"prompts"' not in line for line in lines):
                return False
    for path in folder.iterdir():
        is_copied = path.name in _COPIED or path.suffix != ".jsonl"
        if (path.is_dir() and path.name != TEMPLATE_FOLDER) or (not is_copied and path.stat().st_size):
            return False
    with os_errors(folder):
        shutil.rmtree(folder)
    return True


def _resumed(folder: Path, identities: Sequence[RunIdentity]) -> RunIdentity:
    """Return the identity of a folder to resume, which has to be one of these."""
    manifest = usable_manifest(folder / MANIFEST) if is_there(folder / MANIFEST) else None
    recorded = None if manifest is None else manifest["digest"]
    named = folder.resolve().name.rpartition("-")[2]
    for identity in identities:
        if recorded == identity.digest or (manifest is None and identity.digest[:8] == named):
            break
    else:
        identity = identities[-1]
    _require_same(folder, identity)
    return identity


def _require_same(folder: Path, identity: RunIdentity) -> None:
    path = folder / MANIFEST
    exists = is_there(path)
    manifest = usable_manifest(path) if exists else None
    if manifest is None:
        # The name of a run's own folder ends with its digest: then the manifest can be written again.
        if is_there(folder) and folder.resolve().name.endswith(f"-{identity.digest[:8]}"):
            return
        if not exists:
            read_manifest(folder)  # it raises
        raise RunStateError(
            "the manifest is damaged, and the folder's name is not that of this run",
            where=f"--resume {folder}",
            accepted=f"a folder whose name ends with -{identity.digest[:8]}",
            run="publius run RUN.yaml without --resume, which reuses cached answers",
        )
    if manifest["digest"] == identity.digest:
        return
    recorded = manifest["identity"]
    changed = [part for part in vars(identity) if recorded.get(part) != vars(identity)[part]]
    if "configuration" in changed:
        before, now = recorded.get("configuration", {}), identity.configuration
        keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        changed[changed.index("configuration")] = f"configuration ({', '.join(keys)})"
    raise RunStateError(
        f"this is a different run; it differs in: {', '.join(changed)}",
        where=f"--resume {folder}",
        accepted="the run file and constitution that created the folder",
        run="publius run RUN.yaml without --resume, to start a new run that reuses cached answers",
    )
