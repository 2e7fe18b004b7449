"""What a user pushes: a run, a training, or a folder that `publius export` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import ConfigError, RunStateError, shell_command
from core.notices import counted, note, warn
from core.store.files import is_there
from engines.adapter import SETTINGS, read_settings
from engines.embedded import EMBEDDED_NAME
from engines.loading import holds_model
from engines.reward_settings import FILE as REWARD_SETTINGS
from engines.reward_settings import read_reward_settings
from publius.config.card_terms import NO_TERMS, CardTerms
from publius.config.stand_ins import stand_ins_described, stand_ins_on_card
from publius.models.export import ModelForm, export_model, find_training, methods_of, stand_ins_of
from publius.models.hub.repository import TYPE_NAMES, RepositoryType, require_repository_id
from publius.models.hub.shared_base import EMBEDDED_ON_HUB, is_local
from publius.models.provenance import card_content, trained_method
from publius.runs.dataset import export_run
from publius.runs.manifest import MANIFEST, read_manifest
from publius.runs.pairs.caveats import scripted_roles

CARD = "README.md"
_ACCEPTED = "a run folder, a folder of `publius train`, or a folder that `publius export` wrote"


@dataclass(frozen=True)
class PushSource:
    """What is pushed."""

    folder: Path
    type: RepositoryType
    method: str | None = None
    """Method of the model to export; None for a data set, and for a folder that is pushed as it is."""
    is_exported: bool = False
    """True if the files of the folder are pushed as they are."""


@dataclass(frozen=True)
class ModelOptions:
    """Options of the model that is pushed."""

    method: str | None = None
    merged: bool = False
    """True to merge the adapter into its base model."""
    base: str | None = None
    """Hugging Face id of the base model."""


def find_source(what: Path, kind: RepositoryType | None, model: ModelOptions) -> PushSource:
    """Return what a folder holds that can be pushed.

    Args:
        what: a run folder, a project with one run, a training folder, or an exported folder.
        kind: the type that the user asks for; None for what the folder holds, and for the data set of a run.
        model: which model of a run.

    Raises:
        ConfigError: if the folder holds nothing of this type, or options do not fit it.
        RunStateError: if there is nothing to push.
    """
    folder = _run_of_project(what)
    if is_there(folder / MANIFEST):
        source = _of_run(folder, kind, model.method)
    elif trained_method(folder) is not None:
        source = PushSource(folder, "model", model.method or trained_method(folder))
    else:
        source = PushSource(folder, _exported_type(folder), is_exported=True)
    if kind not in (None, source.type):
        raise ConfigError(f"{what} holds a {TYPE_NAMES[source.type]}", where="--type", accepted=source.type)
    if source.method is None and model != ModelOptions():
        raise ConfigError(
            f"--model, --merged and --base are for the model of a run or a training, and {what} is pushed as "
            f"{'it is' if source.is_exported else 'a data set'}",
            where=str(what),
            accepted="--type model with them"
            if not source.is_exported
            else "`publius export` with these options first",
        )
    return source


def _run_of_project(what: Path) -> Path:
    """Return the only run of a project, or the folder itself if it is no project."""
    if not is_there(what):
        raise RunStateError("no such folder", where=str(what), accepted=_ACCEPTED)
    if not what.is_dir():
        raise RunStateError("this is a file, not a folder", where=str(what), accepted=_ACCEPTED)
    runs = sorted(path.parent for path in what.glob(f"runs/*/{MANIFEST}"))
    if not runs or is_there(what / MANIFEST):
        return what
    if len(runs) > 1:
        raise RunStateError(
            f"the project has {counted(len(runs), 'run')}",
            where=str(what),
            accepted=", ".join(map(str, runs[:5])) + (", ..." if len(runs) > 5 else ""),
        )
    note(f"the run of the project: {runs[0]}")
    return runs[0]


def _of_run(run: Path, kind: RepositoryType | None, method: str | None) -> PushSource:
    """Return the data set of a run, or its model: the one of the method, or the only one."""
    if method is None and kind != "model":
        return PushSource(run, "dataset")
    trained = methods_of(run)
    if method is None and len(trained) != 1:
        raise RunStateError(
            f"the run has {counted(len(trained), 'trained model')}",
            where=str(run),
            accepted=" or ".join(f"--model {name}" for name in trained) or "a run that trains one",
        )
    return PushSource(run, "model", method or trained[0])


def _exported_type(folder: Path) -> RepositoryType:
    """Return the type of a folder that `publius export` wrote, or another program in the same form."""
    names = (SETTINGS, REWARD_SETTINGS)
    if holds_model(folder) or any((folder / name).is_file() for name in names) or any(folder.glob("*.gguf")):
        if not (folder / CARD).is_file():
            warn(f"{folder} has no card ({CARD})")
        return "model"
    if {"configs", "dataset_info"} & _front_matter(folder / CARD).keys():
        return "dataset"
    raise RunStateError(
        "nothing to push in this folder",
        where=str(folder),
        accepted=_ACCEPTED,
        run=shell_command("publius", "export", "RUN", "--to", "DIR"),
    )


def _front_matter(card: Path) -> dict[str, Any]:
    """Return the fields at the top of a card; empty if it has none."""
    try:
        text = card.read_text(encoding="utf-8")
        header = text.removeprefix("---\n").partition("\n---")[0] if text.startswith("---\n") else ""
        fields = yaml.safe_load(header)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return fields if isinstance(fields, dict) else {}


def require_models_texts(source: PushSource, *, force: bool) -> None:
    """Raise RunStateError if texts of a run, or of a folder by its card, are the scripted engine's.

    `force` pushes them: the card says whose they are.
    """
    if source.is_exported:
        what = stand_ins_on_card(_card_text(source.folder / CARD))
    else:
        roles = stand_ins_of(source.folder)
        if source.type == "dataset":  # answers of the user's own are no stand-ins
            roles = scripted_roles(source.folder, read_manifest(source.folder))
        what = stand_ins_described(roles) if roles else ""
    if what and not force:
        raise RunStateError(
            what,
            where=str(source.folder),
            accepted="a run with a model, or --force, which the card will say",
        )


def _card_text(card: Path) -> str:
    try:
        return card.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def write_content(
    source: PushSource, model: ModelOptions, to: Path, *, force: bool, terms: CardTerms = NO_TERMS
) -> None:
    """Write what is pushed to a new folder, as `publius export` does.

    Raises:
        ConfigError: if the base model is a folder of this machine, and no id is given for it.
        PubliusError: as `export_run` and `export_model`.
    """
    if source.method is None:
        export_run(source.folder, to, force=force, terms=terms)
        return
    if model.base is not None:
        require_repository_id(model.base, "--base")
    training = find_training(source.folder, source.method)
    form: ModelForm = "adapter" if training.has_adapter and not model.merged else "merged"
    if model.base is None:
        _require_public_base(training.folder, form)
    export_model(source.folder, source.method, to, form=form, base=model.base, force=force, terms=terms)


def _require_public_base(training: Path, form: ModelForm) -> None:
    """Raise ConfigError if nobody else could load the base model by the name that the card gives it."""
    content = card_content(training)
    names = [content.base_model] if content else []
    if form == "adapter":
        first = training / read_reward_settings(training).members[0]
        names.append(str(read_settings(first)["base_model_name_or_path"]))
    local = next((name for name in names if is_local(name, training)), None)
    if local is not None:
        embedded = EMBEDDED_NAME in local
        raise ConfigError(
            f"the base model is a folder of this machine ({local})",
            where=str(training),
            accepted=f"--base {EMBEDDED_ON_HUB if embedded else 'OWNER/NAME'}, its id on the Hub",
        )
