"""What the owner of a collection sees: how far it is, how people agree, and how they do on gold questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Any

from core.records import Judgment
from labelers.page.session import Session


def overview(session: Session) -> dict[str, Any]:
    """Return the figures of the owner's page. Times are seconds; shares lie in [0, 1]; None is unknown."""
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
            "annotators": [_person(session, name) for name in names],
            "agreement": _agreement(session, names),
        }


def _person(session: Session, name: str) -> dict[str, Any]:
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
    """Return raw agreement and kappa of each two people who judged the same comparisons."""
    verdicts = {name: _verdicts(session, name) for name in names}
    found = []
    for one, two in combinations(names, 2):
        shared = sorted(verdicts[one].keys() & verdicts[two].keys())
        if shared:
            pairs = [(verdicts[one][key], verdicts[two][key]) for key in shared]
            agreed = _share([a == b for a, b in pairs])
            found.append(
                {"names": [one, two], "n": len(pairs), "agreed": agreed, "kappa": cohen_kappa(pairs)}
            )
    return found


def _verdicts(session: Session, name: str) -> dict[str, str]:
    judgments: list[Judgment] = [j for decision in session.ledger.decisions(name) for j in decision]
    return {j.comparison_id: j.verdict for j in judgments if j.verdict != "skip"}


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa of two people's verdicts on the same comparisons, at most 1; 0 is chance.

    (p_o - p_e) / (1 - p_e), with the agreement p_e that their own shares of verdicts would give by chance
    (Cohen 1960, equation 1). None where that is 1, as when both always say the same one verdict.
    """
    n = len(pairs)
    one, two = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    by_chance = sum(one[verdict] * two[verdict] for verdict in one)
    if by_chance == n * n:
        return None
    observed = sum(a == b for a, b in pairs) / n
    expected = by_chance / n**2
    return (observed - expected) / (1 - expected)


def _share(truths: Sequence[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None
