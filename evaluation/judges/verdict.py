"""What speaks against a labeler, and which of several labelers to use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from core.notices import counted
from core.records import Metric
from evaluation.judges.certificate import AuditedLabeler
from evaluation.reward.evaluation import FEW_PAIRS

CHANCE = 0.5
MOST_UNLABELLED = 0.1
"""Share of comparisons without a label above which a labeler counts as one that does not answer."""
_LEAD = "lead."
_RULES: Mapping[str, str] = {
    "first": "a rule that takes the first reply",
    "longest": "a rule that takes the longer reply",
    "shortest": "a rule that takes the shorter reply",
    "bag of words": "a bag of words",
}
"""The baselines, in words."""


def problems_of(
    metrics: Sequence[Metric], comparisons: int, min_accuracy: float | None = None
) -> tuple[str, ...]:
    """Return what speaks against a labeler on gold pairs, one line each; empty if nothing does.

    Args:
        metrics: those of `gold_metrics`.
        comparisons: number of gold pairs that it was asked about.
        min_accuracy: the required accuracy, in [0, 1].
    """
    found = {metric.name: metric for metric in metrics}
    accuracy = found.get("accuracy")
    if accuracy is None:
        return ("no comparison has a label",)
    return tuple(_problems(found, accuracy, comparisons, min_accuracy))


def _problems(
    found: Mapping[str, Metric], accuracy: Metric, comparisons: int, min_accuracy: float | None
) -> Iterator[str]:
    if min_accuracy is not None and accuracy.value < min_accuracy:
        yield f"accuracy {accuracy.value:.1%} is below the required {min_accuracy:.1%}"
    if (chance := _beside_chance(accuracy)) is not None:
        yield f"accuracy {interval_of(accuracy)} {chance}"
    yield from _beside_baselines(found, accuracy)
    swaps = found.get("swap inconsistency")
    if swaps is not None and swaps.value >= CHANCE:
        yield _swapped(swaps, found.get("first slot"))
    missing = 1 - accuracy.n / max(1, comparisons)
    if missing > MOST_UNLABELLED:
        yield f"{missing:.0%} of the comparisons have no label"


def _beside_chance(accuracy: Metric) -> str | None:
    """Return in words that an accuracy is not above chance; None if its interval is above it."""
    low = 0.0 if accuracy.low is None else accuracy.low
    high = 1.0 if accuracy.high is None else accuracy.high
    if low > CHANCE:
        return None
    if high < CHANCE:
        return "is worse than chance: its preferences are reversed"
    if accuracy.value > CHANCE and accuracy.n < FEW_PAIRS:
        return f"cannot be told from chance on {counted(accuracy.n, 'comparison')}"
    return "is no better than chance"


def _beside_baselines(found: Mapping[str, Metric], accuracy: Metric) -> Iterator[str]:
    """Yield the baseline that is furthest ahead; without one, those that the gold cannot tell it from.

    A baseline that is no better than chance itself is only named where it is exactly as often right: then the
    interval of the lead is wide because the baseline is a coin.
    """
    leads = {name.removeprefix(_LEAD): metric for name, metric in found.items() if name.startswith(_LEAD)}
    beaten = [name for name, lead in leads.items() if lead.value < 0]
    if beaten:
        worst = min(beaten, key=lambda name: leads[name].value)
        base = found[f"baseline.{worst}"]
        yield f"a baseline is right more often: {worst}, {base.value:.1%} against {accuracy.value:.1%}"
    alike = [name for name, lead in leads.items() if name not in beaten and _is_alike(lead, found, name)]
    if alike:
        rules = " or ".join(
            f"{_RULES.get(name, name)} (right in {found[f'baseline.{name}'].value:.1%})" for name in alike
        )
        yield f"this gold cannot tell the labeler ({accuracy.value:.1%}) from {rules}"


def _is_alike(lead: Metric, found: Mapping[str, Metric], name: str) -> bool:
    base = found.get(f"baseline.{name}")
    if base is None:
        return False
    if lead.value == 0:
        return True
    return (base.low or 0.0) > CHANCE and lead.low is not None and lead.low <= 0


def _swapped(swaps: Metric, first: Metric | None) -> str:
    """Return in words that the place of the answers decides more than the answers."""
    where = "" if first is None else f", and the first place is preferred in {interval_of(first)}"
    return (
        f"swapping the answers changes the preferred one in {interval_of(swaps)} of pairs{where}: "
        "the place decides, and only the mean of both orders says anything, by its margin"
    )


def interval_of(metric: Metric) -> str:
    """Return a share as `61.4 % (52.0 to 70.9)`."""
    if metric.low is None or metric.high is None:
        return f"{metric.value:.1%}"
    return f"{metric.value:.1%} ({metric.low:.1%} to {metric.high:.1%})"


def recommended_of(compared: Sequence[AuditedLabeler]) -> AuditedLabeler | None:
    """Return the labeler to recommend: that of the lowest NLL after its correction.

    The NLL uses how sure each label is, and so tells labelers apart on fewer pairs than accuracy does. Of
    equal ones, and where no NLL is known, the one of higher accuracy is taken, and then the cheaper one.
    """
    usable = [one for one in compared if one.refused is None and one.metric("accuracy") is not None]
    return min(usable, key=_order, default=None)


def _order(one: AuditedLabeler) -> tuple[float, float, float]:
    nll, accuracy = one.metric("nll corrected"), one.metric("accuracy")
    assert accuracy is not None
    tokens = one.cost.tokens_each if one.cost is not None else 0.0
    return (round(nll.value, 6) if nll is not None else 1.0, -accuracy.value, tokens)


def known_problems(metrics: Sequence[Metric], unreliable: Sequence[str]) -> tuple[str, ...]:
    """Return what speaks against a labeler on pairs that need no gold labels, one line each.

    Args:
        metrics: those on planted violations, test examples, machine checks and swapped answers.
        unreliable: checkable principles that the labeler judges too badly.
    """
    found = {metric.name: metric for metric in metrics}
    problems = []
    for name, what in (("planted", "planted violations"), ("examples", "the principles' examples")):
        metric = found.get(name)
        if metric is None and name == "planted":
            problems.append("no planted violation has a label")
        elif metric is not None and (chance := _beside_chance(metric)) is not None:
            problems.append(f"accuracy on {what} {interval_of(metric)} {chance}")
    swaps = found.get("swap inconsistency")
    if swaps is not None and swaps.value >= CHANCE:
        problems.append(_swapped(swaps, found.get("first slot")))
    if unreliable:
        problems.append(f"it judges checkable principles badly: {', '.join(unreliable)}")
    return tuple(problems)
