"""The policy under a system prompt: what telling a model the principles does, without any training."""

from __future__ import annotations

from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.chat import Piece, Turn, Untrusted, turns_of
from core.records import Prompt
from prompts.environment import PromptTemplates


def prompted_turns(
    prompt: Prompt, constitution: Constitution, templates: PromptTemplates
) -> tuple[Turn, ...]:
    """Return the prompt's conversation with the constitution as its system message.

    Only principles whose scope holds the prompt are told; if there are none, the conversation is as it was.
    A system message of the prompt's own is kept and stands after ours.

    Raises:
        ConfigError: the template `system` is wrong.
    """
    turns = turns_of(prompt.messages)
    principles = _in_order(constitution, prompt)
    if not principles:
        return turns
    rendered = templates.render(
        "system",
        principles=principles,
        preamble=constitution.preamble,
        strict=constitution.priority == "strict",
    )
    pieces: tuple[Piece, ...] = rendered.pieces
    if prompt.messages[0].role == "system":
        pieces = (*pieces, "\n\n", Untrusted(prompt.messages[0].content))
        turns = turns[1:]
    return (Turn("system", pieces), *turns)


def _in_order(constitution: Constitution, prompt: Prompt) -> list[Principle]:
    """Return the principles about a prompt; where priority is strict, in the order in which they decide."""
    found = [principle for principle in constitution.principles if in_scope(principle, prompt)]
    if constitution.priority == "strict":  # then each has a section; the schema sees to that
        found.sort(key=lambda p: (not p.hard, constitution.sections.index(p.section or "")))
    return found
