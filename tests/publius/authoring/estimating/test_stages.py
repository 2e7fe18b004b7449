"""Estimates of trainings and of the models that a run has yet to train, with a tokenizer and no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from tests.publius.trainable import roomy, write_trainable


@pytest.fixture
def run_file(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def load(*arguments: object, **options: object) -> None:
        raise AssertionError("the weights are loaded")

    monkeypatch.setattr("engines.hf.engine.load_model", load)
    monkeypatch.setattr("training.policy.load_policy", load)
    return write_trainable(tmp_path / "project", roomy(tiny_folder, tmp_path / "model"))


def estimated(run_file: Path, *overrides: str) -> dict[str, Any]:
    return estimate_run(EstimateRequest(run_file, overrides)).as_json()


def calls(found: dict[str, Any], stage: str) -> dict[str, int]:
    calls: dict[str, int] = found["stages"][stage]["calls"]
    return calls


def test_models_to_be_trained_answer_the_held_out_prompts_too(run_file: Path):
    found = estimated(run_file)
    assert found["prompts"] == {"preference": 10, "test": 5, "train": 10}
    # base, prompted, sft, dpo; a training may leave no model
    assert calls(found, "eval") == {"lower": 10, "expected": 20, "upper": 20}
    (row,) = (row for row in found["requests"] if row["stage"] == "eval")
    assert row["generated_tokens"]["upper"] == 20 * 12


def test_refusal_prompts_are_answered_by_every_model(run_file: Path):
    found = estimated(run_file, "eval.refusals=builtin", "eval.refusal_prompts=5")
    (row,) = (row for row in found["requests"] if row["purpose"] == "refusals")
    assert row["calls"] == {"lower": 20, "expected": 40, "upper": 40}  # ten prompts, four models


def test_tokens_of_prompts_are_those_of_the_tokenizer(run_file: Path):
    found = estimated(run_file)
    (draft,) = (row for row in found["requests"] if row["purpose"] == "draft")
    template = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    marks = ("<|im_start|>", "<|im_end|>", "<|im_start|>")  # one token each; all else is bytes
    texts = [template.format(f"Question number {i}?") for i in range(25) if i % 5 != 4]
    expected = sum(len(text) - sum(map(len, marks)) + len(marks) for text in texts)
    assert (draft["counted_by"], draft["prompt_tokens"]) == ("tokenizer", expected)


def test_trainings_have_examples_steps_and_tokens(run_file: Path):
    sft, dpo = estimated(run_file)["training"]
    assert (sft["method"], dpo["method"]) == ("sft", "dpo")
    assert 0 < sft["examples"] <= 10
    assert sft["steps"] == 4 * -(-sft["examples"] // 4)
    assert sft["tokens"] > 4 * sft["examples"] * 20
    assert 0 < dpo["examples"] <= 20


def test_rounds_of_dpo_ask_the_model_of_the_round_before(run_file: Path):
    found = estimated(run_file, "compare.from=base", "dpo.rounds=3")
    assert calls(found, "compare") == {"lower": 20, "expected": 20, "upper": 20}
    assert calls(found, "dpo") == {"lower": 0, "expected": 40, "upper": 40}
    assert [training["method"] for training in found["training"]] == ["sft", "dpo", "dpo", "dpo"]


def test_choice_asks_every_checkpoint_about_the_prompts_held_out_for_it(run_file: Path):
    found = estimated(run_file, "choose={prompts: 4, weaker: [0.5, 0.25]}")
    # base, sft and dpo; two weaker forms of one of them if a limit excludes it
    assert calls(found, "choose") == {"lower": 4, "expected": 4 * 3, "upper": 4 * 5}
    assert calls(found, "eval")["expected"] == 5 * 5  # the chosen one is a fifth variant


@pytest.mark.parametrize("method", ["grpo", "distill"])
def test_methods_on_own_answers_have_rollouts_with_bounds(run_file: Path, method: str):
    overrides = [f"train=[{method}]", f"{method}={{steps: 3, rollouts: 8, max_new_tokens: 20}}"]
    (training,) = estimated(run_file, *overrides)["training"]
    assert (training["examples"], training["steps"]) == (24, 3)
    assert training["generated_tokens"]["upper"] == 480
    assert 24 <= training["generated_tokens"]["expected"] <= 480


@pytest.mark.parametrize("method", ["grpo", "distill"])
def test_prompt_that_is_too_long_is_excluded_from_rollouts(run_file: Path, method: str):
    path = run_file.parent / "prompts.jsonl"
    with path.open("a") as file:
        file.write(json.dumps({"prompt": "long " * 5_000, "split": "train"}) + "\n")
    overrides = [f"train=[{method}]", f"{method}={{steps: 3, rollouts: 8, max_new_tokens: 20}}"]
    found = estimated(run_file, *overrides)
    (training,) = found["training"]
    assert (training["examples"], training["prompt_tokens"] < 24 * 100) == (24, True)
    assert sum(found["left_out"][method].values()) == 1


def test_model_that_is_not_here_is_estimated_by_its_tokenizer_alone(
    run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small = tmp_path / "snapshot"
    small.mkdir()
    for path in (tmp_path / "model").iterdir():
        if path.suffix != ".safetensors":
            (small / path.name).write_bytes(path.read_bytes())
    asked: list[dict[str, Any]] = []

    def download(model: str, **options: Any) -> str:
        asked.append(options)
        if options.get("local_files_only"):
            raise FileNotFoundError(model)
        return str(small)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    found = estimated(run_file, "models.policy.id=who/what")
    exact = [(row["purpose"], row["prompt_tokens"]) for row in estimated(run_file)["requests"]]
    for row in found["requests"]:
        assert row["model"] == "who/what"
        assert row["purpose"] not in ("draft", "eval") or (row["purpose"], row["prompt_tokens"]) in exact
    patterns = [pattern for options in asked for pattern in options.get("allow_patterns", ())]
    assert patterns
    assert not any("safetensors" in pattern for pattern in patterns)


def test_rewards_of_the_labeler_are_its_requests(run_file: Path):
    constitution = run_file.parent / "constitution.yaml"
    constitution.write_text("name: judged\nprinciples: [{id: kind, text: The reply is kind.}]\n")
    overrides = [
        "train=[grpo]",
        "grpo={steps: 3, rollouts: 8, max_new_tokens: 20, rewards: {labeler: 1}}",
        "label.principles=1",
    ]
    found = estimated(run_file, *overrides)
    (row,) = (row for row in found["requests"] if row["stage"] == "grpo")
    assert (row["role"], row["calls"]["expected"], row["generated_tokens"]["upper"]) == ("labeler", 24, 0)
