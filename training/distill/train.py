"""On-policy distillation from the prompted model.

The student is the policy and sees plain prompts. The teacher has the same weights as the student at the start
of training, frozen, and sees the constitution in front. The student draws the answers; at each of their
tokens it moves towards the teacher's distribution. No judge and no reward is asked. (Agarwal et al. 2023,
arXiv 2306.13649; with the own prompted weights as the teacher: Shenfeld et al. 2026, arXiv 2601.19897.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.lazy import require
from engines.tokenization import TurnEncoder
from engines.trees import Tree
from training.checkpoints import TrainingFolder
from training.distill.config import DistillConfig
from training.distill.task import DistillData, TaughtPrompt, distill_digest, encode_taught
from training.job import TrainingJob, TrainingResult, require_examples, run_or_reuse
from training.policy import TRAIN_EXTRA, load_encoder
from training.rl.rollouts import Drawn
from training.rl.sampler import open_sampler, sampling_of, usable_here
from training.rl.task import reader_of
from training.rl.train import ignored_settings


def train_distill(prompts: Sequence[TaughtPrompt], job: TrainingJob, config: DistillConfig) -> TrainingResult:
    """Train the policy by on-policy distillation, and return where its adapter is.

    An interrupted run of the same job resumes from its newest checkpoint; a finished one is reused.

    Args:
        prompts: prompts with the conversations that the teacher sees.
        job: the model, the optimizer's settings and the folder; `start` is the adapter that student and
            teacher begin with.
        config: the method's settings.

    Raises:
        DataError: if no prompt can be used.
        EngineError: if the model cannot be loaded or trained.
        MissingExtraError: if peft is not installed, or vLLM where it is to draw the answers.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, TRAIN_EXTRA)
    config = usable_here(config, job)
    encoder = load_encoder(job.policy)
    data = encode_taught(prompts, encoder, job, config)
    require_examples(data.prompts, data.excluded, "prompts to distill on")

    def run(folder: TrainingFolder) -> dict[str, Any]:
        from training.distill.loop import DistillLoop

        parts = _parts(job, config, encoder, data)
        try:
            return DistillLoop(job, config, data, parts, folder).run()
        finally:
            parts.sampler.close()

    outcome = run_or_reuse(job, distill_digest(data, job, config), len(data.prompts), run)
    return TrainingResult.of(
        job.folder,
        outcome,
        ignored_settings(config, job),
        examples=len(data.prompts),
        held_out=0,
        excluded=tuple(data.excluded),
        truncated=0,
        tokens=sum(len(row.ids) for row in data.prompts),
    )


def _parts(job: TrainingJob, config: DistillConfig, encoder: TurnEncoder, data: DistillData) -> Any:
    """Return the models and the sampler."""
    from training.rl.ppo.actor_critic import load_actor_critic
    from training.rl.ppo.drawing import LoopModels

    probe = Tree(max(data.teacher_ids, key=len), (encoder.end_of_turn,))
    models = load_actor_critic(job, "none", None, probe, config.temperature)
    reader = reader_of(models.policy, encoder, job.policy.id)

    def read(drawn: Drawn) -> str:
        return reader.text(drawn.tokens, sampling_of(config))[0]

    return LoopModels(models, open_sampler(job, config, models.policy, reader), read)
