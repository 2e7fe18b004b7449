"""Training examples: answered prompts and preference pairs, and their token ids.

Conversations are encoded as in the engines (`engines/tokenization.py`). Training thus sees the same tokens as
generation, and no text of a data set can act as a special token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.chat import turns_of
from core.notices import counted, note
from core.records import Message
from engines.tokenization import TurnEncoder, WrittenAnswer
from engines.trees import Tree
from training.processes import is_main


@dataclass(frozen=True, slots=True)
class AnsweredPrompt:
    """A prompt and the answer to learn."""

    id: str
    prompt: tuple[Message, ...]
    answer: str
    as_text: bool = field(default=False, compare=False)
    """True if a data set gives the prompt as text, which may hold a rendered chat template."""
    drafts: tuple[str, ...] = field(default=(), compare=False)
    """Texts that the policy wrote itself and that the answer is made of, for SFT on edits."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer alone."""
        return (self.answer,)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two answers to one prompt, and the probability that `chosen` is the better one."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    p_chosen: float
    weight: float = 1.0
    chosen_finished: bool = True
    """True if the answer ended by itself. A cut answer gets no end token, since it should not end there."""
    rejected_finished: bool = True
    margin: float = 0.0
    """Required lead of the chosen answer's score over the other's (reward models only)."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Groups for the breakdown in reports, such as `{"source": "ai", "section": "safety"}`."""
    as_text: bool = field(default=False, compare=False)
    """True if a data set gives the prompt as text, which may hold a rendered chat template."""
    principle: str | None = field(default=None, compare=False, repr=False)
    """Id of the principle that the preference is about, for judges; None if the data names none."""

    @property
    def answers(self) -> tuple[str, ...]:
        """Both answers."""
        return (self.chosen, self.rejected)


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """Token ids of a prompt, including the assistant's header, and of its answer."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    """Token ids of the answer, with the token that ends the turn if the answer ended by itself."""

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.answer_ids)


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
    """Log-probabilities in nats of both answers under the reference, once computed."""

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected))

    @property
    def tree(self) -> Tree:
        """The prompt with both answers."""
        return Tree(self.chosen.prompt_ids, (self.chosen.answer_ids, self.rejected.answer_ids))

    @property
    def packed_tokens(self) -> int:
        """Number of tokens of the prompt and both answers."""
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
        RequestError: if the chat template rejects the conversation.
    """
    ids, (answer_ids,) = encoder.encode_answers(turns_of(prompt), [WrittenAnswer(answer, finished)])
    return EncodedAnswer(ids, answer_ids)


def encode_pair(encoder: TurnEncoder, pair: PreferencePair) -> EncodedPair:
    """Return the ids of a pair. Raises RequestError if the chat template rejects the conversation."""
    answers = [
        WrittenAnswer(pair.chosen, pair.chosen_finished),
        WrittenAnswer(pair.rejected, pair.rejected_finished),
    ]
    prompt_ids, (chosen, rejected) = _encoded(encoder, pair, answers)
    return EncodedPair(
        pair.id,
        EncodedAnswer(prompt_ids, chosen),
        EncodedAnswer(prompt_ids, rejected),
        pair.p_chosen,
        pair.weight,
        pair.margin,
    )


def encode_example(encoder: TurnEncoder, example: AnsweredPrompt) -> EncodedAnswer:
    """Return the ids of an example. Raises RequestError if the chat template rejects the conversation."""
    ids, (answer,) = _encoded(encoder, example, [WrittenAnswer(example.answer)])
    return EncodedAnswer(ids, answer)


def holds_rendering(encoder: TurnEncoder, example: AnsweredPrompt | PreferencePair) -> bool:
    """Return True if the prompt is a text that the chat template has been applied to already."""
    return example.as_text and len(example.prompt) == 1 and encoder.is_rendered(example.prompt[0].content)


def note_renderings(count: int, total: int) -> None:
    """Print how many text rows are encoded as they are."""
    if count and is_main():
        hold = "holds" if count == 1 else "hold"
        note(
            f"{count:,} of {counted(total, 'row')} {hold} a rendered chat template already: "
            "they are encoded as they are, special tokens included"
        )


def _encoded(
    encoder: TurnEncoder, example: AnsweredPrompt | PreferencePair, answers: Sequence[WrittenAnswer]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    if holds_rendering(encoder, example):
        return encoder.encode_rendered(example.prompt[0].content, answers)
    return encoder.encode_answers(turns_of(example.prompt), answers)
