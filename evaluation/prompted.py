"""The prompted baseline: the policy with the constitution as its system prompt, without training."""

from __future__ import annotations

from constitution.draw import in_scope
from constitution.schema import Constitution, Principle
from core.chat import Piece, Turn, Untrusted, turns_of
from core.records import Prompt
from prompts.environment import PromptTemplates
from prompts.few_shots import good_examples


def prompted_turns(
    prompt: Prompt, constitution: Constitution, templates: PromptTemplates
) -> tuple[Turn, ...]:
    """Return the prompt's conversation with the constitution as its system message.

    The system message contains only principles whose scope includes the prompt. If there are none, the
    conversation is unchanged. The prompt's own system message is appended to the constitution.

    Raises:
        ConfigError: the template `system` is invalid.
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


def taught_turns(
    prompt: Prompt, constitution: Constitution, templates: PromptTemplates
) -> tuple[Turn, ...] | None:
    """Return the prompted conversation with the good few-shot examples of its principles before it.

    Returns:
        None if no principle applies to the prompt.

    Raises:
        ConfigError: the template `system` is invalid.
    """
    principles = _in_order(constitution, prompt)
    if not principles:
        return None
    system, *conversation = prompted_turns(prompt, constitution, templates)
    return (system, *good_examples(principles), *conversation)


def _in_order(constitution: Constitution, prompt: Prompt) -> list[Principle]:
    """Return the principles that apply to a prompt; if priority is strict, in order of precedence."""
    found = [principle for principle in constitution.steering if in_scope(principle, prompt)]
    if constitution.priority == "strict":  # the schema then requires a section for each principle
        found.sort(key=lambda p: (not p.hard, constitution.sections.index(p.section or "")))
    return found
