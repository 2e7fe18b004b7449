"""How good a labeler is on gold pairs: accuracy, calibration, and its liking for places and length.

Shares have Wilson intervals, means bootstrap intervals over prompts, since pairs of one prompt are alike. A
pair without a label is no part of any figure; it is counted in the audit's outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from core.records import Judgment, Metric
from core.statistics.bootstrap import paired_intervals
from core.statistics.clusters import cluster_places
from core.statistics.judges.calibration import cross_validated, fit_logits
from core.statistics.judges.gold import GoldLogits, chance_of, log_loss
from core.statistics.judges.quality import MATCHED_LENGTH, calibration_error
from evaluation.judges.baselines import Leanings, baselines
from evaluation.judges.gold import GoldPair
from evaluation.judges.judged import JudgedPair, right_of
from evaluation.reward.calibration import Bin, reliability
from evaluation.reward.metrics import EVEN, weighted_share


def gold_metrics(pairs: Sequence[JudgedPair], seed: int, *, slots: bool = True) -> tuple[Metric, ...]:
    """Return all metrics of a labeler on gold pairs; those that are not defined are left out.

    Args:
        pairs: the pairs with the labeler's judgments.
        seed: seed of the bootstrap and of the baselines' folds.
        slots: the answers were shown one after the other; False if both had the same place.
    """
    labelled = [pair for pair in pairs if pair.log_odds is not None]
    if not labelled:
        return ()
    return tuple(
        metric
        for metric in (
            judged_accuracy("accuracy", labelled),
            _matched_length(labelled),
            *(order_metrics([j for p in labelled for j in p.judgments], _golds(labelled)) if slots else ()),
            *_calibration(labelled, seed),
            *_mass(labelled),
            *_baselines(labelled, seed),
            *_by_principle(labelled),
            *_by_tag(labelled),
        )
        if metric is not None
    )


def judged_accuracy(name: str, pairs: Sequence[JudgedPair]) -> Metric | None:
    """Return the share of labelled pairs whose label prefers the better answer; ties count one half."""
    rights = [(pair.right, pair.gold.comparison.prompt.id) for pair in pairs if pair.right is not None]
    return _share(name, [right for right, _ in rights], [prompt for _, prompt in rights])


def order_metrics(
    judgments: Sequence[Judgment], golds: Mapping[str, GoldPair] | None = None
) -> Iterator[Metric | None]:
    """Yield the metrics of the two presentation orders, for judgments that have both.

    `first slot`: how often the answer in the first place is preferred, one half without a liking for places.
    `swap inconsistency`: how often the two orders prefer different answers. `slot log-odds`: the mean liking
    for the first place, in nats. `accuracy.one order`: accuracy of a single order, with gold pairs.
    """
    both = [(judgment, judgment.orders) for judgment in judgments if judgment.orders is not None]
    if not both:
        return
    ids = [judgment.comparison_id for judgment, _ in both]
    firsts = [(right_of(o.a_first) + right_of(-o.b_first)) / 2 for _, o in both]
    swapped = [float(right_of(o.a_first) != right_of(o.b_first)) for _, o in both]
    yield _share("first slot", firsts, ids)
    yield _share("swap inconsistency", swapped, ids)
    yield _mean("slot log-odds", [(o.a_first - o.b_first) / 2 for _, o in both], ids, "nats")
    if golds is not None:
        signs = [golds[name].sign for name in ids]
        one = [
            (right_of(s * o.a_first) + right_of(s * o.b_first)) / 2
            for s, (_, o) in zip(signs, both, strict=True)
        ]
        yield _share("accuracy.one order", one, ids)


def _golds(pairs: Sequence[JudgedPair]) -> dict[str, GoldPair]:
    return {pair.gold.comparison.id: pair.gold for pair in pairs}


def _matched_length(pairs: Sequence[JudgedPair]) -> Metric | None:
    """Return the accuracy on pairs of about the same length, where preferring the longer one says little."""
    matched = [pair for pair in pairs if abs(_log_length(pair.gold)) <= MATCHED_LENGTH + 1e-12]
    return judged_accuracy("accuracy.matched length", matched)


def _log_length(gold: GoldPair) -> float:
    """Return the log of the length of `a` over that of `b`, in characters."""
    comparison = gold.comparison
    return math.log(max(1, len(comparison.response_a)) / max(1, len(comparison.response_b)))


def gold_logits(pairs: Sequence[JudgedPair]) -> GoldLogits:
    """Return labelled pairs as log-odds of `a` beside gold, for statistics and corrections of judges."""
    return GoldLogits(
        logits=np.asarray([pair.log_odds for pair in pairs], dtype=np.float64),
        gold=np.asarray([float(pair.gold.better == "a") for pair in pairs]),
        lengths=np.asarray([_log_length(pair.gold) for pair in pairs]),
        clusters=[pair.gold.comparison.prompt.id for pair in pairs],
    )


def reliability_of(pairs: Sequence[JudgedPair]) -> tuple[Bin, ...]:
    """Return the labels of gold pairs by confidence, for a reliability diagram; none without labels."""
    labelled = [pair for pair in pairs if pair.log_odds is not None]
    if not labelled:
        return ()
    labels = gold_logits(labelled)
    prompts = [pair.gold.comparison.prompt.id for pair in labelled]
    return reliability(labels.logits, labels.gold, np.ones(len(labelled)), prompts)


def _calibration(pairs: Sequence[JudgedPair], seed: int) -> Iterator[Metric | None]:
    """Yield NLL, Brier score and ECE of the labels, and what a cross-validated correction makes of them.

    The correction has a temperature and a term for length; no pair is corrected by one that was fitted on its
    prompt. The ECE of a labeler that is perfectly calibrated is not 0 on few pairs: `ece noise` is the 95 %
    quantile of what it would show.
    """
    labels = gold_logits(pairs)
    prompts = [pair.gold.comparison.prompt.id for pair in pairs]
    yield _mean("nll", log_loss(labels.logits, labels.gold).tolist(), prompts, "nats", seed)
    yield _mean("brier", np.square(chance_of(labels.logits) - labels.gold).tolist(), prompts, "", seed)
    for name, logits in (("", labels.logits), (" corrected", cross_validated(labels, seed=seed))):
        # Each pair is turned to the answer that the labeler prefers: which one is `a` has no meaning.
        turned = 0.5 + np.sign(logits) * (labels.gold - 0.5)
        error = calibration_error(chance_of(np.abs(logits)), turned, seed)
        yield Metric(name=f"ece{name}", value=error.value, n=len(pairs))
        yield Metric(name=f"ece{name} noise", value=error.high, n=len(pairs))
        if name:
            yield _mean("nll corrected", log_loss(logits, labels.gold).tolist(), prompts, "nats", seed)
            signs = np.asarray([pair.gold.sign for pair in pairs])
            yield _share("accuracy.corrected", [right_of(x) for x in (signs * logits).tolist()], prompts)
    temperature = fit_logits(labels).temperature
    if math.isfinite(temperature):
        yield Metric(name="temperature", value=temperature, n=len(pairs))


def _mass(pairs: Sequence[JudgedPair]) -> Iterator[Metric]:
    """Yield the median and the lowest answer mass of the judgments that report one."""
    masses = [j.answer_mass for pair in pairs for j in pair.judgments if j.answer_mass is not None]
    if masses:
        yield Metric(name="answer mass", value=float(np.median(masses)), n=len(masses))
        yield Metric(name="answer mass.lowest", value=min(masses), n=len(masses))


def _baselines(pairs: Sequence[JudgedPair], seed: int) -> Iterator[Metric | None]:
    """Yield the accuracy of each baseline on the same pairs, and the labeler's lead over it."""
    golds = [pair.gold for pair in pairs]
    prompts = [gold.comparison.prompt.id for gold in golds]
    own = [pair.right or 0.0 for pair in pairs]
    for name, leanings in baselines(golds, seed).items():
        rights = baseline_rights(golds, leanings)
        yield _share(f"baseline.{name}", rights, prompts)
        lead = [mine - theirs for mine, theirs in zip(own, rights, strict=True)]
        yield _mean(f"lead.{name}", lead, prompts, "share", seed)


def baseline_rights(golds: Sequence[GoldPair], leanings: Leanings) -> list[float]:
    """Return for each pair how right a baseline is: 1, 0 or, where it prefers neither answer, one half."""
    return [right_of(gold.sign * leaning) for gold, leaning in zip(golds, leanings, strict=True)]


def _by_principle(pairs: Sequence[JudgedPair]) -> Iterator[Metric | None]:
    """Yield the accuracy of the judgments under each principle."""
    found: dict[str, list[tuple[float, str]]] = {}
    for pair in pairs:
        for judgment in pair.judgments:
            if judgment.p_a is not None and judgment.principle_id is not None:
                right = right_of(pair.gold.sign * (judgment.p_a - EVEN))
                prompt = pair.gold.comparison.prompt.id
                found.setdefault(judgment.principle_id, []).append((right, prompt))
    if len(found) > 1:
        for name, rows in sorted(found.items()):
            yield _share(f"accuracy.principle.{name}", [r for r, _ in rows], [p for _, p in rows])


def _by_tag(pairs: Sequence[JudgedPair]) -> Iterator[Metric | None]:
    """Yield the accuracy on the pairs of each tag, such as the part of a data set."""
    tags = sorted({tag for pair in pairs for tag in pair.gold.comparison.prompt.tags})
    if len(tags) > 1:
        for tag in tags:
            inside = [pair for pair in pairs if tag in pair.gold.comparison.prompt.tags]
            yield judged_accuracy(f"accuracy.tag.{tag}", inside)


def _share(name: str, values: Sequence[float], clusters: Sequence[str]) -> Metric | None:
    return weighted_share(name, values, [1.0] * len(values), clusters)


def _mean(name: str, values: Sequence[float], clusters: Sequence[str], unit: str, seed: int = 0) -> Metric:
    """Return the mean of values with its bootstrap interval over clusters."""
    places, count = cluster_places(clusters)
    sums = np.bincount(places, values, minlength=count)
    sizes = np.bincount(places, minlength=count)
    found = np.asarray(values, dtype=np.float64)
    # Clusters are resampled by their residuals from the mean, so that large ones count for more.
    residuals = (sums - sizes * found.mean()) * count / len(found)
    (interval,) = paired_intervals([residuals.tolist()], seed)
    mean = float(found.mean())
    return Metric(
        name=name, value=mean, n=len(found), low=mean + interval.low, high=mean + interval.high, unit=unit
    )
