"""Answers as token ids, with the tokens that an edit added to what the policy wrote itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from core.errors import RequestError
from engines.tokenization import TurnEncoder
from engines.trees import Tree
from training.config import OptimConfig
from training.examples import AnsweredPrompt, EncodedAnswer, ExcludedExample, encode_example
from training.sft import encode_answers

MIN_RUN = 4
"""Least number of tokens in a row that count as taken from a draft; shorter runs agree by chance."""


@dataclass(frozen=True, slots=True)
class EncodedEdit(EncodedAnswer):
    """An answer as token ids, and which of its tokens are to be learned."""

    learned: tuple[bool, ...] = ()
    """For each token of the answer: True if an edit added it, or if it ends the turn."""

    @property
    def tree(self) -> Tree:
        """The prompt with the answer."""
        return Tree(self.prompt_ids, (self.answer_ids,))

    @property
    def packed_tokens(self) -> int:
        """Number of tokens of the prompt and the answer."""
        return len(self)


@dataclass
class EncodedEdits:
    """Encoded answers of a data set, and the excluded ones."""

    rows: list[EncodedEdit]
    excluded: list[ExcludedExample]
    truncated: int


def encode_edits(
    examples: Sequence[AnsweredPrompt], encoder: TurnEncoder, optim: OptimConfig
) -> EncodedEdits:
    """Encode answers, and compare each with the drafts that it is made of (`AnsweredPrompt.drafts`)."""
    encoded = encode_answers(examples, encoder, optim)
    rows = [
        EncodedEdit(
            row.prompt_ids,
            row.answer_ids,
            learned_tokens(row.answer_ids, _drafts(example, encoder)),
        )
        for row, example in zip(encoded.rows, encoded.examples, strict=True)
    ]
    return EncodedEdits(rows, encoded.excluded, encoded.truncated)


def learned_tokens(answer: Sequence[int], drafts: Sequence[Sequence[int]]) -> tuple[bool, ...]:
    """Return for each token of an answer whether it is learned.

    A token is kept, and not learned, if it stands in a run of at least `MIN_RUN` tokens of a draft. The first
    token of a run is learned unless the answer begins with it: writing it there is part of the edit. The last
    token ends the turn, and is learned.

    Args:
        answer: token ids of the answer, with the token that ends the turn.
        drafts: token ids of texts by the policy, without it.
    """
    learned = [True] * len(answer)
    body = list(answer[:-1])
    for draft in drafts:
        matcher = SequenceMatcher(None, list(draft), body, autojunk=False)
        for run in matcher.get_matching_blocks():
            if run.size >= MIN_RUN:
                for place in range(run.b + (run.b > 0), run.b + run.size):
                    learned[place] = False
    return tuple(learned)


def _drafts(example: AnsweredPrompt, encoder: TurnEncoder) -> list[tuple[int, ...]]:
    """Return the token ids of an example's drafts, without the token that ends a turn."""
    found = []
    for draft in example.drafts:
        try:
            found.append(encode_example(encoder, replace(example, answer=draft)).answer_ids[:-1])
        except RequestError:
            continue  # an answer that the template refuses has no tokens to compare with
    return found
