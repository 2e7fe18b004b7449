"""All modes by name: how each is made, and what a judge must be able to do for it."""

from __future__ import annotations

from constitution.schema import Constitution
from core.errors import ConfigError
from engines.protocols import Engine, require_form, takes_questions
from labelers.config import LabelConfig, LabelMode
from labelers.modes.asking import Asking, JudgeEngine, JudgingMode
from labelers.modes.contrastive import ContrastiveMode
from labelers.modes.tokens import ChoiceMode, PointwiseMode, RatingMode, SymmetricMode
from labelers.modes.written import ReasonedMode, RubricMode
from labelers.questions import LETTERS, WORDS, Questions, numbers_to, questions_for
from prompts.environment import PromptTemplates

TYPED_MODES: tuple[LabelMode, ...] = ("choice", "pointwise")
"""Modes in which a decision endpoint can be asked."""


def mode_of(
    config: LabelConfig, engine: JudgeEngine, constitution: Constitution, templates: PromptTemplates
) -> JudgingMode:
    """Return the mode that the settings name."""
    asking = Asking(engine, config)
    typed = questions_for(engine, constitution, templates)
    if config.mode == "choice":
        return ChoiceMode(asking, typed)
    if config.mode == "pointwise":
        return PointwiseMode(asking, typed)
    questions = Questions(constitution, templates)
    if config.mode == "contrastive":
        return ContrastiveMode(asking, templates)
    if config.mode == "symmetric":
        return SymmetricMode(asking, questions)
    if config.mode == "reasoned":
        return ReasonedMode(asking, questions)
    return RubricMode(asking, questions) if config.mode == "rubric" else RatingMode(asking, questions)


def require_judge(engine: Engine, templates: PromptTemplates, config: LabelConfig) -> None:
    """Raise an error if a model cannot judge in the mode that the settings name.

    Call this before sending any request.

    Raises:
        ConfigError: if the model may think before it answers, or is asked typed questions, which the mode
            does not have.
        EngineError: if a letter, word or number is not a single token of its tokenizer, or if the engine does
            not take the mode's form of requests.
    """
    mode, judging = config.mode, templates.judging
    if takes_questions(engine) and mode not in TYPED_MODES:
        raise ConfigError(
            f"label.mode is {mode}, which typed questions cannot ask",
            where=engine.model,
            accepted=f"label.mode: {' or '.join(TYPED_MODES)}, or dialect: chat",
        )
    if mode == "choice":
        engine.require_choices(templates.prefill("comparison"), LETTERS)
    elif mode == "pointwise":
        engine.require_choices(templates.prefill("pointwise"), WORDS)
    elif mode == "symmetric":
        require_form(engine, "branches")
        engine.require_choices(judging.prefill("symmetric"), LETTERS)
    elif mode == "contrastive":
        require_form(engine, "answers")
    elif mode == "reasoned":
        engine.require_choices(judging.prefill("reasoned_verdict"), LETTERS)
    elif mode == "rating":
        engine.require_choices(judging.prefill("rating"), numbers_to(config.rating_points))
