"""Reasoning in think blocks: split from the answer, and refused for single-token answers."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from core.errors import ConfigError

_OPEN, _CLOSE = "<think>", "</think>"


def split_reasoning(text: str, *, opened: bool = False) -> tuple[str, str | None]:
    """Split a model's raw text into (answer, reasoning), both stripped; reasoning is None if there is none.

    If the block was never closed (the answer was cut while the model was thinking), all text is reasoning.

    Args:
        text: the model's output.
        opened: True if the chat template itself opens a think block before the model's first token.
    """
    stripped = text.lstrip()
    if stripped.startswith(_OPEN):
        stripped = stripped[len(_OPEN) :]
    elif not opened and _CLOSE not in stripped:
        return text.strip(), None
    reasoning, closed, answer = stripped.partition(_CLOSE)
    return (answer.strip() if closed else ""), reasoning.strip()


def require_no_thinking(model: str, template: str, kwargs: Mapping[str, JsonValue]) -> None:
    """Refuse single-token answers from a model that may think before its answer.

    Raises:
        ConfigError: if the template has an option `enable_thinking` and the run does not set it to false.
    """
    if "enable_thinking" in template and kwargs.get("enable_thinking") is not False:
        raise ConfigError(
            f"the labeler {model} may think before it answers, so its first token is not its choice",
            where="models.labeler",
            accepted="chat_template_kwargs: {enable_thinking: false}",
        )
