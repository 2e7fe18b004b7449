"""Variants of a run's policy, and the conversation that each of them sees."""

from __future__ import annotations

from typing import Protocol

from constitution.schema import Constitution
from core.chat import Turn, turns_of
from core.notices import note
from core.records import Prompt
from evaluation.config import BASE, STEERED, Variant
from evaluation.prompted import prompted_turns
from prompts.environment import PromptTemplates
from publius.runs.folder import Run

PROMPTED: Variant = "prompted"
UNTRAINED = (BASE, PROMPTED)


class HasConstitution(Protocol):
    """An object with a constitution and the prompt templates for it, such as a run or a chat."""

    constitution: Constitution
    templates: PromptTemplates


def available_variants(run: Run) -> tuple[Variant, ...]:
    """Return the variants in `eval.models` that the run has, and the chosen checkpoint if there is one.

    Print a note about the others.
    """
    listed = run.config.eval.models
    chosen = [name for name in listed if name in UNTRAINED or run.adapter(name)]
    if STEERED not in listed and run.adapter(STEERED):
        chosen.append(STEERED)
    missing = [name for name in run.config.eval.models if name not in chosen]
    if missing:
        note(f"skipping variants that are not trained in this run: {', '.join(missing)}")
    return tuple(chosen)


def turns_for(under: HasConstitution, variant: str, prompt: Prompt) -> tuple[Turn, ...]:
    """Return the conversation as a variant sees it; `prompted` gets the constitution as system prompt."""
    if variant == PROMPTED:
        return prompted_turns(prompt, under.constitution, under.templates)
    return turns_of(prompt.messages)
