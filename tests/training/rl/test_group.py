"""RLOO and GRPO on tiny models: they learn as PPO does, and are watched and resumed as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from core.errors import ConfigError, DataError, EngineError
from core.records import Message, Prompt
from core.rewards import Reward, Sample
from engines.adapter import WEIGHTS
from engines.config import ModelConfig
from tests.training.jobs import Vowels, asked
from tests.training.rl.gamed import PRINTABLE, Brief, Letters, Longer
from training.config import LoraConfig, OptimConfig
from training.job import TrainingJob, TrainingResult
from training.rl.config import GRPOConfig, PPOConfig, RLOOConfig
from training.rl.metrics import GAP
from training.rl.reward_sum import WeightedReward
from training.rl.task import RLTask
from training.rl.train import train_grpo, train_ppo, train_rloo

GROUPED = {"rloo": RLOOConfig, "grpo": GRPOConfig}
TRAIN: dict[str, Any] = {"rloo": train_rloo, "grpo": train_grpo}
METHODS = tuple(GROUPED)
OPTIM = OptimConfig(
    warmup=0,
    schedule="constant",
    micro_tokens=4096,
    max_length=256,
    checkpoint_every=1000,
    stop_grad_norm=None,
)
LORA = LoraConfig(r=8, alpha=16)
SETTINGS = {
    "steps": 12,
    "rollouts": 64,
    "max_new_tokens": 8,
    "learning_rate": 5e-2,
    "kl_coef": 0.0,
    "stop_kl": None,
    "missing_eos_penalty": 0.0,
    "alarms": "off",
}
"""Reaches nine tenths of the greatest reward within 12 steps."""


def run(
    method: str,
    model: Path,
    folder: Path,
    reward: Reward | None = None,
    optim: OptimConfig = OPTIM,
    task: dict[str, Any] | None = None,
    start: Path | None = None,
    lora: LoraConfig = LORA,
    **settings: Any,
) -> TrainingResult:
    config = GROUPED[method](**{**SETTINGS, **settings})
    own = ModelConfig(id=str(model))
    job = TrainingJob(config.method, folder, own, lora, optim, config.learning_rate, 1.0, 0, "cpu", start)
    given = {"prompts": asked(), "rewards": [WeightedReward(reward or Vowels())], **(task or {})}
    result: TrainingResult = TRAIN[method](RLTask(**given), job, config)
    return result


def rows_of(folder: Path, name: str = "objective/kl") -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if name in row]


def series(folder: Path, name: str) -> list[float]:
    return [row[name] for row in rows_of(folder, name)]


def samples_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


class Given:
    """Gives scores by what stands in a list, over and over."""

    name = "given"

    def __init__(self, *scores: float | None) -> None:
        self._scores = scores

    def scores(self, samples: Sequence[Sample]) -> list[float | None]:
        return [self._scores[number % len(self._scores)] for number in range(len(samples))]


# Learning


@pytest.mark.parametrize("method", METHODS)
def test_nine_tenths_of_the_greatest_reward_within_twelve_steps(method: str, lively: Path, tmp_path: Path):
    result = run(method, lively, tmp_path)
    scores = series(tmp_path, "objective/scores")
    assert scores[0] < 0.15
    assert scores[-1] >= 0.9
    assert result.steps == 12
    assert series(tmp_path, "objective/kl")[0] == pytest.approx(0.0, abs=1e-5)
    assert max(series(tmp_path, GAP)) < 1e-5


def test_the_first_answers_and_their_figures_are_those_of_ppo(lively: Path, tmp_path: Path):
    for method in METHODS:
        run(method, lively, tmp_path / method, steps=1)
    config = PPOConfig(**{**SETTINGS, "steps": 1, "samples": 8, "minibatch": 64})
    job = TrainingJob(
        "ppo", tmp_path / "ppo", ModelConfig(id=str(lively)), LORA, OPTIM, 5e-2, 1.0, 0, device="cpu"
    )
    train_ppo(RLTask(asked(), [WeightedReward(Vowels())]), job, config)
    (theirs,) = rows_of(tmp_path / "ppo")
    of_the_update = {n for n in theirs if n.startswith(("loss/", "critic/", "policy/", "val/", "lr"))}
    shared = theirs.keys() - of_the_update | {"policy/entropy_avg", "val/num_eos_tokens"}
    for method in METHODS:
        assert samples_of(tmp_path / method) == samples_of(tmp_path / "ppo")
        (ours,) = rows_of(tmp_path / method)
        for name in shared:
            assert ours[name] == pytest.approx(theirs[name], abs=1e-6), name


@pytest.mark.parametrize(("method", "kl_coef"), [("rloo", 0.0), ("grpo", 0.0), ("grpo", 0.05)])
def test_the_reference_is_the_adapter_that_training_starts_from(
    method: str, kl_coef: float, lively: Path, brief: Path, tmp_path: Path
):
    run(method, lively, tmp_path, start=brief, steps=3, kl_coef=kl_coef, learning_rate=1e-2)
    first, _, third = series(tmp_path, "objective/kl")
    assert first == pytest.approx(0.0, abs=1e-5)
    assert third > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_a_price_on_divergence_keeps_the_policy_near(method: str, lively: Path, tmp_path: Path):
    reward = Letters("printable", PRINTABLE)
    for price in (0.0, 1.0):
        run(method, lively, tmp_path / f"{price}", reward, steps=8, kl_coef=price, learning_rate=2e-2)
    free, held = (series(tmp_path / f"{price}", "objective/kl")[-1] for price in (0.0, 1.0))
    assert held < free / 2


def test_micro_batches_change_nothing(lively: Path, tmp_path: Path):
    for method in METHODS:
        for size in (4096, 64):
            optim = OPTIM.model_copy(update={"micro_tokens": size})
            run(method, lively, tmp_path / f"{size}", optim=optim, steps=2, learning_rate=1e-3)
        for one, other in zip(rows_of(tmp_path / "4096"), rows_of(tmp_path / "64"), strict=True):
            assert one["policy/grad_norm"] == pytest.approx(other["policy/grad_norm"], rel=1e-3)
            assert one["loss/policy_avg"] == pytest.approx(other["loss/policy_avg"], abs=1e-5)
            assert one["objective/kl"] == pytest.approx(other["objective/kl"], abs=1e-4)


def test_activations_computed_twice_change_nothing(lively: Path, tmp_path: Path):
    for twice in (False, True):
        optim = OPTIM.model_copy(update={"gradient_checkpointing": twice})
        run("grpo", lively, tmp_path / f"{twice}", optim=optim, steps=2, learning_rate=1e-3)
    for one, other in zip(rows_of(tmp_path / "False"), rows_of(tmp_path / "True"), strict=True):
        assert one["policy/grad_norm"] == pytest.approx(other["policy/grad_norm"], rel=1e-4)


# Watching


@pytest.mark.parametrize("method", METHODS)
def test_a_gamed_reward_is_told_and_ends_training_where_asked(
    method: str, lively: Path, brief: Path, tmp_path: Path
):
    settings = {"eval_every": 1, "learning_rate": 1e-2, "kl_coef": 0.02, "max_new_tokens": 24}
    task = {"held_out": asked(32)[16:], "gold": Brief()}
    result = run(method, lively, tmp_path, Longer(), task=task, start=brief, alarms="stop", **settings)
    assert result.steps < 12
    told = json.loads((tmp_path / "training.json").read_text())
    assert set(told["alarms"]) <= {"gold", "length"}
    assert result.warnings[0].startswith(f"step {result.steps}: ")
    assert [row["step"] for row in rows_of(tmp_path, "eval/gold")] == list(range(result.steps + 1))
    golds = series(tmp_path, "eval/gold")
    assert golds[-1] > 0.8 * max(golds)


def test_the_start_is_the_result_where_nothing_is_better(lively: Path, brief: Path, tmp_path: Path):
    settings = {"eval_every": 1, "keep": "best", "patience": 2, "learning_rate": 1e-2, "max_new_tokens": 24}
    task = {"held_out": asked(32)[16:], "gold": Brief()}
    result = run("rloo", lively, tmp_path, Longer(), task=task, start=brief, steps=6, **settings)
    assert (result.best_step, result.steps) == (0, 2)
    assert (tmp_path / WEIGHTS).read_bytes() == (brief / WEIGHTS).read_bytes()


def test_divergence_beyond_the_limit_ends_training(lively: Path, tmp_path: Path):
    result = run("grpo", lively, tmp_path, stop_kl=5.0)
    divergences = series(tmp_path, "objective/kl")
    assert len(divergences) < 12
    assert divergences[-1] > 5.0 >= max(divergences[:-1])
    assert "above grpo.stop_kl" in result.warnings[0]


# Results


def test_what_is_left_behind(lively: Path, tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run("grpo", lively, tmp_path, steps=2)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(lively), tmp_path)
    assert list(loaded.peft_config) == ["default"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "job.json",
        "metrics.jsonl",
        "samples.jsonl",
        "training.json",
    ]
    assert [row["step"] for row in samples_of(tmp_path)] == [1, 1, 1, 2, 2, 2]
    assert run("grpo", lively, tmp_path, steps=2).seconds == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_training_goes_on_as_if_nothing_had_been(method: str, lively: Path, tmp_path: Path):
    optim = OPTIM.model_copy(update={"checkpoint_every": 2, "micro_tokens": 512})
    settings = {"steps": 6, "reward_normalise": "running", "kl_coef": 0.05, "keep": "best", "eval_every": 3}
    task = {"held_out": asked(24)[16:], "gold": Letters("gold", "a")}
    run(method, lively, tmp_path / "whole", optim=optim, task=task, **settings)

    class Breaks(Vowels):
        calls = 0

        def scores(self, samples: Sequence[Sample]) -> list[float]:
            Breaks.calls += len(samples) == 64
            if Breaks.calls == 4:
                raise KeyboardInterrupt
            return super().scores(samples)

    with pytest.raises(KeyboardInterrupt):
        run(method, lively, tmp_path / "broken", Breaks(), optim, task, **settings)
    assert rows_of(tmp_path / "broken")[-1]["step"] == 3
    run(method, lively, tmp_path / "broken", optim=optim, task=task, **settings)
    for name in (WEIGHTS, "metrics.jsonl", "samples.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()


def test_events_for_tensorboard_are_the_logged_metrics(lively: Path, tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    optim = OPTIM.model_copy(update={"report_to": ("tensorboard",)})
    run("rloo", lively, tmp_path, optim=optim, steps=2)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = [event.value for event in events.Scalars("train/objective/scores")]
    assert found == pytest.approx(series(tmp_path, "objective/scores"))


# What cannot be


def test_answers_without_a_score_teach_nothing_and_are_counted(lively: Path, tmp_path: Path):
    run("rloo", lively, tmp_path, Given(None, 1.0), steps=1)
    assert rows_of(tmp_path)[0]["rewards/given/missing"] == 0.5
    with pytest.raises(EngineError, match=r"rloo\.rewards: no answer of step 1 could be scored"):
        run("rloo", lively, tmp_path / "none", Given(None))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([float("nan")] * 64, "reward 'bad': it returned nan for the answer"),
        ([1.0] * 63, "reward 'bad': it returned 63 scores for 64 answers"),
        (["much"] * 64, "reward 'bad': it returned"),
        (None, "reward 'bad': it raised ZeroDivisionError"),
    ],
)
def test_a_reward_that_does_wrong_stops_with_its_name(given: Any, message: str, lively: Path, tmp_path: Path):
    class Bad:
        name = "bad"

        def scores(self, samples: Sequence[Sample]) -> Any:
            return given if given is not None else [1 / 0 for _ in samples]

    with pytest.raises(DataError) as caught:
        run("grpo", lively, tmp_path, Bad())
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_prompts_without_room_for_an_answer_are_counted(lively: Path, tmp_path: Path):
    endless = Prompt.of((Message(role="user", content="x" * 600),))
    result = run("rloo", lively, tmp_path, steps=1, task={"prompts": [*asked(4), endless]})
    (left,) = result.excluded
    assert left.reason.startswith("prompt and rloo.max_new_tokens exceed optim.max_length")
    with pytest.raises(DataError, match="there are no prompts to train on"):
        run("rloo", lively, tmp_path / "none", task={"prompts": [endless]})


def test_a_single_prompt_is_enough(lively: Path, tmp_path: Path):
    assert run("grpo", lively, tmp_path, steps=2, task={"prompts": asked(1)}).steps == 2


def test_watching_without_anything_to_watch_by_is_one_clear_line(lively: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"grpo\.gold: grpo\.keep: best and grpo\.patience need a gold"):
        run("grpo", lively, tmp_path, keep="best")
    with pytest.raises(ConfigError, match=r"rloo\.held_out: no held-out prompts"):
        run("rloo", lively, tmp_path, task={"gold": Brief()})


def test_a_base_model_without_a_pad_token_or_a_token_that_ends_turns(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
):
    folder = tmp_path / "model"
    tiny_model(attention="sdpa", initializer_range=0.3).save_pretrained(folder)
    special = ("<|endoftext|>",)
    tiny_tokenizer(None, special=special, eos_token="<|endoftext|>", pad_token=None).save_pretrained(folder)
    run("rloo", folder, tmp_path / "trained", steps=2)
    assert series(tmp_path / "trained", "objective/kl")[0] == pytest.approx(0.0, abs=1e-5)
    run("rloo", folder, tmp_path / "masked", steps=2, mask_truncated=True)


def test_an_adapter_on_the_output_head_is_trained(lively: Path, tmp_path: Path):
    lora = LoraConfig(r=4, alpha=8, targets=("q_proj", "lm_head"))
    run("rloo", lively, tmp_path, lora=lora, steps=2)
    weights = load_file(tmp_path / WEIGHTS)
    assert max(value.abs().max() for name, value in weights.items() if "lm_head.lora_B" in name) > 1e-3


def test_settings_of_examples_are_told_to_have_no_effect(lively: Path, tmp_path: Path):
    optim = OPTIM.model_copy(update={"eval_every": 5})
    result = run("grpo", lively, tmp_path, optim=optim, steps=1)
    assert result.warnings == ("optim.eval_every has no effect on grpo: set grpo.eval_every",)


@pytest.mark.parametrize("method", METHODS)
def test_too_steep_a_gradient_stops_and_names_the_step(method: str, lively: Path, tmp_path: Path):
    with pytest.raises(EngineError, match=rf"grad_norm_max is .* at step 1.*{method}\.learning_rate"):
        run(method, lively, tmp_path, optim=OPTIM.model_copy(update={"stop_grad_norm": 1e-9}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rollouts": 250}, r"num_generations \(8\) must divide rollouts \(250\)"),
        ({"num_generations": 1}, "greater than or equal to 2"),
        ({"samples": 2}, "Extra inputs are not permitted"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_settings_that_lead_nowhere_are_refused(method: str, settings: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        GROUPED[method](**settings)
