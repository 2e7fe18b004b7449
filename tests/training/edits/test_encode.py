"""Which tokens of an edited answer are learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.records import Message
from engines.config import ModelConfig
from training.config import OptimConfig
from training.edits.encode import encode_edits, learned_tokens
from training.examples import AnsweredPrompt
from training.policy import load_encoder

END = 99
DRAFT = [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("answer", "learned"),
    [
        ([1, 2, 3, 4, 5, END], "-----x"),  # cut: only the end
        ([50, 51, *DRAFT, END], "xxx-------x"),  # begun: the beginning, and what follows it
        ([*DRAFT, 60, 61, END], "--------xxx"),  # ended with a phrase
        ([1, 2, 3, 4, 60, 5, 6, 7, 8, END], "----xx---x"),  # a token put in between
        ([70, 71, 72, END], "xxxx"),  # nothing of the draft
        ([1, 2, 3, 70, END], "xxxxx"),  # three tokens agree by chance
        ([*DRAFT, END], "--------x"),
        ([END], "x"),
    ],
)
def test_only_what_the_draft_does_not_have_is_learned(answer: list[int], learned: str) -> None:
    found = learned_tokens(answer, [DRAFT])
    assert "".join("x" if flag else "-" for flag in found) == learned


def test_each_draft_explains_its_part() -> None:
    answer = [1, 2, 3, 4, 60, 21, 22, 23, 24, END]
    assert learned_tokens(answer, [DRAFT, [21, 22, 23, 24]]) == (
        *(False,) * 4,
        True,
        True,  # the first token after the edit
        *(False,) * 3,
        True,
    )


def test_answer_without_drafts_is_learned_whole() -> None:
    assert learned_tokens([1, 2, 3, END], []) == (True,) * 4


def test_texts_are_compared_as_tokens(tiny_folder: Path) -> None:
    encoder = load_encoder(ModelConfig(id=str(tiny_folder)))
    asked = (Message(role="user", content="How are you?"),)
    draft = "I am well, thank you, and I hope that you are well too."
    cut = AnsweredPrompt("1", asked, "I am well, thank you,", drafts=(draft,))
    (row,) = encode_edits([cut], encoder, OptimConfig(max_length=256)).rows
    assert row.learned == (*(False,) * (len(row.answer_ids) - 1), True)
