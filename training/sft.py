"""Supervised fine-tuning by TRL's `SFTTrainer`: LoRA, loss on the assistant's tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import RequestError
from core.lazy import require
from engines.tokenization import TurnEncoder
from training.checkpoints import TrainingFolder
from training.examples import AnsweredPrompt, EncodedAnswer, LeftOut, encode_answer
from training.fit import TrainingJob, TrainingResult, fit, require_examples
from training.policy import EXTRA, load_encoder, load_policy


def train_sft(examples: Sequence[AnsweredPrompt], job: TrainingJob) -> TrainingResult:
    """Train the policy to give the answers, and return where its adapter is.

    An interrupted training of the same job goes on from its newest checkpoint; a finished one is found.

    Raises:
        DataError: if there are no examples, or none that fits in `optim.max_length`.
        EngineError: if the model cannot be loaded or trained.
        MissingExtraError: if TRL, peft or datasets is not installed.
        RunStateError: if the disk is too small or full.
    """
    for package in ("torch", "transformers", "trl", "peft", "datasets"):
        require(package, EXTRA)
    encoder = load_encoder(job.policy)
    rows, left_out = _encode(examples, encoder, job.optim.max_length)
    require_examples(rows, left_out, "answers")
    result = fit(job, job.digest(rows), len(rows), _Maker(rows, encoder, job))
    return TrainingResult(
        job.folder,
        len(rows),
        tuple(left_out),
        result["steps"],
        result["seconds"],
        sum(map(len, rows)),
        result["metrics"],
    )


class _Maker:
    """Builds TRL's trainer over rows that are encoded already."""

    def __init__(self, rows: Sequence[EncodedAnswer], encoder: TurnEncoder, job: TrainingJob) -> None:
        self._rows, self._encoder, self._job = rows, encoder, job

    def __call__(self, arguments: dict[str, Any], folder: TrainingFolder) -> Any:
        trl, datasets = require("trl", EXTRA), require("datasets", EXTRA)
        own = self._job
        policy = load_policy(own.policy, own.lora, own.device, own.seed, own.start)
        settings = trl.SFTConfig(**arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
        rows = [{"prompt_ids": row.prompt_ids, "answer_ids": row.answer_ids} for row in self._rows]
        return trl.SFTTrainer(
            model=policy,
            args=settings,
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=self._encoder.tokenizer,
            data_collator=_collate,
        )


def _collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as TRL's trainer takes them, with no label but on answer tokens."""
    from training.logprobs import collate

    batch = collate([EncodedAnswer(tuple(row["prompt_ids"]), tuple(row["answer_ids"])) for row in rows])
    labels = batch.input_ids.new_full(batch.input_ids.shape, -100)
    answers = labels[:, -batch.answer_ids.shape[1] :]
    answers[batch.answer_mask] = batch.answer_ids[batch.answer_mask]
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "position_ids": batch.position_ids,
        "labels": labels,
    }


def _encode(
    examples: Sequence[AnsweredPrompt], encoder: TurnEncoder, max_length: int
) -> tuple[list[EncodedAnswer], list[LeftOut]]:
    """Return the rows that fit, and those that are left out with the reason."""
    rows: list[EncodedAnswer] = []
    left_out: list[LeftOut] = []
    for example in examples:
        try:
            row = encode_answer(encoder, example.prompt, example.answer)
        except RequestError as error:
            left_out.append(LeftOut(example.id, error.reason, error.detail))
            continue
        if len(row) > max_length:
            left_out.append(LeftOut(example.id, "longer than optim.max_length", f"{len(row)} tokens"))
        else:
            rows.append(row)
    return rows, left_out
