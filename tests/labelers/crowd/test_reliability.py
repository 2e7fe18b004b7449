"""Graded Dawid-Skene: a round worked by hand, the fixed point, a reference, and the effect of each kind of
vote."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from labelers.crowd.reliability import PRIOR_ACCURACY, Crowd, graded_dawid_skene
from labelers.crowd.sharing import reliability_groups
from labelers.crowd.votes import Vote
from tests.labelers.crowd.crowds import vote

PRIOR = math.log(0.84 / 0.16)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def strengths(votes: list[Vote], **options: float) -> dict[str, float]:
    found = graded_dawid_skene(votes, **options)
    return {one.annotator: one.strength for one in found.annotators if one.strength is not None}


def test_one_round_is_as_worked_by_hand():
    # Anna and Ben agree on c1 (a) and c2 (b); Cleo is with them on c1 and against them on c2.
    votes = [
        *(vote("c1", who, 1.0) for who in ("anna", "ben", "cleo")),
        *(vote("c2", who, 0.0) for who in ("anna", "ben")),
        vote("c2", "cleo", 1.0),
    ]
    # E: with everyone at 0.84, odds of 0.84 / 0.16 = 5.25 for each vote.
    q1, q2 = 5.25**3 / (1 + 5.25**3), 1 / (1 + 5.25)  # 0.99314 for a, 0.16 for a
    # M: expected right votes with four pseudo-votes of which 3.36 are right, over 2 + 4.
    anna = (q1 + (1 - q2) + 3.36) / 6
    cleo = (q1 + q2 + 3.36) / 6
    assert (anna, cleo) == pytest.approx((0.86552, 0.75219), abs=1e-5)
    # E: posterior odds are the product of the odds of all who voted.
    found = graded_dawid_skene(votes, rounds=1, least_shared=1)
    beta = {one.annotator: one.strength for one in found.annotators}
    assert beta == pytest.approx({"anna": logit(anna), "ben": logit(anna), "cleo": logit(cleo)}, abs=1e-7)
    assert found.p_a["c1"] == pytest.approx(sigmoid(2 * logit(anna) + logit(cleo)))
    assert found.p_a["c2"] == pytest.approx(sigmoid(-2 * logit(anna) + logit(cleo)))


def crowd(seed: int, comparisons: int = 200) -> tuple[list[Vote], list[bool]]:
    draw = random.Random(seed)
    accuracies = {"good": 0.9, "fair": 0.75, "coin": 0.5, "foe": 0.15, "fine": 0.8}
    truth = [draw.random() < 0.5 for _ in range(comparisons)]
    votes = [
        vote(number, who, float(better == (draw.random() < accuracy)))
        for number, better in enumerate(truth)
        for who, accuracy in accuracies.items()
    ]
    return votes, truth


def test_plain_votes_without_a_prior_are_crowd_kits_one_coin_model():
    crowdkit = pytest.importorskip("crowdkit.aggregation")
    import pandas

    votes, _ = crowd(1, 60)
    # Each comparison is passed with its answers swapped too, so both are equally likely to be better.
    rows = [
        (f"{side} {v.comparison_id}", v.annotator, "ab"[(v.p_a == 0.0) != (side == "turned")])
        for v in votes
        for side in ("as it is", "turned")
    ]
    table = pandas.DataFrame(rows, columns=["task", "worker", "label"])
    model = crowdkit.OneCoinDawidSkene(n_iter=90, tol=-1.0).fit(table)
    found = graded_dawid_skene(votes, pseudo_votes=0.0)
    for number in range(60):
        assert found.p_a[str(number)] == pytest.approx(model.probas_.loc[f"as it is {number}", "a"], abs=1e-6)
    for one in found.annotators:
        assert one.accuracy == pytest.approx(model.skills_[one.annotator], abs=1e-6)
        assert one.strength == pytest.approx(logit(model.skills_[one.annotator]), abs=1e-4)


def test_exchanging_the_answers_everywhere_exchanges_the_posteriors():
    votes, _ = crowd(2)
    turned = [vote(v.comparison_id, v.annotator, 1 - v.p_a) for v in votes if v.p_a is not None]
    found, mirrored = graded_dawid_skene(votes), graded_dawid_skene(turned)
    assert mirrored.p_a == pytest.approx({name: 1 - p for name, p in found.p_a.items()})
    assert [one.accuracy for one in mirrored.annotators] == pytest.approx(
        [one.accuracy for one in found.annotators]
    )


def test_accuracies_are_found_without_the_truth_and_a_foe_is_turned_around():
    votes, truth = crowd(3, 400)
    found = graded_dawid_skene(votes)
    learned = {one.annotator: one.accuracy for one in found.annotators}
    assert learned == pytest.approx(
        {"good": 0.9, "fair": 0.75, "coin": 0.5, "foe": 0.15, "fine": 0.8}, abs=0.06
    )
    right = sum((found.p_a[str(n)] > 0.5) == better for n, better in enumerate(truth))
    majority = sum(
        (sum(v.p_a or 0 for v in votes[5 * n : 5 * n + 5]) > 2.5) == better for n, better in enumerate(truth)
    )
    assert right > majority + 40


def test_a_lone_vote_is_believed_as_the_prior_says_and_teaches_nothing():
    found = graded_dawid_skene([vote(number, "anna", 1.0) for number in range(50)])
    assert found.p_a == pytest.approx({str(number): 0.84 for number in range(50)})
    assert strengths([vote(0, "anna", 1.0)]) == pytest.approx({"anna": PRIOR})


def test_tie_moves_no_belief():
    votes = [vote("c", "anna", 1.0), vote("c", "ben", 0.5)]
    assert graded_dawid_skene(votes).p_a["c"] == pytest.approx(sigmoid(strengths(votes)["anna"]))
    assert graded_dawid_skene([vote("d", "ben", 0.5)]).p_a == {"d": 0.5}


def test_vote_of_half_weight_has_half_the_evidence():
    whole, half = [graded_dawid_skene([vote("c", "anna", 1.0, weight=w)], rounds=0) for w in (1.0, 0.5)]
    assert logit(half.p_a["c"]) == pytest.approx(logit(whole.p_a["c"]) / 2)


def test_pair_of_a_ranking_is_believed_as_a_vote_and_its_ranking_tests_the_annotator_once():
    def crowd(share: float) -> Crowd:
        against = [replace(vote(n, "anna", 1.0), share=share) for n in range(6)]
        others = [vote(n, who, 0.0) for n in range(6) for who in ("ben", "cleo")]
        return graded_dawid_skene([*against, *others, vote("alone", "dora", 1.0)])

    def accuracy(found: Crowd) -> float:
        return next(one.strength or 0.0 for one in found.annotators if one.annotator == "anna")

    whole, sixth = crowd(1.0), crowd(1 / 6)
    assert accuracy(whole) < accuracy(sixth)  # six votes against the others' say more than one ranking
    alone = graded_dawid_skene([replace(vote("c", "anna", 1.0), share=1 / 6)])
    assert alone.p_a["c"] == pytest.approx(PRIOR_ACCURACY)


def test_both_bad_is_left_out_and_no_votes_give_nothing():
    assert graded_dawid_skene([vote("c", "anna", None)]).p_a == {}
    assert graded_dawid_skene([]).annotators == ()


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 3.0])
def test_strength_of_a_machine_is_its_inverse_temperature(sharpened: float):
    # Five annotators of accuracy 0.9 leave little doubt about the truth. The machine's log-odds are
    # `sharpened` times the calibrated ones.
    draw = random.Random(5)
    votes = []
    for number in range(1500):
        log_odds = draw.gauss(0, 1.5)
        better = draw.random() < sigmoid(log_odds)
        votes.append(vote(number, "ai", sigmoid(sharpened * log_odds), "ai"))
        votes += [vote(number, str(who), float(better == (draw.random() < 0.9))) for who in range(5)]
    assert strengths(votes)["ai"] == pytest.approx(1 / sharpened, rel=0.2)


def test_certain_machine_is_no_infinite_evidence():
    found = graded_dawid_skene([vote("c", "ai", 1.0, "ai"), vote("c", "anna", 0.0)])
    assert 0 < found.p_a["c"] < 1


def divided(*people: str, pairs: int = 13, apart: int = 6) -> list[Vote]:
    """Votes for `a` by everyone, but for `b` by the second person on the first pairs."""
    return [
        vote(n, who, float(n >= apart or place != 1))
        for n in range(pairs)
        for place, who in enumerate(people)
    ]


def test_opposite_votes_of_two_people_are_a_tie():
    found = graded_dawid_skene([*divided("r1", "r2"), vote("lone 1", "r1", 1.0), vote("lone 2", "r2", 1.0)])
    assert [found.p_a[str(n)] for n in range(6)] == pytest.approx([0.5] * 6)
    assert all(found.p_a[str(n)] > 0.75 for n in range(6, 13))
    assert 0.5 < found.p_a["lone 1"] == found.p_a["lone 2"] < 0.84


def test_few_pairs_of_a_third_person_do_not_say_which_of_two_is_right():
    third = [vote(n, "r3", 1.0) for n in range(4)]
    assert len(set(strengths([*divided("r1", "r2"), *third]).values())) == 1
    enough = strengths([*divided("r1", "r2"), *(vote(n, "r3", 1.0) for n in range(6))])
    assert enough["r1"] > enough["r2"]


def test_chain_of_annotators_tells_nobody_apart_and_thin_crowds_tell_everybody_apart():
    chain = [vote(f"{one}{n}", who, 1.0) for one in "ab" for n in range(9) for who in (f"{one}1", "middle")]
    assert set(reliability_groups(chain).values()) == {"a1"}
    thin = [vote(n, str((n * k + k) % 7), 1.0) for n in range(21) for k in (1, 2, 3)]
    assert all(name == first for name, first in reliability_groups(thin).items())


def test_who_shares_enough_with_those_told_apart_is_told_apart_too():
    known = divided("r1", "r2", "r3")
    later = [vote(n, "r4", 1.0) for n in range(5)] + [vote(n, "r5", 1.0) for n in (0, 1)]
    later += [vote(f"late {n}", who, float(who == "r5")) for n in range(9) for who in ("r5", "r6")]
    groups = reliability_groups([*known, *later])
    assert groups == {name: name for name in ("r1", "r2", "r3", "r4", "r5")} | {"r6": "r5"}


def test_machine_beside_one_person_keeps_a_strength_of_its_own():
    votes = [vote(n, who, 0.9, who) for n in range(8) for who in ("ai", "crowd")]
    assert reliability_groups(votes) == {"ai": "ai", "crowd": "crowd"}
