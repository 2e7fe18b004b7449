"""Bradley-Terry ranking: worked values, recovery of strengths, ranks that cannot be told apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from core.records import Comparison
from evaluation.ranking import RankedVariant, ranked_variants
from evaluation.win_rate import Win, every_pair_of
from tests.evaluation.answers import answers_of, prompt_of


def win(number: int, variant: str, p: float | None, other: str = "base") -> Win:
    comparison = Comparison.of(prompt_of(f"Question {number}?"), ("x", variant), ("y", other))
    return Win(comparison, variant, p, other=other)


def named(wins: list[Win]) -> dict[str, RankedVariant]:
    return {one.variant: one for one in ranked_variants(wins)}


def test_strength_is_the_log_odds_of_the_win_rate_with_one_tie_added():
    wins = [win(n, "sft", 1.0 if n < 30 else 0.0) for n in range(40)]
    found = named(wins)["sft"]
    assert found.strength == pytest.approx(np.log(30.5 / 10.5))
    assert found.low > 0
    assert named(wins)["base"] == RankedVariant("base", 0.0, 0.0, 0.0, 2, 2)
    assert (found.best_rank, found.worst_rank) == (1, 1)


def test_variant_that_always_wins_has_a_finite_strength():
    found = named([win(n, "sft", 1.0) for n in range(12)])["sft"]
    assert found.strength == pytest.approx(np.log(12.5 / 0.5))
    assert np.isfinite([found.low, found.high]).all()


def test_strengths_add_up_along_a_chain_of_comparisons():
    # Wins 3:1 of a over base and b over a: by symmetry b is twice as strong as a.
    wins = [win(n, "dpo", 1.0 if n % 4 else 0.0, "sft") for n in range(40)]
    wins += [win(n, "sft", 1.0 if n % 4 else 0.0) for n in range(40)]
    found = named(wins)
    assert found["dpo"].strength == pytest.approx(2 * found["sft"].strength)
    assert found["sft"].strength == pytest.approx(np.log(30.5 / 10.5))
    assert [one.variant for one in ranked_variants(wins)] == ["dpo", "sft", "base"]


def test_what_cannot_be_told_apart_shares_ranks():
    wins = [win(n, "sft", 0.9) for n in range(30)]
    wins += [win(n, "dpo", 0.9 if n % 2 else 0.88) for n in range(30)]
    wins += [win(n, "dpo", 0.5 + 0.4 * (-1) ** n, "sft") for n in range(30)]
    found = named(wins)
    assert (found["sft"].best_rank, found["sft"].worst_rank) == (1, 2)
    assert (found["dpo"].best_rank, found["dpo"].worst_rank) == (1, 2)
    assert found["base"].best_rank == 3


def test_outcomes_without_a_probability_and_single_prompts_rank_nothing():
    assert ranked_variants([win(0, "sft", 0.9)]) == ()
    assert ranked_variants([win(n, "sft", None) for n in range(9)]) == ()


def test_intervals_of_clustered_comparisons_cover_the_strengths():
    draw = np.random.default_rng(0)
    truth, covered = {"base": 0.0, "sft": 0.5, "dpo": 1.0}, []
    for _ in range(120):
        wins = []
        for number in range(40):
            # What a prompt favours is common to all of its comparisons with a variant.
            own = {name: strength + draw.normal(0, 0.8) for name, strength in truth.items()}
            for second, first in combinations(truth, 2):
                p = 1 / (1 + np.exp(own[second] - own[first]))
                wins.append(win(number, first, float(draw.random() < p), second))
        found = named(wins)
        # The effects of prompts shrink the marginal strengths by about 0.85.
        covered += [found[name].low <= 0.85 * truth[name] <= found[name].high for name in ("sft", "dpo")]
    assert 0.9 <= np.mean(covered) <= 0.99


def test_every_pair_is_compared_once():
    answers = [*answers_of("base", "a", "b"), *answers_of("sft", "c", "d"), *answers_of("dpo", "e")]
    pairs = [(one.variant, other.variant) for one, other in every_pair_of(answers)]
    assert sorted(pairs) == [("dpo", "base"), ("dpo", "sft"), ("sft", "base"), ("sft", "base")]
