"""Distillation on tiny models: the student moves to the teacher; which prompts it takes; how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from core.chat import turns_of
from core.errors import DataError, EngineError
from engines.adapter import WEIGHTS
from engines.config import ModelConfig
from tests.training.jobs import taught
from training.config import LoraConfig, OptimConfig
from training.distill.config import DistillConfig
from training.distill.loop import KL_TO_TEACHER, LOSS, not_fallen
from training.distill.task import SAME_PROMPT, TaughtPrompt
from training.distill.train import train_distill
from training.job import TrainingJob, TrainingResult
from training.rl.metrics import GAP

OPTIM = OptimConfig(
    warmup=0,
    schedule="constant",
    micro_tokens=512,
    max_length=256,
    checkpoint_every=1000,
    stop_grad_norm=None,
)
LORA = LoraConfig(r=8, alpha=16)
SETTINGS: dict[str, Any] = {
    "steps": 8,
    "rollouts": 16,
    "max_new_tokens": 8,
    "learning_rate": 2e-2,
    "alarms": "off",
}


def run(
    model: Path,
    folder: Path,
    prompts: list[TaughtPrompt] | None = None,
    optim: OptimConfig = OPTIM,
    start: Path | None = None,
    lora: LoraConfig = LORA,
    **settings: Any,
) -> TrainingResult:
    config = DistillConfig(**{**SETTINGS, **settings})
    job = TrainingJob(
        "distill", folder, ModelConfig(id=str(model)), lora, optim, config.learning_rate, 1.0, 0, "cpu", start
    )
    return train_distill(taught() if prompts is None else prompts, job, config)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def series(folder: Path, name: str) -> list[float]:
    return [row[name] for row in rows_of(folder)]


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_student_comes_close_to_the_teacher(beta: float, lively: Path, tmp_path: Path):
    result = run(lively, tmp_path, beta=beta)
    kl = series(tmp_path, KL_TO_TEACHER)
    assert kl[0] > 0.1
    assert kl[-1] < 0.75 * kl[0]
    assert max(series(tmp_path, GAP)) < 1e-4
    assert (result.steps, result.examples, result.warnings) == (8, 16, ())
    if beta == 1.0:
        assert series(tmp_path, LOSS) == pytest.approx(kl)


def test_starts_from_an_adapter(lively: Path, tmp_path: Path):
    run(lively, tmp_path / "first", steps=1)
    run(lively, tmp_path / "second", steps=1, start=tmp_path / "first", learning_rate=1e-9)
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("first", "second"))
    assert one.keys() == two.keys()
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-6


def test_a_prompt_that_teaches_nothing_or_does_not_fit_is_excluded_with_its_reason(
    lively: Path, tmp_path: Path
):
    same, far, *usable = taught(6)
    same = TaughtPrompt(same.prompt, turns_of(same.prompt.messages))
    system = far.teacher[0]
    long = TaughtPrompt(far.prompt, (type(system)("system", ("Say yes. " * 400,)), *far.teacher[1:]))
    result = run(lively, tmp_path, prompts=[usable[0], same, long, *usable[1:]], steps=1)
    assert result.examples == 4
    reasons = {row.id: row.reason for row in result.excluded}
    assert reasons == {
        same.prompt.id: SAME_PROMPT,
        long.prompt.id: "the teacher's prompt and distill.max_new_tokens exceed the model's context",
    }


def test_no_prompt_that_can_be_used_is_one_clear_line(lively: Path, tmp_path: Path):
    same = [TaughtPrompt(row.prompt, turns_of(row.prompt.messages)) for row in taught(3)]
    with pytest.raises(
        DataError, match=r"no prompts to distill on.*3 excluded: teacher and student see the same"
    ):
        run(lively, tmp_path, prompts=same)


def test_finished_result_is_reused_and_other_settings_are_not(lively: Path, tmp_path: Path):
    run(lively, tmp_path, steps=1)
    assert run(lively, tmp_path, steps=1, max_batch=3).seconds == 0
    assert run(lively, tmp_path, steps=1, beta=0.5).seconds > 0


def test_repetition_raises_an_alarm_that_can_end_the_training(
    lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from training.distill import loop

    measured = loop.answer_metrics
    shares = iter([0.0, 0.1, 0.9, 0.9])
    monkeypatch.setattr(
        loop,
        "answer_metrics",
        lambda *given: measured(*given) | {"completions/repetitive": next(shares)},
    )
    result = run(lively, tmp_path, steps=4, alarms="stop")
    assert result.steps == 3
    (warning,) = result.warnings
    assert warning == "step 3: repetitive answers: 90 %, up from 0 % in the first step"


def test_divergence_that_does_not_fall_is_warned_of():
    def rows(*values: float) -> list[dict[str, float]]:
        return [{KL_TO_TEACHER: value} for value in values]

    (warning,) = not_fallen(rows(*[0.5] * 9, *[0.6] * 3))
    assert warning.endswith("0.5 nats a token in the first third of the steps, 0.575 in the last")
    assert not_fallen(rows(*[0.5] * 9, *[0.4] * 3)) == []
    assert not_fallen(rows(*[0.5] * 9)) == []  # too few steps to tell


def test_too_steep_a_gradient_names_step_and_setting(lively: Path, tmp_path: Path):
    with pytest.raises(EngineError, match=r"grad_norm_max is .* at step 1.*distill\.learning_rate"):
        run(lively, tmp_path, optim=OPTIM.model_copy(update={"stop_grad_norm": 1e-9}))


def test_adapter_on_the_output_head_is_trained(lively: Path, tmp_path: Path):
    lora = LoraConfig(r=4, alpha=8, targets=("q_proj", "lm_head"))
    run(lively, tmp_path, lora=lora, steps=2)
    weights = load_file(tmp_path / WEIGHTS)
    assert max(value.abs().max() for name, value in weights.items() if "lm_head.lora_B" in name) > 1e-3


def test_settings_of_examples_have_no_effect_and_are_named(lively: Path, tmp_path: Path):
    result = run(lively, tmp_path, optim=OPTIM.model_copy(update={"eval_every": 5}), steps=1)
    assert result.warnings == ("optim.eval_every has no effect on distill",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rollouts": 9, "samples": 2}, r"samples \(2\) must divide rollouts \(9\)"),
        ({"beta": 1.5}, "less than or equal to 1"),
        ({"temperature": 0.0}, "greater than 0"),
        ({"rewards": {}}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        DistillConfig(**settings)
