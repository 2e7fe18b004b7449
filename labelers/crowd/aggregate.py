"""Aggregate the judgments of a comparison into one preference with a probability.

An answer that breaks a hard machine check loses, regardless of everything else. If both answers break one,
there is no preference. Otherwise the probabilities under the principles are averaged by weight, in tiers:
hard principles first, then, if the constitution's priority is `strict`, section by section, then the rest.

With t_1 ... t_n the means of the tiers that have an opinion, in order, the probability is

    p_k = s_k t_k + (1 - s_k) p_{k+1}   with   s_k = min(1, |t_k - 1/2| / DECISIVE),   p_n = t_n

A tier whose mean is at least `DECISIVE` from one half thus determines the preference alone, a tier at exactly
one half leaves it to the later ones, and nothing jumps in between.

Where annotators have judged too, labelers/mixing.py combines the opinions in place of the tiers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from constitution.checks.evaluate import evaluate
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.digests import record_id
from core.records import Candidate, Comparison, Judgment, Message, Preference
from core.statistics.ties import distance_from_tie
from labelers.crowd.votes import MACHINES, current_judgments, probability_of, votes_in

BOTH_BREAK_HARD = "both answers break a hard principle"
"""Beginning of the reason why there is no preference; in records of runs."""

DECISIVE = 0.1
"""Minimum distance from one half for a tier's mean to be decisive; later tiers are then ignored."""

TierRule = Literal["smooth", "first"]
"""How the tiers make up a probability. `smooth` is the rule above. `first` is that of runs made before it:
the first decisive tier alone or, if none is, the mean over all opinions. Those runs keep it."""


@dataclass(frozen=True, slots=True)
class WeightedOpinion:
    """One usable judgment with its probability, weight and tier."""

    judgment: Judgment
    p_a: float
    weight: float
    tier: int
    neutral: bool
    """True for a machine check that scores both answers the same: it counts only if nothing else does."""


Shares = Mapping[str, float]
"""Contribution of each principle to a probability p of `a`: S_k w_i (p_i - 1/2) / sum_j w_j for the opinions
i of tier k with weights w_i and probabilities p_i, where S_k is the share of the tier. The contributions sum
to p - 1/2."""


class Settled(NamedTuple):
    """The result of aggregating the opinions on a comparison."""

    p_a: float
    """The probability of `a`."""
    behind: Sequence[WeightedOpinion]
    """The opinions it is based on, including those of tiers that did not count."""
    shares: Shares
    """The contribution of each principle; opinions of tiers that did not count have none."""


Settle = Callable[[Comparison, Sequence[WeightedOpinion]], Settled | str]


def settle_by_tier(
    comparison: Comparison, opinions: Sequence[WeightedOpinion], rule: TierRule = "smooth"
) -> Settled:
    """Aggregate opinions tier by tier; see the module's docstring."""
    speaking = [o for o in opinions if not o.neutral] or list(opinions)
    tiers = [[o for o in speaking if o.tier == tier] for tier in sorted({o.tier for o in speaking})]
    parts = [Settled(_mean(tier), tier, shares_of(tier)) for tier in tiers]
    if rule == "first" and not any(decisiveness(part.p_a) == 1 for part in parts):
        # To the last digit as older versions, or the trainings of older runs would run again.
        return Settled(_mean(speaking), opinions, shares_of(speaking))
    p_a, shares = combine_in_order(parts, [sum(o.weight for o in tier) for tier in tiers], rule)
    return Settled(p_a, opinions, shares)


def combine_in_order(
    parts: Sequence[Settled], weights: Sequence[float], rule: TierRule = "smooth"
) -> tuple[float, Shares]:
    """Combine probabilities of which the earlier ones have precedence.

    Args:
        parts: at least one.
        weights: the weight of each part, used only by the rule `first`, where no part is decisive.
        rule: how the parts are combined.

    Returns:
        The probability and the contribution of each principle to it.
    """
    given = _precedence([part.p_a for part in parts], weights, rule)
    counted = [(share, part) for share, part in zip(given, parts, strict=True) if share]
    return sum(share * part.p_a for share, part in counted), mixed_shares(counted)


def _precedence(means: Sequence[float], weights: Sequence[float], rule: TierRule) -> list[float]:
    """Return the share of each part in the probability; the shares sum to 1."""
    if rule == "first":
        first = next((n for n, p in enumerate(means) if decisiveness(p) == 1), None)
        if first is None:
            return [weight / sum(weights) for weight in weights]
        return [float(n == first) for n in range(len(means))]
    shares, left = [], 1.0
    for p in means[:-1]:
        shares.append(left * decisiveness(p))
        left -= shares[-1]
    return [*shares, left]


def decisiveness(p: float) -> float:
    """Return min(1, |p - 1/2| / DECISIVE): 1 for a decisive probability, such as 3 of 5 votes."""
    return min(1.0, distance_from_tie(p) / DECISIVE)


def aggregate(
    comparison: Comparison,
    judgments: Iterable[Judgment],
    constitution: Constitution,
    settled: Settle = settle_by_tier,
) -> Preference | str:
    """Return the preference from the judgments, or the reason for none; see `aggregated_outcome`."""
    outcome = aggregated_outcome(comparison, judgments, constitution, settled)
    if isinstance(outcome, str):
        return outcome
    return _preference(comparison, outcome.behind, outcome.p_a, constitution.digest)


def aggregated_outcome(
    comparison: Comparison,
    judgments: Iterable[Judgment],
    constitution: Constitution,
    settled: Settle = settle_by_tier,
) -> Settled | str:
    """Return the aggregated judgments of a comparison, or the reason why there is no preference.

    Judgments that were taken back and verdicts without a number (`unparsed`, `skip`) do not count.

    Args:
        comparison: the two answers.
        judgments: the judgments of the comparison, from all labelers.
        constitution: defines the hard machine checks, and the principles' weights and tiers.
        settled: combines the opinions, or returns the reason why there is no preference. Not called if
            exactly one of the answers breaks a hard machine check.
    """
    a, b = comparison.response_a, comparison.response_b
    broken = [_broken_hard_checks(comparison, answer, constitution) for answer in (a, b)]
    if all(broken):
        names = ", ".join(sorted({*broken[0], *broken[1]}))
        return f"{BOTH_BREAK_HARD} ({names})"
    current = current_judgments(judgments)
    if not current:
        return "no principle applies"
    opinions = opinions_of(current, constitution)
    if not opinions:
        return "no judgment has a probability"
    excluding = [o for o in opinions if o.judgment.principle_id in broken[0] + broken[1]]
    if excluding:
        return Settled(_mean(excluding), opinions, shares_of(excluding))
    return settled(comparison, opinions)


def opinions_of(judgments: Iterable[Judgment], constitution: Constitution) -> list[WeightedOpinion]:
    """Return the judgments that have a probability, with their weights and tiers."""
    return [o for o in (_opinion(judgment, constitution) for judgment in judgments) if o is not None]


def _broken_hard_checks(comparison: Comparison, answer: str, constitution: Constitution) -> list[str]:
    """Return the ids of the hard machine checks that apply to the prompt and that the answer breaks."""
    return [
        principle.id
        for principle in constitution.steering
        if principle.hard and principle.check is not None and in_scope(principle, comparison.prompt)
        if not evaluate(check_on(principle.check, comparison.prompt), answer).passed
    ]


def _opinion(judgment: Judgment, constitution: Constitution) -> WeightedOpinion | None:
    p_a = probability_of(judgment)
    if p_a is None or judgment.weight == 0:
        return None
    principle = _principle(judgment, constitution)
    return WeightedOpinion(
        judgment=judgment,
        p_a=p_a,
        weight=votes_in(judgment) * (principle.weight if principle else 1.0),
        tier=tier_of(principle, constitution),
        neutral=judgment.labeler == "check" and judgment.p_a == 0.5,
    )


def _principle(judgment: Judgment, constitution: Constitution) -> Principle | None:
    """Return the principle of a judgment, or None; a human one may name another constitution's principle."""
    if judgment.labeler in MACHINES and judgment.principle_id:
        return constitution.principle(judgment.principle_id)
    return constitution.find(judgment.principle_id)


def tier_of(principle: Principle | None, constitution: Constitution) -> int:
    """Return the tier of a principle, 0 for hard ones; a judgment without one is in the last."""
    last = 1 + len(constitution.sections)
    if principle is None:
        return last
    if principle.hard:
        return 0
    if constitution.priority == "strict" and principle.section in constitution.sections:
        return 1 + constitution.sections.index(principle.section)
    return last


def shares_of(speaking: Sequence[WeightedOpinion]) -> Shares:
    """Return the contribution of each principle to the mean of opinions; see `Shares`."""
    total = sum(o.weight for o in speaking)
    shares: dict[str, float] = {}
    for opinion in speaking:
        name = opinion.judgment.principle_id or f"({opinion.judgment.labeler})"
        shares[name] = shares.get(name, 0.0) + opinion.weight / total * (opinion.p_a - 0.5)
    return shares


def mixed_shares(parts: Sequence[tuple[float, Settled]]) -> Shares:
    """Return each contribution to a weighted mean of probabilities, given weights that sum to 1."""
    shares: dict[str, float] = {}
    for weight, part in parts:
        for name, share in part.shares.items():
            shares[name] = shares.get(name, 0.0) + weight * share
    return shares


def _mean(opinions: Sequence[WeightedOpinion]) -> float:
    return sum(o.p_a * o.weight for o in opinions) / sum(o.weight for o in opinions)


def _preference(
    comparison: Comparison, opinions: Sequence[WeightedOpinion], p_a: float, constitution_digest: str
) -> Preference:
    a_wins = p_a >= 0.5  # at exactly one half `a` wins: a hash decides which answer is `a`
    a = Candidate(comparison.response_a, comparison.origin_a, comparison.finished_a)
    b = Candidate(comparison.response_b, comparison.origin_b, comparison.finished_b)
    chosen, rejected = (a, b) if a_wins else (b, a)
    return Preference(
        id=record_id("preference", comparison.id, constitution_digest, [o.judgment.id for o in opinions]),
        comparison_id=comparison.id,
        prompt=comparison.prompt.messages,
        prompt_id=comparison.prompt.id,
        chosen=(Message(role="assistant", content=chosen.response),),
        rejected=(Message(role="assistant", content=rejected.response),),
        p_chosen=max(p_a, 1 - p_a),
        weight=1.0 if comparison.weight is None else comparison.weight,
        sources=dict(sorted(Counter(o.judgment.labeler for o in opinions).items())),
        by_principle=_by_principle(opinions, a_wins=a_wins),
        origin_chosen=chosen.origin,
        origin_rejected=rejected.origin,
        finished_chosen=chosen.finished,
        finished_rejected=rejected.finished,
        tags=comparison.prompt.tags,
        split=comparison.prompt.split,
        constitution_digest=constitution_digest,
    )


def _by_principle(opinions: Sequence[WeightedOpinion], *, a_wins: bool) -> dict[str, float]:
    """Return the mean probability per principle that the chosen answer is better."""
    found: dict[str, list[float]] = {}
    for opinion in opinions:
        if opinion.judgment.principle_id:
            p_chosen = opinion.p_a if a_wins else 1 - opinion.p_a
            found.setdefault(opinion.judgment.principle_id, []).append(p_chosen)
    return {principle: sum(values) / len(values) for principle, values in sorted(found.items())}
