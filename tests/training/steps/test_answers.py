"""SFT: micro-batches under a token budget change no gradient, and losses are TRL's."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.config import ModelConfig
from tests.training.jobs import OPTIM, SMALL, answered, job
from training.examples import EncodedAnswer, encode_answer
from training.policy import load_encoder, load_policy
from training.sft import train_sft

ROWS = 12


def trainer_of(folder: Path, output: Path, **optim: int) -> Any:
    """Return a trainer of answers of different lengths on a float32 model."""
    from training.fit import arguments_of
    from training.sft import _Maker

    own = job("sft", output, str(folder), optim=OPTIM.model_copy(update=optim))
    encoder = load_encoder(own.policy)
    rows = [encode_answer(encoder, row.prompt, row.answer) for row in answered(ROWS)]
    made = _Maker(rows, rows[:5], encoder, own)(arguments_of(own, output), None)
    return made, rows


def gradients(trainer: Any, rows: list[EncodedAnswer]) -> tuple[float, dict[str, Any]]:
    """Return the loss and the gradients of one optimizer step on the rows."""
    trainer.model.zero_grad()
    loss = trainer.training_step(trainer.model, {"rows": rows})
    return float(loss), {
        name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None
    }


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one.keys() == other.keys()
    largest = max(value.abs().max().item() for value in one.values())
    return max((one[name] - other[name]).abs().max().item() for name in one) / largest


def test_gradients_are_those_of_trl_whatever_the_micro_batches(tiny_folder: Path, tmp_path: Path):
    import datasets
    from trl import SFTConfig, SFTTrainer

    trainer, rows = trainer_of(tiny_folder, tmp_path / "whole", micro_tokens=100_000, micro_batch=64)
    loss, whole = gradients(trainer, rows)
    for micro_tokens, micro_batch in ((16, 64), (70, 64), (100, 3), (100_000, 1), (100_000, 5)):
        trainer._optim = trainer._optim.model_copy(
            update={"micro_tokens": micro_tokens, "micro_batch": micro_batch}
        )
        split, found = gradients(trainer, rows)
        assert split == pytest.approx(loss, rel=1e-5)
        assert apart(whole, found) < 1e-5
    theirs = SFTTrainer(
        load_policy(ModelConfig(id=str(tiny_folder)), SMALL, "cpu", 0),
        SFTConfig(
            output_dir=str(tmp_path / "trl"),
            max_length=None,
            report_to=[],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=ROWS,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=datasets.Dataset.from_list(
            [
                {
                    "input_ids": [*row.prompt_ids, *row.answer_ids],
                    "labels": [-100] * len(row.prompt_ids) + list(row.answer_ids),
                }
                for row in rows
            ]
        ),
        processing_class=load_encoder(ModelConfig(id=str(tiny_folder))).tokenizer,
    )
    theirs.model.train()
    (batch,) = theirs.get_train_dataloader()
    items = theirs._get_num_items_in_batch([batch], theirs.args.device)
    peer = theirs.training_step(theirs.model, batch, items)
    assert loss == pytest.approx(float(peer), rel=1e-5)
    named = {name: p.grad for name, p in theirs.model.named_parameters() if p.grad is not None}
    assert apart(whole, named) < 1e-5


def test_held_out_loss_and_metrics_do_not_depend_on_the_micro_batches(tiny_folder: Path, tmp_path: Path):
    trainer, _ = trainer_of(tiny_folder, tmp_path, micro_tokens=100_000, micro_batch=64)
    found = []
    for micro_batch in (64, 2, 1):
        trainer._optim = trainer._optim.model_copy(update={"micro_batch": micro_batch})
        trainer.state.log_history.clear()
        trainer.evaluate()
        found.append(trainer.state.log_history[-1])
    for name in ("eval_loss", "eval_entropy", "eval_mean_token_accuracy"):
        assert [row[name] for row in found] == pytest.approx([found[0][name]] * 3, rel=1e-5)


@pytest.mark.parametrize(("batch", "micro"), [(64, 48), (64, 40), (20, 16), (12, 8), (100, 64), (7, 100)])
def test_step_takes_batch_size_examples_whatever_micro_batch_is(
    batch: int, micro: int, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from training.steps.answers import AnswerTrainer

    taken: list[int] = []

    def step(self: AnswerTrainer, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        groups = self.micro_batches(inputs["rows"])
        assert max(map(len, groups)) <= micro
        taken.append(sum(map(len, groups)))
        parameter = next(p for p in model.parameters() if p.requires_grad)
        loss = (parameter * 0).sum()
        loss.backward()
        return loss.detach()

    # What a step takes is what is tested here; the arithmetic of a step is tested above.
    monkeypatch.setattr(AnswerTrainer, "training_step", step)
    optim = OPTIM.model_copy(update={"batch_size": batch, "micro_batch": micro, "checkpoint_every": 100})
    train_sft(answered(130), replace(job("sft", tmp_path, str(tiny_folder), optim=optim), epochs=1.0))
    assert taken == [batch] * (130 // batch) + [130 % batch] * (130 % batch > 0)


def test_micro_batches_keep_to_the_budget_with_padding():
    from training.steps.answers import padded_micro_batches

    draw = random.Random(0)
    lengths = [draw.randrange(1, 300) for _ in range(200)] + [900]
    groups = padded_micro_batches(lengths, 512, 16)
    assert sorted(row for group in groups for row in group) == list(range(201))
    for group in groups:
        area = len(group) * max(lengths[row] for row in group)
        assert area <= 512 or len(group) == 1
        assert len(group) <= 16
    assert groups[0] == [200]  # longer than the budget: alone, and first
    padded = sum(len(group) * max(lengths[row] for row in group) for group in groups)
    assert padded < 1.15 * sum(lengths)


def test_metrics_of_a_step_are_means_over_its_answer_tokens(tiny_folder: Path, tmp_path: Path):
    found = []
    for micro_batch in (64, 1):
        own = job(
            "sft",
            tmp_path / str(micro_batch),
            str(tiny_folder),
            optim=OPTIM.model_copy(update={"micro_batch": micro_batch, "batch_size": 6}),
        )
        train_sft(answered(ROWS), own)
        lines = (own.folder / "metrics.jsonl").read_text().splitlines()
        found.append([json.loads(line) for line in lines])
    for one, other in zip(*found, strict=True):
        for name in ("loss", "entropy", "mean_token_accuracy", "learning_rate"):
            assert one[name] == pytest.approx(other[name], rel=1e-4)
