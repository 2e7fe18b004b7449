"""What audits say about the labeler of a run: as the run recorded it, or found later beside the run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from constitution.schema import Constitution
from core.errors import PubliusError
from core.settings import identity_of
from core.store.files import is_there
from evaluation.judges.certificate import AUDITS, FoundAudit, LabelerIdentity, find_audit
from labelers.config import AGGREGATION_FIELDS, MODE_TEMPLATES, LabelConfig, further_templates
from prompts.environment import PromptTemplates
from prompts.user_templates import user_templates
from publius.runs.inputs import RESOLVED, recorded_config
from publius.runs.reader import readable_constitution

_SHOWN = 16
"""Characters of a digest that a sentence shows."""
_RUNS = "runs"
"""Folder of a project with its runs."""
_NOT_ASKED = AGGREGATION_FIELDS | {
    "mode",
    "principles",
    "order_average",
    "near_duplicate",
    "check_confidence",
}
"""Fields of `label` that do not change what the model is asked about two answers under a principle."""


def audit_of(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the newest audit of a run's labeler says, for cards and caveats; empty without one.

    The certificate may have been written after the run: it is looked for in `audits/` beside `runs/`. If none
    is there, what the run recorded counts.

    Args:
        folder: the run folder.
        manifest: its manifest.
    """
    found = None
    with suppress(PubliusError):  # an input of the run is damaged: what it recorded counts
        found = _found_beside(folder, manifest)
    return dict(manifest.get("audit") or {}) if found is None else found.summary()


def other_wording(manifest: Mapping[str, Any]) -> str:
    """Return a sentence if the labeler was audited under another constitution, or another wording of it.

    Args:
        manifest: the run's manifest, with what `audit_of` returns as its audit.
    """
    audited = str(
        (manifest.get("audit") or {}).get("constitution_digest", "")
    )  # older runs did not record it
    own = str(manifest.get("identity", {}).get("constitution", ""))
    if not audited or not own or audited == own:
        return ""
    return (
        f"The labeler was audited under another wording of the constitution (digest {audited[:_SHOWN]}, and "
        f"{own[:_SHOWN]} of this run): how often it is right under these rules was not measured."
    )


def audit_folder_of(folder: Path, manifest: Mapping[str, Any]) -> Path | None:
    """Return the folder of the newest audit of a run's labeler beside the run; None if there is none.

    Args:
        folder: the run folder.
        manifest: its manifest.
    """
    with suppress(PubliusError):
        found = _found_beside(folder, manifest)
        return None if found is None else Path(found.folder)
    return None


def _found_beside(folder: Path, manifest: Mapping[str, Any]) -> FoundAudit | None:
    runs, model = folder.resolve().parent, manifest["identity"].get("models", {}).get("labeler")
    project = runs.parent
    if (
        model is None
        or runs.name != _RUNS
        or not is_there(project / AUDITS)
        or not is_there(folder / RESOLVED)
    ):
        return None
    config, constitution = recorded_config(folder), readable_constitution(folder)
    if constitution is None or not judges_by_model(config.label, constitution):
        return None
    typed = config.engine.for_model(config.models.of("labeler")).dialect != "chat"
    templates = user_templates(config.templates)
    # A reward model is asked no question; a manifest says by no other sign that the labeler is one.
    possible = (
        labeler_of(model, "", config.label, templates, typed=typed, compares=compares)
        for compares in (False, True)
    )
    own = manifest["identity"].get("constitution", "")
    return next(filter(None, (find_audit(project, labeler.digest, own) for labeler in possible)), None)


def labeler_of(
    model_identity: str,
    name: str,
    label: LabelConfig,
    templates: PromptTemplates,
    *,
    typed: bool,
    compares: bool,
    templates_from: str = "built-in",
) -> LabelerIdentity:
    """Return the identity of a labeler: its model, the settings of its questions and their templates.

    Args:
        model_identity: digest of everything about the model that affects its answers.
        name: the model's name, which is no part of the labeler's digest.
        label: the settings of its questions.
        templates: templates of all questions.
        typed: True if it is asked typed questions.
        compares: True if it compares replies by itself and is asked no question.
        templates_from: where the templates come from.
    """
    if compares:
        used = ""
    elif typed:
        used = templates.decisions.digest
    elif label.mode in MODE_TEMPLATES:
        used = ""  # all of its templates are its own
    else:
        used = templates.digest_of("comparison" if label.mode == "choice" else "pointwise")
    further = further_templates(label, typed=typed)
    if further and not compares:
        used += templates.judging.digest_of(*further)
    return LabelerIdentity(
        model=name,
        model_identity=model_identity,
        mode=label.mode,
        settings={key: value for key, value in identity_of(label).items() if key not in _NOT_ASKED},
        templates=used,
        templates_from=templates_from,
    )


def judges_by_model(label: LabelConfig, constitution: Constitution) -> bool:
    """Return True if a model is asked for labels: `label.principles` and a steering one without a check."""
    return bool(label.principles) and any(principle.check is None for principle in constitution.steering)
