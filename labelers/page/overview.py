"""Metrics of the owner's page: progress, inter-annotator agreement, and accuracy on gold questions."""

from __future__ import annotations

from heapq import nlargest
from typing import Any

from labelers.crowd.agreement import kappa_in, observed_in
from labelers.page.session import Session

SHOWN_PAIRS = 100
"""Pairs of annotators on the owner's page; 200 annotators make 19,900."""


def overview(session: Session) -> dict[str, Any]:
    """Return the metrics of the owner's page. Times are in seconds, shares in [0, 1]; None is unknown."""
    with session.reading():
        ledger, plan = session.ledger, session.plan
        names = sorted({*ledger.annotators(), *session.gold_ledger.annotators()})
        return {
            "tasks": len(plan.tasks),
            "wanted": len(plan.tasks) * plan.annotators_per_task,
            "given": session.queues.given,
            "annotators_per_task": plan.annotators_per_task,
            "question": plan.question.text,
            "gold_questions": len(plan.gold),
            "complete": session.is_complete(),
            "annotators": [_annotator(session, name) for name in names],
            "agreement": _agreement(session),
            "agreement_pairs": len(ledger.pairs.tables),
        }


def _annotator(session: Session, name: str) -> dict[str, Any]:
    tally = session.ledger.tally(name)
    gold = [session.is_right(decision[0]) for decision in session.gold_ledger.decisions(name)]
    scored = [right for right in gold if right is not None]
    return {
        "name": name,
        "decided": tally.decided,
        "rankings": tally.rankings,
        "ties": tally.verdicts["tie"],
        "both_bad": tally.verdicts["both_bad"],
        "skipped": tally.verdicts["skip"],
        "first_share": tally.first_share,
        "median_s": tally.median_s,
        "gold_right": sum(scored),
        "gold_asked": len(scored),
    }


def _agreement(session: Session) -> list[dict[str, Any]]:
    """Return raw agreement and kappa of the pairs of annotators with most comparisons in common."""
    tables = session.ledger.pairs.tables
    shown = nlargest(SHOWN_PAIRS, tables, key=lambda pair: tables[pair].total())
    return [
        {
            "names": list(pair),
            "n": tables[pair].total(),
            "agreed": observed_in(tables[pair]),
            "kappa": kappa_in(tables[pair]),  # no interval: the page polls, and a bootstrap is slow
        }
        for pair in sorted(shown)
    ]
