"""The distillation stage of a run: the policy learns from itself with the constitution in its prompt."""

from __future__ import annotations

import time
from collections.abc import Iterable
from operator import attrgetter

from constitution.schema import Constitution
from core.chat import Turn, turns_of
from core.records import Prompt
from evaluation.prompted import prompted_turns, taught_turns
from prompts.environment import PromptTemplates
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.stages.base import StageResult, prompts_of
from publius.stages.training.examples import job_of, provenance_of, record_training, start_of
from training.distill.task import TaughtPrompt
from training.distill.train import train_distill


async def distill_stage(run: Run, engines: Engines) -> StageResult:
    """Train the policy by on-policy distillation, starting from `distill.init`, on the training prompts."""
    started, config = time.monotonic(), run.config.distill
    engines.keep()
    job = job_of(run, "distill", config, start_of(run, "distill", config.init))
    prompts = sorted(prompts_of(run, {"train", "preference"}), key=attrgetter("id"))
    rows = taught_prompts(prompts, run.constitution, run.templates, examples=config.examples)
    result = train_distill(rows, job, config)
    shown = "the constitution and the good answers of its examples" if config.examples else "the constitution"
    origin = provenance_of(run, f"prompts of the run, answered by the policy with {shown} in its prompt")
    return record_training(run, job, [result], origin, config, started)


def taught_prompts(
    prompts: Iterable[Prompt],
    constitution: Constitution,
    templates: PromptTemplates | None = None,
    *,
    examples: bool = False,
) -> list[TaughtPrompt]:
    """Return prompts with what the teacher sees: the constitution as a system message in front.

    A prompt to which no principle applies is the same for the teacher; training excludes it.

    Args:
        prompts: what the student sees.
        constitution: the principles that the teacher sees, each on the prompts in its scope.
        templates: templates of prompts; the packaged ones if not given.
        examples: whether the teacher also sees the good answers of the principles' few-shot examples.

    Raises:
        ConfigError: the template `system` is invalid.
    """
    used = templates or PromptTemplates()
    return [
        TaughtPrompt(prompt, _teacher_turns(prompt, constitution, used, examples=examples))
        for prompt in prompts
    ]


def _teacher_turns(
    prompt: Prompt, constitution: Constitution, templates: PromptTemplates, *, examples: bool
) -> tuple[Turn, ...]:
    if examples:
        return taught_turns(prompt, constitution, templates) or turns_of(prompt.messages)
    return prompted_turns(prompt, constitution, templates)
