"""Several rewards as one, and what happens when one misbehaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from core.errors import DataError, EngineError
from core.records import Message, Prompt
from core.rewards import Sample
from training.rl.reward_sum import RewardSum, RunningMoments, WeightedReward, reward_scores

PROMPT = Prompt.of((Message(role="user", content="Hi"),))
SAMPLES = [Sample(PROMPT, text, finished=True) for text in ("a", "bb", "ccc")]


class Given:
    """A reward that gives what it is told to."""

    def __init__(self, name: str, give: Callable[[Sequence[Sample]], Any]) -> None:
        self.name = name
        self._give = give

    def scores(self, samples: Sequence[Sample]) -> Any:
        return self._give(samples)


def length(samples: Sequence[Sample]) -> list[float]:
    return [float(len(sample.text)) for sample in samples]


def test_sum_is_weighed_and_each_reward_is_told_apart():
    both = RewardSum(
        [
            WeightedReward(Given("length", length), 2.0),
            WeightedReward(Given("one", lambda s: [1] * len(s)), -1.0),
        ]
    )
    scores = both.score(SAMPLES)
    assert scores[2] == {"length": 3.0, "one": 1.0}
    assert both.totals(scores) == [1.0, 3.0, 5.0]


def test_sum_is_clipped():
    clipped = RewardSum([WeightedReward(Given("length", length))], clip=2.0)
    assert clipped.totals(clipped.score(SAMPLES)) == [1.0, 2.0, 2.0]
    assert clipped.totals([{"length": -9.0}]) == [-2.0]


def test_running_scale_goes_on_over_batches_and_from_a_saved_state():
    first = RewardSum([WeightedReward(Given("length", length))], "running")
    one = first.totals([{"length": 1.0}, {"length": 3.0}])
    assert one == [-1.0, 1.0]
    second = RewardSum([WeightedReward(Given("length", length))], "running")
    second.load(first.state())
    assert second.totals([{"length": 5.0}]) == first.totals([{"length": 5.0}])
    mean = 3.0  # of 1, 3 and 5
    assert first.totals([{"length": mean}]) == pytest.approx([0.0])
    assert first.totals([{"length": mean + 1}]) == pytest.approx([(1 - 1 / 5) / math.sqrt(8.8 / 5)])
    assert first.sums([{"length": 7.0}, {"length": None}]) == [7.0, None]


def test_moments_are_those_of_all_numbers_at_once():
    moments = RunningMoments()
    for batch in ([1.0, 2.0], [], [4.0], [8.0, -3.0, 0.5]):
        moments.update(batch)
    everything = [1.0, 2.0, 4.0, 8.0, -3.0, 0.5]
    mean = sum(everything) / 6
    assert moments.mean == pytest.approx(mean)
    assert moments.std == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in everything) / 6))


def test_an_answer_that_one_reward_cannot_score_has_no_total():
    some = RewardSum(
        [WeightedReward(Given("length", length)), WeightedReward(Given("some", lambda s: [1.0, None, 2.0]))],
        "running",
    )
    totals = some.totals(some.score(SAMPLES))
    assert totals[1] is None
    assert sum(value for value in totals if value is not None) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda samples: [1.0, float("nan"), 2.0], r"reward 'bad': it returned nan for the answer 'bb'"),
        (lambda samples: [1.0, 2.0, float("inf")], "it returned inf for the answer 'ccc'"),
        (lambda samples: [1.0, 2.0], "it returned 2 scores for 3 answers"),
        (lambda samples: None, "it returned None; accepted: a sequence with one finite number"),
        (lambda samples: ["good", 1, 2], r"it returned \['good', 1, 2\]"),
        (lambda samples: 1 / 0, "it raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_score_is_one_clear_line(give: Callable[[Sequence[Sample]], Any], message: str):
    with pytest.raises(DataError, match=message) as caught:
        reward_scores(Given("bad", give), SAMPLES)
    assert "\n" not in str(caught.value)


def test_an_error_of_ours_goes_through_as_it_is():
    def fail(samples: Sequence[Sample]) -> Any:
        raise EngineError("no such model")

    with pytest.raises(EngineError, match="no such model"):
        reward_scores(Given("model", fail), SAMPLES)


def test_numbers_of_other_libraries_are_numbers():
    import numpy as np
    import torch

    assert reward_scores(Given("t", lambda s: torch.tensor([1.0, 2.0, 3.0])), SAMPLES) == [1.0, 2.0, 3.0]
    assert reward_scores(Given("n", lambda s: np.array([1, 2, 3])), SAMPLES) == [1.0, 2.0, 3.0]
