"""Decisions from a reward model: which of several replies is best."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.errors import DataError
from core.records import Message, Prompt
from core.rewards import Sample
from engines.config import ModelConfig
from engines.decisions.questions import ChoiceQuestion, DecisionAnswer, DecisionCall, Decisions, TypedQuestion
from engines.reward.folder import reward_identity
from engines.reward_settings import read_reward_settings
from labelers.rewards import ModelReward
from publius.serving.deciding import softmax

_MESSAGES = TypeAdapter(tuple[Message, ...])


class RewardDecider:
    """Answers choices between replies: softmax of the rewards, at the temperature of the calibration.

    The state is the conversation: text is one user message, and a list of messages (as JSON or in the
    request, or an object with the list as `messages`) is taken as it is. Instructions of the request are its
    system message. Each option is a reply: its description, or its name if it has none. A question's own
    words are not read: which reply is better is what the model was trained on. With two options, the
    probability is that of the calibrated reward model.

    Args:
        folder: the reward model.
        device: the device that it runs on.
        base: the base model of its adapters; None uses the one that they name.
    """

    def __init__(self, folder: Path, device: str = "auto", base: ModelConfig | None = None) -> None:
        self.model, self._folder, self._base = folder.name, folder, base
        self._reward = ModelReward(folder, "serve", device, base)
        self._settings = read_reward_settings(folder)
        # `ModelReward` divides by the standard deviation, the calibration was fitted without.
        self._scale = self._settings.std / self._settings.temperature
        self._one_at_a_time = asyncio.Lock()

    @property
    def identity(self) -> str:
        """Digest of the reward model's weights and settings, and of its base model."""
        return reward_identity(self._folder, self._base)

    async def decide(self, call: DecisionCall) -> Decisions:
        """Return the answers to all questions of a request.

        Raises:
            DataError: if a question is no choice, the state no conversation, or a reply cannot be scored.
        """
        prompt = _conversation(call)
        answers = [await self._answer(prompt, named.question) for named in call.questions]
        return Decisions(self.model, tuple(answers))

    async def _answer(self, prompt: Prompt, question: TypedQuestion) -> DecisionAnswer:
        if not isinstance(question, ChoiceQuestion):
            raise DataError(
                "a reward model compares replies to one conversation; its scores have no zero, so it cannot "
                "say yes or no about a text, or rate one",
                where="questions",
                accepted="a question of type choice whose options are replies",
            )
        replies = [option.description or option.name for option in question.options]
        samples = [Sample(prompt, reply, finished=True) for reply in replies]
        async with self._one_at_a_time:
            scores = await asyncio.to_thread(self._reward.scores, samples)
        for number, score in enumerate(scores):
            if score is None:
                raise DataError(
                    "the reward model cannot score this reply: it is too long or not valid text",
                    where=f"option {number + 1}",
                )
        return DecisionAnswer(softmax([self._scale * score for score in scores if score is not None]))


def _conversation(call: DecisionCall) -> Prompt:
    """Return the prompt that the state of a request is."""
    return asked_prompt(messages_in_state(call))


def messages_in_state(call: DecisionCall) -> tuple[Message, ...]:
    """Return the conversation that the state of a request is, with its instructions as the system message."""
    messages = call.messages or _messages(call.state)
    if call.instructions:
        messages = (Message(role="system", content=call.instructions), *messages)
    return messages


def asked_prompt(messages: tuple[Message, ...]) -> Prompt:
    """Return a conversation as a prompt. Raises DataError if it cannot be answered."""
    try:
        return Prompt.of(messages)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise DataError(
            reason.removeprefix("Value error, "), where="state", accepted="text, or a list of messages"
        ) from error


def _messages(state: str) -> tuple[Message, ...]:
    """Return the messages that a state has as JSON; any other text is one message of the user."""
    if state.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(state)
            return _MESSAGES.validate_python(value["messages"] if isinstance(value, dict) else value)
        except (ValueError, KeyError, TypeError, RecursionError):
            pass  # a text that only looks like JSON, which is what the user wrote
    return (Message(role="user", content=state),)
