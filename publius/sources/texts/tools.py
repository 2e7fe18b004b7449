"""Turns of conversations that only call tools or are their results, left out of a row where that is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from core.notices import counted
from core.text.literals import parsed_literal
from core.text.messages import TOOL_CALLS, is_conversation, without_tool_turns
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


def reason_with_setting(reason: str, tools: ToolTurns | None) -> str:
    """Return the reason why a row is skipped, with the setting that reads the rest of its conversation."""
    return (
        f"{reason} (prompts.tools: drop leaves them out)"
        if (reason, tools) == (TOOL_CALLS, "skip")
        else reason
    )


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
