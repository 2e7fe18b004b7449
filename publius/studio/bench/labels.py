"""Labels of the pairs on the bench under a version of the constitution, and what flipped since another one.

Machine checks are evaluated whenever they are shown. A model's judgments are remembered by everything that
determines them, so the labels under an earlier version, which an edit is compared with, need no request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from constitution.checks.findings import finding, finding_for_people, matched_texts
from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.digests import digest
from core.records import Comparison, Judgment, Prompt
from labelers.check import CHECK_LABELER, check_judgments
from labelers.config import LabelConfig
from labelers.correction.correction import corrector_of
from labelers.crowd.aggregate import aggregated_outcome
from publius.authoring.flips import is_flip
from publius.studio.bench.pairs import AnswerPair

PairFindings = tuple[str | None, str | None]
"""What a check finds in the draft and in the revision, as people read it; None where it passes."""


@dataclass
class LabelMemory:
    """Judgments of the model by the content that determines them."""

    labeler: str
    """Digest of the labeler and of the settings of its labels."""
    judgments: dict[str, Judgment] = field(default_factory=dict)

    def key(self, comparison: Comparison, principle: Principle, constitution: Constitution) -> str:
        """Return the key of a judgment."""
        content = principle.model_dump(mode="json", exclude={"weight", "lint_ignore", "hard", "section"})
        passage = constitution.passage(principle)
        return digest("bench", self.labeler, comparison.id, content, passage, constitution.preamble)

    def find(
        self, comparison: Comparison, principle: Principle, constitution: Constitution
    ) -> Judgment | None:
        """Return the judgment of a comparison under a principle, if it is known."""
        return self.judgments.get(self.key(comparison, principle, constitution))


@dataclass(frozen=True)
class LabelView:
    """The labels of a pair under one version of the constitution."""

    constitution: Constitution
    checks: Mapping[str, PairFindings | None]
    """PairFindings of each machine check; None for one that does not apply to the prompt."""
    judged: Mapping[str, Judgment | None]
    """The model's judgment under each principle that it is asked about; None if it is not known yet."""
    by_check: Mapping[str, Judgment]
    overall: float | str | None
    """Probability that the revision is better, why there is none, or None if judgments are missing."""

    @property
    def is_complete(self) -> bool:
        """True if no judgment of the model is missing."""
        return None not in self.judged.values()


def label_view(
    prompt: Prompt,
    pair: AnswerPair,
    constitution: Constitution,
    asked: Sequence[Principle],
    memory: LabelMemory,
    settings: LabelConfig,
) -> LabelView:
    """Return what is known of a pair's labels under a constitution.

    Args:
        prompt: the prompt.
        pair: the two answers.
        constitution: the version.
        asked: the principles that the model judges the pair under.
        memory: the model's judgments.
        settings: settings of the labels.
    """
    checks: dict[str, PairFindings | None] = {}
    for principle in constitution.principles:
        if principle.check is not None:
            applies = in_scope(principle, prompt)
            texts = (pair.draft.text, pair.last.text)
            found = [_said(principle, text) for text in texts] if applies else None
            checks[principle.id] = None if found is None else (found[0], found[1])
    comparison = pair.comparison
    if isinstance(comparison, str):
        return LabelView(constitution, checks, {}, {}, comparison)
    judged = {p.id: memory.find(comparison, p, constitution) for p in asked}
    by_check = {
        j.principle_id or "": j for j in check_judgments(comparison, constitution, settings.check_confidence)
    }
    known = [j for j in judged.values() if j is not None]
    overall: float | str | None = None
    if len(known) == len(judged):
        corrected = corrector_of(settings, constitution).corrected(comparison, [*known, *by_check.values()])
        outcome = aggregated_outcome(comparison, corrected, constitution)
        overall = outcome if isinstance(outcome, str) else pair.p_revision(outcome.p_a)
    return LabelView(constitution, checks, judged, by_check, overall)


def shown_checks(now: LabelView, before: LabelView | None) -> list[dict[str, Any]]:
    """Return the checks as the page shows them, each with its findings under the version before."""
    shown = []
    for principle in now.constitution.principles:
        if principle.id not in now.checks:
            continue
        found = now.checks[principle.id]
        earlier = before.checks.get(principle.id) if before else None
        changed = found is not None and earlier is not None and _passes(found) != _passes(earlier)
        shown.append(
            {
                "principle": principle.id,
                "applies": found is not None,
                "draft": found[0] if found else None,
                "last": found[1] if found else None,
                "before": list(_passes(earlier)) if earlier else None,
                "flipped": changed,
            }
        )
    return shown


def _said(principle: Principle, answer: str) -> str | None:
    """Return what a principle's check finds in an answer, as people read it; None if it passes."""
    check = principle.check
    found = None if check is None else finding(check, answer)
    if check is None or found is None:
        return None
    return finding_for_people(principle.text, check, found, matched_texts(check, answer))


def shown_labels(pair: AnswerPair, now: LabelView, before: LabelView | None) -> list[dict[str, Any]]:
    """Return the labels as the page shows them, each with its probability under the version before."""
    if isinstance(pair.comparison, str):
        return []
    return [
        *(_shown(pair, name, judgment, before) for name, judgment in now.judged.items()),
        *(_shown(pair, name, judgment, before) for name, judgment in now.by_check.items()),
    ]


def shown_overall(now: LabelView, before: LabelView | None) -> dict[str, Any]:
    """Return the aggregated label as the page shows it."""
    p = now.overall if isinstance(now.overall, float) else None
    earlier = before.overall if before and isinstance(before.overall, float) else None
    return {
        "p": p,
        "why": now.overall if isinstance(now.overall, str) else None,
        "before": earlier,
        "flipped": p is not None and earlier is not None and is_flip(earlier, p),
    }


def _shown(
    pair: AnswerPair, name: str, judgment: Judgment | None, before: LabelView | None
) -> dict[str, Any]:
    p = None if judgment is None or judgment.p_a is None else pair.p_revision(judgment.p_a)
    earlier = next(_earlier(pair, name, before), None)
    return {
        "principle": name,
        "labeler": judgment.labeler if judgment else "ai",
        "pending": judgment is None,
        "p": p,
        "before": earlier,
        "flipped": p is not None and earlier is not None and is_flip(earlier, p),
        "orders": _orders(pair, judgment),
        "problem": judgment.problem or "unparsed" if judgment is not None and p is None else None,
    }


def _earlier(pair: AnswerPair, name: str, before: LabelView | None) -> Iterator[float]:
    for found in (before.judged.get(name), before.by_check.get(name)) if before else ():
        if found is not None and found.p_a is not None:
            yield pair.p_revision(found.p_a)


def _orders(pair: AnswerPair, judgment: Judgment | None) -> list[float] | None:
    """Return the log-odds that the revision is better, with the draft shown first and shown second."""
    if judgment is None or judgment.orders is None or judgment.labeler == CHECK_LABELER:
        return None
    assert isinstance(pair.comparison, Comparison)
    draft_is_a = pair.comparison.origin_a == "draft"
    sign = -1.0 if draft_is_a else 1.0
    orders = [judgment.orders.a_first, judgment.orders.b_first]
    return [sign * logit for logit in (orders if draft_is_a else reversed(orders))]


def _passes(found: PairFindings) -> tuple[bool, bool]:
    return found[0] is None, found[1] is None
