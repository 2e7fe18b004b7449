"""`publius export RUN RUN --project`: several runs as one project, with a run file for each."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from core.digests import file_digest
from core.errors import DataError, PubliusError, shell_command
from core.store.files import whole_folder, write_atomic
from core.text.documents import code_span, document_template, escaped
from publius.authoring.repeating.project import README, RUN_FILE, RepeatableProject, export_project
from publius.config.run_file import load_run_config
from publius.config.stand_ins import stand_ins_described
from publius.runs.inputs import recorded_config
from publius.runs.manifest import read_manifest
from publius.runs.opening.identity import identities_of

_CONSTITUTION = "constitution.yaml"
_PLAIN = re.compile(r"[A-Za-z][\w-]*")
"""Names of files that are the same in YAML and on a command line."""
_OWN = frozenset({RUN_FILE, README, _CONSTITUTION})
"""Files of a project that each run has under a name of its own; the others are shared."""


@dataclass(frozen=True)
class RepeatableStudy:
    """The written project of several runs."""

    folder: str
    runs: list[str]
    """Names of the run folders that the commands make."""
    commands: list[str]
    compare: str
    """The command that writes the page about them; empty for one run."""
    files: list[str]
    missing: list[str]
    """Inputs that are not in it: where they go, and what they are."""
    rehearsed: list[str] = field(default_factory=list)
    """Those of the runs that are rehearsals: texts in them are made up by the scripted engine."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return asdict(self)


def export_study(runs: Sequence[Path], to: Path) -> RepeatableStudy:
    """Write one project that makes several runs again, each with its id.

    What runs have in common, such as the prompts, is in it once. The runs share its request cache.

    Args:
        runs: run folders.
        to: a new or empty folder.

    Raises:
        DataError: two runs have different inputs of the same name, such as two files of prompts.
        PubliusError: any other reason for which one of the runs cannot be exported.
    """
    with whole_folder(to) as target, tempfile.TemporaryDirectory(prefix="publius-") as scratch:
        parts: dict[str, tuple[Path, RepeatableProject]] = {}
        for run in runs:
            own = Path(scratch) / str(len(parts))
            found = export_project(run, own)
            parts.setdefault(found.run, (run, found))
            if parts[found.run][1] is found:
                _take(own, target, found.run, run, runs)
        rows, commands = [], []
        for name, (run, found) in parts.items():
            _require_same_id(target, name, run)
            own_commands = [one.replace(RUN_FILE, f"{name}.yaml") for one in found.commands]
            commands += own_commands
            rows.append(_row(run, name, own_commands, _constitution_in(target / f"{name}.yaml")))
        missing = list(dict.fromkeys(one for _, found in parts.values() for one in found.missing))
        compare = (
            ""
            if len(parts) < 2
            else shell_command(
                "publius",
                "report",
                *(Path("runs") / name for name in parts),
                *("--to", "compared.html", "--figures", "paper"),
            )
        )
        rehearsed = {name: found for name, (_, found) in parts.items() if found.rehearsed}
        write_atomic(target / README, _readme(target, rows, missing, rehearsed, compare))
        files = sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())
    return RepeatableStudy(str(to), list(parts), commands, compare, files, missing, list(rehearsed))


def _take(own: Path, target: Path, name: str, run: Path, runs: Sequence[Path]) -> None:
    """Put the project of one run into that of all."""
    for file in sorted(path for path in own.rglob("*") if path.is_file()):
        place = file.relative_to(own)
        if str(place) in _OWN:
            continue
        to = target / place
        if to.exists() and file_digest(to) != file_digest(file):
            loop = "; ".join(
                shell_command("publius", "export", run, "--project", "--to", Path("DIR") / run.name)
                for run in runs[:2]
            )
            raise DataError(
                f"the runs have different inputs of the same name: {place}",
                where=str(runs[0]),
                accepted="runs that differ in seed, constitution or settings, or a folder for each run",
                run=loop + ("; ..." if len(runs) > 2 else ""),
            )
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
    constitution = _constitution(own / _CONSTITUTION, target, _wished(run, name))
    text = (own / RUN_FILE).read_text(encoding="utf-8")
    text = re.sub(rf"(?m)^constitution: {re.escape(_CONSTITUTION)}$", f"constitution: {constitution}", text)
    write_atomic(target / f"{name}.yaml", text)


def _wished(run: Path, name: str) -> tuple[str, str]:
    """Return the names for a run's constitution: that of its file, unless others have it, then the run's."""
    with suppress(PubliusError):  # the settings are damaged
        file = recorded_config(run).constitution
        if _PLAIN.fullmatch(Path(file).stem):
            return f"{Path(file).stem}.yaml", f"{name}.yaml"
    return f"{name}.yaml", f"{name}.yaml"


def _constitution(file: Path, target: Path, wished: tuple[str, str]) -> str:
    """Copy a constitution unless another run has the same; return its place."""
    folder = target / "constitutions"
    folder.mkdir(exist_ok=True)
    known = [one for one in sorted(folder.iterdir()) if file_digest(one) == file_digest(file)]
    named = known or [folder / one for one in wished if not (folder / one).exists()]
    shutil.copyfile(file, named[0])
    return f"{folder.name}/{named[0].name}"


def _constitution_in(run_file: Path) -> str:
    """Return the place of the constitution that a run file of the project names."""
    return f"constitutions/{Path(load_run_config(run_file).constitution).name}"


def _require_same_id(target: Path, name: str, run: Path) -> None:
    """Raise DataError if a run file of the project would make another run than its own did."""
    manifest = read_manifest(run)
    config = load_run_config(target / f"{name}.yaml")
    if not config.prompts.path.exists():
        return  # too large to be copied; its digest is in the README
    found = identities_of(config, load_constitution(config.constitution), manifest["identity"]["models"])
    if not any(one.digest == manifest["digest"] for one in found):
        raise DataError(
            "in one folder with the others this would be another run",
            where=str(run),
            accepted="a folder for each run",
            run=shell_command("publius", "export", run, "--project", "--to", Path("DIR") / run.name),
        )


def _row(run: Path, name: str, commands: Sequence[str], file: str) -> dict[str, Any]:
    manifest = read_manifest(run)
    versions = ", ".join(f"{package} {version}" for package, version in manifest["versions"].items())
    return {
        "name": code_span(name),
        "digest": manifest["digest"],
        "seed": manifest["seed"],
        "constitution": manifest["identity"]["constitution"],
        "file": code_span(file),
        "versions": escaped(f"Python {manifest.get('python') or 'not recorded'}, {versions}"),
        "commands": commands,
    }


def _readme(
    target: Path,
    rows: Sequence[dict[str, Any]],
    missing: Sequence[str],
    rehearsed: Mapping[str, RepeatableProject],
    compare: str,
) -> str:
    held = sorted(path for path in target.rglob("*") if path.is_file())
    return document_template("publius", "repeat_study.md.j2").render(
        runs=rows,
        compare=compare,
        versions=list(dict.fromkeys(row["versions"] for row in rows)),
        missing=[escaped(one) for one in missing],
        rehearsed=[
            (code_span(f"{name}.yaml"), stand_ins_described(one.rehearsed), ", ".join(one.rehearsed_by))
            for name, one in rehearsed.items()
        ],
        files=[(code_span(str(path.relative_to(target))), file_digest(path)) for path in held],
    )
