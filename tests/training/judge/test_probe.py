"""The probe is logistic regression, on replies alone and on differences of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from training.judge.choice import PENALTIES, balanced, choose_probe, folds, held_out_scores
from training.judge.features import view_of
from training.judge.probe import GoldLabel, Probe, fit_probe, fit_probes

WIDTH = 6


def gold(count: int, seed: int = 0, *, noise: float = 1.0) -> tuple[Any, list[GoldLabel]]:
    """Hidden states in which one direction decides; half of the labels are of pairs."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(2 * count, WIDTH)) * 3 + 5
    quality = (states[:, 0] - 5) / 3 * 2
    labels = []
    for n in range(count):
        margin = quality[2 * n] - (quality[2 * n + 1] if n % 2 else 0)
        better = margin + noise * rng.logistic() > 0
        labels.append(
            GoldLabel(
                2 * n,
                2 * n + 1 if n % 2 else None,
                float(better),
                f"prompt {n // 2}",
                "pairs" if n % 2 else "x",
            )
        )
    return states, labels


def test_swapping_a_pair_negates_its_log_odds():
    states, labels = gold(40)
    probe = fit_probe(states, labels, "cross_entropy", 0.01)
    pair = GoldLabel(4, 9, 1.0, "g", "pairs")
    one, two = probe.log_odds(states, [pair, GoldLabel(9, 4, 0.0, "g", "pairs")])
    assert one == -two != 0
    alone = probe.log_odds(states, [GoldLabel(row, None, 1.0, "g", "x") for row in (4, 9)])
    assert one == pytest.approx(alone[0] - alone[1])


@pytest.mark.parametrize("loss", ["cross_entropy", "brier"])
def test_gradient_is_that_of_the_loss(loss: Any):
    from training.judge.probe import _Problem

    rng = np.random.default_rng(0)
    design, constant = rng.normal(size=(7, 3)), np.array([1.0, 0, 1, 0, 1, 1, 0])
    weight = np.full(7, 1 / 7)
    problem = _Problem(design, constant, rng.uniform(size=7), weight, loss, 0.3)
    at = rng.normal(size=4)
    _, gradient = problem.value_and_gradient(at)
    for place in range(4):
        step = np.eye(4)[place] * 1e-6
        slope = (problem.value_and_gradient(at + step)[0] - problem.value_and_gradient(at - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-7)


def test_probe_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1)
    states = rng.normal(size=(200, WIDTH))
    states = (states - states.mean(axis=0)) / states.std(axis=0)
    target = (states[:, 0] + rng.logistic(size=200) > 0).astype(float)
    labels = [GoldLabel(n, None, y, f"{n}", "x") for n, y in enumerate(target)]
    mine = fit_probe(states, labels, "cross_entropy", 0.02)
    theirs = linear_model.LogisticRegression(C=1 / (0.02 * 200), tol=1e-8, max_iter=1000).fit(states, target)
    np.testing.assert_allclose(mine.weight, theirs.coef_[0], atol=2e-3)
    assert mine.bias == pytest.approx(theirs.intercept_[0], abs=2e-3)


@pytest.mark.parametrize("loss", ["cross_entropy", "brier"])
def test_probe_finds_the_direction_that_decides(loss: Any):
    states, labels = gold(600)
    weight = fit_probe(states, labels, loss, 1e-3).weight
    assert weight[0] == max(weight)
    assert abs(weight[1:]).max() < weight[0] / 4


def test_a_fit_that_starts_from_another_is_the_same():
    states, labels = gold(80)
    together = fit_probes(states, labels, "cross_entropy", (0.01, 1.0, 0.1))
    for l2, probe in zip((0.01, 1.0, 0.1), together, strict=True):
        alone = fit_probe(states, labels, "cross_entropy", l2)
        np.testing.assert_allclose(probe.weight, alone.weight, atol=1e-4)


def test_prompts_are_never_on_both_sides_of_a_fold():
    _, labels = gold(60)
    fold_of = folds(labels, 0)
    sides: dict[str, set[int]] = {}
    for label, fold in zip(labels, fold_of, strict=True):
        sides.setdefault(label.group, set()).add(fold)
    assert {len(found) for found in sides.values()} == {1}
    assert len(set(fold_of)) == 5


def test_held_out_scores_know_nothing_of_their_own_labels():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(300, 40))
    labels = [GoldLabel(n, None, float(rng.uniform() > 0.5), f"{n}", "x") for n in range(300)]
    (scores,) = held_out_scores(states, labels, folds(labels, 0), "cross_entropy", (1e-4,))
    right = np.mean((scores > 0) == [label.target > 0.5 for label in labels])
    assert 0.4 < right < 0.6


def as_features(reply: Any, end: Any, tokens: Any) -> Any:
    """Features from the states of the reply and of the end."""
    return np.hstack([reply, end, np.log1p(tokens)[:, None]])


def test_choice_takes_the_layer_and_the_states_that_know_and_a_calibrated_temperature():
    states, labels = gold(400)
    rng = np.random.default_rng(7)
    noise, tokens = rng.normal(size=states.shape), rng.integers(5, 50, size=len(states))
    layers = {3: as_features(noise, noise, tokens), 5: as_features(noise, states, tokens)}
    probe, choice = choose_probe(layers, labels, seed=0)
    assert (choice.setting.layer, choice.setting.reading) == (5, "end")
    target = np.array([label.target for label in labels])
    losses = np.logaddexp(0, choice.scores) - target * choice.scores
    assert losses.mean() < np.log(2) * 0.8
    # The true log-odds are 2 per unit of quality, which has a standard deviation of 1 per 3 of the state.
    assert probe.weight[WIDTH] == pytest.approx(2 / 3, rel=0.35)
    assert not probe.weight[:WIDTH].any()
    assert min(choice.tried, key=lambda setting: setting.nll) == choice.setting
    assert len(choice.tried) == (2 * 3 + 1) * len(PENALTIES)


def test_a_blind_probe_prefers_no_length():
    rng = np.random.default_rng(3)
    tokens = rng.integers(5, 200, size=600)
    length = np.log1p(tokens)
    states = rng.normal(size=(600, WIDTH))
    states[:, 1] += length  # a state that tells the length
    quality = states[:, 0] * 1.5 - length  # people who like short replies
    labels = [
        GoldLabel(n, n + 300, float(quality[n] - quality[n + 300] + rng.logistic() > 0), f"{n}", "pairs")
        for n in range(300)
    ]
    features = {1: as_features(states, rng.normal(size=states.shape), tokens)}
    apart = length[:300] - length[300:]
    scores = {}
    for blind in (False, True):
        probe, _ = choose_probe(features, labels, seed=0, blind=blind)
        scores[blind] = probe.log_odds(features[1], labels)
    assert np.corrcoef(scores[False], apart)[0, 1] < -0.3
    assert abs(np.corrcoef(scores[True], apart)[0, 1]) < 0.05
    # What is good about a reply apart from its length is still found.
    assert np.corrcoef(scores[True], states[:300, 0] - states[300:, 0])[0, 1] > 0.9


def test_a_view_gives_the_log_odds_of_the_whole():
    states, labels = gold(60)
    features = as_features(states, states[::-1], np.arange(5, 5 + len(states)))
    for reading in ("reply", "end", "both"):
        for blind in (False, True):
            view = view_of(features, labels, reading, blind=blind)
            probe = fit_probe(view.of(features), labels, "cross_entropy", 0.1)
            whole = view.whole(probe, features.shape[1])
            np.testing.assert_allclose(
                whole.log_odds(features, labels), probe.log_odds(view.of(features), labels), atol=1e-9
            )


def test_without_pairs_length_is_told_from_all_replies():
    states, labels = gold(60)
    alone = [label for label in labels if label.second is None]
    tokens = np.arange(5, 5 + len(states))
    states[:, 2] = 3 * np.log1p(tokens) + 1
    view = view_of(as_features(states, states, tokens), alone, "reply", blind=True)
    assert view.slope[2] == pytest.approx(3)


def test_pairs_and_replies_weigh_the_same():
    labels = [GoldLabel(n, None, 1.0, "g", "x") for n in range(30)] + [
        GoldLabel(0, 1, 1.0, "g", "pairs")
    ] * 10
    weighted = balanced(labels)
    alone = sum(label.weight for label in weighted if label.second is None)
    assert alone == pytest.approx(sum(label.weight for label in weighted) / 2)
    assert sum(label.weight for label in weighted) == pytest.approx(40)


def test_temperature_scales_log_odds():
    probe = Probe(np.array([1.0, -2.0]), 4.0).at_temperature(2)
    assert probe.log_odds(np.array([[1.0, 1.0]]), [GoldLabel(0, None, 1, "", "x")])[0] == 1.5
