"""Evaluation of a reward model: all metrics, and warnings about its scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from core.records import Metric
from evaluation.reward.calibration import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, Calibration, calibrate
from evaluation.reward.length_probe import STRONG, LengthProbe, length_bias, probe_length
from evaluation.reward.metrics import EVEN, ScoredPair, accuracy, check_pairs, mean_metrics
from evaluation.reward.slices import RewardBench, Slice, reward_bench, slice_certainties, slice_groups

FEW_PAIRS = 50
"""Number of pairs below which the interval of an accuracy is at least about 27 points wide."""
BADLY_CALIBRATED = 0.1
"""Expected calibration error with temperature above which a warning is given."""

ChanceComparison = Literal["better", "near", "worse"]


@dataclass(frozen=True)
class RewardEvaluation:
    """The metrics of a reward model, and the number of pairs that they are based on."""

    n: int
    """Number of pairs with a positive weight."""
    ties: int
    """Number of those pairs with a label of one half; they have no correct answer and no accuracy."""
    equal_scores: int
    """Number of pairs, other than ties, whose answers have the same score; they count as half correct."""
    without_weight: int
    """Number of pairs of weight 0, which are excluded from all metrics."""
    accuracy: Metric | None
    """Share of pairs with the higher score for the better answer; None if all labels are ties."""
    nll: Metric
    """Mean cross-entropy to the labels, in nats."""
    excess_nll: Metric
    """Mean cross-entropy minus the labels' entropy, in nats."""
    brier: Metric
    calibration: Calibration
    length: LengthProbe
    groups: Mapping[str, tuple[Slice, ...]]
    certainties: tuple[Slice, ...]
    """Slices by certainty of the label."""
    reward_bench: RewardBench | None


def evaluate_reward_model(pairs: Iterable[ScoredPair], seed: int = 0) -> RewardEvaluation:
    """Compute all metrics of a reward model.

    Args:
        pairs: scored pairs that were held out from its training.
        seed: seed of the bootstrap.

    Raises:
        DataError: no pair has a positive weight, or a pair has invalid rewards, label, weight or lengths; the
            error names the pair's id.
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
    """Return warnings about the reward model, one line each, the most serious first."""
    return [*_few(evaluation), *_not_right(evaluation), *_by_length(evaluation.length), *_off(evaluation)]


def temperature_doubt(temperature: float, pairs: int) -> str:
    """Return the reason not to use a temperature fitted on `pairs` pairs; empty if it can be used."""
    if pairs < FEW_PAIRS:
        counted = "1 pair is" if pairs == 1 else f"{pairs} pairs are"
        return f"{counted} too few to fit a temperature (at least {FEW_PAIRS} are needed)"
    if not LOWEST_TEMPERATURE < temperature < HIGHEST_TEMPERATURE:
        return (
            f"the fit ends at {temperature:g}, a limit of the search range from {LOWEST_TEMPERATURE:g} to "
            f"{HIGHEST_TEMPERATURE:g}"
        )
    return ""


def compared_to_chance(metric: Metric) -> ChanceComparison:
    """Compare an accuracy with chance; `near` means that its interval includes 50 %."""
    if (metric.low is None or metric.low <= EVEN) and (metric.high is None or metric.high >= EVEN):
        return "near"
    return "better" if metric.value > EVEN else "worse"


def accuracy_in_words(metric: Metric) -> str:
    """Return an accuracy as `72 % (64 to 79 %)`, or as `52 % (45 to 59 %): no better than chance`.

    With few pairs the interval includes 50 % even for a good model, so the text says that there are too few.
    """
    text = f"{_percent(metric.value)} %"
    if metric.low is not None and metric.high is not None:
        text += f" ({_percent(metric.low)} to {_percent(metric.high)} %)"
    few = ": too few pairs to distinguish it from chance"
    near = ": no better than chance" if metric.n >= FEW_PAIRS else few
    verdict = {"better": "", "near": near, "worse": ": worse than chance"}
    return text + verdict[compared_to_chance(metric)]


def _percent(value: float) -> str:
    """Return a share in percent, with one more digit if it would otherwise be rounded to exactly 50 %."""
    percent = 100 * value
    return f"{percent:.1f}" if percent != 50 and round(percent) == 50 else f"{percent:.0f}"


def _few(evaluation: RewardEvaluation) -> Iterator[str]:
    if evaluation.n < FEW_PAIRS:
        pairs = "1 pair" if evaluation.n == 1 else f"{evaluation.n} pairs"
        yield f"only {pairs}: too few for reliable metrics (at least {FEW_PAIRS} are needed)"


def _not_right(evaluation: RewardEvaluation) -> Iterator[str]:
    if evaluation.accuracy is None:
        yield "every label is a tie, so no pair has a correct answer and accuracy is undefined"
    elif compared_to_chance(evaluation.accuracy) != "better":
        yield f"accuracy {accuracy_in_words(evaluation.accuracy)}"


def _by_length(probe: LengthProbe) -> Iterator[str]:
    if probe.spearman is not None and abs(probe.spearman) > STRONG:
        which = "longer" if probe.spearman > 0 else "shorter"
        yield f"{which} answers score higher (correlation {probe.spearman:.2f})"
    bias = length_bias(probe)
    if bias and probe.shorter_better and probe.longer_better:
        shorter, longer = (f"{100 * m.value:.0f} %" for m in (probe.shorter_better, probe.longer_better))
        yield (
            f"length bias, it prefers {bias} answers: accuracy {longer} where the longer answer is better, "
            f"{shorter} where the shorter one is"
        )


def _off(evaluation: RewardEvaluation) -> Iterator[str]:
    after = evaluation.calibration.after
    if after.ece > BADLY_CALIBRATED:
        yield (
            f"poorly calibrated: even with temperature, its probabilities are off by {after.ece:.2f} "
            f"on average (expected from chance alone: {after.ece_by_chance:.2f})"
        )
