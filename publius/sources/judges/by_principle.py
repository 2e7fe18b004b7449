"""Gold labels of single principles: machine checks of replies as they are and edited, and labels of people.

For a principle with a machine check, some of the replies are edited so that they fail it
(`constitution.gold.breaking`) and those that fail it so that they pass (`constitution.repair`). Every text is
a label of every such principle: an edit that breaks one keeps the others, so that a probe does not learn to
tell edited replies from others. For the same reason, a third of the edits are of the reply's first sentences
and a third of the reply cut off, both of which are texts of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.draw import in_scope
from constitution.gold.breaking import broken, cut_short
from constitution.repair.edits import repaired
from constitution.schema import Constitution, Principle
from core.digests import derive_uniform
from core.records import Prompt
from publius.sources.held_out import held_out_of
from publius.sources.judges.gold import (
    CHECK_GOLD,
    JUDGE_KEY,
    PAIR_GOLD,
    REPLY_GOLD,
    JudgeGoldSource,
    ReplyToCheck,
)
from publius.sources.judges.replies import LabelledReply
from training.examples import ExcludedExample, PreferencePair
from training.judge.probe import GoldLabel

_Row = TypeVar("_Row")
BREAKING_EDITS = 3
"""Edits of a reply that break a principle: of the reply as it is, of its first sentences, of it cut off."""
_UNKNOWN = "the principle that the label is about is not in the constitution"


@dataclass
class PrincipleGold:
    """Gold labels of one principle; they refer to replies by number."""

    principle: Principle
    labels: list[GoldLabel] = field(default_factory=list)
    held_out: list[GoldLabel] = field(default_factory=list)
    """Labels that take no part in training or in any choice."""

    @property
    def sources(self) -> dict[str, int]:
        """Number of labels in training by source."""
        return dict(Counter(label.kind for label in self.labels))


@dataclass
class GoldByPrinciple:
    """Gold labels by principle, and the replies that they are of."""

    principles: dict[str, PrincipleGold]
    """By id."""
    replies: dict[tuple[Prompt, str], int] = field(default_factory=dict)
    excluded: list[ExcludedExample] = field(default_factory=list)
    unnamed: Counter[str] = field(default_factory=Counter)
    """Number of labels by source that name no principle."""

    def number(self, prompt: Prompt, reply: str) -> int:
        """Return the number of a reply; the same reply to a prompt has one number."""
        return self.replies.setdefault((prompt, reply), len(self.replies))

    def without(self, dropped: set[int]) -> None:
        """Remove the labels of replies that cannot be read."""
        for gold in self.principles.values():
            for labels in (gold.labels, gold.held_out):
                labels[:] = [one for one in labels if one.first not in dropped and one.second not in dropped]


@dataclass(frozen=True)
class GoldData:
    """The data that gold labels are made of."""

    pairs: Sequence[PreferencePair] = ()
    labelled: Sequence[LabelledReply] = ()
    checked: Sequence[ReplyToCheck] = ()
    """Replies for machine checks, besides those of pairs and labels."""

    @property
    def replies(self) -> list[ReplyToCheck]:
        """All replies, each once."""
        found = [
            *(
                ReplyToCheck(pair.prompt, text)
                for pair in self.pairs
                for text in (pair.chosen, pair.rejected)
            ),
            *(ReplyToCheck(label.prompt, label.reply) for label in self.labelled),
            *self.checked,
        ]
        return [one for one in dict.fromkeys(found) if one.reply.strip()]


def gold_by_principle(
    data: GoldData,
    constitution: Constitution,
    sources: Sequence[JudgeGoldSource],
    *,
    share: float,
    checked: int,
    seed: int,
) -> GoldByPrinciple:
    """Return the gold labels of every principle.

    A pair or a labelled reply is gold for the principle that its column `principle` names; without one, for
    the only principle of the constitution, if there is but one.

    Args:
        data: pairs, labelled replies, and replies for machine checks.
        constitution: its principles are judged.
        sources: which labels to make.
        share: share of the prompts that are held out.
        checked: largest number of replies that are checked and edited, in training; held out are as many at
            most.
        seed: seed of the choice of replies and of edits.
    """
    gold = GoldByPrinciple({p.id: PrincipleGold(p) for p in constitution.principles})
    if REPLY_GOLD in sources:
        for rows, unseen in _divided(data.labelled, share):
            _add_labelled(gold, rows, unseen=unseen)
    if PAIR_GOLD in sources:
        for pairs, unseen in _divided(data.pairs, share):
            _add_pairs(gold, pairs, unseen=unseen)
    if CHECK_GOLD in sources:
        with_check = [(p, p.check) for p in constitution.principles if p.check is not None]
        for replies, unseen in _divided(data.replies, share):
            chosen = sorted(replies, key=lambda one: derive_uniform(seed, "checked", one.reply))[:checked]
            _add_checks(gold, with_check, chosen, seed, unseen=unseen)
    return gold


def _divided(rows: Sequence[_Row], share: float) -> Iterator[tuple[list[_Row], bool]]:
    """Yield the rows to train on, and those held out, with whether they are."""
    train, unseen = held_out_of(rows, share, JUDGE_KEY)
    yield train, False
    yield unseen, True


def _add_labelled(gold: GoldByPrinciple, rows: Iterable[LabelledReply], *, unseen: bool) -> None:
    for row in rows:
        own = _named(gold, row.principle, row.id, REPLY_GOLD)
        if own is not None:
            prompt = Prompt.of(row.prompt)
            number = gold.number(prompt, row.reply)
            label = GoldLabel(number, None, float(row.good), prompt.id, REPLY_GOLD)
            (own.held_out if unseen else own.labels).append(label)


def _add_pairs(gold: GoldByPrinciple, pairs: Iterable[PreferencePair], *, unseen: bool) -> None:
    for pair in pairs:
        own = _named(gold, pair.principle, pair.id, PAIR_GOLD)
        if own is not None:
            prompt = Prompt.of(pair.prompt)
            first, second = (gold.number(prompt, text) for text in (pair.chosen, pair.rejected))
            label = GoldLabel(first, second, pair.p_chosen, prompt.id, PAIR_GOLD, pair.weight)
            (own.held_out if unseen else own.labels).append(label)


def _named(
    gold: GoldByPrinciple, principle: str | None, place: str, source: JudgeGoldSource
) -> PrincipleGold | None:
    """Return the gold of the principle that a label names, or of the only one; note why there is none."""
    if principle is not None and principle not in gold.principles:
        gold.excluded.append(ExcludedExample(place, _UNKNOWN, principle))
        return None
    if principle is None and len(gold.principles) > 1:
        gold.unnamed[source] += 1
        return None
    return gold.principles[principle] if principle is not None else next(iter(gold.principles.values()))


def _add_checks(
    gold: GoldByPrinciple,
    principles: Sequence[tuple[Principle, Check]],
    replies: Sequence[ReplyToCheck],
    seed: int,
    *,
    unseen: bool,
) -> None:
    """Add labels by the checks of principles, of replies as they are and edited."""
    texts = [one.reply for one in replies]
    for reply in replies:
        prompt = Prompt.of(reply.prompt)
        own = [(p, check) for p, check in principles if in_scope(p, prompt)]
        others = [text for text in texts if text != reply.reply]
        for text in _texts([check for _, check in own], reply.reply, others, seed):
            for principle, check in own:
                label = GoldLabel(
                    gold.number(prompt, text),
                    None,
                    float(evaluate(check, text).passed),
                    prompt.id,
                    CHECK_GOLD,
                )
                found = gold.principles[principle.id]
                (found.held_out if unseen else found.labels).append(label)


def _texts(checks: Sequence[Check], reply: str, others: Sequence[str], seed: int) -> list[str]:
    """Return a reply as it is and shortened, and edited to break and to pass each check; each text once."""
    unedited = [reply, *cut_short(reply, seed=seed)]
    found: list[str | None] = [*unedited]
    for check in checks:
        for n in range(BREAKING_EDITS):
            found.append(broken(check, unedited[n % len(unedited)], others, seed=f"{seed} {n}"))
        found.append(repaired([check], reply))
    return [text for text in dict.fromkeys(found) if text]
