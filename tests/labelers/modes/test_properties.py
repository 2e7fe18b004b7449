"""In every mode, swapping the replies maps p to 1 - p, whatever the judge and its liking for a place."""

from __future__ import annotations

import hashlib
import json
import math

import pytest

from engines.hf.engine import TransformersEngine
from engines.protocols import ChoiceRequest, GenerationRequest
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from tests.labelers.modes.cases import CONSTITUTION, WAYS, comparison, judge, labeler

PAIRS = [(f"Ask {n}. " * (1 + n % 3), f"Take {n * n}, then sleep. " * (1 + n % 2)) for n in range(12)]


def merit(text: str) -> float:
    """A judge's own opinion of a text, in nats, between -2 and 2."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) / 2**22 - 2


def opinionated(request: ChoiceRequest) -> tuple[float, ...]:
    """A judge with an opinion of each text and of what it is beside, and a liking for the first choice."""
    if request.branches is not None:
        namings = [
            ["".join(map(text_of, branch)) for branch in naming] for naming in request.branches.namings
        ]
        by_letter = [{text[text.index("Reply ") + 6]: text for text in naming} for naming in namings]
        return tuple(value for one in by_letter for value in spread(merit(one["A"]) - merit(one["B"]) + 1.0))
    if request.answers:
        return tuple(merit(request.turns[0].text + answer.text) - 40.0 for answer in request.answers)
    if request.choices == (" A", " B"):
        asked = request.turns[0]  # the question itself, which the reasons follow
        first, second = [piece.text for piece in asked.pieces if hasattr(piece, "text")][-2:]
        return spread(merit(first) - merit(second) + 3.0 + 0.1 * merit(request.turns[-1].text))
    weights = [merit(request.turns[-1].text + choice) for choice in request.choices]
    total = math.log(math.fsum(map(math.exp, weights)))
    return tuple(weight - total for weight in weights)


def text_of(piece: object) -> str:
    return getattr(piece, "text", piece)


def spread(log_odds: float) -> tuple[float, float]:
    return -math.log1p(math.exp(-log_odds)), -math.log1p(math.exp(log_odds))


def write(request: GenerationRequest) -> str:
    grade = 1 + int(merit(request.turns[-1].text) + 2)
    return json.dumps({"reason": "It has some.", "grade": grade})


@pytest.mark.parametrize("way", WAYS)
def test_swapped_replies_swap_the_probability(way: str):
    clamp = {"reasoned_clamp": 1.0} if way == "reasoned" else {}  # clamped, there would be two labels
    by = labeler(opinionated, write, **WAYS[way], **clamp)
    found = [(judge(comparison(a, b), by), judge(comparison(b, a), by)) for a, b in PAIRS]
    sums = [(one.p_a or 0.0) + (other.p_a or 0.0) for one, other in found]
    assert sums == pytest.approx([1.0] * len(PAIRS), abs=1e-12)
    assert len({one.p_a for one, _ in found}) > 3  # a judge that says one half to everything would pass too


@pytest.mark.parametrize(
    "way", ["choice", "pointwise", "pointwise in both polarities", "rating", "contrastive"]
)
def test_a_real_model_swaps_too_up_to_rounding(way: str, tiny_engine: TransformersEngine):
    config = LabelConfig.model_validate({**WAYS[way], "min_answer_mass": 0.0})
    by = AILabeler(CONSTITUTION, tiny_engine, config)
    found = [(judge(comparison(a, b), by), judge(comparison(b, a), by)) for a, b in PAIRS]
    assert all(abs((one.p_a or 0.0) + (other.p_a or 0.0) - 1) < 1e-5 for one, other in found)
    assert max(abs((one.p_a or 0.0) - 0.5) for one, _ in found) > 1e-3
