"""Runs and audits whose labels come from a real, tiny reward model."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.records import Message, Prompt
from core.rewards import Sample
from engines.config import EngineConfig, ModelConfig
from engines.protocols import Engine
from engines.reward.engine import RewardEngine
from engines.reward.folder import reward_folder
from engines.reward_settings import RewardSettings
from evaluation.judges.certificate import CERTIFICATE
from labelers.modes.reading import logistic
from labelers.rewards import ModelReward
from publius.audit.correcting import CorrectionRequest, run_correction
from publius.audit.labeler import run_audit
from publius.audit.settings import AuditRequest
from publius.runs.engines import make_engine
from publius.runs.reader import RunReader
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import Recorder, write_project
from tests.publius.reward_models import write_reward_model

TEMPERATURE = 0.004
"""So small because a tiny random model's scores hardly differ."""
RUN = """\
name: rewarded
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model, labeler: FOLDER}
engine: {kind: transformers, device: cpu, concurrency: 4}
critique: {rounds: 1}
label: {principles: 2}
train: []
"""


@pytest.fixture(scope="module")
def folder(tiny_tokenizer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = RewardSettings(temperature=TEMPERATURE)
    return write_reward_model(tmp_path_factory.mktemp("models") / "reward", tiny_tokenizer, settings)


def maker(recorder: Recorder) -> Callable[[ModelConfig, EngineConfig], Engine]:
    """Makes the reward model itself, and scripted engines for all others."""
    return lambda model, engine: (recorder if reward_folder(model) is None else make_engine)(model, engine)


def run_file(folder: Path, to: Path, **changed: str) -> Path:
    text = RUN.replace("FOLDER", str(folder))
    for old, new in changed.items():
        text = text.replace(f"{old}:", f"{new}:")
    return write_project(to, prompts=6, run=text)


def score(folder: Path, prompt: Prompt, reply: str) -> float:
    (found,) = ModelReward(folder, "rm", "cpu").scores([Sample(prompt, reply, finished=True)])
    assert found is not None
    return found


def test_a_run_has_one_label_for_each_pair_from_the_scores_and_resuming_asks_nothing(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    recorder = Recorder()
    file = run_file(folder, tmp_path)
    with caplog.at_level(logging.WARNING):
        outcome = execute(RunRequest(file, stages=("critique", "compare", "label")), maker(recorder))
    assert "is a reward model: it reads no principle" in caplog.text
    with RunReader(outcome.folder) as run:
        comparisons = {one.id: one for one in run.all_comparisons()}
        judgments = [one for one in run.judgments if one.labeler == "ai"]
        preferences = list(run.preferences)
    assert {one.comparison_id for one in judgments} == comparisons.keys()
    assert len(judgments) == len(comparisons) > 3
    for one in judgments:
        pair = comparisons[one.comparison_id]
        both = [score(folder, pair.prompt, reply) for reply in (pair.response_a, pair.response_b)]
        assert one.p_a == pytest.approx(logistic((both[0] - both[1]) / TEMPERATURE), abs=1e-3)
        assert one.principle_id is None
    assert max(abs((one.p_a or 0.5) - 0.5) for one in judgments) > 0.01
    assert preferences
    asked = len(recorder.requests)
    before = (outcome.folder / "judgments.jsonl").read_bytes()
    again = execute(RunRequest(file, stages=("critique", "compare", "label")), maker(recorder))
    assert (again.folder / "judgments.jsonl").read_bytes() == before
    assert len(recorder.requests) == asked


@pytest.mark.parametrize("mode", ["pointwise", "rating"])
def test_a_mode_that_reads_principles_is_refused_before_anything_is_asked(
    folder: Path, tmp_path: Path, mode: str
):
    recorder = Recorder()
    request = RunRequest(run_file(folder, tmp_path), overrides=(f"label.mode={mode}",))
    with pytest.raises(
        ConfigError, match=rf"label\.mode is {mode}, but the labeler is a reward model"
    ) as caught:
        execute(request, maker(recorder))
    assert "\n" not in str(caught.value)
    assert recorder.requests == []


def gold_by(folder: Path, to: Path, count: int = 60) -> Path:
    """Write gold labels that the reward model agrees with in four of five pairs."""
    rows = []
    for number in range(count):
        question = f"Question {number}?"
        prompt = Prompt.of((Message(role="user", content=question),))
        replies = sorted(
            (f"good {number * 7}", f"poor {number}!"), key=lambda text: score(folder, prompt, text)
        )
        rejected, chosen = replies if number % 5 else replies[::-1]
        rows.append({"prompt": question, "chosen": chosen, "rejected": rejected})
    path = to / "gold.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_audit_measures_it_and_a_correction_is_fitted(folder: Path, tmp_path: Path):
    (tmp_path / "c.yaml").write_text("name: t\nprinciples: [The reply is kind.]\n")
    gold = [str(gold_by(folder, tmp_path))]
    request = AuditRequest(str(tmp_path / "c.yaml"), gold, model=str(folder), injections=True)
    result = run_audit(request)
    own = result.certificate.audited[0]
    accuracy = own.metric("accuracy")
    assert accuracy is not None
    assert accuracy.value == pytest.approx(0.8, abs=0.15)  # on the rest of the tuning slice
    assert (own.labeler.mode, own.labeler.templates) == ("choice", "")
    # A run with this folder as its labeler finds the certificate.
    assert own.labeler.model_identity == make_engine(ModelConfig(id=str(folder)), EngineConfig()).identity
    refused = [one.refused or "" for one in result.certificate.compared if one.labeler.mode == "pointwise"]
    assert "reads no principle" in refused[0]
    assert (result.folder / CERTIFICATE).is_file()
    shifts = {metric.name for metric in result.certificate.injections}
    assert shifts
    assert not any("naive" in name for name in shifts)

    fitted = run_correction(CorrectionRequest(request, tmp_path / "correction.json"))
    assert fitted.correction.judgments == 60
    assert fitted.correction.before.accuracy == pytest.approx(0.8)

    without = run_audit(AuditRequest(str(tmp_path / "c.yaml"), model=str(folder)))
    assert "planted" in without.certificate.figures()


def test_the_made_engine_is_the_reward_model(folder: Path):
    assert isinstance(make_engine(ModelConfig(id=str(folder)), EngineConfig()), RewardEngine)
