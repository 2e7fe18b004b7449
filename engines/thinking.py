"""Reasoning before an answer: found in a chat template, split from the answer, refused for single tokens.

A template shows how its model thinks where it renders an answer: in a conversation that has one already, and
in the header of an answer to come. The header may open a block of thoughts, or close it at once. Or it lacks
what precedes a finished answer, such as an empty block or a channel, which the model then writes itself.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from core.errors import ConfigError, RequestError

_TAG = re.compile(r"<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\]")
_THOUGHT = re.compile(r"think|thought|reason|reflect|scratch|analy|deliberat|ponder|\bcot\b", re.IGNORECASE)
_BLOCK = re.compile(f"{_THOUGHT.pattern}|channel", re.IGNORECASE)
"""Names of tags around thoughts. They matter only where comparing header and answer says too little."""
_CLOSES = re.compile(r"</|\[/|<\|/|<[^|<>]+\|>$|(?:^|[^a-z])(?:end|close)(?:[^a-z]|$)", re.IGNORECASE)
_NAMED_PAIRS = (("START", "END"), ("start", "end"), ("BEGIN", "END"), ("begin", "end"), ("open", "close"))
_WORD = re.compile(r"\b[a-z_][a-z0-9_]*\b")
_JINJA = re.compile(r"\{[%{](.*?)[%}]\}", re.DOTALL)
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
_NOT_A_SWITCH = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "max_length",
        "message",
        "messages",
        "padding",
        "return_tensors",
        "tokenize",
        "tools",
        "truncation",
    }
)
"""Names in templates that are data, or parameters of `apply_chat_template`."""
_OFF: tuple[JsonValue, ...] = (False, "none", "off", 0)


@dataclass(frozen=True, slots=True)
class Thinking:
    """How the model of a chat template thinks before it answers."""

    start: str = "<think>"
    """Text with which thoughts begin."""
    end: str = "</think>"
    """Text after which the answer begins."""
    opened: bool = False
    """True if the template itself opens the block, before the model's first token."""
    skip: str = ""
    """Template text that makes the header of an answer complete, with a block of thoughts that is empty."""
    evidence: str = ""
    """Why the model's first token is not that of its answer; empty if it is."""
    wrapper: str = ""
    """Tag around the answer, where the template asks for one."""
    prompt: str = ""
    """What the template writes around an empty message."""


def thinking_in(header: str, before_answer: str | None, own_text: str) -> Thinking:
    """Return how the model thinks, from renderings of its chat template.

    Args:
        header: end of a conversation that waits for an answer, from the last message on.
        before_answer: the same of a conversation that has the answer, up to it; None if unknown.
        own_text: what the template itself writes before the last message, such as a system prompt.
    """
    rest = _missing(header, before_answer)
    if rest.strip():
        return _unfinished(rest)
    opened = _last_block(header, before_answer)
    if opened is not None:
        if _is_closing(opened):
            return Thinking(_opening(opened), opened)
        end = _closing(opened)
        return Thinking(opened, end, opened=True, skip=f"\n{end}\n\n", evidence=f"opens {opened!r}")
    asked = [tag for tag in _TAG.findall(own_text) if _THOUGHT.search(tag) and not _is_closing(tag)]
    if asked:
        start, end = asked[-1], _closing(asked[-1])
        wrapper = "<response>" if "<response>" in own_text else ""
        told = f"asks for thoughts in {start!r}"
        return Thinking(start, end, skip=f"{start}\n\n{end}\n\n", evidence=told, wrapper=wrapper)
    return Thinking()


def split_reasoning(
    text: str, thinking: Thinking | None = None, *, opened: bool = False
) -> tuple[str, str | None]:
    """Split a model's raw text into (answer, reasoning), both stripped; reasoning is None if there is none.

    If the block was never closed (the answer was cut while the model was thinking), all text is reasoning.

    Args:
        text: the model's output.
        thinking: how the model thinks; by default in `<think>`.
        opened: True if the block is open before the model's first token.
    """
    thinking = thinking or Thinking()
    stripped = text.lstrip()
    reasoning, closed, answer = stripped.partition(thinking.end)
    if not closed and not opened and not stripped.startswith(thinking.start):
        return _unwrapped(text.strip(), thinking.wrapper), None
    thoughts = reasoning.strip().removeprefix(thinking.start).strip()
    return (_unwrapped(answer.strip(), thinking.wrapper) if closed else ""), thoughts


def names_thoughts(token: str) -> bool:
    """Return True if a token is a tag around thoughts."""
    return _TAG.fullmatch(token) is not None and _THOUGHT.search(token) is not None


class ChatTemplate(Protocol):
    """A chat template with its arguments."""

    template: str
    """The template itself."""

    @property
    def thinking(self) -> Thinking:
        """How the model thinks."""
        ...

    def thinking_with(self, kwargs: Mapping[str, JsonValue]) -> Thinking:
        """Return how the model thinks with other arguments of the template."""
        ...


def require_no_thinking(model: str, chat: ChatTemplate, kwargs: Mapping[str, JsonValue]) -> None:
    """Refuse single-token answers from a model that may think before its answer.

    Args:
        model: the model's name.
        chat: its chat template.
        kwargs: the template's arguments.

    Raises:
        ConfigError: if the template opens a block of thoughts, or leaves it to the model to open one, or has
            the option `enable_thinking` and it is not set to false. It names the argument that prevents this,
            if there is one.
    """
    evidence = chat.thinking.evidence or _told_to_think(chat, kwargs)
    # Models with this option think unless it is false, even where the rendering does not show it.
    if not evidence and ("enable_thinking" not in chat.template or kwargs.get("enable_thinking") is False):
        return
    why = f": its chat template {evidence}" if evidence else ""
    off = _switch(chat, kwargs)
    raise ConfigError(
        f"the labeler {model} may think before it answers, so its first token is not its choice{why}",
        where="models.labeler",
        accepted=f"chat_template_kwargs: {{{off}}}" if off else "a model that answers without thinking",
    )


def _told_to_think(chat: ChatTemplate, kwargs: Mapping[str, JsonValue]) -> str:
    """Return the argument that tells the model to think in words that no tag gives away, if there is one."""
    for name, value in kwargs.items():
        if value and value not in _OFF and _THOUGHT.search(name):
            with contextlib.suppress(RequestError, TypeError, ValueError):
                if chat.thinking_with({**kwargs, name: False}).prompt != chat.thinking.prompt:
                    return f"asks for thoughts ({name}: {str(value).lower()})"
    return ""


def _switch(chat: ChatTemplate, kwargs: Mapping[str, JsonValue]) -> str | None:
    """Return the argument of the template that turns thinking off, as YAML; None if there is none."""
    code = " ".join(_STRING.sub("", part) for part in _JINJA.findall(chat.template))
    named = {name: _THOUGHT.search(name) is not None for name in set(_WORD.findall(code)) - _NOT_A_SWITCH}
    # Names that speak of thinking first: another one may turn it off by accident.
    for name in sorted(named, key=lambda name: (name != "enable_thinking", not named[name], name)):
        for value in _OFF if named[name] else _OFF[:1]:
            # Every name in the template is tried, functions among them, which then cannot be called.
            with contextlib.suppress(RequestError, TypeError, ValueError):
                if not chat.thinking_with({**kwargs, name: value}).evidence:
                    return f"{name}: {'false' if value is False else value}"
    return None


def _missing(header: str, before_answer: str | None) -> str:
    """Return what follows the header in a conversation that has the answer; empty if nothing does."""
    if before_answer is None:
        return ""
    if before_answer.startswith(header):
        return before_answer[len(header) :]
    bare = header.rstrip()
    return before_answer[len(bare) :].lstrip() if before_answer.startswith(bare) else ""


def _unfinished(rest: str) -> Thinking:
    """Return how a model thinks that has to write `rest` itself before its answer."""
    tags = _TAG.findall(rest)
    blocks = [tag for tag in tags if _closing(tag) in tags]
    if tags and _is_closing(tags[0]):
        start, end = _opening(tags[0]), tags[0]
        return Thinking(start, end, opened=True, skip=rest, evidence=f"opens {start!r}")
    if blocks:
        end = _closing(blocks[0])
        return Thinking(blocks[0], end, skip=rest, evidence=f"leaves it to the model to write {blocks[0]!r}")
    if tags and any(map(_BLOCK.search, tags)):
        text = rest.strip()
        return Thinking(tags[0], text, skip=rest, evidence=f"leaves it to the model to write {text!r}")
    return Thinking(skip=rest)


def _last_block(header: str, before_answer: str | None) -> str | None:
    """Return the last tag of thoughts in the header; any tag is one that goes beyond a finished answer's."""
    tags = [tag for tag in _TAG.findall(header) if _BLOCK.search(tag)]
    if before_answer is not None and header.startswith(before_answer.rstrip()):
        tags += _TAG.findall(header[len(before_answer.rstrip()) :])
    return tags[-1] if tags else None


def _is_closing(tag: str) -> bool:
    return _CLOSES.search(tag) is not None


def _closing(tag: str) -> str:
    """Return the tag that closes a block, by the form of the one that opens it."""
    for start, end in _NAMED_PAIRS:
        if start in tag:
            return tag.replace(start, end)
    if re.fullmatch(r"<\|[^|]+>", tag):
        return f"<{tag[2:-1]}|>"
    if tag.startswith("<|"):
        return f"<|/{tag[2:]}"
    return f"{tag[0]}/{tag[1:]}"


def _opening(tag: str) -> str:
    """Return the tag that opens the block which a tag closes."""
    for start, end in _NAMED_PAIRS:
        if end in tag:
            return tag.replace(end, start)
    if re.fullmatch(r"<[^|]+\|>", tag):
        return f"<|{tag[1:-2]}>"
    return tag.replace("/", "", 1)


def _unwrapped(answer: str, wrapper: str) -> str:
    if not wrapper:
        return answer
    return answer.removeprefix(wrapper).removesuffix(_closing(wrapper)).strip()
