"""The tokens of a reply are found in a question, whatever the tokenizer merges around it."""

from __future__ import annotations

import pytest

from constitution.schema import Constitution, Principle
from core.chat import Turn, Untrusted
from core.errors import RequestError
from core.records import Message, Prompt
from engines.config import ModelConfig
from engines.judge.model import StateSource
from engines.judge.rows import QuestionRow, question_row, without_reply
from engines.protocols import ChoiceRequest
from labelers.questions import WORDS, Questions
from prompts.environment import PromptTemplates

PRINCIPLE = Principle(id="kind", text="The reply is kind.")
ASKING = Questions(Constitution(name="c", principles=(PRINCIPLE,)), PromptTemplates())


def test_what_differs_is_the_reply():
    assert question_row((1, 2, 7, 8, 9), [(1, 2, 5, 9), (1, 2, 6, 9)]) == QuestionRow((1, 2, 7, 8, 9), 2, 4)
    # One of the others shares a token with the reply.
    assert question_row((1, 2, 5, 8, 9), [(1, 2, 5, 9), (1, 2, 6, 9)]).start == 2
    # An empty reply is represented by the token before it.
    assert question_row((1, 2, 9), [(1, 2, 5, 9), (1, 2, 6, 9)]) == QuestionRow((1, 2, 9), 1, 2)


@pytest.mark.parametrize("reply", ["Rain falls.\nFrom clouds!", "~", "0", "a", "  spaces around  ", "日本語"])
def test_tokens_of_the_reply_spell_it(reply: str):
    source = StateSource(ModelConfig(id="smollm2-135m-instruct"), "cpu")
    talk = (Message(role="user", content=reply), Message(role="assistant", content=reply))
    prompt = Prompt.of((*talk, Message(role="user", content="Again?")))
    row = source.row(ASKING.pointwise(PRINCIPLE, prompt, reply))
    spelled = source._encoder.tokenizer.decode(row.ids[row.start : row.stop])
    assert reply.strip() in spelled
    assert len(spelled) <= len(reply) + 2  # a line break may be merged with the reply
    after = source._encoder.tokenizer.decode(row.ids[row.stop :])
    assert "The reply is kind." in after


def test_reply_is_found_without_its_unseen_characters():
    prompt = Prompt.of((Message(role="user", content="Why?"),))
    seen, hidden = (
        ASKING.pointwise(PRINCIPLE, prompt, text) for text in ("The rain", "T\u200bhe r\u2060ain")
    )
    assert without_reply(hidden) == without_reply(seen)


def test_a_question_without_its_reply_is_refused():
    request = ChoiceRequest((Turn("user", ("Hm?", Untrusted("a"))),), WORDS, "reward", judged="b")
    with pytest.raises(RequestError, match="does not show the reply that it is about"):
        without_reply(request)
