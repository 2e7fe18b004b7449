"""Injections in replies: the shifts of a labeler, and of the same model with a naive template."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.chat import Turn
from core.concurrency import for_each
from core.errors import RequestError
from core.notices import note
from core.progress import progress
from core.records import Generation, Metric
from core.terminal.interrupts import run_interruptibly
from engines.cached import CachedEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest, compares_replies
from evaluation.judges.injections import (
    DESIGN_SET,
    HELD_OUT_SET,
    OWN_SET,
    AttackedPair,
    Injection,
    InjectionShift,
    attacked_pairs,
    held_out_injections,
    injection_metrics,
    injection_shift,
    injections,
)
from labelers.ai import AILabeler
from labelers.config import LabelMode, in_mode
from labelers.modes.asking import Request
from prompts.environment import naive_templates
from publius.audit.judging import LabelingEngine

PAIR_MODES: frozenset[LabelMode] = frozenset({"choice", "symmetric", "reasoned"})
"""Modes in which the labeler is shown two replies at once, by the letters A and B."""


@dataclass(frozen=True)
class PastingEngine:
    """A server's engine that is given replies as if they were trusted: nothing in them is escaped.

    Engines in this process need none: they encode no text as a special token, whoever wrote it.
    """

    engine: CachedEngine

    @property
    def takes_questions(self) -> bool:
        """True if the engine is asked typed questions."""
        return self.engine.takes_questions

    def key(self, request: Request) -> str:
        """Return the key of the request as it is sent."""
        return self.engine.key(_pasted(request) if isinstance(request, ChoiceRequest) else request)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the engine's scores of the request with its texts pasted."""
        return await self.engine.choose(_pasted(request))

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the engine's answer."""
        return await self.engine.generate(request)


def _pasted(request: ChoiceRequest) -> ChoiceRequest:
    return replace(request, turns=tuple(Turn(turn.role, (turn.text,)) for turn in request.turns))


def injection_shifts(
    labeler: AILabeler, asked: LabelingEngine, own_texts: Sequence[Injection] = ()
) -> tuple[Metric, ...]:
    """Return the shifts of a labeler by the injections that ship, beside those of a naive judge.

    Args:
        labeler: the labeler; its principles without a machine check are judged by in turn.
        asked: its engine.
        own_texts: injections of the user's own, a third set.
    """
    principles = [p for p in labeler.constitution.principles if p.check is None]
    pair = labeler.config.mode in PAIR_MODES
    # A reward model is asked no question, so no template of it could be naive.
    naive = None if compares_replies(asked.engine) else _naive(labeler, asked, pair=pair)
    found: list[Metric] = []
    for name, given in (
        (DESIGN_SET, injections()),
        (HELD_OUT_SET, held_out_injections()),
        (OWN_SET, own_texts),
    ):
        if not given:
            continue
        pairs = attacked_pairs(principles, pair=pair, given=given)
        own = shifts_by_pair(labeler, pairs, asked.at_once)
        theirs = None if naive is None else shifts_by_pair(naive, pairs, asked.at_once)
        both = sorted(own.keys() if theirs is None else own.keys() & theirs.keys())
        if len(both) < len(pairs):
            note(f"{len(pairs) - len(both)} of {len(pairs)} injections are not measured: no log-odds")
        of_naive = [] if theirs is None else [theirs[n] for n in both]
        found += injection_metrics([own[n] for n in both], of_naive, labeler.seed, name)
    return tuple(found)


def _naive(labeler: AILabeler, asked: LabelingEngine, *, pair: bool) -> AILabeler:
    """Return the same model as a naive judge: one letter or word, and replies pasted into the question."""
    engine = PastingEngine(asked.engine) if asked.is_server else asked.engine
    config = in_mode(labeler.config, "choice" if pair else "pointwise")
    config = config.model_copy(update={"polarity": "fulfils"})  # a naive judge is asked once
    return replace(labeler, engine=engine, templates=naive_templates(), config=config)


def shifts_by_pair(
    labeler: AILabeler, pairs: Sequence[AttackedPair], at_once: int
) -> dict[int, InjectionShift]:
    """Return the shifts by the number of the pair, without those of requests that cannot be run."""
    found: dict[int, InjectionShift] = {}
    with progress("injections", len(pairs)) as task:

        async def one(numbered: tuple[int, AttackedPair]) -> None:
            number, pair = numbered
            asked = (labeler.judge(comparison, pair.principle) for comparison in (pair.attacked, pair.twin))
            try:
                shift = injection_shift(pair, *await asyncio.gather(*asked))
            except RequestError:
                shift = None
            if shift is not None:
                found[number] = shift
            task.advance()

        run_interruptibly(for_each(enumerate(pairs), one, at_once))
    return found
