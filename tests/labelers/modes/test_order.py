"""In every mode, the order of the principles in a file means nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from constitution.schema import Constitution, Principle
from core.records import Judgment
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from labelers.crowd.aggregate import aggregate
from tests.labelers.modes.cases import WAYS, comparison

PRINCIPLES = tuple(Principle(id=f"p{n}", text=f"The reply has merit {n}.", weight=1.0 + n) for n in range(6))


def write(request: GenerationRequest) -> str:
    number = int(hashlib.sha256(request.turns[-1].text.encode()).hexdigest()[:4], 16)
    return json.dumps({"reason": "It has some.", "grade": 1 + number % 5})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("principles", ["all", 3])
def test_permuted_principles_give_the_same_judgments_and_label(way: str, principles: object):
    found: list[tuple[dict[str, Judgment], float]] = []
    for order in (PRINCIPLES, PRINCIPLES[::-1], (*PRINCIPLES[3:], *PRINCIPLES[:3])):
        document = Constitution(name="c", principles=order)
        config = LabelConfig.model_validate({**WAYS[way], "principles": principles})
        by = AILabeler(document, ScriptedEngine(answerer=write), config)
        judgments = asyncio.run(by.label(comparison()))
        assert len(judgments) == (6 if principles == "all" else 3)
        preference = aggregate(comparison(), judgments, document)
        assert not isinstance(preference, str)
        found.append(({one.id: one for one in judgments}, preference.p_chosen))
    assert all(judgments == found[0][0] for judgments, _ in found)
    assert all(p == pytest.approx(found[0][1], abs=1e-12) for _, p in found)
