"""The distillation stage of a run: the policy learns from itself with the constitution in its prompt."""

from __future__ import annotations

import time
from operator import attrgetter

from core.chat import Turn, turns_of
from core.records import Prompt
from evaluation.prompted import taught_turns
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.stages.base import StageResult, prompts_of
from publius.stages.training.examples import job_of, provenance_of, record_training, start_of
from publius.stages.variants import PROMPTED, turns_for
from training.distill.task import TaughtPrompt
from training.distill.train import train_distill


async def distill_stage(run: Run, engines: Engines) -> StageResult:
    """Train the policy by on-policy distillation, starting from `distill.init`, on the training prompts."""
    started, config = time.monotonic(), run.config.distill
    engines.keep()
    job = job_of(run, "distill", config, start_of(run, "distill", config.init))
    prompts = sorted(prompts_of(run, {"train", "preference"}), key=attrgetter("id"))
    rows = [TaughtPrompt(prompt, _teacher_turns(run, prompt)) for prompt in prompts]
    result = train_distill(rows, job, config)
    shown = "the constitution and the good answers of its examples" if config.examples else "the constitution"
    origin = provenance_of(run, f"prompts of the run, answered by the policy with {shown} in its prompt")
    return record_training(run, job, [result], origin, config, started)


def _teacher_turns(run: Run, prompt: Prompt) -> tuple[Turn, ...]:
    """Return the conversation as the teacher sees it: unchanged if no principle applies to the prompt."""
    if run.config.distill.examples:
        return taught_turns(prompt, run.constitution, run.templates) or turns_of(prompt.messages)
    return turns_for(run, PROMPTED, prompt)
