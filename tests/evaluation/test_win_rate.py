"""Win rates over base: who is asked, who wins without asking, and what has no say."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest

from constitution.checks.kinds import MaxWords
from constitution.schema import Constitution, Principle
from core.chat import Untrusted
from core.errors import RequestError
from core.records import Answer
from engines.protocols import ChoiceRequest, ChoiceScores
from engines.scripted import ScriptedEngine
from evaluation.win_rate import (
    NO_PRINCIPLE,
    UNPARSED,
    Win,
    judge_wins,
    skipped_wins,
    win_over_base,
    win_rate_series,
)
from labelers.ai import AILabeler
from tests.evaluation.answers import answer_of, answers_of

KIND = Principle(id="kind", text="The reply is kind.", weight=3.0)
CALM = Principle(id="calm", text="The reply is calm.")
CHECKED = Principle(id="short", text="Short.", check=MaxWords(kind="max_words", value=3))
MASS = 0.98
Odds = Callable[[str, str, str], float | None]
"""Log-odds for the reply in slot A, of question, reply A and reply B; None for no letter at all."""


class Judge(ScriptedEngine):
    """Answers by log-odds, and finds a reply that says LONG too long."""

    def __init__(self, odds: Odds) -> None:
        def choose(request: ChoiceRequest) -> tuple[float, ...]:
            pieces = request.turns[0].pieces
            a, b = [piece.text for piece in pieces if isinstance(piece, Untrusted)][-2:]
            log_odds = odds(request.turns[0].text, a, b)
            if log_odds is None:
                return math.log(0.01), math.log(0.01)
            return tuple(math.log(MASS) - math.log1p(math.exp(-x)) for x in (log_odds, -log_odds))

        super().__init__(chooser=choose)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        if "LONG" in request.turns[0].text:
            raise RequestError("the request is too long", detail="9 tokens")
        return await super().choose(request)


def prefers(word: str, strength: float = 2.0, liking: float = 0.0) -> Odds:
    """A judge that prefers the reply with a word in it, and likes slot A by so many nats."""
    return lambda question, a, b: strength * ((word in a) - (word in b)) + liking


def judge(odds: Odds, *principles: Principle) -> AILabeler:
    constitution = Constitution(name="test", principles=principles or (KIND,))
    return AILabeler(constitution, Judge(odds))


def win(ours: str, theirs: str, by: AILabeler) -> Win:
    return asyncio.run(win_over_base(answer_of("sft", "Why?", ours), answer_of("base", "Why?", theirs), by))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("liking", [0.0, 4.0, -1.5])
@pytest.mark.parametrize(("ours", "theirs", "p"), [("good", "bad", sigmoid(2)), ("bad", "good", sigmoid(-2))])
def test_p_is_that_of_the_variant_whichever_side_it_is_on(ours: str, theirs: str, p: float, liking: float):
    for suffix in ("", " one", " two", " three"):  # the hash puts some of these on either side
        found = win(ours + suffix, theirs + suffix, judge(prefers("good", liking=liking)))
        assert found.p == pytest.approx(p)
        assert len(found.judgments) == 1


def test_principles_count_by_their_weight():
    def odds(question: str, a: str, b: str) -> float:
        return prefers("good", 1.0 if "kind" in question else -3.0)(question, a, b)

    found = win("good", "bad", judge(odds, KIND, CALM))
    assert found.p == pytest.approx((3 * sigmoid(1) + 1 * sigmoid(-3)) / 4)


def test_same_text_is_a_tie_without_asking():
    by = judge(prefers("good"))
    assert win("It  rains.", "It rains.\n", by).p == 0.5
    assert win("", " ", by).p == 0.5
    assert by.engine.history == []


def test_empty_answer_loses_without_asking():
    by = judge(prefers("good"))
    assert (win("", "bad", by).p, win("bad", "", by).p) == (0.0, 1.0)
    assert by.engine.history == []


def test_unparsed_judgment_has_no_say_and_is_counted():
    def odds(question: str, a: str, b: str) -> float | None:
        return None if "calm" in question else prefers("good")(question, a, b)

    found = win("good", "bad", judge(odds, KIND, CALM))
    assert found.p == pytest.approx(sigmoid(2))
    assert skipped_wins([found]) == {
        "single judgments of compared answers: the judge's answer could not be parsed": 1
    }


def test_comparison_that_cannot_be_judged_has_no_p_and_says_why():
    unparsed = win("good", "bad", judge(lambda question, a, b: None))
    assert (unparsed.p, unparsed.reason, len(unparsed.judgments)) == (None, UNPARSED, 1)
    nothing = win("good", "bad", judge(prefers("good"), CHECKED))
    assert (nothing.p, nothing.reason) == (None, NO_PRINCIPLE)
    long = win("LONG", "bad", judge(prefers("good")))
    assert (long.p, long.reason) == (None, "the request is too long")
    assert skipped_wins([unparsed, nothing, long, long]) == {
        f"comparisons for the win rate: {UNPARSED}": 1,
        f"comparisons for the win rate: {NO_PRINCIPLE}": 1,
        "comparisons for the win rate: the request is too long": 2,
    }


def test_every_variant_is_compared_with_base_on_each_prompt_that_base_answered():
    answers: list[Answer] = [
        *answers_of("dpo", "bad", "bad 1", "bad 2", "bad 3"),
        *answers_of("base", "bad 0", "LONG", "good"),
        *answers_of("sft", "good", "good", "good"),
    ]
    done: list[None] = []
    wins = asyncio.run(judge_wins(answers, judge(prefers("good")), 2, lambda: done.append(None)))
    assert [win.variant for win in wins] == ["dpo"] * 3 + ["sft"] * 3
    assert len(done) == 6
    series = {one.variant: one for one in win_rate_series(wins)}
    assert sorted(series["sft"].values.values()) == pytest.approx([0.5, sigmoid(2)])
    assert sorted(series["dpo"].values.values()) == pytest.approx([sigmoid(-2), 0.5])
    assert {(one.measure, one.unit) for one in series.values()} == {("win_rate", "share")}


def test_outcomes_do_not_depend_on_how_many_run_at_once():
    answers = [*answers_of("base", "a", "b", "good"), *answers_of("sft", "good", "c", "d")]
    outcomes = [asyncio.run(judge_wins(answers, judge(prefers("good")), limit)) for limit in (1, 8)]
    assert outcomes[0] == outcomes[1]
