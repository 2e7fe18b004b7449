"""Combine human and machine judgments: the policy of `label.mix` and `label.rules`.

Every judgment falls under the first rule whose conditions it meets, otherwise under `label.mix`. Each rule
turns its judgments of a comparison into one probability:

    humans     the annotators' votes, aggregated by `label.aggregation`; machines are ignored
    machines   the AI labeler and the checks, tier by tier as without annotators (labelers/crowd/aggregate.py)
    override   the annotators where they prefer something, otherwise machines
    weights    sum_s w_s p_s / sum_s w_s over the sources s; each source counts once, however many voted
    pooled     all votes together, with the AI labeler and the checks as one annotator each

The rules combine as tiers do: the first rule whose probability is at least `DECISIVE` from one half decides
the comparison, one that is closer to one half has a share in proportion to its distance, and later rules have
the remainder. An answer that breaks a hard machine check always loses. If more than half of the
annotators' weight says that both answers are bad, the comparison has no preference.

Annotator reliability is estimated separately for each rule, since it may differ between dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from constitution.schema import Constitution
from core.records import Comparison, Judgment, Preference, Prompt
from labelers.config import LabelConfig, MixRule
from labelers.crowd.aggregate import (
    Settled,
    TierRule,
    WeightedOpinion,
    aggregate,
    aggregated_outcome,
    combine_in_order,
    mixed_shares,
    opinions_of,
    settle_by_tier,
)
from labelers.crowd.methods import aggregate_votes
from labelers.crowd.reliability import Crowd
from labelers.crowd.votes import MACHINES, Vote, choice_of, current_judgments, mostly_both_bad, votes_of

CLASSIC = (
    MixRule(mix="machines", dimensions=("harmless", "harmlessness", "safety")),
    MixRule(mix="machines", tags=("harmless", "harmlessness", "safety", "red-team")),
)
"""Humans judge helpfulness, the AI judges harmlessness (Bai et al. 2022, arXiv 2212.08073, section 4)."""

_BOTH_BAD = "annotators find both answers bad"
_EVERYONE, _HUMANS = "everyone", "people"
_Party = tuple[int, str]
"""The votes that are aggregated together: the number of the rule, and `everyone`, `people` or one human
source."""


def rules_of(config: LabelConfig) -> tuple[MixRule, ...]:
    """Return the rules in order; the last one has no conditions."""
    if config.mix == "classic":
        return (*config.rules, *CLASSIC, MixRule(mix="humans"))
    return (*config.rules, MixRule(mix=config.mix))


def wants_machines(config: LabelConfig, prompt: Prompt) -> bool:
    """Return whether machine judgments may count beside human ones on a comparison of this prompt."""
    for rule in rules_of(config):
        if rule.tags and not set(rule.tags) & set(prompt.tags):
            continue
        if rule.mix in ("weights", "pooled", "machines"):
            return True
        if not (rule.sections or rule.dimensions or rule.sources):
            return False
    return False


class Mixer:
    """Decide comparisons that annotators have judged, by reliabilities estimated from all votes.

    Args:
        config: the policy.
        constitution: its sections may be named by rules, and its tiers aggregate the machines' judgments.
        judged: every comparison with its judgments. Votes stay in memory, answers do not.
        tiers: how tiers, and the rules of the policy, are combined.
    """

    def __init__(
        self,
        config: LabelConfig,
        constitution: Constitution,
        judged: Iterable[tuple[Comparison, Iterable[Judgment]]],
        tiers: TierRule = "smooth",
    ) -> None:
        self._config, self._constitution, self._tiers = config, constitution, tiers
        self._rules = rules_of(config)
        ballots: dict[_Party, list[Vote]] = {}
        for comparison, judgments in judged:
            for party, votes in self._ballots(comparison, current_judgments(judgments)):
                ballots.setdefault(party, []).extend(votes)
        self.crowds: dict[_Party, Crowd] = {
            party: aggregate_votes(votes, config.aggregation) for party, votes in ballots.items()
        }
        """The posteriors and reliabilities under each rule."""

    def preference(self, comparison: Comparison, judgments: Iterable[Judgment]) -> Preference | str:
        """Return the preference from all judgments under the policy, or the reason why there is none."""
        current = current_judgments(judgments)
        if self._is_both_bad(comparison, current):
            return _BOTH_BAD
        return aggregate(comparison, current, self._constitution, self._settled)

    def outcome(self, comparison: Comparison, judgments: Iterable[Judgment]) -> Settled | str:
        """Return the probability and the opinions it is based on, or the reason why there is none."""
        current = current_judgments(judgments)
        if self._is_both_bad(comparison, current):
            return _BOTH_BAD
        return aggregated_outcome(comparison, current, self._constitution, self._settled)

    def _is_both_bad(self, comparison: Comparison, current: Sequence[Judgment]) -> bool:
        return mostly_both_bad(votes_of(self._counted_human_judgments(comparison, current)))

    def _settled(self, comparison: Comparison, opinions: Sequence[WeightedOpinion]) -> Settled | str:
        parts = []
        for number in range(len(self._rules)):
            under = [o for o in opinions if self._rule_for(comparison, o.judgment) == number]
            part = self._mixed(number, comparison, under)
            if part is not None:
                parts.append(part)
        if not parts:
            return "no source that label.mix allows has judged it"
        p_a, shares = combine_in_order(parts, [1.0] * len(parts), self._tiers)
        return Settled(p_a, [opinion for part in parts for opinion in part.behind], shares)

    def _mixed(
        self, number: int, comparison: Comparison, opinions: Sequence[WeightedOpinion]
    ) -> Settled | None:
        """Return the probability of `a` under one rule and the opinions it is based on; None without any."""
        mix = self._rules[number].mix
        machines = [o for o in opinions if o.judgment.labeler in MACHINES]
        humans = [o for o in opinions if o.judgment.labeler not in MACHINES]
        if mix == "weights":
            return self._weighed(number, comparison, opinions)
        if mix == "pooled":
            return self._voted((number, _EVERYONE), comparison, opinions)
        spoken = None if mix == "machines" else self._voted((number, _HUMANS), comparison, humans)
        if spoken is None and machines and mix != "humans":
            return self._by_tier(comparison, machines)
        return spoken

    def _weighed(
        self, number: int, comparison: Comparison, opinions: Sequence[WeightedOpinion]
    ) -> Settled | None:
        """Return the weighted mean of the sources' probabilities."""
        total, weighed, parts = 0.0, 0.0, list[tuple[float, Settled]]()
        for source in sorted({o.judgment.labeler for o in opinions}):
            own = [o for o in opinions if o.judgment.labeler == source]
            weight = self._weight(source)
            part: Settled | None = self._by_tier(comparison, own)
            if source not in MACHINES:
                part = self._voted((number, source), comparison, own)
            if part is not None and weight > 0:
                total, weighed = total + weight, weighed + weight * part.p_a
                parts.append((weight, part))
        if not parts:
            return None
        behind = [opinion for _, part in parts for opinion in part.behind]
        shares = mixed_shares([(weight / total, part) for weight, part in parts])
        return Settled(weighed / total, behind, shares)

    def _by_tier(self, comparison: Comparison, opinions: Sequence[WeightedOpinion]) -> Settled:
        return settle_by_tier(comparison, opinions, self._tiers)

    def _voted(
        self, party: _Party, comparison: Comparison, opinions: Sequence[WeightedOpinion]
    ) -> Settled | None:
        crowd = self.crowds.get(party)
        p_a = None if crowd is None else crowd.p_a.get(comparison.id)
        if p_a is None or not opinions:
            return None
        # A crowd's probability is a posterior, not a mean of its votes, so it has no share for each voter: it
        # is the contribution of the crowd as a whole.
        return Settled(p_a, opinions, {f"({party[1]})": p_a - 0.5})

    def _ballots(
        self, comparison: Comparison, judgments: Sequence[Judgment]
    ) -> Iterable[tuple[_Party, list[Vote]]]:
        """Yield the votes on a comparison, grouped by the party they are aggregated with."""
        for number, rule in enumerate(self._rules):
            under = [j for j in judgments if self._rule_for(comparison, j) == number]
            humans = [j for j in under if j.labeler not in MACHINES]
            if rule.mix in ("humans", "override"):
                yield (number, _HUMANS), votes_of(humans)
            elif rule.mix == "weights":
                for source in {j.labeler for j in humans}:
                    yield (number, source), votes_of(j for j in humans if j.labeler == source)
            elif rule.mix == "pooled":
                machines = [j for j in under if j.labeler in MACHINES]
                yield (number, _EVERYONE), [*votes_of(humans), *self._machine_votes(comparison, machines)]

    def _machine_votes(self, comparison: Comparison, judgments: Sequence[Judgment]) -> Iterable[Vote]:
        """Yield one vote for each machine, aggregated over its principles."""
        for labeler in sorted(MACHINES):
            opinions = opinions_of((j for j in judgments if j.labeler == labeler), self._constitution)
            if opinions:
                p_a = self._by_tier(comparison, opinions).p_a
                yield Vote(comparison.id, labeler, labeler, choice_of(p_a), p_a)

    def _counted_human_judgments(
        self, comparison: Comparison, judgments: Sequence[Judgment]
    ) -> Iterable[Judgment]:
        """Yield the human judgments that count under the policy."""
        for judgment in judgments:
            mix = self._rules[self._rule_for(comparison, judgment)].mix
            silent = mix == "machines" or (mix == "weights" and self._weight(judgment.labeler) == 0)
            if judgment.labeler not in MACHINES and not silent:
                yield judgment

    def _weight(self, source: str) -> float:
        return self._config.weights.get(source, 1.0)

    def _rule_for(self, comparison: Comparison, judgment: Judgment) -> int:
        """Return the number of the first rule that the judgment falls under."""
        found = (n for n, rule in enumerate(self._rules) if self._fits(rule, comparison, judgment))
        return next(found)  # the last rule has no conditions, so one always matches

    def _fits(self, rule: MixRule, comparison: Comparison, judgment: Judgment) -> bool:
        return (
            (not rule.tags or bool(set(rule.tags) & set(comparison.prompt.tags)))
            and (not rule.sections or self._constitution.section_of(judgment.principle_id) in rule.sections)
            and (not rule.dimensions or judgment.dimension in rule.dimensions)
            and (not rule.sources or judgment.labeler in rule.sources)
        )
