"""Supervised fine-tuning (SFT) with TRL's `SFTTrainer`: loss on the assistant's tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import RequestError
from core.lazy import require
from engines.encoding.truncation import fit_prompt
from engines.tokenization import TurnEncoder
from training.checkpoints import TrainingFolder
from training.config import OptimConfig
from training.examples import (
    AnsweredPrompt,
    EncodedAnswer,
    ExcludedExample,
    encode_example,
    holds_rendering,
    note_renderings,
)
from training.fit import fit, one_gpu_arguments
from training.job import TrainingJob, TrainingResult, require_examples, require_held_out
from training.pairs.encode import TOO_MANY_TOKENS, require_context
from training.policy import TRAIN_EXTRA, keep_adapter_wide, load_encoder, load_policy


def train_sft(
    examples: Sequence[AnsweredPrompt], job: TrainingJob, held_out: Sequence[AnsweredPrompt] = ()
) -> TrainingResult:
    """Fine-tune the policy on the answers; return the result with its folder.

    An interrupted training of the same job resumes from its newest checkpoint; a finished one is reused.

    Args:
        examples: the training data.
        job: the training job.
        held_out: answers to evaluate on during training.

    Raises:
        ConfigError: if there is nothing to evaluate on, or an example is longer than the model's context.
        DataError: if no example can be used.
        EngineError: if the model cannot be loaded or trained.
        MissingExtraError: if TRL, peft or datasets is not installed.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "trl", "peft", "datasets"):
        require(package, TRAIN_EXTRA)
    encoder = load_encoder(job.policy)
    data, unseen = (encode_answers(rows, encoder, job.optim) for rows in (examples, held_out))
    require_examples(data.rows, data.excluded, "answers to train on")
    require_held_out(job, unseen.rows)
    require_context(job, [*data.rows, *unseen.rows])
    maker = _Maker(data.rows, unseen.rows, encoder, job)
    outcome = fit(job, job.digest(data.rows, unseen.rows), len(data.rows), maker)
    return TrainingResult.of(
        job.folder,
        outcome,
        examples=len(data.rows),
        held_out=len(unseen.rows),
        excluded=(*data.excluded, *unseen.excluded),
        truncated=data.truncated + unseen.truncated,
        tokens=sum(map(len, data.rows)),
    )


class _Maker:
    """Builds TRL's trainer for encoded rows."""

    def __init__(
        self,
        rows: Sequence[EncodedAnswer],
        held_out: Sequence[EncodedAnswer],
        encoder: TurnEncoder,
        job: TrainingJob,
    ) -> None:
        self._rows, self._held_out, self._encoder, self._job = rows, held_out, encoder, job

    def __call__(self, arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        trl, datasets = require("trl", TRAIN_EXTRA), require("datasets", TRAIN_EXTRA)

        from training.steps.answers import AnswerTrainer, LossProbe
        from training.steps.trainer import as_batch

        own = self._job
        policy = load_policy(own.policy, own.adapter, own.device, own.seed, own.start)
        probe = LossProbe.of(policy)  # before TRL replaces the output head
        settings: Any = one_gpu_arguments(
            trl.SFTConfig,
            arguments,
            # Rows are encoded and cut already: TRL must neither tokenize nor truncate them.
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            # Else TRL adds a loss that balances the experts. It cannot compute it for every mixture; and
            # under an adapter routers are frozen, so it would only draw the adapter away from the answers.
            router_aux_loss_coef=0.0,
        )
        # TRL asks its data sets for columns; the rows themselves are taken from `AnswerTrainer`.
        train, unseen = (
            datasets.Dataset.from_list([{"input_ids": row.prompt_ids} for row in rows[:1]])
            for rows in (self._rows, self._held_out)
        )
        trainer = AnswerTrainer(
            self._rows,
            self._held_out,
            own.optim,
            model=policy,
            args=settings,
            train_dataset=train,
            eval_dataset=unseen if self._held_out else None,
            processing_class=self._encoder.tokenizer,
            data_collator=as_batch,
        )
        keep_adapter_wide(policy)  # TRL narrows it to bfloat16 on a quantized model
        trainer.require_right_loss(probe, own.policy.id)
        return trainer


@dataclass
class EncodedAnswers:
    """Encoded answers of a data set, and the excluded ones."""

    rows: list[EncodedAnswer] = field(default_factory=list)
    examples: list[AnsweredPrompt] = field(default_factory=list)
    """The example of each row."""
    excluded: list[ExcludedExample] = field(default_factory=list)
    truncated: int = 0


def encode_answers(
    examples: Sequence[AnsweredPrompt], encoder: TurnEncoder, optim: OptimConfig
) -> EncodedAnswers:
    """Encode answers as token ids; prompts of those that are too long are shortened, or they are excluded."""
    encoded, rendered = EncodedAnswers(), 0
    for example in examples:
        try:
            _take(example, encoder, optim, encoded)
        except RequestError as error:
            encoded.excluded.append(ExcludedExample(example.id, error.reason, error.detail))
            continue
        rendered += holds_rendering(encoder, example)
    note_renderings(rendered, len(examples))
    return encoded


def _take(example: AnsweredPrompt, encoder: TurnEncoder, optim: OptimConfig, encoded: EncodedAnswers) -> None:
    """Add an example, shorten its prompt if it is too long and may be shortened, or exclude it."""
    row: EncodedAnswer | None = encode_example(encoder, example)
    assert row is not None
    tokens = len(row)
    if tokens > optim.max_length:
        row = None
        if optim.overlong == "truncate" and not holds_rendering(encoder, example):
            # Only the prompt is shortened: a cut answer would teach the model to stop there.
            row = fit_prompt(
                example.prompt,
                optim.max_length,
                lambda prompt: encode_example(encoder, replace(example, prompt=prompt)),
            )
        if row is None:
            encoded.excluded.append(ExcludedExample(example.id, TOO_MANY_TOKENS, f"{tokens} tokens"))
            return
        encoded.truncated += 1
    encoded.rows.append(row)
    encoded.examples.append(example)
