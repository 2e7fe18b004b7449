"""Turns of conversations that only call tools or are their results, left out of a row where that is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from core.errors import RequestError
from core.notices import counted
from core.text.literals import parsed_literal
from core.text.messages import (
    TOOL_CALLS,
    UNREAD_MESSAGES,
    is_conversation,
    parsed_messages,
    without_tool_turns,
)
from prompts.sources import ToolTurns

_LISTS = ("[{", "[ {")


def row_without_tools(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], int]:
    """Return a row whose conversations have no tool turns, and how many turns were left out.

    Raises:
        RequestError: if what is left of one is no conversation.
    """
    changed, dropped = dict[str, Any](), 0
    for name, value in values.items():
        talk = parsed_literal(value) if isinstance(value, str) and value.lstrip()[:2] in _LISTS else value
        if is_conversation(talk):
            found = without_tool_turns(talk)
            if found.dropped:
                changed[name] = found.entries
                dropped = max(dropped, found.dropped)
    return ({**values, **changed} if changed else values), dropped


def reason_with_setting(
    reason: str, detail: str, values: Mapping[str, Any], tools: ToolTurns | None, way: str
) -> tuple[str, str]:
    """Return why a row is skipped, and the detail, with what reads it if only turns of tools are in the way.

    Args:
        reason: the reason why it cannot be read: the first message that is not text of a known role.
        detail: the detail of the reason.
        values: the row.
        tools: what becomes of conversations with calls of tools; None where that is no setting.
        way: what leaves the turns of tools out, in words.
    """
    if tools != "skip" or reason not in UNREAD_MESSAGES or not _is_read_without_tools(values):
        return reason, detail
    return f"{TOOL_CALLS} ({way})", detail if reason == TOOL_CALLS else ""


def _is_read_without_tools(values: Mapping[str, Any]) -> bool:
    """Return True if a row has tool turns, and its conversations can be read without them."""
    try:
        left, dropped = row_without_tools(values)
        for name, value in left.items():
            if value is not values[name]:
                parsed_messages(value, name)
    except RequestError:
        return False
    return dropped > 0


def tools_in_words(rows: Mapping[int, int]) -> str:
    """Return how many conversations lost how many turns, such as `14 conversations lost 2 tool turns each`.

    Args:
        rows: number of rows by the number of turns that were left out of each.
    """
    parts: list[str] = []
    for turns, count in sorted(Counter(rows).items()):
        what = counted(count, "conversation") if not parts else f"{count:,}"
        parts.append(f"{what} lost {counted(turns, 'tool turn')}{' each' if count > 1 else ''}")
    return ", ".join(parts)
