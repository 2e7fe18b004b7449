"""Trained judges in a run: the question that they answer, and the principles that they abstain on."""

from __future__ import annotations

from pathlib import Path

from constitution.gold.wordings import kind_in_words
from constitution.schema import Constitution
from core.errors import ConfigError
from core.notices import warn
from engines.judge.settings import LOWEST_ACCURACY, holds_judge, read_judge_settings
from prompts.environment import PromptTemplates


def require_templates_of_judge(folder: Path, templates: PromptTemplates) -> None:
    """Refuse another question than a trained judge was trained with; warn if it cannot tell replies apart.

    Args:
        folder: the labeler's model; nothing is done if it is no trained judge.
        templates: the templates of the run.

    Raises:
        ConfigError: if the template `pointwise` is another one.
    """
    if not holds_judge(folder):
        return
    require_template_of_training(folder, templates)
    settings = read_judge_settings(folder)
    pairs = settings.held_out.get("pairs") or settings.kinds.get("pairs")
    if pairs is None or pairs.accuracy < LOWEST_ACCURACY:
        known = "not measured" if pairs is None else f"{pairs.accuracy:.0%} right on other prompts"
        warn(f"{folder}: which of two replies the judge prefers is {known}; do not rely on its labels")


def require_template_of_training(folder: Path, templates: PromptTemplates) -> None:
    """Raise ConfigError if a folder holds a trained judge that was trained with another question."""
    if holds_judge(folder) and read_judge_settings(folder).templates != templates.digest_of("pointwise"):
        raise ConfigError(
            "the judge was trained with another template pointwise.j2",
            where=str(folder),
            accepted="the built-in pointwise.j2: remove yours from the templates folder",
        )


def judged_constitution(constitution: Constitution, labeler: Path) -> Constitution:
    """Return the constitution without the principles that a trained judge abstains on, with a warning.

    Args:
        constitution: the constitution of a run.
        labeler: the labeler's model; nothing is removed if it is no trained judge.
    """
    if not holds_judge(labeler):
        return constitution
    abstains = read_judge_settings(labeler).abstains
    asked = [principle for principle in constitution.principles if principle.check is None]
    weak = {principle.id: kind for principle in asked if (kind := kind_in_words(principle.text)) in abstains}
    if not weak:
        return constitution
    named = ", ".join(f"{name} ({kind})" for name, kind in weak.items())
    warn(f"{labeler}: the judge abstains on principles of kinds on which it is not reliable: {named}")
    kept = tuple(principle for principle in constitution.principles if principle.id not in weak)
    return constitution.model_copy(update={"principles": kept})
