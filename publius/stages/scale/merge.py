"""The union of shards: one run folder with the records of all, as one process would have made it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from core.errors import ConfigError, RunStateError, shell_command
from core.notices import counted, warn
from core.progress import progress
from engines.endpoint.spending import ServerRecord, merged_records
from publius.runs.folder import Run
from publius.runs.inputs import CONSTITUTION, digest_lines, recorded_config
from publius.runs.pairs.unpaired import UNPAIRED
from publius.runs.parts.completion import was_completed
from publius.runs.parts.shards import SHARD, Shard
from publius.runs.reader import RunReader
from publius.stages.base import SHARED_STAGES, Stage
from publius.stages.label import write_preferences
from publius.stages.runner import planned_stages

_PROMPTS = "prompts"
_FILES = ("exclusions", "prompts", "traces", "samples", "comparisons", "judgments")
"""Record files that a merge unites. Exclusions come first, as a stage counts them at its end."""

_OUTPUT: dict[Stage, str] = {
    "critique": "traces",
    "sample": "samples",
    "compare": "comparisons",
    "label": "judgments",
}


@dataclass(frozen=True)
class MergeRequest:
    """Folders of shards to unite."""

    shards: Sequence[Path]
    to: Path | None = None
    """The run's folder; if not given, beside the first shard under the name of the whole run."""


@dataclass(frozen=True)
class MergedRun:
    """The result of uniting shards."""

    folder: Path
    shards: int
    missing: tuple[int, ...]
    """Numbers of the shards that were not given."""
    unfinished: tuple[int, ...]
    """Numbers of the shards in which something is left to do."""
    records: dict[str, int]
    """Number of records by file."""
    new: dict[str, int]
    """Number of records that the folder did not have before."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return {
            "run": str(self.folder),
            "shards": self.shards,
            "missing": list(self.missing),
            "unfinished": list(self.unfinished),
            "records": self.records,
            "new": self.new,
        }


def merge_shards(request: MergeRequest) -> MergedRun:
    """Unite the records of shards in the folder of the whole run; repeating it changes nothing.

    What a missing or unfinished shard lacks is done when the run is resumed.

    Raises:
        ConfigError: two folders have the same shard, or no folder is given.
        RunStateError: a folder is no shard, or shards are of different runs.
    """
    shards = _read(request.shards)
    first = shards[0]
    count = first.shard.count
    to = request.to or first.folder.with_name(first.folder.name.removesuffix(first.shard.suffix))
    missing = tuple(sorted({*range(1, count + 1)} - {one.shard.number for one in shards}))
    with RunReader(first.folder) as reader:
        identity = reader.identity
    constitution = load_constitution(first.folder / CONSTITUTION)
    with Run(to, recorded_config(first.folder), constitution, identity) as run:
        before = {name: len(getattr(run, name)) for name in _FILES if (to / f"{name}.jsonl").exists()}
        done = {one.shard.number: _copy(one, run) for one in shards}
        planned = {stage for stage in planned_stages(run.config) if stage in SHARED_STAGES}
        unfinished = tuple(number for number, stages in done.items() if not planned <= stages)
        _take_prompts(run, shards)
        for stage in SHARED_STAGES:
            _sum_stage(run, stage, shards, whole=not missing and all(stage in had for had in done.values()))
        if "label" in run.manifest["stages"] and not run.config.label.humans:
            write_preferences(run, all_judged=all("label" in had for had in done.values()))
        records = {name: len(getattr(run, name)) for name in _FILES if (to / f"{name}.jsonl").exists()}
    _tell(missing, unfinished)
    new = {name: number - before.get(name, 0) for name, number in records.items()}
    return MergedRun(to, count, missing, unfinished, records, new)


@dataclass(frozen=True)
class _ShardFolder:
    """A folder with a shard."""

    folder: Path
    shard: Shard
    manifest: dict[str, Any]


def _read(folders: Sequence[Path]) -> list[_ShardFolder]:
    """Return the shards in some folders, by number; raise if they are not shards of one run."""
    if not folders:
        raise ConfigError("no shard is given", where="publius runs merge", accepted="runs/NAME.shard-*")
    found: dict[int, _ShardFolder] = {}
    for folder in folders:
        with RunReader(folder) as reader:
            manifest = reader.manifest
        part = manifest.get(SHARD)
        if part is None:
            raise RunStateError(
                "the folder has no shard of a run",
                where=str(folder),
                accepted="folders that publius run --shard k/K made",
                run=shell_command("publius", "runs", folder.parent),
            )
        one = _ShardFolder(folder, Shard(part["number"], part["count"]), manifest)
        other = next(iter(found.values()), one)
        if (manifest["digest"], one.shard.count) != (other.manifest["digest"], other.shard.count):
            raise RunStateError(
                f"{folder.name} is of another run than {other.folder.name}, or of another number of shards",
                where=str(folder),
                accepted="shards that the same run file, constitution, prompts and models made",
            )
        if one.shard.number in found:
            raise ConfigError(
                f"{folder} and {found[one.shard.number].folder} both have shard {one.shard}",
                where="publius runs merge",
                accepted="each shard once",
            )
        found[one.shard.number] = one
    return [found[number] for number in sorted(found)]


def _copy(one: _ShardFolder, run: Run) -> set[Stage]:
    """Copy the records of a shard into the run; return the stages in which nothing is left to do in it.

    A shard whose process was killed has no entry in its manifest for the stage that was under way.
    """
    with RunReader(one.folder) as files:
        present = [name for name in _FILES if (one.folder / f"{name}.jsonl").exists()]
        total = sum(len(getattr(files, name)) for name in present)
        with progress(f"merge shard {one.shard}", total) as task:
            for name in present:
                into = getattr(run, name)
                for record in getattr(files, name):
                    into.append(record)
                    task.advance()
                into.sync()
    compared = run.config.compare.source
    return {stage for stage in SHARED_STAGES if was_completed(one.folder, one.manifest, stage, compared)}


def _take_prompts(run: Run, shards: Sequence[_ShardFolder]) -> None:
    """Note the import of the prompts, which is that of every shard, with the user's own columns.

    If every shard ended before it had imported all prompts, the resumed run imports them.
    """
    first = next((one for one in shards if _PROMPTS in one.manifest["stages"]), None)
    if first is None:
        return
    columns = first.folder / "prompt_columns.jsonl"
    if columns.exists():
        shutil.copyfile(columns, run.folder / columns.name)
    if summary := first.manifest.get(_PROMPTS):
        run.manifest[_PROMPTS] = dict(summary)
    run.manifest["stages"].setdefault(_PROMPTS, dict(first.manifest["stages"][_PROMPTS]))
    run.record_prompts()
    assert digest_lines(run.folder / "prompts.jsonl").lines == len(run.prompts)


def _sum_stage(run: Run, stage: Stage, shards: Sequence[_ShardFolder], *, whole: bool) -> None:
    """Write the requests and seconds of a stage in all shards to the manifest of the run."""
    entries = [one.manifest["stages"][stage] for one in shards if stage in one.manifest["stages"]]
    if not entries:
        return
    requests, unpaired = Counter[str](), Counter[str]()
    for entry in entries:
        requests.update(entry["requests"])
        unpaired.update(entry.get(UNPAIRED, {}))
    servers = merged_records((), (ServerRecord.from_json(s) for e in entries for s in e.get("servers", ())))
    run.manifest["stages"][stage] = {
        "requests": dict(requests),
        "seconds": round(sum(entry["seconds"] for entry in entries), 3),
        "records": len(getattr(run, _OUTPUT[stage])),
        "left_out": run.excluded(stage),
        **({"servers": [server.as_json() for server in servers]} if servers else {}),
        **({UNPAIRED: dict(unpaired)} if unpaired else {}),
    }
    if whole:
        run.note_complete(stage)
    run.note_result(stage, "shards", len(entries))


def _tell(missing: Sequence[int], unfinished: Sequence[int]) -> None:
    for numbers, state in ((missing, "missing"), (unfinished, "not finished")):
        if numbers:
            listed = ", ".join(map(str, numbers[:12])) + (", …" if len(numbers) > 12 else "")
            warn(f"{counted(len(numbers), 'shard')} {state} ({listed}); the resumed run does what they lack")
