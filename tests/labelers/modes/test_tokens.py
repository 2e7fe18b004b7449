"""Modes that read one token: symmetric and rating. Choice and pointwise are in tests/labelers/test_ai.py."""

from __future__ import annotations

import asyncio
import math

import pytest

from constitution.schema import Example
from core.chat import Untrusted
from core.errors import ConfigError, EngineError
from engines.hf.engine import TransformersEngine
from engines.protocols import ChoiceRequest
from engines.scripted import Chooser, ScriptedEngine
from labelers.ai import AILabeler, require_labeler
from labelers.config import LabelConfig
from labelers.modes.tokens import expected_rating
from prompts.environment import PromptTemplates
from tests.labelers.modes.cases import (
    BAD,
    CONSTITUTION,
    GOOD,
    HONEST,
    KIND,
    comparison,
    judge,
    labeler,
    shown,
    sigmoid,
)


def side_by_side(true: float, liking: float, mass: float = 0.98) -> Chooser:
    """A judge with log-odds `true` for GOOD plus a liking of `liking` nats for the letter A."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        assert request.branches is not None
        found: list[float] = []
        for naming, letters in zip(request.branches.namings, ("AB", "BA"), strict=True):
            texts = ["".join(p.text if isinstance(p, Untrusted) else p for p in branch) for branch in naming]
            assert all(f"Reply {letter}." in text for letter, text in zip(letters, texts, strict=True))
            named_a = texts[letters.index("A")]
            log_odds = (true if GOOD in named_a else -true) + liking
            found += [math.log(mass * sigmoid(log_odds)), math.log(mass * sigmoid(-log_odds))]
        return tuple(found)

    return choose


@pytest.mark.parametrize("liking", [-4.0, 0.0, 3.0])
@pytest.mark.parametrize("true", [-2.0, 0.0, 0.7])
def test_symmetric_is_the_mean_of_both_namings_and_a_liking_for_a_letter_cancels(true: float, liking: float):
    by = labeler(side_by_side(true, liking), mode="symmetric")
    judgment = judge(comparison(), by)
    assert judgment.p_a == pytest.approx(sigmoid(true))
    assert judgment.orders is not None
    assert judgment.orders.a_first == pytest.approx(true + liking)
    assert judgment.orders.b_first == pytest.approx(true - liking)
    assert judge(comparison(BAD, GOOD), by).p_a == pytest.approx(1 - sigmoid(true))
    assert judgment.answer_mass == pytest.approx(0.98)
    assert len(by.engine.history) == 2  # one request for each comparison


def test_symmetric_is_unparsed_if_one_naming_has_little_mass():
    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        return (math.log(0.6), math.log(0.3), math.log(0.2), math.log(0.1))

    judgment = judge(comparison(), labeler(choose, mode="symmetric"))
    assert (judgment.verdict, judgment.problem) == ("unparsed", "low_mass")
    assert judgment.answer_mass == pytest.approx(0.3)


def test_symmetric_shows_both_replies_the_same_way_and_examples_in_both_letters():
    kind = KIND.model_copy(
        update={"examples": (Example(prompt="Hi", good="Hello!", bad="What?", use="few_shot"),)}
    )
    (request,) = labeler(mode="symmetric").requests(comparison(), kind)
    assert isinstance(request, ChoiceRequest)
    assert request.branches is not None
    first, second = request.branches.namings
    assert [shown_in(branch) for branch in first] == [shown_in(branch) for branch in second] == [GOOD, BAD]
    assert [turn.role for turn in request.turns] == ["user", "assistant", "user"]
    assert request.turns[1].text in ("The better reply is Reply A", "The better reply is Reply B")
    example = request.turns[0].text
    better = request.turns[1].text[-1]
    assert example.index("Hello!") < example.index(f"Reply {better}.")


def shown_in(branch: tuple[object, ...]) -> str:
    return next(piece.text for piece in branch if hasattr(piece, "text"))


def test_symmetric_gives_a_hundred_swapped_pairs_the_same_probability_in_one_prefill(
    tiny_engine: TransformersEngine,
):
    config = LabelConfig(mode="symmetric", min_answer_mass=0.0)
    by = AILabeler(CONSTITUTION, tiny_engine, config)
    require_labeler(tiny_engine, by.templates, config)
    pairs = [(f"Ask {n} " * (1 + n % 7), f"Take {n * n} of them. " * (1 + n % 5)) for n in range(100)]

    async def both() -> list[float]:
        ab = [by.judge(comparison(a, b), KIND) for a, b in pairs]
        ba = [by.judge(comparison(b, a), KIND) for a, b in pairs]
        judged = await asyncio.gather(*ab, *ba)
        return [one.p_a or 0.0 for one in judged]

    found = asyncio.run(both())
    sums = [one + other for one, other in zip(found[:100], found[100:], strict=True)]
    assert max(abs(total - 1) for total in sums) <= 1e-6
    # A judge that says one half to everything would pass too.
    assert max(abs(p - 0.5) for p in found) > 1e-3

    before = tiny_engine.computed_tokens
    (request,) = by.requests(comparison(*pairs[0]), HONEST)
    asyncio.run(by.judge(comparison(*pairs[0]), HONEST))
    assert tiny_engine.computed_tokens - before == tiny_engine.prompt_tokens(request)


def test_an_engine_without_branches_is_refused_before_the_first_request():
    class Served(ScriptedEngine):
        forms = frozenset()

    with pytest.raises(EngineError, match=r"side by side.*transformers"):
        require_labeler(Served(), PromptTemplates(), LabelConfig(mode="symmetric"))
    require_labeler(Served(), PromptTemplates(), LabelConfig(mode="rating"))


@pytest.mark.parametrize("mode", ["symmetric", "rating"])
def test_a_decision_endpoint_is_refused_in_modes_that_have_no_typed_question(mode: str):
    class Typed(ScriptedEngine):
        takes_questions = True

    with pytest.raises(ConfigError, match=rf"label\.mode is {mode}"):
        require_labeler(Typed(), PromptTemplates(), LabelConfig.model_validate({"mode": mode}))


def rated(probabilities: dict[str, tuple[float, ...]]) -> Chooser:
    """A judge that gives each reply the probabilities of its ratings."""
    return lambda request: tuple(map(math.log, probabilities[shown(request)[-1]]))


SPREAD = {GOOD: (0.05, 0.05, 0.1, 0.3, 0.4), BAD: (0.3, 0.3, 0.2, 0.05, 0.05)}


def test_rating_is_the_difference_of_expected_values_in_nats_for_each_point():
    # (0.05 + 0.1 + 0.3 + 1.2 + 2.0) / 0.9 and (0.3 + 0.6 + 0.6 + 0.2 + 0.25) / 0.9
    good, bad = 3.65 / 0.9, 1.95 / 0.9
    judgment = judge(comparison(), labeler(rated(SPREAD), mode="rating"))
    assert judgment.margin == pytest.approx(good - bad)
    assert judgment.p_a == pytest.approx(sigmoid(good - bad))
    assert judgment.answer_mass == pytest.approx(0.9)
    half = judge(comparison(), labeler(rated(SPREAD), mode="rating", rating_scale=0.5))
    assert half.p_a == pytest.approx(sigmoid((good - bad) / 2))
    assert half.id != judgment.id


def test_swapped_ratings_swap_the_probability_and_equal_ones_are_a_tie():
    by = labeler(rated({**SPREAD, "x": SPREAD[GOOD], "y": SPREAD[GOOD]}), mode="rating")
    one, two = judge(comparison(), by), judge(comparison(BAD, GOOD), by)
    assert one.p_a + two.p_a == pytest.approx(1.0, abs=1e-12)
    assert judge(comparison("x", "y"), by).verdict == "tie"


def test_rating_asks_for_the_numbers_up_to_the_highest():
    by = labeler(lambda request: (math.log(0.3),) * 3, mode="rating", rating_points=3)
    (request, _) = by.requests(comparison(), KIND)
    assert isinstance(request, ChoiceRequest)
    assert request.choices == ("1", "2", "3")
    assert "from 1 (not at all) to 3 (completely)" in request.turns[-1].text


@pytest.mark.slow
def test_every_mode_with_tokens_can_be_asked_of_a_tokenizer_that_splits_digits(
    embedded_engine: TransformersEngine,
):
    # " 1" is two tokens of it, as of Llama 3's and Qwen's.
    with pytest.raises(EngineError, match="not a single token"):
        embedded_engine.require_choices("Rating:", (" 1", " 2"))
    for mode in ("choice", "pointwise", "symmetric", "rating", "reasoned"):
        require_labeler(embedded_engine, PromptTemplates(), LabelConfig.model_validate({"mode": mode}))


def test_rating_without_mass_on_the_numbers_is_unparsed():
    by = labeler(rated({**SPREAD, BAD: (0.1, 0.1, 0.1, 0.1, 0.01)}), mode="rating")
    judgment = judge(comparison(), by)
    assert (judgment.verdict, judgment.p_a, judgment.problem) == ("unparsed", None, "low_mass")


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [((0.0, -math.inf), 1.0), ((-math.inf, 0.0), 2.0), ((-900.0, -900.0, -900.0), 2.0)],
)
def test_expected_rating_does_not_underflow(logprobs: tuple[float, ...], expected: float):
    assert expected_rating(logprobs) == pytest.approx(expected)


def test_settings_of_another_mode_are_refused():
    with pytest.raises(ValueError, match=r"label\.rating_points is set, but label\.mode is not rating"):
        LabelConfig(rating_points=7)
