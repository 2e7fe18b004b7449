"""Conversations of variants under scenarios, with the user's messages from the file or from a model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from constitution.schema import Constitution
from core.chat import Turn, Untrusted, turns_of
from core.concurrency import for_each
from core.digests import derive_seed
from core.errors import RequestError
from core.progress import progress
from core.records import Generation, Message, Prompt, Sampling
from core.terminal.interrupts import run_interruptibly
from engines.cached import CachedEngine
from engines.protocols import GenerationRequest
from evaluation.prompted import prompted_turns
from evaluation.tenets.ratings import AuditedReply
from prompts.environment import PromptTemplates, fence_for
from prompts.scenarios.file import Scenario
from publius.audit.tenets.subjects import AuditSubject, AuditSubjects
from publius.runs.engines import Engines, conversations
from publius.stages.base import live_note

PURPOSE = "audit"
_USER_TEMPLATE = "simulated_user"
_USER_SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=96)
_USER_TURNS = 3
"""Messages of a simulated user where the scenario has fewer."""


def scenario_turns(scenario: Scenario, *, simulated: bool) -> int:
    """Return the number of the user's messages in a conversation under a scenario."""
    many = simulated and is_played(scenario)
    return max(len(scenario.user), _USER_TURNS) if many else len(scenario.user)


def is_played(scenario: Scenario) -> bool:
    """Return True if a model can play the user of a scenario after the first message."""
    return scenario.kind == "multi_turn" and scenario.goal is not None


@dataclass
class ScenarioAnswers:
    """Has the variants answer the scenarios."""

    audited: AuditSubjects
    scenarios: Sequence[Scenario]
    samples: int
    seed: int
    user: CachedEngine | None = None
    """The model that plays the user; None for the messages in the file."""
    excluded: Counter[str] = field(default_factory=Counter)
    """Number of conversations that could not be had, by reason."""
    templates: PromptTemplates = field(default_factory=lambda: PromptTemplates(names=(_USER_TEMPLATE,)))

    def of(self, subject: AuditSubject, engine: CachedEngine, engines: Engines) -> list[AuditedReply]:
        """Return the conversations of one variant, in the order of scenarios and samples."""
        work = [(scenario, sample) for scenario in self.scenarios for sample in range(self.samples)]
        found: dict[tuple[str, int], AuditedReply] = {}
        limit = conversations(self.audited.engine.for_model(subject.model))

        async def one(item: tuple[Scenario, int]) -> None:
            scenario, sample = item
            try:
                found[scenario.id, sample] = await self._conversation(subject, engine, scenario, sample)
            except RequestError as error:
                self.excluded[f"{subject.name}: {error.reason}"] += 1
            task.advance()

        async def every() -> None:
            async with live_note(task, engines, time.monotonic()):
                await for_each(iter(work), one, limit)

        with progress(f"audit {subject.name}", len(work)) as task:
            run_interruptibly(every())
        return [found[scenario.id, sample] for scenario, sample in work if (scenario.id, sample) in found]

    def first_request(self, subject: AuditSubject, scenario: Scenario, sample: int) -> GenerationRequest:
        """Return the request for the first reply of a conversation."""
        return self._request(subject, scenario, sample, ())

    async def _conversation(
        self, subject: AuditSubject, engine: CachedEngine, scenario: Scenario, sample: int
    ) -> AuditedReply:
        later: list[Message] = []
        replies: list[Generation] = []
        for turn in range(scenario_turns(scenario, simulated=self.user is not None)):
            if turn:
                text = await self._next_message(scenario, later, turn, sample)
                later.append(Message(role="user", content=text))
            reply = await engine.generate(self._request(subject, scenario, sample, later))
            replies.append(reply)
            later.append(Message(role="assistant", content=reply.text))
        principle = self.audited.constitution.principle(scenario.tenet)
        first = scenario.prompt(principle).messages
        return AuditedReply(
            id=AuditedReply.key(subject.name, scenario.id, sample),
            variant=subject.name,
            scenario=scenario.id,
            tenet=scenario.tenet,
            kind=scenario.kind,
            sample=sample,
            messages=(*first, *later),
            replies=tuple(replies),
        )

    def _request(
        self, subject: AuditSubject, scenario: Scenario, sample: int, later: Sequence[Message]
    ) -> GenerationRequest:
        prompt = scenario.prompt(self.audited.constitution.principle(scenario.tenet), later)
        # The same seed for every variant: only what differs between them may differ.
        seed = derive_seed(self.seed, scenario.id, sample, len(later), PURPOSE)
        turns = _turns(subject, self.audited.constitution, self.audited.templates, prompt)
        return GenerationRequest(turns, self.audited.sampling, seed, PURPOSE)

    async def _next_message(
        self, scenario: Scenario, later: Sequence[Message], turn: int, sample: int
    ) -> str:
        """Return the user's next message: the file's, or one by the model that plays the user."""
        if self.user is None or not is_played(scenario):
            return scenario.user[turn]
        principle = self.audited.constitution.principle(scenario.tenet)
        shown = (*scenario.prompt(principle).messages, *later)
        rendered = self.templates.render(
            _USER_TEMPLATE,
            goal=scenario.goal,
            fence=fence_for([message.content for message in shown]),
            conversation=[{"role": m.role, "content": Untrusted(m.content)} for m in shown],
        )
        seed = derive_seed(self.seed, scenario.id, sample, turn, "simulated user")
        asked = GenerationRequest((Turn("user", rendered.pieces),), _USER_SAMPLING, seed, "simulated user")
        written = (await self.user.generate(asked)).text.strip()
        if not written:
            raise RequestError("the simulated user wrote an empty message")
        return written


def _turns(
    subject: AuditSubject, constitution: Constitution, templates: PromptTemplates, prompt: Prompt
) -> tuple[Turn, ...]:
    """Return the conversation as a variant sees it."""
    if subject.prompted:
        return prompted_turns(prompt, constitution, templates)
    return turns_of(prompt.messages)


def rated_turns(reply: AuditedReply) -> Iterator[tuple[int, tuple[Message, ...], str]]:
    """Yield the replies of a conversation: number from 1, the messages before it, its text."""
    number = 0
    for place, message in enumerate(reply.messages):
        # An assistant's message of the scenario itself would come before the first user's; there is none.
        if message.role == "assistant":
            number += 1
            yield number, reply.messages[:place], message.content
