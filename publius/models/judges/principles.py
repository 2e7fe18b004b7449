"""Probes of single principles, each trained on the gold of its own principle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from constitution.checks import kinds
from core.errors import ConfigError, RequestError
from core.progress import progress
from core.statistics.bootstrap import Floats
from engines.judge.model import StateSource
from engines.judge.rows import QuestionRow, up_to_reply
from engines.judge.settings import KindFigures, PrincipleProbe, PrincipleWithoutProbe
from labelers.questions import Questions
from publius.models.judges.figures import principle_figures
from publius.sources.judges.by_principle import GoldByPrinciple, PrincipleGold
from training.examples import ExcludedExample
from training.judge.choice import choose_probe
from training.judge.probe import Probe
from training.judge.sides import LEAST_OF_A_SIDE, balanced_sides, gold_sides

JudgeBy = Literal["all", "principle"]
"""Whether one probe judges by all principles, or principles have probes of their own."""
LengthTaste = Literal["auto", "keep", "remove"]
"""Whether a judge may prefer replies for their length; `auto`: only if it learns from checks of length."""
_OF_LENGTH = (
    kinds.MaxWords,
    kinds.MinWords,
    kinds.MaxSentences,
    kinds.MinSentences,
    kinds.MaxCharacters,
    kinds.MinCharacters,
)


@dataclass(frozen=True)
class OwnProbes:
    """The probes of single principles, in one order, and the principles that have too little gold for one."""

    probes: list[Probe] = field(default_factory=list)
    settings: list[PrincipleProbe] = field(default_factory=list)
    without: list[PrincipleWithoutProbe] = field(default_factory=list)


def judge_by(name: str) -> JudgeBy:
    """Return what has a probe. Raises ConfigError for an unknown name."""
    known: dict[str, JudgeBy] = {one: one for one in get_args(JudgeBy)}
    if name not in known:
        raise ConfigError(f"unknown value {name!r}", where="--by", accepted=", ".join(known))
    return known[name]


def rows_of_replies(gold: GoldByPrinciple, source: StateSource, asking: Questions) -> dict[int, QuestionRow]:
    """Return the token ids of each reply's question up to its end; exclude replies that are too long."""
    rows: dict[int, QuestionRow] = {}
    dropped: set[int] = set()
    if not gold.replies:
        return rows
    principle = asking.constitution.principles[0]  # any: the question ends before the principle
    for (prompt, reply), number in gold.replies.items():
        try:
            rows[number] = source.row(up_to_reply(asking.pointwise(principle, prompt, reply)))
        except RequestError as error:
            dropped.add(number)
            gold.excluded.append(ExcludedExample(prompt.id, error.reason, error.detail))
    gold.without(dropped)
    return rows


def own_probes(
    gold: GoldByPrinciple, features: Mapping[int, Floats], seed: int, length: LengthTaste
) -> OwnProbes:
    """Return a probe for each principle with enough gold of both sides.

    Args:
        gold: the gold labels of all principles.
        features: features (R, F) of the replies by layer; row R of a reply is its number.
        seed: seed of the division into folds.
        length: what is done about the length of replies.
    """
    found = OwnProbes()
    with progress("probes", len(gold.principles)) as task:
        for own in gold.principles.values():
            _add(found, own, features, seed, length)
            task.advance()
    return found


def _add(
    found: OwnProbes, own: PrincipleGold, features: Mapping[int, Floats], seed: int, length: LengthTaste
) -> None:
    fulfilled, broken = gold_sides(own.labels)
    principle = own.principle
    if not (fulfilled.suffices and broken.suffices):
        found.without.append(
            PrincipleWithoutProbe(
                id=principle.id, text=principle.text, fulfilled=fulfilled.labels, broken=broken.labels
            )
        )
        return
    labels = balanced_sides(own.labels)
    blind = length == "remove" or (length == "auto" and not isinstance(principle.check, _OF_LENGTH))
    probe, choice = choose_probe(features, labels, seed, blind=blind)
    best = choice.setting
    found.probes.append(probe)
    found.settings.append(
        PrincipleProbe(
            id=principle.id,
            text=principle.text,
            layer=best.layer,
            reading=best.reading,
            loss=best.loss,
            l2=best.l2,
            blind_to_length=blind,
            temperature=choice.temperature,
            gold=own.sources,
            fulfilled=fulfilled.labels,
            broken=broken.labels,
            figures=principle_figures(labels, choice.scores),
            held_out=_held_out(own, probe, features[best.layer]),
        )
    )


def _held_out(own: PrincipleGold, probe: Probe, features: Floats) -> KindFigures | None:
    """Return the figures of held-out labels; None if they are too few to say anything."""
    if not all(side.labels >= LEAST_OF_A_SIDE for side in gold_sides(own.held_out)):
        return None
    labels = balanced_sides(own.held_out)
    return principle_figures(labels, probe.log_odds(features, labels))
