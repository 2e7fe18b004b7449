"""Decisions from a trained judge: whether a reply fulfils a principle, and which of several does so best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from constitution.schema import Constitution, Principle
from core.concurrency import all_or_none
from core.digests import digest
from core.errors import DataError
from core.records import Message, Prompt
from engines.decisions.questions import (
    ChoiceQuestion,
    DecisionAnswer,
    DecisionCall,
    Decisions,
    TypedQuestion,
    YesNoQuestion,
)
from engines.judge.engine import ProbeEngine
from labelers.questions import Questions
from prompts.environment import PromptTemplates
from publius.serving.deciding import softmax
from publius.serving.rewarding import asked_prompt, messages_in_state
from publius.stages.judges.trained import why_abstains

_NAME = "principle"


class JudgeDecider:
    """Answers questions of type yes/no and choice; the question's instructions are the principle.

    The state is the conversation, as for a reward model. For yes or no, its last message is the reply; the
    options of a choice are replies to it, and their probabilities the softmax of their log-odds, so for two
    replies the sigmoid of the difference.

    Args:
        folder: the output of `publius train judge`.
        device: the device that its model runs on.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.model = folder.name
        self._engine = ProbeEngine(folder, device)
        self._templates = PromptTemplates()

    @property
    def identity(self) -> str:
        """Digest of the judge, its model and the template of the question."""
        return digest(self._engine.identity, self._templates.digest_of("pointwise"))[:32]

    async def decide(self, call: DecisionCall) -> Decisions:
        """Return the answers to all questions of a request.

        Raises:
            DataError: if a question is a score, the state has no reply, or the judge abstains.
            RequestError: if a question is too long for the judge's model.
        """
        messages = messages_in_state(call)
        answers = await all_or_none(self._answer(messages, named.question) for named in call.questions)
        return Decisions(self.model, tuple(answers))

    async def _answer(self, messages: tuple[Message, ...], question: TypedQuestion) -> DecisionAnswer:
        self._require_known(question.instructions)
        if isinstance(question, YesNoQuestion):
            *before, reply = messages
            if reply.role != "assistant" or not before:
                raise DataError(
                    "the conversation does not end with a reply of the assistant",
                    where="state",
                    accepted="a list of messages whose last one is the reply to judge",
                )
            (log_odds,) = await self._log_odds(asked_prompt(tuple(before)), question, [reply.content])
            return DecisionAnswer(softmax([log_odds, 0.0]))
        if isinstance(question, ChoiceQuestion):
            replies = [option.description or option.name for option in question.options]
            return DecisionAnswer(softmax(await self._log_odds(asked_prompt(messages), question, replies)))
        raise DataError(
            "a trained judge does not rate", where="questions", accepted="a question of type noul or choice"
        )

    def _require_known(self, text: str) -> None:
        """Raise DataError for a principle that the judge abstains on."""
        why = why_abstains(self._engine.judge.settings, text)
        if why is not None:
            raise DataError(
                f"the judge abstains on {why}",
                where="questions",
                accepted="another principle, or a machine check of this one",
            )

    async def _log_odds(self, prompt: Prompt, question: TypedQuestion, replies: Sequence[str]) -> list[float]:
        principle = Principle(id=_NAME, text=question.instructions)
        asking = Questions(Constitution(name=_NAME, principles=(principle,)), self._templates)
        requests = [asking.pointwise(principle, prompt, reply) for reply in replies]
        found = await all_or_none(map(self._engine.choose, requests))
        return [scores.logprobs[0] - scores.logprobs[1] for scores in found]
