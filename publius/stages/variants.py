"""The variants of a run's policy: which there are, and what each is shown."""

from __future__ import annotations

from typing import Protocol

from constitution.schema import Constitution
from core.chat import Turn, turns_of
from core.notices import note
from core.records import Prompt
from evaluation.config import BASE, Variant
from evaluation.prompted import prompted_turns
from prompts.environment import PromptTemplates
from publius.runs.folder import Run

PROMPTED: Variant = "prompted"
UNTRAINED = (BASE, PROMPTED)


class Constituted(Protocol):
    """What has a constitution, and the templates that tell a model of it: a run, or a chat with one."""

    constitution: Constitution
    templates: PromptTemplates


def available_variants(run: Run) -> tuple[Variant, ...]:
    """Return the variants of `eval.models` that there are in this run; the others are named in a note."""
    chosen = [name for name in run.config.eval.models if name in UNTRAINED or run.adapter(name)]
    missing = [name for name in run.config.eval.models if name not in chosen]
    if missing:
        note(f"not evaluated, because not trained in this run: {', '.join(missing)}")
    return tuple(chosen)


def turns_for(under: Constituted, variant: str, prompt: Prompt) -> tuple[Turn, ...]:
    """Return the conversation as a variant sees it: `prompted` has the constitution as system prompt."""
    if variant == PROMPTED:
        return prompted_turns(prompt, under.constitution, under.templates)
    return turns_of(prompt.messages)
