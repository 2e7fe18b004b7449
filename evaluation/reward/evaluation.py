"""All that is measured of a reward model, and what a reader must be warned of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from core.records import Metric
from evaluation.reward.calibration import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, Calibration, calibrate
from evaluation.reward.length_probe import STRONG, LengthProbe, goes_by_length, probe_length
from evaluation.reward.metrics import EVEN, ScoredPair, accuracy, check_pairs, mean_metrics
from evaluation.reward.slices import RewardBench, Slice, reward_bench, slice_certainties, slice_groups

FEW_PAIRS = 50
"""With fewer, the interval of an accuracy is some 27 points wide and more."""
BADLY_CALIBRATED = 0.1
"""An expected calibration error beyond this, with temperature, is a warning."""

ChanceComparison = Literal["better", "near", "worse"]


@dataclass(frozen=True)
class RewardEvaluation:
    """What was measured of a reward model, on which pairs."""

    n: int
    """Pairs that count."""
    ties: int
    """Pairs among them whose label is one half: they have no right answer, and no accuracy."""
    equal_scores: int
    """Pairs that are no ties, whose answers score the same: half right."""
    without_weight: int
    """Pairs of weight 0, which are in no figure."""
    accuracy: Metric | None
    """Share of the pairs whose better answer scores higher; None if all are ties."""
    nll: Metric
    """Cross-entropy to the labels, in nats."""
    excess_nll: Metric
    """The same less the labels' entropy, in nats."""
    brier: Metric
    calibration: Calibration
    length: LengthProbe
    groups: Mapping[str, tuple[Slice, ...]]
    certainties: tuple[Slice, ...]
    """By certainty of the label."""
    reward_bench: RewardBench | None


def evaluate_reward_model(pairs: Iterable[ScoredPair], seed: int = 0) -> RewardEvaluation:
    """Return all figures of a reward model.

    Args:
        pairs: with their scores; held out from its training.
        seed: of the bootstrap.

    Raises:
        DataError: there is no pair with a weight; or a pair's rewards, label, weight or lengths are not what
            they can be, by its id.
    """
    given = check_pairs(pairs)
    counted = check_pairs(pair for pair in given if pair.weight)
    nll, excess_nll, brier = mean_metrics(counted, seed)
    return RewardEvaluation(
        n=len(counted),
        ties=sum(pair.right is None for pair in counted),
        equal_scores=sum(pair.right == EVEN for pair in counted),
        without_weight=len(given) - len(counted),
        accuracy=accuracy("reward.accuracy", counted),
        nll=nll,
        excess_nll=excess_nll,
        brier=brier,
        calibration=calibrate(counted),
        length=probe_length(counted),
        groups=slice_groups(counted),
        certainties=slice_certainties(counted),
        reward_bench=reward_bench(counted),
    )


def reward_warnings(evaluation: RewardEvaluation) -> list[str]:
    """Return what speaks against trusting the reward model, one line each, the gravest first."""
    return [*_few(evaluation), *_not_right(evaluation), *_by_length(evaluation.length), *_off(evaluation)]


def temperature_doubt(temperature: float, pairs: int) -> str:
    """Return why a temperature that was fitted on so many pairs is not to be used; empty if it may be."""
    if pairs < FEW_PAIRS:
        counted = "1 pair is" if pairs == 1 else f"{pairs} pairs are"
        return f"{counted} too few to fit one on ({FEW_PAIRS} or more are needed)"
    if not LOWEST_TEMPERATURE < temperature < HIGHEST_TEMPERATURE:
        return (
            f"the fit ends at {temperature:g}, an end of the range from {LOWEST_TEMPERATURE:g} to "
            f"{HIGHEST_TEMPERATURE:g}"
        )
    return ""


def compared_to_chance(metric: Metric) -> ChanceComparison:
    """Return how an accuracy stands to a coin's: near it if its interval includes 50 %."""
    if (metric.low is None or metric.low <= EVEN) and (metric.high is None or metric.high >= EVEN):
        return "near"
    return "better" if metric.value > EVEN else "worse"


def accuracy_in_words(metric: Metric) -> str:
    """Return an accuracy as `72 % (64 to 79 %)`, or as `52 % (45 to 59 %): near chance`.

    Of few pairs the interval includes chance whatever the model is worth: that is said instead.
    """
    text = f"{_percent(metric.value)} %"
    if metric.low is not None and metric.high is not None:
        text += f" ({_percent(metric.low)} to {_percent(metric.high)} %)"
    near = ": near chance" if metric.n >= FEW_PAIRS else ": too few pairs to tell it from chance"
    verdict = {"better": "", "near": near, "worse": ": worse than chance"}
    return text + verdict[compared_to_chance(metric)]


def _percent(value: float) -> str:
    """Return a share in percent, with a digit more where it would else be rounded to the 50 % it is not."""
    percent = 100 * value
    return f"{percent:.1f}" if percent != 50 and round(percent) == 50 else f"{percent:.0f}"


def _few(evaluation: RewardEvaluation) -> Iterator[str]:
    if evaluation.n < FEW_PAIRS:
        pairs = "1 pair" if evaluation.n == 1 else f"{evaluation.n} pairs"
        yield f"only {pairs}: too few to rely on any figure ({FEW_PAIRS} or more would allow a statement)"


def _not_right(evaluation: RewardEvaluation) -> Iterator[str]:
    if evaluation.accuracy is None:
        yield "every label is a tie, so that no pair has a right answer: accuracy is unknown"
    elif compared_to_chance(evaluation.accuracy) != "better":
        yield f"accuracy {accuracy_in_words(evaluation.accuracy)}"


def _by_length(probe: LengthProbe) -> Iterator[str]:
    if probe.spearman is not None and abs(probe.spearman) > STRONG:
        which = "longer" if probe.spearman > 0 else "shorter"
        yield f"{which} answers score higher (correlation {probe.spearman:.2f})"
    liking = goes_by_length(probe)
    if liking and probe.shorter_better and probe.longer_better:
        shorter, longer = (f"{100 * m.value:.0f} %" for m in (probe.shorter_better, probe.longer_better))
        by = "length" if liking == "longer" else "brevity"
        yield (
            f"it goes by {by}: right on {longer} where the longer answer is better, "
            f"on {shorter} where the shorter one is"
        )


def _off(evaluation: RewardEvaluation) -> Iterator[str]:
    after = evaluation.calibration.after
    if after.ece > BADLY_CALIBRATED:
        yield (
            f"badly calibrated: with temperature too, its probabilities are off by {after.ece:.2f} "
            f"on average (chance alone would show {after.ece_by_chance:.2f})"
        )
