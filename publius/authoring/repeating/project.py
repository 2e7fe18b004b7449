"""`publius export RUN --project`: what somebody needs to repeat a run, in one folder with relative paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from constitution.checks.kinds import PythonCheck
from constitution.loader import load_constitution
from core.digests import file_digest
from core.errors import ConfigError, DataError, RunStateError, shell_command
from core.store.files import whole_folder, write_atomic
from core.text.documents import code_span, document_template, escaped
from core.text.yaml_writing import yaml_text
from publius.authoring.repeating.carried import CarriedInputs, InputCarrier
from publius.authoring.repeating.evidence import carry_evidence
from publius.config.run_file import RunConfig, load_run_config
from publius.config.stand_ins import stand_in_settings, stand_ins_described
from publius.models.hub.leaks import found_leaks
from publius.models.hub.shared_base import is_local
from publius.runs.inputs import CONSTITUTION, RESOLVED
from publius.runs.manifest import read_manifest
from publius.runs.opening.identity import identities_of
from publius.runs.opening.rules import has_new_rules
from publius.runs.pairs.caveats import scripted_roles
from publius.runs.parts.trained import trained_adapter
from publius.stages.base import STAGES
from publius.stages.runner import planned_stages
from training.methods import METHODS

RUN_FILE, README = "run.yaml", "README.md"
_OF_THE_MACHINE = ("scale",)
"""Sections about the machines of the run, which change no record."""
_ABSOLUTE = re.compile(r"(?:/|[A-Za-z]:[\\/]|~/)[\w.-]+")


@dataclass(frozen=True)
class RepeatableProject:
    """The written project."""

    folder: str
    run: str
    """Name of the run folder that the commands make."""
    commands: list[str]
    files: list[str]
    missing: list[str]
    """Inputs that are not in it: where they go, and what they are."""
    prompts: str = ""
    """Place of the prompts in it; empty if they are not."""
    unused_columns: list[str] = field(default_factory=list)
    """Columns of the prompts that are copied with them and that no record of the run depends on."""
    rehearsed: list[str] = field(default_factory=list)
    """Roles that the scripted engine played: the run is a rehearsal with made-up texts."""
    rehearsed_by: list[str] = field(default_factory=list)
    """Settings of the run file to change, to make the run with models."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return asdict(self)


def export_project(run: Path, to: Path) -> RepeatableProject:
    """Write a project that makes a run again, with its id and, with the same engine, its records.

    Args:
        run: a run folder.
        to: a new or empty folder.

    Raises:
        RunStateError: `run` is no run folder, or one of pairs of the user's own; or the target is not empty.
        ConfigError: a check of the constitution runs code of the user's own.
        DataError: an input is gone or was changed, or a file has a key or a path of this machine.
    """
    manifest = read_manifest(run)
    played = manifest["identity"]["models"]
    if "policy" not in played:
        raise RunStateError(
            "a run on pairs of your own is no project; send the pairs, the constitution and the command",
            where=str(run),
            accepted="a run of a run file",
        )
    config = load_run_config(run / RESOLVED)
    _refuse_code(run)
    with whole_folder(to) as target:
        settings = _settings(config)
        inputs = InputCarrier(run, config, target, played).carry(settings)
        rehearsed = scripted_roles(run, manifest)
        by = stand_in_settings(config) if rehearsed else ()
        write_atomic(target / RUN_FILE, _rehearsal_head(by) + _HEAD + yaml_text(inputs.settings))
        _require_same_run(target, run, config, manifest, inputs)
        found = RepeatableProject(
            str(to),
            _name(config, manifest),
            commands=list(_commands(run, config, manifest)),
            files=[],
            missing=[f"{place}: {what}" for place, what in inputs.missing],
            prompts=_copied_prompts(inputs),
            unused_columns=_unused_columns(manifest) if _copied_prompts(inputs) else [],
            rehearsed=list(rehearsed),
            rehearsed_by=list(by),
        )
        carry_evidence(run, target, found.run, manifest)
        write_atomic(target / README, _readme(run, target, manifest, inputs, found))
        files = {str(p.relative_to(target)): p for p in sorted(target.rglob("*")) if p.is_file()}
        _require_no_paths(inputs.settings)
        own = {name: path for name, path in files.items() if not name.startswith("data/")}
        _require_no_leaks(own, run.resolve().parent.parent)
    return replace(found, files=list(files))


_HEAD = "# A run to repeat: README.md has the commands, and the id that must come out.\n"


def _rehearsal_head(settings: Sequence[str]) -> str:
    """Return the line of a run file of a rehearsal; empty for other runs."""
    if not settings:
        return ""
    what = f"# A REHEARSAL with made-up texts, by {', '.join(settings)}: scripted."
    return f"{what} README.md says what to change.\n"


def _copied_prompts(inputs: CarriedInputs) -> str:
    """Return the place of the prompts in the project; empty if they are on the Hub or too large."""
    place = str(inputs.settings["prompts"]["path"])
    copied = place.startswith("data/") and place not in (missing for missing, _ in inputs.missing)
    return place if copied else ""


def _unused_columns(manifest: Mapping[str, Any]) -> list[str]:
    """Return the columns of the prompts that are not read: those carried to the export, and the others."""
    prompts = manifest["prompts"]
    return list(dict.fromkeys([*prompts["carried"], *prompts["ignored"]]))


def _settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that differ from the defaults, or all of them where that would not be the same."""
    everything = config.model_dump(mode="json", by_alias=True)
    changed = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    needed = {"name": config.name, "seed": config.seed, "constitution": "", "prompts": {}, "models": {}}
    short = {**needed, **changed}
    is_same = config.recipe is None and RunConfig.model_validate(short) == config
    found = short if is_same else everything
    return {name: value for name, value in found.items() if name not in _OF_THE_MACHINE}


def _refuse_code(run: Path) -> None:
    text = (run / CONSTITUTION).read_text(encoding="utf-8")
    if "kind: python" not in text:
        return
    for principle in load_constitution(run / CONSTITUTION).principles:
        if isinstance(principle.check, PythonCheck):
            raise ConfigError(
                f"the check of {principle.id} runs code of yours, which is not carried",
                where=str(run / CONSTITUTION),
                accepted="a constitution without checks of the kind python; send the project folder itself",
            )


def _require_same_run(
    target: Path, run: Path, config: RunConfig, manifest: Mapping[str, Any], inputs: CarriedInputs
) -> None:
    """Raise DataError if the project would make another run, naming the part that differs."""
    if any(place.startswith("data/") for place, _ in inputs.missing):
        return  # the digest of a file that is not here is in the README
    again = load_run_config(target / RUN_FILE)
    constitution = load_constitution(again.constitution)
    found = identities_of(again, constitution, manifest["identity"]["models"])
    if any(one.digest == manifest["digest"] for one in found):
        return
    recorded, today = manifest["identity"], vars(found[-1])
    parts = [part for part in today if recorded.get(part) != today[part]]
    if "configuration" in parts:
        before, now = recorded["configuration"], today["configuration"]
        keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        parts[parts.index("configuration")] = f"configuration ({', '.join(keys)})"
    raise DataError(
        f"what the run was made with has changed since, so it would be another run: {', '.join(parts)}",
        where=str(config.prompts.path if parts == ["prompts"] else run),
        accepted="the files as they were when the run was made; rewards in files are named by their path",
        run=shell_command("publius", "run", manifest.get("run_file") or "RUN.yaml")
        + ", then export that run",
    )


def _commands(run: Path, config: RunConfig, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the commands that do the stages of the run: all at once, then those that the run file has not."""
    trained = {name for name in METHODS if trained_adapter(run, name) and not (run / name).is_symlink()}
    done = [stage for stage in STAGES if stage in manifest["stages"] or stage in trained]
    planned = planned_stages(config)
    is_whole = set(planned) <= set(done)
    if is_whole:
        yield shell_command("publius", "run", RUN_FILE)
    for stage in (stage for stage in done if not is_whole or stage not in planned):
        if stage in METHODS:
            yield shell_command("publius", "train", stage, RUN_FILE)
        elif stage == "eval":
            yield shell_command("publius", "eval", RUN_FILE)
        else:
            yield shell_command("publius", "run", RUN_FILE, "--only", stage)


def _readme(
    run: Path,
    target: Path,
    manifest: Mapping[str, Any],
    inputs: CarriedInputs,
    project: RepeatableProject,
) -> str:
    held = sorted(path for path in target.rglob("*") if path.is_file())
    links = [name for name in METHODS if (run / name).is_symlink()]
    older = not has_new_rules(manifest, inputs.settings.get("critique", {}).get("principles", "random"))
    return document_template("publius", "repeat.md.j2").render(
        name=escaped(manifest["name"]),
        run=code_span(run.name),
        digest=manifest["digest"],
        identity=[(part, manifest["identity"][part]) for part in ("constitution", "prompts", "templates")],
        models=[
            (role, _played_by(code_span(Path(name).name if is_local(name, run) else name), role, project))
            for role, name in manifest["models"].items()
        ],
        seed=manifest["seed"],
        python=escaped(manifest.get("python") or "not recorded"),
        versions=[(escaped(name), escaped(version)) for name, version in manifest["versions"].items()],
        commands=project.commands,
        rehearsed=stand_ins_described(project.rehearsed) if project.rehearsed else "",
        rehearsed_by=list(map(code_span, project.rehearsed_by)),
        files=[(code_span(str(path.relative_to(target))), file_digest(path)) for path in held],
        missing=[(code_span(place), what) for place, what in inputs.missing],
        links=links,
        older=older,
        prompts=code_span(project.prompts),
        unused=list(map(code_span, project.unused_columns)),
        people=bool(manifest.get("people", {}).get("judgments")),
    )


def _played_by(model: str, role: str, project: RepeatableProject) -> str:
    return f"the scripted engine, in place of {model}" if role in project.rehearsed else model


def _name(config: RunConfig, manifest: Mapping[str, Any]) -> str:
    return f"{config.name}-{manifest['digest'][:8]}"


def _require_no_leaks(files: Mapping[str, Path], project: Path) -> None:
    """Raise DataError at the first key or path of this machine in the files that are not the user's data."""
    for leak in found_leaks(files, [project]):
        raise DataError(
            f"the file would have {leak.what}; nothing was written",
            where=leak.place,
            accepted="settings, constitution and templates without keys and paths of this machine",
        )


def _require_no_paths(settings: Any, place: str = "") -> None:
    """Raise DataError if a setting is an absolute path."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            _require_no_paths(str(key))
            _require_no_paths(value, f"{place}.{key}".strip("."))
    elif isinstance(settings, list):
        for value in settings:
            _require_no_paths(value, place)
    elif isinstance(settings, str) and _ABSOLUTE.match(settings):
        raise DataError(
            f"the setting is a path of this machine: {settings}",
            where=place or settings,
            accepted="a name or a relative path; set it again in the run file, and export the run of it",
        )
