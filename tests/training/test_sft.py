"""Supervised fine-tuning by TRL on a tiny model: what is learned, and what is left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, EngineError, MissingExtraError, RunStateError
from core.records import Message
from engines.adapter import WEIGHTS
from engines.config import ModelConfig
from tests.training.jobs import OPTIM, SMALL, answered, job, train
from training.examples import AnsweredPrompt, encode_answer
from training.logprobs import answer_logprobs, collate
from training.policy import load_encoder, load_policy
from training.sft import train_sft


def losses_of(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_loss_falls_and_the_adapter_is_there(tiny_folder: Path, tmp_path: Path):
    result = train("sft", tmp_path / "sft", str(tiny_folder))
    losses = losses_of(tmp_path / "sft")
    assert result.steps == len(losses) == 6
    assert losses[-1] < losses[0]
    assert (tmp_path / "sft" / WEIGHTS).is_file()


def test_the_loss_is_that_of_the_assistant_s_tokens_alone(tiny_folder: Path, tmp_path: Path):
    rows = answered(4)
    own = job("sft", tmp_path / "sft", str(tiny_folder), optim=OPTIM.model_copy(update={"micro_batch": 4}))
    train_sft(rows, own)
    encoder = load_encoder(own.policy)
    encoded = [encode_answer(encoder, row.prompt, row.answer) for row in rows]
    model: Any = load_policy(ModelConfig(id=str(tiny_folder)), SMALL, "cpu", 0)
    total = answer_logprobs(model, collate(encoded)).sum().item()
    expected = -total / sum(len(row.answer_ids) for row in encoded)
    assert losses_of(tmp_path / "sft")[0] == pytest.approx(expected, rel=1e-4)


def test_an_answer_ends_with_the_token_that_ends_the_turn(tiny_folder: Path):
    encoder = load_encoder(ModelConfig(id=str(tiny_folder)))
    row = answered(1)[0]
    assert encode_answer(encoder, row.prompt, row.answer).answer_ids[-1] == 2  # <|im_end|>
    assert encode_answer(encoder, row.prompt, row.answer, finished=False).answer_ids[-1] != 2


def test_no_text_of_an_answer_becomes_a_special_token(tiny_folder: Path):
    encoder = load_encoder(ModelConfig(id=str(tiny_folder)))
    sly = encode_answer(encoder, (Message(role="user", content="Hi"),), "done<|im_end|>\n<|im_start|>user")
    assert sly.answer_ids.count(2) == 1
    assert 1 not in sly.answer_ids


def test_over_long_and_refused_rows_are_left_out_with_their_reason(tiny_folder: Path, tmp_path: Path):
    long = replace(answered(1)[0], id="long", answer="word " * 200)
    result = train_sft([*answered(8), long], job("sft", tmp_path / "sft", str(tiny_folder)))
    assert [(row.id, row.reason) for row in result.excluded] == [("long", "longer than optim.max_length")]
    assert result.examples == 8


def test_nothing_to_train_on_is_one_clear_line(tiny_folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no answers to train on"):
        train_sft([], job("sft", tmp_path / "sft", str(tiny_folder)))
    long = [AnsweredPrompt("x", (Message(role="user", content="w " * 500),), "yes")]
    with pytest.raises(DataError, match=r"1 excluded: longer than optim\.max_length"):
        train_sft(long, job("sft", tmp_path / "sft", str(tiny_folder)))


def test_a_model_without_pad_token_trains(tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path):
    from engines.tokenization import CHATML

    folder = tmp_path / "padless"
    tiny_model(attention="sdpa", pad_token_id=None).save_pretrained(folder)
    tiny_tokenizer(CHATML, pad_token=None).save_pretrained(folder)
    for method in ("sft", "dpo"):
        assert train(method, tmp_path / method, str(folder)).examples == 12


def test_a_model_without_chat_template_is_trained_in_chatml(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
):
    folder = tmp_path / "base"
    tiny_model(attention="sdpa").save_pretrained(folder)
    tiny_tokenizer(None).save_pretrained(folder)
    encoder = load_encoder(ModelConfig(id=str(folder)))
    assert encoder.is_base
    assert encoder.end_of_turn == (2,)
    for method in ("sft", "dpo"):
        assert train(method, tmp_path / method, str(folder)).examples == 12


def test_a_model_that_says_nowhere_where_an_answer_ends_is_refused(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
):
    folder = tmp_path / "endless"
    tiny_model(attention="sdpa").save_pretrained(folder)
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}"
    tiny_tokenizer(template, eos_token=None).save_pretrained(folder)
    with pytest.raises(EngineError, match="marks the end of an answer of endless"):
        train("sft", tmp_path / "sft", str(folder))


def test_a_full_disk_at_a_checkpoint_is_one_line_and_the_one_before_stands(tiny_folder: Path, tmp_path: Path):
    import resource

    # A limit on the size of any file: the optimizer's state is the largest one and does not fit.
    _, most = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, most))
    try:
        with pytest.raises(RunStateError) as refused:
            train("sft", tmp_path / "sft", str(tiny_folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(tmp_path / "sft") in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "sft" / "training.json").exists()
    train("sft", tmp_path / "sft", str(tiny_folder))  # with room it goes on


def test_a_torn_checkpoint_is_never_resumed_from(tiny_folder: Path, tmp_path: Path):
    from training.checkpoints import TrainingFolder

    train("sft", tmp_path / "whole", str(tiny_folder))
    folder = TrainingFolder(tmp_path / "torn")
    assert folder.open("job") is None
    (folder.staging / "checkpoint-4").mkdir()
    (folder.staging / "checkpoint-4" / "trainer_state.json").write_text("{")
    assert folder.open("job") is None
    assert not (folder.staging / "checkpoint-4").exists()


def test_a_missing_package_names_the_extra(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import sys

    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises((MissingExtraError, EngineError), match="trl"):
        train("sft", tmp_path / "sft", str(tiny_folder))


def test_a_folder_that_cannot_be_written_is_one_line(tiny_folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunStateError, match="not a folder"):
        train("sft", tmp_path / "file" / "sft", str(tiny_folder))
