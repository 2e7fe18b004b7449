"""`publius check --reply`: does a reply keep the rules of a constitution?

Machine checks decide their principles exactly. A model, if one is named, says of each of the others how
probably the reply follows it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from constitution.checks.findings import finding, finding_for_people, matched_texts
from constitution.checks.prompted import UNDECIDABLE, check_on, is_decidable
from constitution.draw import in_scope
from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.concurrency import for_each
from core.errors import ConfigError, shell_command
from core.progress import progress
from core.records import Prompt
from core.rewards import Sample
from core.terminal.interrupts import run_interruptibly
from core.text.yaml_file import prose_of, read_prose
from labelers.config import LabelConfig, in_mode
from labelers.modes.table import require_yes_or_no
from labelers.rewards import LabelerReward
from prompts.environment import PromptTemplates
from publius.authoring.given import warn_of_unknown_tags
from publius.authoring.replies.rows import looks_like_replies
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.one_model import engines_of_model, project_of
from publius.stages.judges.audits import judge_caveats

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
    explained: str | None = None
    """The finding for people: of a pattern what it matched, or that nothing fits, behind the rule's text."""
    p: float | None = None
    """Probability that the reply follows the principle, by the model."""


@dataclass(frozen=True)
class CheckedReply:
    """A reply with its outcome under every principle, in the order of the constitution."""

    constitution: Constitution
    outcomes: tuple[PrincipleOutcome, ...]
    model: str | None = None
    caveats: tuple[str, ...] = ()
    """What is known against the model's judgments."""

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
            "caveats": list(self.caveats),
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
    if request.model is None:
        outcomes = reply_outcomes(constitution, reply, prompt, request.tags)
        return CheckedReply(constitution, tuple(outcomes))
    if prompt is None:
        what = "a model judges a reply to a message"
        raise ConfigError(what, where="--model", accepted="--prompt TEXT as well")
    judge = JudgingModel(constitution, request.constitution, request.model, request.engine)
    found = judge_replies(judge, [Sample(prompt, reply, finished=True)], make)
    outcomes = reply_outcomes(constitution, reply, prompt, request.tags, found.probabilities[0])
    return CheckedReply(constitution, tuple(outcomes), found.model, found.caveats)


@dataclass(frozen=True)
class JudgingModel:
    """The model that judges the principles without a check."""

    constitution: Constitution
    source: str
    """The constitution as it was named, which decides the project whose cache and audits are used."""
    model: str
    engine: str


@dataclass(frozen=True)
class JudgedReplies:
    """What a model says of replies."""

    model: str
    probabilities: Sequence[Mapping[str, float]]
    """For each reply the probability by principle that it is followed; without those without valid answer."""
    caveats: tuple[str, ...]
    """What is known against the model's judgments."""


def judge_replies(judge: JudgingModel, samples: Sequence[Sample], make: EngineMaker) -> JudgedReplies:
    """Return how probably replies follow the principles without a check that are for their prompts.

    Raises:
        PubliusError: if the model cannot be loaded, or cannot answer with yes or no.
    """
    project = project_of(judge.source)
    found = [dict[str, float]() for _ in samples]
    with engines_of_model(judge.model, project, make, judge.engine) as engines:
        engine, templates = engines.of("policy"), PromptTemplates()
        config = LabelConfig(principles="all")
        require_yes_or_no(engine, templates, config)
        caveats = judge_caveats(engines, in_mode(config, "pointwise"), templates, project)
        measured = _with_yardsticks(judge.constitution)
        labeler = LabelerReward(measured, templates, config, engine, 0, _CONCURRENCY)
        with progress("judge", len(samples)) as task:

            async def work(number: int) -> None:
                rated = await labeler.by_principle(samples[number])
                found[number] = {principle.id: p for principle, p in rated}
                task.advance()

            run_interruptibly(for_each(range(len(samples)), work, _CONCURRENCY))
        return JudgedReplies(engine.model, found, caveats)


def _with_yardsticks(constitution: Constitution) -> Constitution:
    """Return a constitution whose principles of weight 0 are judged, too: they are there to measure."""
    if not constitution.yardsticks:
        return constitution
    weighed = (p if p.weight else p.model_copy(update={"weight": 1.0}) for p in constitution.principles)
    return constitution.model_copy(update={"principles": tuple(weighed)})


def _reply(source: str) -> str:
    if source != STANDARD_INPUT and looks_like_replies(Path(source)):
        what, accepted = "this is a table, not one reply", "the text of one reply; - for standard input"
        run = shell_command("publius", "check", "CONSTITUTION", "--replies", source)
        raise ConfigError(what, where=f"--reply {source}", accepted=accepted, run=run)
    if source == STANDARD_INPUT:
        text = prose_of(sys.stdin.buffer.read(), Path("standard input"))
    else:
        text = read_prose(Path(source), "file with the reply")
    if not text.strip():
        raise ConfigError("the reply is empty", where="--reply", accepted="some text")
    return text.strip()


def reply_outcomes(
    constitution: Constitution,
    reply: str,
    prompt: Prompt | None,
    tags: tuple[str, ...],
    judged: Mapping[str, float] | None = None,
) -> Iterator[PrincipleOutcome]:
    """Yield what is known about a reply under each principle, in the order of the constitution.

    Args:
        constitution: the constitution.
        reply: the reply.
        prompt: the prompt that it answers; None if that is not known.
        tags: tags of the prompt.
        judged: probability by principle that a model says the reply follows it; None if none was asked.
    """
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
            said = None if found is None else finding_for_people(principle.text, check, found, matched)
            yield PrincipleOutcome(principle.id, principle.text, outcome, found, matched, said)
        elif judged is None:
            yield PrincipleOutcome(principle.id, principle.text, "not_asked")
        else:
            p = judged.get(principle.id)
            yield PrincipleOutcome(principle.id, principle.text, "unparsed" if p is None else "judged", p=p)


def _applies(principle: Principle, prompt: Prompt | None, tags: tuple[str, ...]) -> bool | None:
    """Return whether a principle applies; None if that depends on a prompt or tags that are not given."""
    scope, exempt = principle.applies_to, principle.exempt
    if prompt is None and exempt is not None:
        is_told = bool(exempt.tags and tags)  # whether one of the tags exempts the reply
        is_exempt = bool(set(exempt.tags) & set(tags)) if is_told else None
        if is_exempt is None or (is_exempt and exempt.pattern):
            return None
    if prompt is None and not is_decidable(principle.check, ""):
        return None
    if scope is not None and ((scope.pattern and prompt is None) or (scope.tags and not tags)):
        return None
    return in_scope(principle, prompt or Prompt.of("-", tags, source="check"))
