"""How a model thinks is read off its chat template; thoughts are no part of answers, choices and prefills."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import JsonValue

from core.chat import Turn
from core.errors import ConfigError
from core.records import Sampling
from engines.answers import AnswerReader
from engines.protocols import GenerationRequest
from engines.thinking import Thinking, require_no_thinking, split_reasoning
from engines.tokenization import CHATML, TurnEncoder
from tests.engines import chat_templates as templates

Encoders = Callable[..., TurnEncoder]
USER = (Turn("user", ("2+2?",)),)


@pytest.fixture
def encoder(tiny_tokenizer: Callable[..., Any]) -> Encoders:
    def build(template: str, special: tuple[str, ...] = (), **kwargs: JsonValue) -> TurnEncoder:
        return TurnEncoder(tiny_tokenizer(template, extra=special, special=special), kwargs, "tiny")

    return build


# Answers


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("  Four. ", "Four.", None),
        ("<think>two and two</think>\n\nFour.", "Four.", "two and two"),
        ("\n<think>\ntwo\n</think>Four.", "Four.", "two"),
        ("<think></think>Four.", "Four.", ""),
        ("<think>never ended", "", "never ended"),
        ("The tag <think> opens a block.", "The tag <think> opens a block.", None),
        ("two and two</think> Four.", "Four.", "two and two"),
        ("<think>a</think>b</think>c", "b</think>c", "a"),
        ("", "", None),
    ],
)
def test_reasoning_is_told_apart_from_the_answer(text: str, answer: str, reasoning: str | None):
    assert split_reasoning(text) == (answer, reasoning)


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("two and two</think>\nFour.", "Four.", "two and two"),
        ("cut while thinking", "", "cut while thinking"),
        ("<think>twice opened</think>Four.", "Four.", "twice opened"),
    ],
)
def test_block_that_the_template_opened_is_reasoning(text: str, answer: str, reasoning: str):
    assert split_reasoning(text, opened=True) == (answer, reasoning)


HARMONY = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>")
ANALYSIS = "<|channel|>analysis<|message|>two and two"
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>Four.<|return|>"
RAW = [
    (templates.QWEN3, {}, "<think>\ntwo and two\n</think>\n\nFour.", "Four."),
    (templates.QWEN3, {}, "Four.", "Four."),
    (templates.QWEN3, {}, "<think>\ntwo and", ""),
    (templates.QWEN3_THINKING, {}, "two and two\n</think>\n\nFour.", "Four."),
    (templates.R1, {}, "two and", ""),
    (templates.DEEPSEEK_V31, {"thinking": True}, "two and two</think>Four.", "Four."),
    (templates.DEEPSEEK_V31, {}, "Four.", "Four."),
    (templates.GPT_OSS, {}, ANALYSIS + FINAL, "Four."),
    (templates.GPT_OSS, {}, "<|channel|>final<|message|>Four.<|return|>", "Four."),
    (templates.GPT_OSS, {}, ANALYSIS, ""),
    (templates.GRANITE, {"thinking": True}, "<think>two</think><response>Four.</response>", "Four."),
    (templates.GRANITE, {}, "Four.", "Four."),
    (templates.SMOLLM3, {}, "<think>two</think>Four.", "Four."),
    (templates.MAGISTRAL, {}, "[THINK]two[/THINK]Four.", "Four."),
    (templates.UNLISTED, {}, "two and two</inner>Four.", "Four."),
    (templates.UNLISTED_CHANNEL, {}, "<plan>two and two</plan>Four.", "Four."),
    (templates.LLAMA, {}, "Four.", "Four."),
]


@pytest.mark.parametrize("marks_are_special", [False, True])
@pytest.mark.parametrize(("template", "kwargs", "raw", "answer"), RAW)
def test_thoughts_are_no_part_of_an_answer_however_the_template_marks_them(
    encoder: Encoders,
    template: str,
    kwargs: dict[str, JsonValue],
    raw: str,
    answer: str,
    marks_are_special: bool,
):
    # A mark that is a special token does not survive plain decoding.
    marks = (
        *HARMONY,
        "<think>",
        "</think>",
        "[THINK]",
        "[/THINK]",
        "<inner>",
        "</inner>",
        "<plan>",
        "</plan>",
    )
    speaker = encoder(template, marks if marks_are_special else (), **kwargs)
    reader = AnswerReader(speaker.tokenizer, speaker, [2], "tiny")
    tokens = speaker._tokenizer.encode(raw.removesuffix("<|return|>"), add_special_tokens=False)
    assert reader.text(tokens, Sampling())[0] == answer
    request = GenerationRequest(USER, Sampling(), 0, "critique", "Well,")
    if answer == raw:  # an answer that was begun with a prefill goes on outside the block
        assert reader.read(request, 3, tokens, "stop").text == answer


# Prefills of critics


@pytest.mark.parametrize(
    ("template", "kwargs", "before"),
    [
        (templates.QWEN3, {}, "assistant\n<think>\n\n</think>\n\n"),
        (templates.QWEN3, {"enable_thinking": False}, "assistant\n<think>\n\n</think>\n\n"),
        (templates.QWEN3_THINKING, {}, "assistant\n<think>\n\n</think>\n\n"),
        (templates.R1, {}, "<｜Assistant｜><think>\n\n</think>\n\n"),
        (templates.DEEPSEEK_V31, {}, "<｜Assistant｜></think>"),
        (templates.DEEPSEEK_V31, {"thinking": True}, "<｜Assistant｜><think>\n</think>\n\n"),
        (templates.GPT_OSS, {}, "<|start|>assistant<|channel|>final<|message|>"),
        (templates.GRANITE, {}, "assistant<|end_of_role|>"),
        (templates.GRANITE, {"thinking": True}, "assistant<|end_of_role|><think>\n\n</think>\n\n"),
        (templates.SMOLLM3, {}, "assistant\n<think>\n\n</think>\n\n"),
        (templates.SMOLLM3, {"enable_thinking": False}, "assistant\n<think>\n\n</think>\n"),
        (templates.UNLISTED, {}, "<turn:assistant><inner>\n\n</inner>\n\n"),
        (templates.UNLISTED_CHANNEL, {}, "<<assistant>><plan></plan>"),
        (templates.COMMAND_R7B, {}, "<|CHATBOT_TOKEN|><|START_RESPONSE|>"),
        (templates.LLAMA, {}, "assistant<|end_header_id|>\n\n"),
        (templates.MISTRAL, {}, "[/INST] "),  # with the space that it writes before an answer
        (CHATML, {}, "<|im_start|>assistant\n"),
    ],
)
def test_prefill_begins_the_answer_and_never_the_thoughts(
    encoder: Encoders, template: str, kwargs: dict[str, JsonValue], before: str
):
    speaker = encoder(template, **kwargs)
    ids = speaker.encode(USER, prefill="To follow").ids
    text = speaker._tokenizer.decode(ids)
    assert text.endswith(f"{before}To follow")
    assert ids[-len("To follow") :] == tuple(speaker.plain("To follow"))
    # Without a prefill, the model is free to think.
    free = speaker._tokenizer.decode(speaker.encode(USER).ids)
    assert text.startswith(free)


# Choices


def refusal(speaker: TurnEncoder, **kwargs: JsonValue) -> str | None:
    """What the user is told; None if the model may be a labeler."""
    try:
        require_no_thinking("some-model", speaker, kwargs)
    except ConfigError as error:
        return error.problems[0].accepted
    return None


NO_SWITCH = "a model that answers without thinking"
OFF, THINKING_OFF = (
    "chat_template_kwargs: {enable_thinking: false}",
    "chat_template_kwargs: {thinking: false}",
)


@pytest.mark.parametrize(
    ("template", "kwargs", "told"),
    [
        (templates.QWEN3, {}, OFF),
        (templates.QWEN3, {"enable_thinking": True}, OFF),
        (templates.QWEN3, {"enable_thinking": None}, OFF),
        (templates.QWEN3, {"enable_thinking": False}, None),
        (templates.QWEN3_THINKING, {}, NO_SWITCH),
        (templates.QWEN3_THINKING, {"enable_thinking": False}, NO_SWITCH),
        (templates.R1, {}, NO_SWITCH),
        (templates.R1, {"enable_thinking": False}, NO_SWITCH),
        (templates.GPT_OSS, {}, NO_SWITCH),
        (templates.GPT_OSS, {"reasoning_effort": "low"}, NO_SWITCH),
        (templates.DEEPSEEK_V31, {}, None),
        (templates.DEEPSEEK_V31, {"thinking": True}, THINKING_OFF),
        (templates.DEEPSEEK_V31, {"thinking": False}, None),
        (templates.GRANITE, {}, None),
        (templates.GRANITE, {"thinking": True}, THINKING_OFF),
        (templates.SMOLLM3, {}, OFF),
        (templates.SMOLLM3, {"enable_thinking": False}, None),
        (templates.MAGISTRAL, {}, NO_SWITCH),
        (templates.UNLISTED, {}, "chat_template_kwargs: {monologue: false}"),
        (templates.UNLISTED, {"monologue": False}, None),
        (templates.UNLISTED_CHANNEL, {}, NO_SWITCH),
        (templates.LLAMA, {}, None),
        (templates.GEMMA, {}, None),
        (templates.MISTRAL, {}, None),
        (templates.COMMAND_R7B, {}, None),
        (CHATML, {}, None),
        (CHATML + "{% if enable_thinking %}<think>{% endif %}", {}, OFF),
        (
            CHATML + "{% if reasoning != 'none' %}<think>{% endif %}",
            {},
            "chat_template_kwargs: {reasoning: none}",
        ),
        ("{% if thinking %}Here is my thought process:{% endif %}" + CHATML, {}, None),
        (
            "{% if thinking %}Here is my thought process:{% endif %}" + CHATML,
            {"thinking": True},
            THINKING_OFF,
        ),
    ],
)
def test_labeler_that_may_think_is_refused_with_the_argument_that_prevents_it(
    encoder: Encoders, template: str, kwargs: dict[str, JsonValue], told: str | None
):
    assert refusal(encoder(template, **kwargs), **kwargs) == told


def test_refusal_names_the_model_and_the_evidence(encoder: Encoders):
    with pytest.raises(ConfigError) as caught:
        require_no_thinking("some-model", encoder(templates.R1), {})
    assert str(caught.value) == (
        "models.labeler: the labeler some-model may think before it answers, so its first token is not its "
        "choice: its chat template opens '<think>'; accepted: a model that answers without thinking"
    )


def test_template_that_refuses_a_finished_answer_is_judged_by_its_tags(encoder: Encoders):
    refuses = "{% if messages[-1].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
    header = "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
    assert encoder(refuses + CHATML).thinking == Thinking(prompt=header)
    assert encoder(refuses + CHATML + "<think>\n").thinking.opened
