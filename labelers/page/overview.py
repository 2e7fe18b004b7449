"""Metrics of the owner's page: progress, inter-annotator agreement, and accuracy on gold questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from labelers.crowd.agreement import kappa_in, observed_in, pair_tables
from labelers.crowd.votes import votes_of
from labelers.page.session import Session
from labelers.page.tasks import HUMAN_LABELER


def overview(session: Session) -> dict[str, Any]:
    """Return the metrics of the owner's page. Times are in seconds, shares in [0, 1]; None is unknown."""
    with session.reading():
        ledger, plan = session.ledger, session.plan
        names = sorted({*ledger.annotators(), *session.gold_ledger.annotators()})
        answers = [min(len(ledger.answerers(task)), plan.annotators_per_task) for task in plan.tasks]
        return {
            "tasks": len(plan.tasks),
            "wanted": len(plan.tasks) * plan.annotators_per_task,
            "given": sum(answers),
            "annotators_per_task": plan.annotators_per_task,
            "question": plan.question.text,
            "gold_questions": len(plan.gold),
            "complete": session.is_complete(),
            "annotators": [_annotator(session, name) for name in names],
            "agreement": _agreement(session, names),
        }


def _annotator(session: Session, name: str) -> dict[str, Any]:
    decisions = session.ledger.decisions(name)
    pairs = [decision[0] for decision in decisions if len(decision) == 1]
    verdicts = Counter(judgment.verdict for judgment in pairs)
    times = [sum(j.duration_s or 0.0 for j in decision) for decision in decisions]
    decided = [j for j in pairs if j.verdict in ("a", "b")]
    gold = [session.is_right(decision[0]) for decision in session.gold_ledger.decisions(name)]
    scored = [right for right in gold if right is not None]
    return {
        "name": name,
        "decided": len(decisions),
        "rankings": len(decisions) - len(pairs),
        "ties": verdicts["tie"],
        "both_bad": verdicts["both_bad"],
        "skipped": verdicts["skip"],
        "first_share": _share([j.verdict == j.shown_first for j in decided]),
        "median_s": median(times) if times else None,
        "gold_right": sum(scored),
        "gold_asked": len(scored),
    }


def _agreement(session: Session, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return raw agreement and kappa of each pair of annotators with comparisons in common."""
    judgments = [j for name in names for decision in session.ledger.decisions(name) for j in decision]
    return [
        {
            "names": [annotator.removeprefix(f"{HUMAN_LABELER}/") for annotator in pair],
            "n": table.total(),
            "agreed": observed_in(table),
            "kappa": kappa_in(table),  # no interval: the page polls every few seconds, a bootstrap is slow
        }
        for pair, table in pair_tables(votes_of(judgments)).items()
    ]


def _share(truths: Sequence[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None
