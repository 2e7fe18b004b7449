"""The labelers of an audit: one model asked in several modes and by several sets of templates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, EngineError
from engines.cached import CachedEngine
from engines.config import ModelConfig
from evaluation.judges.certificate import LabelerIdentity
from labelers.ai import require_labeler
from labelers.config import LabelConfig, LabelMode, in_mode
from prompts.environment import PromptTemplates
from prompts.user_templates import user_templates
from publius.audit.settings import AuditRequest
from publius.config.run_file import RunConfig
from publius.stages.judges.audits import labeler_identity
from publius.stages.judges.trained import require_template_of_training

DEFAULT_MODES: tuple[LabelMode, ...] = ("choice", "pointwise")
"""Modes that every audit compares: both read one token of an answer."""


@dataclass(frozen=True)
class LabelerCandidate:
    """A labeler to audit: the settings of its questions and their templates."""

    identity: LabelerIdentity
    config: LabelConfig
    templates: PromptTemplates


def labeler_candidates(
    request: AuditRequest, config: RunConfig, engine: CachedEngine
) -> tuple[LabelerCandidate, ...]:
    """Return the labeler that is configured, and then the others to compare it with.

    Raises:
        ConfigError: if a template is invalid.
    """
    found: dict[str, LabelerCandidate] = {}
    for candidate in _all(request, config, engine):
        found.setdefault(candidate.identity.digest, candidate)
    return tuple(found.values())


def _all(request: AuditRequest, config: RunConfig, engine: CachedEngine) -> Iterator[LabelerCandidate]:
    label = config.label
    modes = (label.mode, *(request.modes or DEFAULT_MODES)) if request.compare else (label.mode,)
    folders = (config.templates, *(request.templates if request.compare else ()))
    for folder in folders:
        templates = user_templates(folder)
        for mode in modes:
            changed = label if mode == label.mode else in_mode(label, mode)
            yield LabelerCandidate(
                labeler_identity(engine, changed, templates, _name_of(folder)), changed, templates
            )


def _name_of(folder: Path | None) -> str:
    return "built-in" if folder is None else folder.name


def refusal_of(engine: CachedEngine, candidate: LabelerCandidate, model: ModelConfig) -> str | None:
    """Return why a model cannot be asked in a candidate's way, or None."""
    try:
        require_labeler(engine, candidate.templates, candidate.config)
        require_template_of_training(Path(model.id), candidate.templates)
    except (ConfigError, EngineError) as error:
        return str(error)
    return None
