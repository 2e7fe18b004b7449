"""Conflicts between principles: two questions per pair, and no effect of a position bias."""

from __future__ import annotations

import asyncio
import math

import pytest

from constitution.schema import Constitution
from core.errors import RequestError
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from labelers.conflict import CONFLICT_TEMPLATE, ConflictJudge, judged_pairs, nearest_pairs
from labelers.questions import LETTERS
from prompts.environment import PromptTemplates

CONSTITUTION = Constitution.model_validate(
    {
        "name": "x",
        "principles": [
            {"id": "brief", "text": "The reply is brief."},
            {"id": "full", "text": "The reply tells every detail."},
            {"id": "counted", "text": "At most 9 words.", "check": {"kind": "max_words", "value": 9}},
            {"id": "here", "text": "The reply is warm.", "applies_to": {"tags": ["a"]}},
            {"id": "there", "text": "The reply is cool.", "applies_to": {"tags": ["b"]}},
        ],
    }
)


def believing(log_odds: float, liking: float, mass: float = 1.0) -> ScriptedEngine:
    """An engine with these log-odds for a conflict, and a bias towards the letter A, both in nats."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        text = request.turns[0].text
        conflict_first = text.index("They conflict") < text.index("They agree")
        odds = liking + (log_odds if conflict_first else -log_odds)
        p = 1 / (1 + math.exp(-odds))
        return math.log(mass * p), math.log(mass * (1 - p))

    return ScriptedEngine(chooser=choose)


def judge(engine: ScriptedEngine) -> float | None:
    return asyncio.run(
        ConflictJudge(PromptTemplates(names=(CONFLICT_TEMPLATE,)), engine).judge(CONSTITUTION, 0, 1)
    ).p


@pytest.mark.parametrize("liking", [0.0, 4.0, -4.0])
def test_a_liking_for_a_letter_cancels(liking: float):
    assert judge(believing(1.5, liking)) == pytest.approx(1 / (1 + math.exp(-1.5)))


def test_principles_and_meanings_of_the_letters_change_places():
    engine = believing(1.0, 0.0)
    judge(engine)
    first, second = (request.turns[0].text for request in engine.history)
    assert "Principle 1: The reply is brief." in first
    assert "Principle 1: The reply tells every detail." in second
    assert "A: They conflict" in first
    assert "B: They conflict" in second
    assert all(request.choices == LETTERS for request in engine.history)


def test_a_model_that_names_no_letter_is_unparsed():
    assert judge(believing(3.0, 0.0, mass=0.3)) is None


def test_principles_that_are_too_long_for_the_model_are_unparsed():
    def refuse(request: ChoiceRequest) -> tuple[float, ...]:
        raise RequestError("too long")

    assert judge(ScriptedEngine(chooser=refuse)) is None


def test_pairs_are_of_judged_principles_that_meet():
    assert judged_pairs(CONSTITUTION) == [(0, 1), (0, 3), (0, 4), (1, 3), (1, 4)]


def test_the_nearest_pairs_share_most_words():
    pairs = judged_pairs(CONSTITUTION)
    assert nearest_pairs(CONSTITUTION, pairs, 2) == [(0, 3), (0, 4)]  # three of five words each
    assert len(nearest_pairs(CONSTITUTION, pairs, 100)) == len(pairs)
