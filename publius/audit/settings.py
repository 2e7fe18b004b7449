"""What to audit: the labeler of a run file, or a model under a constitution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.loader import preset_names
from core.errors import ConfigError
from core.store.files import is_there
from core.text.yaml_file import read_yaml
from engines.config import ModelConfig
from engines.embedded import EMBEDDED_NAME
from engines.reward.folder import reward_folder
from labelers.config import LabelMode
from labelers.crowd.methods import Aggregation
from publius.config.run_file import RunConfig, build_run_config, load_run_config
from publius.runs.one_model import engine_settings, project_of
from publius.runs.project import DEFAULT_PRESET

_RUN_FILE = Path("run.yaml")
_NO_PROMPTS = "prompts.jsonl"
"""A run file must name its prompts; an audit reads none."""


@dataclass(frozen=True)
class AuditRequest:
    """A labeler to audit, and on what."""

    source: str | None = None
    """A run file, a constitution or the name of a preset; None for `run.yaml`, or the default preset."""
    gold: Sequence[str] = ()
    """Files or folders of gold labels; if empty, pairs that need none are judged."""
    aggregation: Aggregation | None = None
    """How people's votes on a gold comparison are put together; None for `label.aggregation`."""
    rows: int | None = None
    """Most gold comparisons to judge; None for all."""
    to: Path | None = None
    """Folder of the certificate; None for one in `audits/` of the project."""
    model: str | None = None
    """The labeler, in place of the run file's; the embedded model for a constitution if None."""
    engine: str | None = None
    """Engine of `model`: a kind, or the address of a server."""
    overrides: Sequence[str] = ()
    """Settings that override those of the run file, as `--set` gives them."""
    compare: bool = True
    """Compare the labeler with the other ways of asking it."""
    modes: Sequence[LabelMode] = ()
    """Modes to compare; if empty, `choice` and `pointwise`."""
    templates: Sequence[Path] = ()
    """Folders of templates to compare with those of the run file."""
    min_accuracy: float | None = None
    injections: bool = False
    """Measure how far injections in replies move the labels."""
    injections_from: Path | None = None
    """A file of further injections to measure."""


@dataclass(frozen=True)
class AuditSettings:
    """The configuration of the labeler, and the folder of its request cache and audits."""

    config: RunConfig
    project: Path


def audit_settings(request: AuditRequest) -> AuditSettings:
    """Return the configuration to audit.

    Raises:
        ConfigError: if the run file, the constitution or an override is invalid.
    """
    source = request.source
    if source is None:
        source = str(_RUN_FILE) if is_there(_RUN_FILE) else DEFAULT_PRESET
    if _is_run_file(source):
        return AuditSettings(_of_run(Path(source), request), Path(source).resolve().parent)
    return AuditSettings(_of_constitution(source, request), project_of(source))


def _is_run_file(source: str) -> bool:
    """Return True if a file has the models of a run; anything else is a constitution."""
    if source in preset_names() and not is_there(Path(source)):
        return False
    value = read_yaml(Path(source)).value
    return isinstance(value, dict) and "models" in value


def _of_run(path: Path, request: AuditRequest) -> RunConfig:
    overrides = list(request.overrides)
    if request.engine is not None:
        raise ConfigError(
            "--engine is for a constitution; a run file names its engine",
            where="--engine",
            accepted="--set engine.kind=..., or --set models.labeler=...",
        )
    if request.model is not None:
        overrides.append(f"models.labeler={request.model}")
    return load_run_config(path, overrides, trains=False)


def _of_constitution(constitution: str, request: AuditRequest) -> RunConfig:
    model: dict[str, Any] = {"id": request.model or EMBEDDED_NAME}
    if reward_folder(ModelConfig(id=model["id"])) is None:
        # A labeler that thinks first cannot be asked for a letter. A reward model is asked for none.
        model["chat_template_kwargs"] = {"enable_thinking": False}
    settings: dict[str, Any] = {
        "name": "audit",
        "constitution": constitution,
        "prompts": _NO_PROMPTS,
        "models": {"policy": model},
    }
    if request.model == "scripted":
        settings["engine"] = {"kind": "scripted"}
    elif request.engine is not None:
        settings["engine"] = engine_settings(request.engine).model_dump(mode="json", exclude_unset=True)
    return build_run_config(settings, request.overrides)
