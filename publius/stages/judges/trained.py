"""Trained judges in a run: the question that they answer, and the principles that they abstain on."""

from __future__ import annotations

from pathlib import Path

from constitution.gold.wordings import kind_in_words
from constitution.schema import Constitution
from core.errors import ConfigError
from core.notices import warn
from engines.judge.settings import LOWEST_ACCURACY, JudgeSettings, holds_judge, read_judge_settings
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
    if not settings.shared:
        return  # each principle's own probe was measured on replies that fulfil it and on others that do not
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
    settings = read_judge_settings(labeler)
    asked = [principle for principle in constitution.principles if principle.check is None]
    kinds = {p.id: kind for p in asked if (kind := weak_kind(settings, p.text)) is not None}
    poor = {p.id: why for p in asked if (why := without_good_probe(settings, p.text)) is not None}
    for weak, what in (
        (kinds, "principles of kinds on which it is not reliable"),
        (poor, "principles that it has no good probe of"),
    ):
        if weak:
            named = ", ".join(f"{name} ({why})" for name, why in weak.items())
            warn(f"{labeler}: the judge abstains on {what}: {named}")
    if not (kinds or poor):
        return constitution
    kept = tuple(p for p in constitution.principles if p.id not in {*kinds, *poor})
    return constitution.model_copy(update={"principles": kept})


def weak_kind(settings: JudgeSettings, text: str) -> str | None:
    """Return the kind of check that a principle asks for if the shared probe abstains on it, else None."""
    if not settings.shared or settings.probe_of(text) is not None:
        return None
    kind = kind_in_words(text)
    return kind if kind in settings.abstains else None


def without_good_probe(settings: JudgeSettings, text: str) -> str | None:
    """Return why no probe judges by a principle, or None: its own is too often wrong, or there is none."""
    own = settings.probe_of(text)
    if own is not None:
        return f"{own.accuracy:.0%} right" if own.abstains else None
    return None if settings.shared else "not trained on it"


def why_abstains(settings: JudgeSettings, text: str) -> str | None:
    """Return on what a judge abstains, in words, if it does not judge by a principle; None if it does."""
    kind = weak_kind(settings, text)
    if kind is not None:
        return f"principles of the kind {kind}, on which it is not reliable"
    why = without_good_probe(settings, text)
    return None if why is None else f"this principle, which it has no good probe of ({why})"
