"""`publius check --reply`: does a reply keep the rules of a constitution?

Machine checks decide their principles exactly. A model, if one is named, says of each of the others how
probably the reply follows it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from constitution.checks.findings import finding, matched_texts
from constitution.checks.prompted import UNDECIDABLE, check_on, is_decidable
from constitution.draw import in_scope
from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.errors import ConfigError
from core.records import Prompt
from core.rewards import Sample
from core.terminal.interrupts import run_interruptibly
from core.text.yaml_file import read_text
from labelers.config import LabelConfig
from labelers.modes.table import require_yes_or_no
from labelers.rewards import LabelerReward
from prompts.environment import PromptTemplates
from publius.authoring.given import warn_of_unknown_tags
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.one_model import one_model, project_of

STANDARD_INPUT = "-"
ReplyOutcome = Literal["passed", "failed", "judged", "unparsed", "elsewhere", "unknown", "not_asked"]
"""`elsewhere`: the principle is not for this prompt. `unknown`: this depends on a prompt or tags not given.
`not_asked`: no check decides it and no model was named."""
_CONCURRENCY = 32


@dataclass(frozen=True)
class ReplyRequest:
    """A reply to check."""

    constitution: str
    reply: str
    """Path of the reply, or `-` for standard input."""
    prompt: str | None = None
    """The message that it answers."""
    tags: tuple[str, ...] = ()
    """Tags of the prompt."""
    model: str | None = None
    """The model that judges what no check decides; None to leave that out."""
    engine: str = "transformers"


@dataclass(frozen=True)
class PrincipleOutcome:
    """What is known about a reply under one principle."""

    principle: str
    text: str
    outcome: ReplyOutcome
    finding: str | None = None
    """What a failed check found, or why a check decides nothing about this prompt."""
    matched: tuple[str, ...] = ()
    """The texts of the reply that a forbidden pattern matches."""
    p: float | None = None
    """Probability that the reply follows the principle, by the model."""


@dataclass(frozen=True)
class CheckedReply:
    """A reply with its outcome under every principle, in the order of the constitution."""

    constitution: Constitution
    outcomes: tuple[PrincipleOutcome, ...]
    model: str | None = None

    @property
    def counts(self) -> Counter[str]:
        """Number of principles by outcome."""
        return Counter(found.outcome for found in self.outcomes)

    @property
    def fails(self) -> bool:
        """True if the reply fails a machine check."""
        return self.counts["failed"] > 0

    def as_json(self) -> dict[str, Any]:
        """Return the outcomes as JSON-able values."""
        return {
            "name": self.constitution.name,
            "digest": self.constitution.digest,
            "model": self.model,
            "counts": dict(self.counts),
            "principles": [asdict(found) for found in self.outcomes],
        }


def check_reply(request: ReplyRequest, make: EngineMaker = make_engine) -> CheckedReply:
    """Return what checks, and a model if one is named, say about a reply.

    Raises:
        ConfigError: the constitution is invalid, or the reply is empty or cannot be read.
    """
    constitution = load_constitution(request.constitution)
    warn_of_unknown_tags(request.tags, [constitution])
    reply = _reply(request.reply)
    prompt = None if request.prompt is None else Prompt.of(request.prompt, request.tags, source="check")
    judged: Mapping[str, float] = {}
    name = None
    if request.model is not None:
        if prompt is None:
            raise ConfigError(
                "a model judges a reply to a message", where="--model", accepted="--prompt TEXT as well"
            )
        with one_model(request.model, project_of(request.constitution), make, request.engine) as engine:
            name, templates = engine.model, PromptTemplates()
            config = LabelConfig(principles="all")
            require_yes_or_no(engine, templates, config)
            labeler = LabelerReward(constitution, templates, config, engine, 0, _CONCURRENCY)
            found = run_interruptibly(labeler.by_principle(Sample(prompt, reply, finished=True)))
            judged = {principle.id: p for principle, p in found}
    outcomes = _outcomes(constitution, reply, prompt, request.tags, judged if name else None)
    return CheckedReply(constitution, tuple(outcomes), name)


def _reply(source: str) -> str:
    text = sys.stdin.read() if source == STANDARD_INPUT else read_text(Path(source), "file with the reply")
    if not text.strip():
        raise ConfigError("the reply is empty", where="--reply", accepted="some text")
    return text.strip()


def _outcomes(
    constitution: Constitution,
    reply: str,
    prompt: Prompt | None,
    tags: tuple[str, ...],
    judged: Mapping[str, float] | None,
) -> Iterator[PrincipleOutcome]:
    for principle in constitution.principles:
        applies = _applies(principle, prompt, tags)
        if applies is None:
            yield PrincipleOutcome(principle.id, principle.text, "unknown")
        elif not applies:
            told = prompt is None or is_decidable(principle.check, prompt)
            yield PrincipleOutcome(principle.id, principle.text, "elsewhere", None if told else UNDECIDABLE)
        elif principle.check is not None:
            check = check_on(principle.check, prompt) if prompt else principle.check
            found = finding(check, reply)
            outcome: ReplyOutcome = "passed" if found is None else "failed"
            matched = () if found is None else matched_texts(check, reply)
            yield PrincipleOutcome(principle.id, principle.text, outcome, found, matched)
        elif judged is None:
            yield PrincipleOutcome(principle.id, principle.text, "not_asked")
        else:
            p = judged.get(principle.id)
            yield PrincipleOutcome(principle.id, principle.text, "unparsed" if p is None else "judged", p=p)


def _applies(principle: Principle, prompt: Prompt | None, tags: tuple[str, ...]) -> bool | None:
    """Return whether a principle applies; None if that depends on a prompt or tags that are not given."""
    scope = principle.applies_to
    if prompt is None and not is_decidable(principle.check, ""):
        return None
    if scope is not None and ((scope.pattern and prompt is None) or (scope.tags and not tags)):
        return None
    return in_scope(principle, prompt or Prompt.of("-", tags, source="check"))
