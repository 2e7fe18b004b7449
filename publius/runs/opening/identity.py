"""The identity of a run: constitution, configuration, templates, prompts and models. It names the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from constitution.schema import Constitution
from core.digests import digest
from core.settings import identity_of
from core.store.files import is_there
from engines.config import ModelConfig
from labelers.config import further_templates
from prompts.user_templates import user_templates
from publius.config.run_file import RunConfig
from publius.runs.inputs import correction_digest, decisive_settings
from publius.runs.judgment_folder import annotations_digest
from publius.sources.prompts import digest_of

_JUDGE = "judge"
"""Role whose model is no part of a run's identity."""


@dataclass(frozen=True)
class RunIdentity:
    """Everything that identifies a run, as separate parts so an error can name the part that differs."""

    constitution: str
    configuration: Mapping[str, Any]
    prompts: str
    templates: str
    models: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Digest of all parts."""
        return digest(vars(self))


def identify(config: RunConfig, constitution: Constitution, models: Mapping[str, str]) -> RunIdentity:
    """Return the identity of a run; `models` maps each role to a digest of its model.

    The judge and the section `eval` are no part of it: only the evaluation reads them.
    """
    settings = decisive_settings(config)
    settings["label"]["humans"] = [annotations_digest(folder) for folder in config.label.humans]
    if config.label.correction is not None:
        settings["label"]["correction"] = correction_digest(config.label.correction)
    return RunIdentity(
        constitution.digest,
        settings,
        digest_of(config.prompts),
        templates_digest(config),
        {role: model for role, model in sorted(models.items()) if role != _JUDGE},
    )


def place_of(
    project: Path, config: RunConfig, constitution: Constitution, models: Mapping[str, str]
) -> RunPlace:
    """Return the folder of a run and its identity there: that of an older version, if it made the folder.

    Args:
        project: the folder that holds `runs/`.
        config: the run configuration, with absolute paths.
        constitution: the run's constitution.
        models: a digest of each role's model.
    """
    places = [
        RunPlace(project / "runs" / f"{config.name}-{one.digest[:8]}", one)
        for one in identities_of(config, constitution, models)
    ]
    return next((place for place in places if is_there(place.folder)), places[-1])


def identities_of(
    config: RunConfig, constitution: Constitution, models: Mapping[str, str]
) -> tuple[RunIdentity, RunIdentity]:
    """Return the identity that older versions gave a run, with the judge and `eval`, and today's."""
    today = identify(config, constitution, models)
    older = replace(
        today,
        configuration={**today.configuration, "eval": identity_of(config.eval)},
        templates=templates_digest(config, judged=True),
        models=dict(sorted(models.items())),
    )
    return older, today


def templates_digest(config: RunConfig, *, judged: bool = False) -> str:
    """Return a digest of the templates that a run uses; typed questions and some modes have their own.

    Args:
        config: the run configuration.
        judged: True for the templates of the evaluation's judge, too, as in the identity of older runs.
    """
    models = [config.models.labeler, *([config.models.judge] if judged else [])]
    engines = [config.engine.for_model(model) for model in models if isinstance(model, ModelConfig)]
    templates = user_templates(config.templates)
    typed = sorted({engine.dialect != "chat" for engine in engines}) or [False]
    further = [templates.decisions.digest] if any(typed) else []
    names = {name for one in typed for name in further_templates(config.label, typed=one)}
    if names:
        further.append(templates.judging.digest_of(*sorted(names)))
    return digest(templates.digest, *further) if further else templates.digest


class RunPlace(NamedTuple):
    """A run folder, which need not exist, and the identity of the run in it."""

    folder: Path
    identity: RunIdentity
