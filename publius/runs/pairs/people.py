"""What people's judgments in a run say together: how far they agree, and where labels are against them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from core.notices import counted
from core.records import Comparison, Exclusion, Judgment, Preference
from core.statistics.bootstrap import Interval
from core.store.files import is_there
from core.store.scan import scan_records
from labelers.crowd.agreement import Agreement, annotator_agreement
from labelers.crowd.outvoted import OutvotedPairs, outvoted_in_words, people_for_a, tally_outvoted
from labelers.crowd.votes import (
    MACHINES,
    annotator_of,
    by_comparison,
    current_judgments,
    votes_by_occasion,
    votes_of,
)
from labelers.mixing import rules_of
from publius.runs.inputs import RESOLVED, recorded_config
from publius.runs.reader import readable_constitution

_PEOPLE = "people"
"""Key of the human judgments in the manifest."""
_CLEAR = 0.9
"""Probability from which a label is clear."""
_DIVIDED = 0.75
"""Share of people's votes up to which they are divided."""


@dataclass(frozen=True)
class PeopleTogether:
    """The human judgments of a run, taken together."""

    agreement: Agreement | None
    """None if no pair was judged by two people."""
    contradicting: int
    """Judgments that say otherwise than another one by the same person on the same question."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Share of the votes for the answer that more people prefer, by comparison; of two votes or more."""

    @property
    def hardly_agree(self) -> bool:
        """True if agreement is not above chance."""
        found = self.agreement
        return found is not None and (found.alpha is None or found.alpha.low <= 0)


def people_together(
    judgments: Iterable[Judgment], prompts: Mapping[str, str] | None = None
) -> PeopleTogether:
    """Return what human judgments say together; those of machines are ignored.

    Args:
        judgments: judgments of anyone.
        prompts: the prompts of the comparisons, by ids; one that is not in it has a prompt of its own.
    """
    current = current_judgments(j for j in judgments if j.labeler not in MACHINES)
    votes = votes_of(current)
    shares = {}
    for comparison, found in by_comparison(votes).items():
        choices = [vote.p_a for vote in found if vote.p_a is not None]
        if len(choices) > 1:
            share = sum(choices) / len(choices)
            shares[comparison] = max(share, 1 - share)
    agreement = annotator_agreement(*votes_by_occasion(current, prompts))
    return PeopleTogether(agreement, _contradicting(current), shares)


def read_people(folder: Path) -> PeopleTogether:
    """Return the human judgments of a run that has preferences."""
    preferences = scan_records(folder / "preferences.jsonl", Preference)
    prompts = {preference.comparison_id: preference.prompt_id for preference in preferences}
    return people_together(scan_records(folder / "judgments.jsonl", Judgment), prompts)


def people_caveats(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence if people hardly agree; it says if pooled labels are clear all the same.

    Args:
        folder: the run folder, with preferences.
        manifest: its manifest.
    """
    if not manifest.get(_PEOPLE, {}).get("judgments"):
        return ()
    rules = rules_of(recorded_config(folder).label)
    if all(rule.mix == "machines" for rule in rules):
        return ()
    people = read_people(folder)
    if people.agreement is None or not people.hardly_agree:
        return ()
    alpha = people.agreement.alpha
    said = f" (alpha {alpha_in_words(alpha)})" if alpha else ""
    preferences = scan_records(folder / "preferences.jsonl", Preference)
    judged = [(p.p_chosen, people.shares.get(p.comparison_id)) for p in preferences]
    divided = [p for p, share in judged if share is not None and share <= _DIVIDED]
    clear = sum(p > _CLEAR for p in divided)
    if not clear or not any(rule.mix == "pooled" for rule in rules):
        return _divided(people.agreement, said, len(divided))
    divided_pairs = counted(len(divided), "pair")
    return (
        f"People hardly agree{said}, yet the mix pooled gives {clear:,} of the {divided_pairs} that they are "
        f"divided about a probability above {_CLEAR:g}; label.mix=weights or label.aggregation=majority "
        "stays near the votes.",
    )


def outvoted_people(folder: Path, sources: Collection[str] = ()) -> OutvotedPairs:
    """Return how the labels of a run go with people's votes; without votes or labels, no pair is counted.

    Args:
        folder: the run folder.
        sources: the sources of the votes to count; all if empty.
    """
    judgments = (
        judgment
        for judgment in scan_records(folder / "judgments.jsonl", Judgment)
        if judgment.labeler not in MACHINES and (not sources or judgment.labeler in sources)
    )
    people = list(judgments)
    constitution = readable_constitution(folder) if people else None
    if constitution is None or not is_there(folder / "preferences.jsonl"):
        return OutvotedPairs()
    files = (folder / name for name in ("comparisons.jsonl", "added_comparisons.jsonl"))
    found = tally_outvoted(
        people_for_a(people),
        chain.from_iterable(scan_records(file, Comparison) for file in files),
        scan_records(folder / "preferences.jsonl", Preference),
        scan_records(folder / "exclusions.jsonl", Exclusion),
        constitution,
    )
    found.sources = {judgment.labeler for judgment in people}
    return found


def outvoted_caveats(folder: Path, sources: Collection[str] = ()) -> tuple[str, ...]:
    """Return sentences about labels of a run that are against people's votes.

    Args:
        folder: the run folder.
        sources: the sources of the votes to speak of; all if empty.
    """
    if not is_there(folder / RESOLVED):
        return ()
    label = recorded_config(folder).label
    mixing = f"label.mix={label.mix}, label.aggregation={label.aggregation}"
    return tuple(outvoted_in_words(outvoted_people(folder, sources), mixing))


def _divided(agreement: Agreement, alpha: str, divided: int) -> tuple[str, ...]:
    """Return a sentence about pairs that people are divided about; empty if there is none."""
    if not divided:
        return ()
    two = agreement.annotators == 2
    judges = "two people" if two else "two or more people"
    telling = ", and votes of two do not say who is right" if two else ""
    return (
        f"People hardly agree{alpha}: they are divided about {divided:,} of the "
        f"{counted(agreement.comparisons, 'pair')} that {judges} judged{telling}. Labels of these pairs are "
        "near ties or guesses; let another person judge them (publius annotate).",
    )


def alpha_in_words(alpha: Interval) -> str:
    """Return Krippendorff's alpha with its interval."""
    return f"{alpha.value:.2f}, 95 % interval {alpha.low:.2f} to {alpha.high:.2f}"


def _contradicting(current: Iterable[Judgment]) -> int:
    verdicts: dict[tuple[str | None, ...], list[str]] = defaultdict(list)
    for judgment in current:
        question = (judgment.comparison_id, annotator_of(judgment), judgment.principle_id, judgment.dimension)
        verdicts[question].append(judgment.verdict)
    return sum(verdict != found[0] for found in verdicts.values() for verdict in found)
