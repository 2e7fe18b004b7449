"""All modes by name: how each is made, and what a judge must be able to do for it."""

from __future__ import annotations

from constitution.schema import Constitution
from core.chat import Turn
from core.errors import ConfigError
from engines.protocols import (
    Engine,
    GenerationRequest,
    compares_replies,
    has_own_question,
    require_form,
    takes_questions,
)
from labelers.config import LabelConfig, LabelMode, asks_both_polarities
from labelers.modes.asking import Asking, JudgeEngine, JudgingMode
from labelers.modes.contrastive import ContrastiveMode
from labelers.modes.rewarded import RewardedMode
from labelers.modes.tokens import ChoiceMode, PointwiseMode, RatingMode, SymmetricMode
from labelers.modes.written import VERDICT_PURPOSE, ReasonedMode, RubricMode
from labelers.questions import LETTERS, WORDS, Questions, numbers_to, questions_for
from prompts.environment import PromptTemplates

TYPED_MODES: tuple[LabelMode, ...] = ("choice", "pointwise")
"""Modes in which a decision endpoint can be asked."""
COMPARING_MODE: LabelMode = "choice"
"""The mode in which a reward model compares two replies."""


def mode_of(
    config: LabelConfig, engine: JudgeEngine, constitution: Constitution, templates: PromptTemplates
) -> JudgingMode:
    """Return the mode that the settings name; a reward model has one of its own."""
    asking = Asking(engine, config)
    if compares_replies(engine):
        return RewardedMode(asking)
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
        ConfigError: if the model may think before it answers, is asked typed questions, which the mode does
            not have, or is a reward model, which is asked none.
        EngineError: if a letter, word or number is not a single token of its tokenizer, or if the engine does
            not take the mode's form of requests or writes no text.
    """
    mode, judging = config.mode, templates.judging
    if compares_replies(engine):
        _require_comparing_mode(engine, mode)
        return
    if takes_questions(engine) and mode not in TYPED_MODES:
        raise ConfigError(
            f"label.mode is {mode}, which typed questions cannot ask",
            where=engine.model,
            accepted=f"label.mode: {' or '.join(TYPED_MODES)}, or dialect: chat",
        )
    if mode == "choice":
        engine.require_choices(templates.prefill("comparison"), LETTERS)
    elif mode == "pointwise":
        require_yes_or_no(engine, templates, config)
    elif mode == "symmetric":
        require_form(engine, "branches")
        engine.require_choices(judging.prefill("symmetric"), LETTERS)
    elif mode == "contrastive":
        require_form(engine, "answers")
    elif mode == "reasoned":
        engine.require_choices(judging.prefill("reasoned_verdict"), LETTERS)
    elif mode == "rating":
        engine.require_choices(judging.prefill("rating"), numbers_to(config.rating_points))
    elif mode == "rubric":
        # An engine that writes no text has no key for such a request, and says so.
        engine.key(GenerationRequest((Turn("user", ("",)),), config.verdict, 0, VERDICT_PURPOSE))


def require_yes_or_no(engine: Engine, templates: PromptTemplates, config: LabelConfig) -> None:
    """Raise an error if a model cannot answer Yes or No about a reply, in each polarity that is asked.

    Raises:
        ConfigError: if the model may think before it answers, or is a trained judge, which has one question.
        EngineError: if a word is not a single token of its tokenizer.
    """
    engine.require_choices(templates.prefill("pointwise"), WORDS)
    if not asks_both_polarities(config):
        return
    if has_own_question(engine):
        raise ConfigError(
            "label.polarity is both, but a trained judge answers only the question that it was trained with",
            where=engine.model,
            accepted="label.polarity: fulfils",
        )
    engine.require_choices(templates.judging.prefill("pointwise_breaks"), WORDS)


def _require_comparing_mode(engine: Engine, mode: LabelMode) -> None:
    """Raise ConfigError for a mode in which a reward model would have to read a principle."""
    if mode != COMPARING_MODE:
        raise ConfigError(
            f"label.mode is {mode}, but the labeler is a reward model, which compares two replies and "
            "reads no principle",
            where=engine.model,
            accepted=f"label.mode: {COMPARING_MODE}",
        )
