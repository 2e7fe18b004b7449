"""What training learns from: answered prompts and pairs of answers, as token ids.

Conversations are encoded as the engines encode them (`engines/tokenization.py`), so that training sees the
very tokens that generation will see, and no text of a data set can act as a special token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.chat import turns_of
from core.records import Message
from engines.tokenization import TurnEncoder
from engines.trees import Tree


@dataclass(frozen=True, slots=True)
class AnsweredPrompt:
    """One prompt and the answer to learn."""

    id: str
    prompt: tuple[Message, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two answers to one prompt, and how likely `chosen` is the better one."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    p_chosen: float
    weight: float = 1.0
    chosen_finished: bool = True
    """Whether the answer ended by itself; one that was cut is not taught to end where it was cut."""
    rejected_finished: bool = True
    margin: float = 0.0
    """By how much the chosen answer's score should exceed the other's (reward models only)."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """What reports are broken down by, such as `{"source": "ai", "section": "safety"}`."""


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """Token ids of a prompt, up to where the assistant's answer begins, and of the answer."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    """With the token that ends the turn, where the answer ended by itself."""

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.answer_ids)

    def with_prompt_cut(self, room: int) -> EncodedAnswer:
        """Return the answer behind the last `room` tokens of its prompt."""
        return replace(self, prompt_ids=self.prompt_ids[-room:])


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """A preference pair as token ids."""

    id: str
    chosen: EncodedAnswer
    rejected: EncodedAnswer
    p_chosen: float
    weight: float
    margin: float = 0.0
    reference: tuple[float, float] = (0.0, 0.0)
    """Log-probabilities in nats of both answers under the reference, once they are known."""

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected))

    @property
    def tree(self) -> Tree:
        """The prompt with both answers."""
        return Tree(self.chosen.prompt_ids, (self.chosen.answer_ids, self.rejected.answer_ids))

    @property
    def packed_tokens(self) -> int:
        """Tokens of the prompt and both answers."""
        return len(self.chosen) + len(self.rejected.answer_ids)


@dataclass(frozen=True, slots=True)
class ExcludedExample:
    """An example that training cannot use."""

    id: str
    reason: str
    detail: str = ""


def encode_answer(
    encoder: TurnEncoder, prompt: Sequence[Message], answer: str, *, finished: bool = True
) -> EncodedAnswer:
    """Return the ids of a prompt and its answer.

    Raises:
        RequestError: if the chat template refuses the conversation.
    """
    return EncodedAnswer(encoder.encode(turns_of(prompt)).ids, encoder.answer(answer, finished=finished))


def encode_pair(encoder: TurnEncoder, pair: PreferencePair) -> EncodedPair:
    """Return the ids of a pair. Raises RequestError if the chat template refuses the conversation."""
    return EncodedPair(
        pair.id,
        encode_answer(encoder, pair.prompt, pair.chosen, finished=pair.chosen_finished),
        encode_answer(encoder, pair.prompt, pair.rejected, finished=pair.rejected_finished),
        pair.p_chosen,
        pair.weight,
        pair.margin,
    )
