"""Gold labels that judges are trained on: preferences, labelled replies, and machine checks of replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from constitution.draw import draw, in_scope
from constitution.gold.drawing import DRAWN_KINDS, CheckDrawer
from constitution.schema import Constitution, Principle
from core.digests import record_id
from core.errors import ConfigError, DataError
from core.notices import counted
from core.records import Message, Prompt
from publius.sources.held_out import held_out_of
from publius.sources.judges.replies import LabelledReply
from training.examples import ExcludedExample, PreferencePair
from training.judge.probe import GoldLabel

JudgeGoldSource = Literal["pairs", "replies", "checks"]
PAIR_GOLD: JudgeGoldSource = "pairs"
REPLY_GOLD: JudgeGoldSource = "replies"
CHECK_GOLD: JudgeGoldSource = "checks"
JUDGE_KEY = "judge"
"""Part of the hash that says which prompts are held out."""
_NO_PRINCIPLE = "no principle without a machine check applies to the prompt"


def gold_sources(names: Sequence[str]) -> tuple[JudgeGoldSource, ...] | None:
    """Return the sources with these names; None for none, so that the data decide.

    Raises:
        ConfigError: if there is no source with one of the names.
    """
    known: dict[str, JudgeGoldSource] = {name: name for name in get_args(JudgeGoldSource)}
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown gold {name!r}", where="--gold", accepted=", ".join(known))
    return tuple(dict.fromkeys(known[name] for name in names)) or None


def default_sources(constitution: Constitution, *, has_labels: bool) -> tuple[JudgeGoldSource, ...]:
    """Return the sources where none are named.

    Machine checks are among them if a principle has one, or if there are no other labels: many times as many
    hidden states as those of a few pairs would else be read for kinds that no principle asks about.
    """
    if has_labels and all(principle.check is None for principle in constitution.principles):
        return PAIR_GOLD, REPLY_GOLD
    return PAIR_GOLD, REPLY_GOLD, CHECK_GOLD


def gold_in_words(gold: JudgeGold) -> str:
    """Return what a judge learns from, by source, with the number of hidden states that are read for it."""
    labels: dict[str, int] = {}
    states: dict[str, set[int]] = {}
    for label in (*gold.labels, *gold.held_out):
        source = label.kind if label.kind in (PAIR_GOLD, REPLY_GOLD) else CHECK_GOLD
        labels[source] = labels.get(source, 0) + 1
        states.setdefault(source, set()).update(n for n in (label.first, label.second) if n is not None)
    kinds = len({label.kind for label in gold.labels} - {PAIR_GOLD, REPLY_GOLD})
    names = {PAIR_GOLD: "preferences", REPLY_GOLD: "labelled replies"}
    names[CHECK_GOLD] = f"labels by {counted(kinds, 'kind')} of machine checks"
    parts = [
        f"{labels[source]:,} {name} ({len(states[source]):,} hidden states)"
        for source, name in names.items()
        if source in labels
    ]
    if CHECK_GOLD not in labels:
        return f"{', '.join(parts)}; --gold checks adds machine checks of the replies"
    fewer = "--per-kind N for fewer"
    others = [source for source in labels if source != CHECK_GOLD]
    if others:
        fewer += f", {' '.join(f'--gold {source}' for source in others)} for none of machine checks"
    return f"{', '.join(parts)}; {fewer}"


@dataclass(frozen=True, slots=True)
class ReplyToCheck:
    """A reply to a prompt, for machine checks."""

    prompt: tuple[Message, ...]
    reply: str


class AskedReply(NamedTuple):
    """A question to the judge: whether a reply fulfils a principle."""

    principle: Principle
    prompt: Prompt
    reply: str


@dataclass
class JudgeGold:
    """Questions, and the gold labels that refer to them by number."""

    questions: dict[AskedReply, int] = field(default_factory=dict)
    labels: list[GoldLabel] = field(default_factory=list)
    held_out: list[GoldLabel] = field(default_factory=list)
    """Labels that take no part in training or in any choice; those of checks are in held-out wordings."""
    described: dict[str, str] = field(default_factory=dict)
    """Each source in words, with its number of labels."""
    excluded: list[ExcludedExample] = field(default_factory=list)
    unavailable: dict[str, int] = field(default_factory=dict)
    """Number of labels of each kind that no text was found for."""

    def number(self, principle: Principle, prompt: Prompt, reply: str) -> int:
        """Return the number of a question; the same question has one number."""
        return self.questions.setdefault(AskedReply(principle, prompt, reply), len(self.questions))

    def numbers(self) -> set[int]:
        """Return the numbers of the questions that labels refer to."""
        labels = (*self.labels, *self.held_out)
        return {n for label in labels for n in (label.first, label.second) if n is not None}

    def without(self, keep: Callable[[int], bool]) -> None:
        """Remove the labels that refer to a question that is not kept."""
        for labels in (self.labels, self.held_out):
            labels[:] = [
                label
                for label in labels
                if all(keep(n) for n in (label.first, label.second) if n is not None)
            ]


def gold_of_pairs(
    pairs: Sequence[PreferencePair],
    constitution: Constitution,
    sources: Sequence[JudgeGoldSource],
    *,
    share: float,
    per_kind: int,
    seed: int,
    replies: Sequence[LabelledReply] = (),
    checked: Sequence[ReplyToCheck] = (),
) -> JudgeGold:
    """Return the gold labels of preferences, of labelled replies, and of checks on the pairs' replies.

    Args:
        pairs: the preferences.
        constitution: each pair or reply is judged under one of its principles without a machine check.
        sources: which labels to make.
        share: share of the prompts that are held out.
        per_kind: labels of each kind of check in training; held out are half as many.
        seed: seed of all draws.
        replies: labelled replies.
        checked: replies for machine checks, besides those of the pairs.

    Raises:
        DataError: if no label is left to train on.
    """
    train, unseen = held_out_of(pairs, share, JUDGE_KEY)
    gold = JudgeGold()
    principles = [p for p in constitution.principles if p.check is None]
    if REPLY_GOLD in sources and replies:
        alone, unseen_alone = held_out_of(replies, share, JUDGE_KEY)
        gold.labels += _labels_of_replies(gold, alone, principles, seed)
        gold.held_out += _labels_of_replies(gold, unseen_alone, principles, seed)
        gold.described[REPLY_GOLD] = f"{len(alone):,} labelled {'reply' if len(alone) == 1 else 'replies'}"
    if PAIR_GOLD in sources:
        gold.labels += _labels_of_pairs(gold, train, principles, seed)
        gold.held_out += _labels_of_pairs(gold, unseen, principles, seed)
        gold.described[PAIR_GOLD] = (
            f"{counted(len(train), 'preference')} under {counted(len(principles), 'principle')} of "
            f"{constitution.name}"
        )
    if CHECK_GOLD in sources:
        before = len(gold.labels)
        of_pairs = [
            ReplyToCheck(pair.prompt, text) for pair in pairs for text in (pair.chosen, pair.rejected) if text
        ]
        texts, unseen_texts = held_out_of([*of_pairs, *checked], share, JUDGE_KEY)
        gold.labels += _labels_of_checks(gold, texts, per_kind, seed, held_out=False)
        gold.held_out += _labels_of_checks(gold, unseen_texts, -(-per_kind // 2), seed, held_out=True)
        found = gold.labels[before:]
        kinds = counted(len({label.kind for label in found}), "kind")
        gold.described[CHECK_GOLD] = f"{counted(len(found), 'label')} by {kinds} of machine checks"
    if not gold.labels:
        raise DataError(
            "no gold label is left to train a judge on",
            where=constitution.name,
            accepted="a constitution with a principle without a machine check, or the gold source checks",
        )
    return gold


def _labels_of_pairs(
    gold: JudgeGold, pairs: Iterable[PreferencePair], principles: Sequence[Principle], seed: int
) -> Iterator[GoldLabel]:
    """Yield one label per pair, under the principle that it names or one drawn for its prompt."""
    for pair in pairs:
        prompt = Prompt.of(pair.prompt)
        principle = _drawn(gold, principles, prompt, pair.id, seed, pair.principle)
        if principle is not None:
            first, second = (gold.number(principle, prompt, reply) for reply in (pair.chosen, pair.rejected))
            yield GoldLabel(first, second, pair.p_chosen, prompt.id, PAIR_GOLD, pair.weight)


def _labels_of_replies(
    gold: JudgeGold, replies: Iterable[LabelledReply], principles: Sequence[Principle], seed: int
) -> Iterator[GoldLabel]:
    """Yield one label per labelled reply, under the principle that it names or one drawn for its prompt."""
    for labelled in replies:
        prompt = Prompt.of(labelled.prompt)
        principle = _drawn(gold, principles, prompt, labelled.id, seed, labelled.principle)
        if principle is not None:
            number = gold.number(principle, prompt, labelled.reply)
            yield GoldLabel(number, None, float(labelled.good), prompt.id, REPLY_GOLD)


def _drawn(
    gold: JudgeGold,
    principles: Sequence[Principle],
    prompt: Prompt,
    place: str,
    seed: int,
    named: str | None,
) -> Principle | None:
    """Return the principle to judge by: the one that the label names if it is among them, else one drawn.

    The example is excluded if none applies to the prompt.
    """
    own = next((p for p in principles if p.id == named), None)
    if own is not None:
        return own
    drawn = draw(
        [p for p in principles if p.weight > 0 and in_scope(p, prompt)], 1, seed, prompt.id, JUDGE_KEY
    )
    if not drawn:
        gold.excluded.append(ExcludedExample(place, _NO_PRINCIPLE, ""))
    return drawn[0] if drawn else None


def _labels_of_checks(
    gold: JudgeGold, given: Sequence[ReplyToCheck], per_kind: int, seed: int, *, held_out: bool
) -> Iterator[GoldLabel]:
    """Yield labels by machine checks drawn for replies."""
    replies = list(dict.fromkeys(given))
    if not replies:
        return
    drawer = CheckDrawer([one.reply for one in replies], seed, held_out)
    for kind in DRAWN_KINDS:
        for label in drawer.labels(kind, per_kind):
            prompt = Prompt.of(replies[label.number].prompt)
            principle = Principle(id=f"check-{record_id(label.principle)}", text=label.principle)
            number = gold.number(principle, prompt, label.text)
            yield GoldLabel(number, None, float(label.passed), prompt.id, kind)
    for kind, count in drawer.unavailable.items():
        gold.unavailable[kind] = gold.unavailable.get(kind, 0) + count
