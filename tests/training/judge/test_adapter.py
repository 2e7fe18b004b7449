"""Examples of several labels, whose questions share what they begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engines.config import ModelConfig
from training.config import LoraConfig
from training.judge.adapter import JudgedExample, JudgedLabel, JudgeObjective, JudgeScorer
from training.policy import load_policy

_ANSWERS = (7, 9)
_SHARED = tuple(range(20, 60))
_QUESTIONS = [(*_SHARED, 3, 4, 5), (11, 12, 13, 14), (*_SHARED, 3, 6), _SHARED, (*_SHARED, 3, 4, 5)]


@pytest.fixture(scope="module")
def policy(lively: Path) -> Any:
    return load_policy(ModelConfig(id=str(lively), dtype="float32"), LoraConfig(), "cpu", 0)


def separate(policy: Any, question: tuple[int, ...]) -> float:
    """Return the log-odds of a question that is read alone."""
    with torch.inference_mode():
        logits = policy(torch.tensor([question])).logits[0, -1]
    return float(logits[_ANSWERS[0]] - logits[_ANSWERS[1]])


def test_questions_that_begin_alike_have_the_log_odds_of_each_alone(policy: Any):
    scorer = JudgeScorer(policy, _ANSWERS, _QUESTIONS[0])
    with torch.inference_mode():
        together = scorer(policy, _QUESTIONS)
    assert together.tolist() == pytest.approx([separate(policy, q) for q in _QUESTIONS], abs=1e-4)


def test_a_model_that_cannot_be_packed_has_the_same_log_odds(policy: Any):
    scorer = JudgeScorer(policy, _ANSWERS, _QUESTIONS[0])
    scorer._scorer.packed = False
    with torch.inference_mode():
        padded = scorer(policy, _QUESTIONS)
    assert padded.tolist() == pytest.approx([separate(policy, q) for q in _QUESTIONS], abs=1e-4)


def test_what_questions_have_in_common_counts_once():
    labels = tuple(JudgedLabel((question,), 1.0, 1.0) for question in _QUESTIONS[:1] + _QUESTIONS[2:4])
    assert JudgedExample(labels).packed_tokens == len(_SHARED) + 3 + 2


def test_losses_of_an_example_are_those_of_its_labels(policy: Any):
    one = JudgedLabel((_QUESTIONS[0],), 1.0, 1.0)
    other = JudgedLabel((_QUESTIONS[2],), 0.0, 0.5)
    pair = JudgedLabel((_QUESTIONS[0], _QUESTIONS[2]), 0.75, 2.0)
    objective = JudgeObjective(JudgeScorer(policy, _ANSWERS, _QUESTIONS[0]), 1.5)
    with torch.inference_mode():
        losses, metrics = objective.losses(policy, [JudgedExample((one, other)), JudgedExample((pair,))])
    s, t = separate(policy, _QUESTIONS[0]), separate(policy, _QUESTIONS[2])
    sigmoid, log = torch.sigmoid, torch.log
    p, q, r = (sigmoid(torch.tensor(x, dtype=torch.float64)) for x in (s, t, s - t))
    first = -log(p) - 0.5 * log(1 - q)
    second = -2.0 * (0.75 * log(r) + 0.25 * log(1 - r))
    assert losses.tolist() == pytest.approx([float(first) / 1.5, float(second) / 1.5], abs=1e-4)
    assert metrics["nll"].tolist() == pytest.approx(
        [float(-log(p) - log(1 - q)) / 2, float(second) / 2], abs=1e-4
    )
    assert metrics["accuracy"].tolist() == [((s > 0) + (t <= 0)) / 2, float(s > t)]
