"""The task of distillation: prompts as the student sees them, and as the teacher does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from core.chat import Turn
from core.errors import RequestError
from core.records import Prompt
from core.settings import identity_of
from engines.loading import UNKNOWN_CONTEXT, context_tokens, locate
from engines.tokenization import TurnEncoder
from training.config import OptimConfig
from training.distill.config import DistillConfig
from training.examples import ExcludedExample
from training.job import TrainingJob
from training.rl.rollouts import RolloutPrompt
from training.rl.task import RELEVANT_FIELDS, encode_prompts

SAME_PROMPT = "teacher and student see the same prompt: no principle applies to it"


@dataclass(frozen=True)
class TaughtPrompt:
    """A prompt, and the conversation that the teacher sees in its place."""

    prompt: Prompt
    teacher: tuple[Turn, ...]
    """The same conversation with the constitution in front, for example."""


@dataclass
class DistillData:
    """The usable prompts as token ids, and the others with reasons."""

    prompts: list[RolloutPrompt] = field(default_factory=list)
    """What the student sees."""
    teacher_ids: list[tuple[int, ...]] = field(default_factory=list)
    """What the teacher sees, in the same order."""
    excluded: list[ExcludedExample] = field(default_factory=list)


def encode_taught(
    rows: Sequence[TaughtPrompt], encoder: TurnEncoder, job: TrainingJob, config: DistillConfig
) -> DistillData:
    """Encode both sides of each prompt; those that cannot be used are excluded, with reasons.

    The student's side and its answer must fit `optim.max_length`, and the teacher's the model's context. A
    prompt that is the same for both teaches nothing.
    """
    students = encode_prompts([row.prompt for row in rows], encoder, job, config)
    # By place: two rows may have the same prompt.
    usable = iter(students.rows)
    found, ahead = DistillData(excluded=students.excluded), next(usable, None)
    room = (context_tokens(locate(job.policy)) or UNKNOWN_CONTEXT) - config.max_new_tokens
    no_room = f"the teacher's prompt and {config.method}.max_new_tokens exceed the model's context"
    for row in rows:
        if ahead is None or ahead.prompt is not row.prompt:
            continue  # excluded already
        student, ahead = ahead, next(usable, None)
        try:
            ids = encoder.encode(row.teacher).ids
        except RequestError as error:
            found.excluded.append(ExcludedExample(row.prompt.id, error.reason, error.detail))
            continue
        if ids == student.ids:
            found.excluded.append(ExcludedExample(row.prompt.id, SAME_PROMPT))
        elif len(ids) > room:
            detail = f"{len(ids)} tokens, at most {room}"
            found.excluded.append(ExcludedExample(row.prompt.id, no_room, detail))
        else:
            found.prompts.append(student)
            found.teacher_ids.append(ids)
    return found


def distill_digest(data: DistillData, job: TrainingJob, config: DistillConfig) -> str:
    """Return a digest of everything that determines the result."""
    read = OptimConfig().model_copy(update={name: getattr(job.optim, name) for name in RELEVANT_FIELDS})
    settings = identity_of(config) | {"alarms": config.alarms == "stop"}
    rows = [
        (row.ids, taught, row.prompt.id) for row, taught in zip(data.prompts, data.teacher_ids, strict=True)
    ]
    return replace(job, optim=read, epochs=1.0).digest(rows, (), settings)
