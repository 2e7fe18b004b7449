"""How many pairs of a run DPO can use, and what to change so that it can use more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from core.notices import counted
from publius.config.run_file import RunConfig
from publius.runs.folder import Run
from publius.runs.pairs.caveats import pair_limits
from publius.sources.held_out import held_out_of
from publius.stages.training.examples import preference_pairs
from training.examples import PreferencePair
from training.pairs.dpo import is_near_tie


@dataclass(frozen=True)
class UsablePairs:
    """The pairs of DPO, and why some are of no use; one pair may be so for both reasons."""

    pairs: int
    near_tie: int
    """Pairs within `dpo.min_margin` of a tie."""
    cut: int
    """Pairs whose chosen answer is cut off at its token limit."""
    both: int
    """Pairs that are of no use for both reasons."""

    @classmethod
    def of(cls, pairs: Iterable[PreferencePair], min_margin: float) -> UsablePairs:
        """Count the pairs that DPO can use with a margin."""
        found = [(is_near_tie(pair, min_margin), not pair.chosen_finished) for pair in pairs]
        near, cut = (sum(reasons[place] for reasons in found) for place in (0, 1))
        return cls(len(found), near, cut, sum(map(all, found)))

    @property
    def usable(self) -> int:
        """Pairs without either reason."""
        return self.pairs - self.near_tie - self.cut + self.both

    def counts(self) -> dict[str, int]:
        """Return what was counted, by name, as the arguments of this class."""
        return asdict(self)

    def as_json(self) -> dict[str, int]:
        """Return the numbers by name."""
        return {**self.counts(), "usable": self.usable}

    def in_words(self) -> str:
        """Return how many pairs DPO can train on, and why not on the others."""
        said = f"DPO can train on {self.usable:,} of {counted(self.pairs, 'pair')}"
        reasons = []
        if self.near_tie:
            reasons.append(f"{self.near_tie:,} within dpo.min_margin of a tie")
        if self.cut:
            reasons.append(f"{self.cut:,} with a chosen answer that is cut off at its token limit")
        if self.both:
            reasons.append(f"{self.both:,} of these for both reasons")
        return f"{said}: not on {', '.join(reasons)}" if reasons else said

    def remedy(self, config: RunConfig) -> str:
        """Return the settings to change, that of the commonest reason first; empty if there is no reason.

        Where there are two reasons it says how many pairs each change leaves, for one may hide the other.
        """
        margin = f"lower dpo.min_margin (now {config.dpo.min_margin:g})"
        limits = pair_limits(config)
        raised = " and ".join(f"{name} (now {tokens:,})" for name, tokens in limits.items())
        stops = " and ".join(name.replace("max_new_tokens", "stop") for name in limits)
        longer = f"raise {raised}, or end answers earlier with {stops}"
        changes = [(self.near_tie, margin, self.cut), (self.cut, longer, self.near_tie)]
        ordered = sorted((one for one in changes if one[0]), key=lambda one: -one[0])
        if len(ordered) < 2:
            return "".join(what for _, what, _ in ordered)
        (_, first, still_cut), (_, second, still_near) = ordered
        return (
            f"{first}; {second}: the first alone leaves at most {self.pairs - still_cut:,} of "
            f"{counted(self.pairs, 'pair')}, the second {self.pairs - still_near:,}, both {self.pairs:,}"
        )


def usable_pairs(run: Run) -> UsablePairs:
    """Return how many of a run's pairs DPO can use, without those that `dpo.held_out` holds out."""
    config = run.config.dpo
    return UsablePairs.of(
        held_out_of(list(preference_pairs(run)), config.held_out, "dpo")[0], config.min_margin
    )
