"""A constitution, two replies, and a labeler in a mode on a scripted judge."""

from __future__ import annotations

import asyncio
import math
from typing import get_args

from constitution.schema import Constitution, Principle
from core.chat import Untrusted
from core.records import Comparison, Judgment, Message, Prompt
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import Answerer, Chooser, ScriptedEngine, ramble
from labelers.ai import AILabeler
from labelers.config import LabelConfig, LabelMode

KIND = Principle(id="kind", text="The reply is kind.", antithesis="The reply is rude.")
HONEST = Principle(id="honest", text="The reply is honest.")
CONSTITUTION = Constitution(name="test", principles=(KIND, HONEST))
PROMPT = Prompt.of((Message(role="user", content="What is this pill?"),))
OFFERED = (" A", " B", " Yes", " No", *map(str, range(1, 10)))
"""Answers that modes offer as single tokens."""
WAYS: dict[str, dict[str, object]] = {
    **{mode: {"mode": mode} for mode in get_args(LabelMode)},
    "pointwise in both polarities": {"mode": "pointwise", "polarity": "both"},
}
"""All ways of asking, as settings of `label`."""
GOOD, BAD = "A pharmacist can tell.", "Just take it."


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def comparison(a: str = GOOD, b: str = BAD, prompt: Prompt = PROMPT, **fields: object) -> Comparison:
    """A comparison with the sides as given, whatever the hash would make of them."""
    return Comparison(
        id=f"{a}|{b}",
        prompt=prompt,
        response_a=a,
        response_b=b,
        origin_a="draft",
        origin_b="revision:1",
        **fields,
    )


def labeler(
    chooser: Chooser | None = None,
    answerer: Answerer = ramble,
    constitution: Constitution = CONSTITUTION,
    **config: object,
) -> AILabeler:
    engine = ScriptedEngine(answerer=answerer, **({"chooser": chooser} if chooser else {}))
    return AILabeler(constitution, engine, LabelConfig.model_validate(config))


def judge(one: Comparison, by: AILabeler, principle: Principle = KIND) -> Judgment:
    return asyncio.run(by.judge(one, principle))


def shown(request: ChoiceRequest | GenerationRequest) -> list[str]:
    """The untrusted texts of the last turn."""
    return [piece.text for piece in request.turns[-1].pieces if isinstance(piece, Untrusted)]
