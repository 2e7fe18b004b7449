"""Chat templates that take conversations in unusual ways, and tokenizers with very many special tokens."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from core.chat import Turn, Untrusted
from core.errors import EngineError
from core.records import Message
from engines.encoding.sealed import _any_of
from engines.encoding.truncation import fit_prompt
from engines.tokenization import TurnEncoder, WrittenAnswer

END = "<|im_end|>"
TURN = "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
SYSTEM_IN_LAST_USER_TURN = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if m['role'] == 'user' and loop.last and system is defined %}"
    "{{ '<|im_start|>user\\n' + system + '\\n\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% else %}" + TURN + "{% endif %}{% endfor %}" + OPEN
)
NEEDS_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ raise_exception('a system message first') }}{% endif %}"
    "{% for m in messages %}" + TURN + "{% endfor %}" + OPEN
)
LISTS_ONLY = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}" + OPEN
)


def encoder_of(make: Callable[..., Any], template: str | dict[str, str]) -> TurnEncoder:
    return TurnEncoder(make(template), {}, "m")


def test_system_message_that_an_answered_conversation_would_drop_is_trained_on(
    tiny_tokenizer: Callable[..., Any],
):
    encoder = encoder_of(tiny_tokenizer, SYSTEM_IN_LAST_USER_TURN)
    turns = [Turn("system", ("Be brief.",)), Turn("user", (Untrusted("Hi"),))]
    prompt, (answer,) = encoder.encode_answers(turns, [WrittenAnswer("Yes.")])
    assert prompt == encoder.encode(turns).ids
    assert encoder.tokenizer.decode(answer) == f"Yes.{END}"


def test_answer_under_a_template_that_needs_a_system_message_ends_once(tiny_tokenizer: Callable[..., Any]):
    encoder = encoder_of(tiny_tokenizer, NEEDS_SYSTEM)
    turns = [Turn("system", ("Be brief.",)), Turn("user", (Untrusted("Hi"),))]
    _, (answer,) = encoder.encode_answers(turns, [WrittenAnswer("Yes.")])
    assert encoder.tokenizer.decode(answer) == f"Yes.{END}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (LISTS_ONLY, "the chat template takes no conversation: "),
        ("{% for m in messages %}{{ m.content", "the chat template takes no conversation: "),
        ({"chat": NEEDS_SYSTEM, "tools": NEEDS_SYSTEM}, "none is the default: chat, tools"),
    ],
)
def test_template_that_no_request_could_use_is_refused_at_load(
    tiny_tokenizer: Callable[..., Any], template: str | dict[str, str], reason: str
):
    with pytest.raises(EngineError, match=re.escape(reason)):
        encoder_of(tiny_tokenizer, template)


def test_merged_pattern_finds_what_a_plain_one_finds():
    generator = random.Random(0)
    for _ in range(300):
        texts = {"".join(generator.choices("<|ab>", k=generator.randint(1, 6))) for _ in range(12)}
        plain = "|".join(map(re.escape, sorted(texts, key=lambda text: (-len(text), text))))
        searched = "".join(generator.choices("<|ab>", k=200))
        assert re.findall(_any_of(texts), searched) == re.findall(plain, searched)


def test_long_conversation_is_shortened_in_few_encodings():
    prompt = [
        Message(role="assistant" if i % 2 else "user", content=f"turn {i} of a long talk") for i in range(201)
    ]
    asked: list[int] = []

    def encode(kept: tuple[Message, ...]) -> str:
        asked.append(len(kept))
        return "".join(message.content for message in kept)

    found = fit_prompt(prompt, 200, encode)
    assert found is not None
    assert found.endswith("turn 200 of a long talk")
    assert len(found) <= 200 < len(found) + 2 * len("turn 200 of a long talk")
    assert len(asked) < 12
