"""Audits of a model in the transformers engine, from the run file to the certificate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.encoding.template import CHATML
from publius.audit.labeler import run_audit
from publius.audit.settings import AuditRequest
from tests.publius.audit.test_labeler import CONSTITUTION, gold_file
from tests.publius.judges import model_of_bytes, write_judge


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[..., Any],
    tiny_tokenizer: Callable[..., Any],
) -> Path:
    """A project whose model has random weights and a byte tokenizer with the answers as single tokens."""
    project = tmp_path_factory.mktemp("project")
    tiny_model(vocab_size=272, max_position_embeddings=8192).save_pretrained(project / "model")
    tokenizer = tiny_tokenizer(chat_template=CHATML)
    tokenizer.add_tokens([" A", " B", " Yes", " No", *(f" {number}" for number in range(1, 10))])
    tokenizer.save_pretrained(project / "model")
    (project / "c.yaml").write_text(CONSTITUTION)
    (project / "run.yaml").write_text(
        "constitution: c.yaml\nprompts: none.jsonl\nmodels: {policy: model}\n"
        "engine: {device: cpu}\nlabel: {min_answer_mass: 0.0}\n"
    )
    return project


def test_modes_of_a_model_are_compared_and_one_is_recommended(folder: Path):
    gold = [str(gold_file(folder, 60))]
    request = AuditRequest(
        source=str(folder / "run.yaml"),
        model=str(folder / "model"),
        gold=gold,
        modes=("symmetric", "rating", "contrastive"),
    )
    certificate = run_audit(request).certificate
    assert [one.labeler.mode for one in certificate.compared] == [
        "choice",
        "symmetric",
        "rating",
        "contrastive",
    ]
    assert all(one.refused is None and one.metric("accuracy") for one in certificate.compared)
    assert certificate.recommended in {one.labeler.digest for one in certificate.compared}
    assert {one.labeler.digest for one in certificate.compared} != {certificate.recommended}
    swapped = {one.labeler.mode: one.metric("swap inconsistency") for one in certificate.compared}
    assert swapped["choice"] is not None
    assert [swapped[mode] for mode in ("symmetric", "rating", "contrastive")] == [None] * 3
    cost = certificate.compared[0].cost
    assert cost is not None
    assert cost.prompt_tokens > 0


@pytest.mark.parametrize("mode", ["choice", "pointwise", "symmetric"])
def test_injections_are_measured_in_a_model(folder: Path, mode: str):
    request = AuditRequest(
        source=str(folder / "run.yaml"),
        model=str(folder / "model"),
        overrides=[f"label.mode={mode}"],
        compare=False,
        injections=True,
    )
    found = {metric.name: metric for metric in run_audit(request).certificate.injections}
    assert found["injection.shift"].n == found["injection.shift.naive"].n == 45
    assert found["injection.held out.shift"].n == found["injection.held out.excess"].n == 29
    assert ("injection.shift.one order" in found) == (mode != "pointwise")


def test_injections_are_measured_in_a_trained_judge(
    tmp_path: Path, tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any]
):
    model = model_of_bytes(tmp_path / "model", tiny_model, tiny_tokenizer)
    judge = write_judge(tmp_path / "judge", model)
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "own.jsonl").write_text('{"text": " {claim}", "neutral": " It rains."}\n' * 3)
    request = AuditRequest(
        source=str(tmp_path / "c.yaml"),
        model=str(judge),
        overrides=["label.mode=pointwise"],
        injections_from=tmp_path / "own.jsonl",
    )
    found = {metric.name: metric for metric in run_audit(request).certificate.injections}
    for name in ("injection", "injection.held out", "injection.own"):
        assert found[f"{name}.shift"].n == found[f"{name}.shift.naive"].n == found[f"{name}.excess"].n
    assert found["injection.own.shift"].n == 3
