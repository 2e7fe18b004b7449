"""Votes on the same question: which judgments of two annotators can be compared at all.

Two judgments of one comparison under different principles are about different things. A machine check that
both answers pass says nothing about which of them is kinder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from core.records import Judgment
from labelers.check import CHECK_LABELER
from labelers.crowd.agreement import PairAgreement, pair_agreements
from labelers.crowd.votes import Cases, Vote, votes_by_occasion, votes_of


def votes_as_a_whole(current: Iterable[Judgment]) -> list[Vote]:
    """Return one vote for each annotator on which answer is better as a whole.

    An annotator who judged under several principles or dimensions has the mean. Machine checks have no vote:
    they look at their own rules alone.
    """
    return votes_of(judgment for judgment in current if judgment.labeler != CHECK_LABELER)


def cases_as_a_whole(current: Iterable[Judgment], prompts: Mapping[str, str]) -> Cases:
    """Return the votes as `votes_as_a_whole`, where a repeated comparison is a case for each occasion."""
    whole = (judgment for judgment in current if judgment.labeler != CHECK_LABELER)
    return votes_by_occasion(whole, prompts)


def comparable_pairs(current: Iterable[Judgment], prompts: Mapping[str, str]) -> list[PairAgreement]:
    """Return the agreement of each two annotators who judged the same, in order of name.

    If they judged comparisons under the same principle or dimension, these judgments are compared, each
    question for itself; else their votes as a whole.

    Args:
        current: the judgments that are not taken back.
        prompts: the prompt of each comparison, by ids.
    """
    judgments = list(current)
    whole = pair_agreements(*cases_as_a_whole(judgments, prompts))
    votes, asked = _votes_by_question(judgments, prompts)
    same = pair_agreements(votes, asked)
    found = {(pair.first, pair.second): pair for pair in (*whole, *same)}
    return [found[names] for names in sorted(found)]


def _votes_by_question(
    judgments: Iterable[Judgment], prompts: Mapping[str, str]
) -> tuple[list[Vote], dict[str, str]]:
    """Return a vote for each annotator, comparison and question, and the prompt of each of these cases.

    The id of a case is that of its comparison with the principle or dimension behind it.
    """
    groups: dict[tuple[str, str], list[Judgment]] = {}
    for judgment in judgments:
        if judgment.principle_id is not None or judgment.dimension is not None:
            groups.setdefault((judgment.principle_id or "", judgment.dimension or ""), []).append(judgment)
    votes: list[Vote] = []
    asked: dict[str, str] = {}
    for question, group in sorted(groups.items()):
        cases = votes_by_occasion(group, prompts)
        for vote in cases.votes:
            case = "/".join((vote.comparison_id, *question))
            asked[case] = cases.prompts.get(vote.comparison_id, vote.comparison_id)
            votes.append(replace(vote, comparison_id=case))
    return votes, asked
