from __future__ import annotations

import pytest
from pydantic import JsonValue

from core.errors import ConfigError
from engines.thinking import require_no_thinking, split_reasoning

TEMPLATE = "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"


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


@pytest.mark.parametrize("kwargs", [{}, {"enable_thinking": True}, {"enable_thinking": None}])
def test_choices_are_refused_where_the_model_may_think(kwargs: dict[str, JsonValue]):
    with pytest.raises(ConfigError) as caught:
        require_no_thinking("some-model", TEMPLATE, kwargs)
    assert "some-model" in str(caught.value)
    assert caught.value.problems[0].where == "models.labeler"
    assert "enable_thinking: false" in str(caught.value)


def test_choices_are_accepted_with_thinking_off_or_unknown():
    require_no_thinking("m", TEMPLATE, {"enable_thinking": False})
    require_no_thinking("m", "{{ messages }}", {})
