"""Who can answer in a talk: the base model, the same with the constitution, and trained variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from constitution.schema import Constitution
from core.chat import turns_of
from core.errors import PubliusError
from core.records import Generation, Prompt
from engines.protocols import GenerationRequest
from evaluation.config import BASE, STEERED
from evaluation.prompted import prompted_turns
from prompts.environment import PromptTemplates
from publius.config.run_file import RunConfig
from publius.runs.engines import Engines
from publius.runs.inputs import recorded_config
from publius.runs.manifest import MANIFEST
from publius.runs.parts.trained import trained_adapter
from publius.stages.variants import PROMPTED
from training.methods import POLICY_METHODS

_RUNS = "runs"


@dataclass(frozen=True)
class TalkVariant:
    """A variant of the policy that can answer."""

    name: str
    """`base`, `prompted`, or run and method as `small-1a2b3c4d/dpo`."""
    adapter: Path | None = None
    """Folder of the training; None for the model as configured."""

    def as_json(self) -> dict[str, str]:
        """Return the variant as the page shows it."""
        run, _, method = self.name.rpartition("/")
        return {"name": self.name, "title": method, "run": run}


def talk_variants(project: Path, config: RunConfig) -> list[TalkVariant]:
    """Return the variants that can answer, trained ones of the newest run first after base and prompted.

    Runs of another base model are left out: the bench has one model.
    """
    found = [TalkVariant(BASE), TalkVariant(PROMPTED)]
    folders = [path.parent for path in (project / _RUNS).glob(f"*/{MANIFEST}")]
    for folder in sorted(folders, key=lambda one: (one / MANIFEST).stat().st_mtime, reverse=True):
        trained = [name for name in (STEERED, *reversed(POLICY_METHODS)) if trained_adapter(folder, name)]
        if trained and _has_model(folder, config):
            found += [TalkVariant(f"{folder.name}/{name}", folder / name) for name in trained]
    return found


async def variant_reply(
    engines: Engines,
    variant: TalkVariant,
    prompt: Prompt,
    under: tuple[Constitution, PromptTemplates],
    config: RunConfig,
    seed: int,
    tell: Callable[[str], None],
) -> Generation:
    """Return the answer of a variant to a conversation.

    Args:
        engines: the engines of the project.
        variant: who answers.
        prompt: the conversation so far.
        under: the constitution and templates that `prompted` is told.
        config: the sampling settings are those of `eval.sampling`.
        seed: seed of the answer.
        tell: called with the text so far while it is written, by engines that report it.

    Raises:
        RequestError: the engine cannot answer this request.
    """
    turns = prompted_turns(prompt, *under) if variant.name == PROMPTED else turns_of(prompt.messages)
    engine = engines.policy_with(variant.adapter)
    return await engine.stream(GenerationRequest(turns, config.eval.sampling, seed, "chat"), tell)


def _has_model(folder: Path, config: RunConfig) -> bool:
    try:
        return recorded_config(folder).models.policy == config.models.policy
    except PubliusError:
        return False
