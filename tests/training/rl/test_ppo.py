"""PPO on tiny models: it learns, keeps its distance, goes on where it was, and says when it is gamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from safetensors.torch import load_file

from core.errors import ConfigError, DataError, EngineError
from core.records import Message, Prompt
from core.rewards import Reward, Sample
from engines.adapter import WEIGHTS
from engines.config import ModelConfig
from engines.hf.decoding import DecodingBatch
from tests.training.jobs import Vowels, asked, train
from tests.training.rl.gamed import PRINTABLE, Brief, Letters, Longer, Phrase, Varied
from training.config import LoraConfig, OptimConfig
from training.job import TrainingJob, TrainingResult
from training.rl import train as rl
from training.rl.config import PPOConfig
from training.rl.metrics import GAP
from training.rl.reward_sum import WeightedReward
from training.rl.rollouts import Drawn, LiveSampler
from training.rl.task import RLTask
from training.rl.train import train_ppo

OPTIM = OptimConfig(
    warmup=0,
    schedule="constant",
    micro_tokens=4096,
    max_length=256,
    checkpoint_every=1000,
    stop_grad_norm=None,
)
CONFIG = PPOConfig(
    steps=20,
    rollouts=64,
    minibatch=32,
    max_new_tokens=8,
    learning_rate=5e-2,
    critic_learning_rate=5e-2,
    kl_coef=0.0,
    stop_kl=None,
    missing_eos_penalty=0.0,
    alarms="off",
)
"""Reaches nine tenths of the greatest reward within 45 steps."""


def run(
    model: Path,
    folder: Path,
    seed: int = 0,
    reward: Reward | None = None,
    optim: OptimConfig = OPTIM,
    task: dict[str, Any] | None = None,
    start: Path | None = None,
    **settings: Any,
) -> TrainingResult:
    config = PPOConfig(**{**CONFIG.model_dump(), **settings})
    lora = LoraConfig(r=8, alpha=16)
    job = TrainingJob(
        "ppo", folder, ModelConfig(id=str(model)), lora, optim, config.learning_rate, 1.0, seed, "cpu", start
    )
    given = {"prompts": asked(), "rewards": [WeightedReward(reward or Vowels())], **(task or {})}
    return train_ppo(RLTask(**given), job, config)


def rows_of(folder: Path, name: str = "objective/kl") -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if name in row]


def series(folder: Path, name: str) -> list[float]:
    return [row[name] for row in rows_of(folder, name)]


# Learning


SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5)))


@pytest.mark.parametrize("seed", SEEDS)
def test_nine_tenths_of_the_greatest_reward_within_forty_five_steps(lively: Path, tmp_path: Path, seed: int):
    result = run(lively, tmp_path, seed, steps=45)
    scores = series(tmp_path, "objective/scores")
    assert scores[0] < 0.15
    assert scores[-1] >= 0.9
    assert result.steps == 45
    assert series(tmp_path, "objective/kl")[0] == pytest.approx(0.0, abs=1e-5)
    assert max(series(tmp_path, GAP)) < 1e-4


@pytest.mark.parametrize("settings", [{"critic": "shared"}, {"samples": 4}, {"ppo_epochs": 2, "lam": 1.0}])
def test_it_learns_with_a_shared_trunk_several_samples_or_several_epochs(
    lively: Path, tmp_path: Path, settings: dict[str, Any]
):
    run(lively, tmp_path, reward=Letters("printable", PRINTABLE), **settings)
    scores = series(tmp_path, "objective/scores")
    assert scores[-1] > scores[0] + 0.4


TARGET = 1.5
"""In nats per answer. At twice this a policy may give one answer only, and no penalty brings it back."""


@pytest.mark.parametrize("seed", SEEDS)
def test_the_controller_holds_the_divergence_at_its_target(lively: Path, tmp_path: Path, seed: int):
    held, free = tmp_path / "held", tmp_path / "free"
    reward = Letters("printable", PRINTABLE)
    settings = {"reward": reward, "learning_rate": 5e-3}
    run(lively, held, seed, steps=80, kl_coef=0.15, kl_target=TARGET, kl_rate=0.3, **settings)
    run(lively, free, seed, steps=24, **settings)
    assert fmean(series(held, "objective/kl")[40:]) == pytest.approx(TARGET, rel=0.3)
    assert fmean(series(free, "objective/kl")[12:]) > 2 * TARGET


def test_the_critic_learns_to_foretell_returns(lively: Path, tmp_path: Path):
    class First:
        """Known from the first token on: whether it is a character that can be read."""

        name = "first"

        def scores(self, samples: Sequence[Sample]) -> list[float]:
            return [float(sample.text[:1] in PRINTABLE) for sample in samples]

    settings = {"value_clip": None, "vf_coef": 1.0, "lam": 1.0, "ppo_epochs": 4, "critic_learning_rate": 5e-3}
    run(lively, tmp_path, reward=First(), learning_rate=1e-6, rollouts=128, minibatch=64, **settings)
    explained = series(tmp_path, "critic/explained_variance")
    assert explained[0] == pytest.approx(0.0, abs=1e-6)
    assert fmean(explained[-4:]) > 0.1


def test_while_the_critic_warms_up_the_policy_stands_still(lively: Path, tmp_path: Path):
    run(lively, tmp_path, steps=4, critic_warmup=2)
    rows = rows_of(tmp_path)
    assert [abs(row["objective/kl"]) < 1e-5 for row in rows] == [True, True, True, False]
    assert ["policy/grad_norm" in row for row in rows] == [False, False, True, True]
    assert all("critic/grad_norm" in row for row in rows)


@pytest.mark.parametrize(("old_logprobs", "rounding"), [("trainer", 0.0), ("auto", 1e-5)])
def test_training_from_an_adapter_keeps_to_that_adapter(
    lively: Path, tmp_path: Path, old_logprobs: str, rounding: float
):
    train("sft", tmp_path / "sft", str(lively))
    run(lively, tmp_path / "ppo", start=tmp_path / "sft", steps=3, old_logprobs=old_logprobs)
    divergences = series(tmp_path / "ppo", "objective/kl")
    assert divergences[0] == pytest.approx(0.0, abs=rounding)
    assert divergences[2] > 0.1


def test_the_samplers_log_probabilities_stand_for_the_trainers(lively: Path, tmp_path: Path):
    for source in ("trainer", "auto"):
        run(lively, tmp_path / source, steps=2, learning_rate=1e-3, old_logprobs=source)
    asked_anew, taken = (rows_of(tmp_path / source) for source in ("trainer", "auto"))
    for one, other in zip(asked_anew, taken, strict=True):
        for name in ("loss/policy_avg", "objective/kl", "objective/entropy", "policy/grad_norm"):
            assert one[name] == pytest.approx(other[name], abs=1e-4)
    assert series(tmp_path / "trainer", "sampling/importance_sampling_ratio/max")
    assert not rows_of(tmp_path / "auto", "sampling/importance_sampling_ratio/max")
    assert 0 < max(series(tmp_path / "auto", GAP)) < 1e-5


def test_a_sampler_that_drifts_from_the_trainer_is_no_longer_believed(
    lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn = LiveSampler.sample

    def drifting(self: LiveSampler, *rest: Any) -> list[Drawn]:
        return [replace(d, logprobs=tuple(p - 0.01 for p in d.logprobs)) for d in drawn(self, *rest)]

    monkeypatch.setattr(LiveSampler, "sample", drifting)
    run(lively, tmp_path, steps=3, ppo_epochs=2)
    assert series(tmp_path, GAP) == pytest.approx([0.01] * 3, rel=1e-2)
    recomputed = ["sampling/importance_sampling_ratio/max" in row for row in rows_of(tmp_path)]
    assert recomputed == [False, True, True]


def test_a_sampler_of_another_policy_is_refused_at_the_first_step(
    lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make = rl.open_sampler

    def hotter(job: TrainingJob, config: PPOConfig, *rest: Any) -> Any:
        return make(job, config.model_copy(update={"temperature": 1.5}), *rest)

    monkeypatch.setattr(rl, "open_sampler", hotter)
    with pytest.raises(
        EngineError, match=r"trainer and sampler differ by .* nats a token at the first step"
    ) as caught:
        run(lively, tmp_path, steps=2)
    assert "\n" not in str(caught.value)
    assert str(lively) in str(caught.value)
    assert not list(tmp_path.glob("checkpoints/checkpoint-*"))


def test_micro_batches_change_nothing(lively: Path, tmp_path: Path):
    whole, small = tmp_path / "whole", tmp_path / "small"
    run(lively, whole, steps=2, learning_rate=1e-3)
    run(lively, small, steps=2, learning_rate=1e-3, optim=OPTIM.model_copy(update={"micro_tokens": 60}))
    for one, other in zip(rows_of(whole), rows_of(small), strict=True):
        assert one["loss/policy_avg"] == pytest.approx(other["loss/policy_avg"], abs=1e-4)
        assert one["policy/grad_norm"] == pytest.approx(other["policy/grad_norm"], rel=1e-3)


def test_sft_loss_is_mixed_in(lively: Path, tmp_path: Path):
    from tests.training.jobs import answered

    run(lively, tmp_path, steps=8, sft_coef=5.0, task={"answered": answered()})
    losses = series(tmp_path, "loss/sft_avg")
    assert losses[-1] < losses[0]


# Results


def test_what_is_left_behind(lively: Path, tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run(lively, tmp_path, steps=2)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(lively), tmp_path)
    assert loaded.active_adapter == "default"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "critic.safetensors",
        "job.json",
        "metrics.jsonl",
        "samples.jsonl",
        "training.json",
    ]
    assert "value_head.weight" in load_file(tmp_path / "critic.safetensors")
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [row["step"] for row in samples] == [1, 1, 1, 2, 2, 2]
    assert samples[0].keys() == {"step", "prompt", "answer", "finished", "reward", "scores"}
    again = run(lively, tmp_path, steps=2)
    assert again.seconds == 0.0


def test_averaged_weights_lag_behind(lively: Path, tmp_path: Path):
    run(lively, tmp_path / "last", steps=6)
    run(lively, tmp_path / "average", steps=6, ema=0.9)
    last, average = (load_file(tmp_path / name / WEIGHTS) for name in ("last", "average"))
    size = [sum(v.square().sum().item() for n, v in w.items() if "lora_B" in n) for w in (last, average)]
    assert 0 < size[1] < size[0]


def test_a_stopped_training_goes_on_as_if_nothing_had_been(lively: Path, tmp_path: Path):
    optim = OPTIM.model_copy(update={"checkpoint_every": 2})
    settings = {"steps": 6, "kl_target": 1.0, "kl_coef": 0.1, "reward_normalise": "running", "ema": 0.5}
    run(lively, tmp_path / "whole", optim=optim, **settings)

    class Breaks(Vowels):
        calls = 0

        def scores(self, samples: Sequence[Sample]) -> list[float]:
            Breaks.calls += 1
            if Breaks.calls == 6:
                raise KeyboardInterrupt
            return super().scores(samples)

    with pytest.raises(KeyboardInterrupt):
        run(lively, tmp_path / "broken", optim=optim, reward=Breaks(), **settings)
    run(lively, tmp_path / "broken", optim=optim, **settings)
    for name in (WEIGHTS, "metrics.jsonl", "samples.jsonl", "critic.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()


def test_answers_that_were_drawn_and_scored_are_not_drawn_again(
    lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from training.rl.ppo.update import PolicyUpdate

    calls: list[int] = []

    class Counts(Vowels):
        def scores(self, samples: Sequence[Sample]) -> list[float]:
            calls.append(len(samples))
            return super().scores(samples)

    def dies(*_: Any) -> dict[str, float]:
        raise KeyboardInterrupt

    once = PolicyUpdate.run
    with monkeypatch.context() as patch:
        patch.setattr(PolicyUpdate, "run", lambda *given: once(*given) if given[2] < 3 else dies())
        with pytest.raises(KeyboardInterrupt):
            run(lively, tmp_path, reward=Counts(), steps=3)
    run(lively, tmp_path, reward=Counts(), steps=3)
    assert calls == [64, 64, 64]
    assert not list(tmp_path.rglob("rollouts-*"))


# Watching


def test_best_weights_are_those_with_the_highest_gold(lively: Path, tmp_path: Path):
    optim = OPTIM.model_copy(update={"checkpoint_every": 5})
    settings = {"eval_every": 2, "keep": "best", "steps": 12}
    task = {"held_out": asked(24)[16:], "gold": Letters("gold", "a")}
    result = run(lively, tmp_path, optim=optim, task=task, reward=Letters("e", "e"), **settings)
    golds = {row["step"]: row["eval/gold"] for row in rows_of(tmp_path, "eval/gold")}
    assert list(golds) == [0, 2, 4, 6, 8, 10, 12]
    best = max(golds, key=lambda step: (golds[step], -step))
    assert result.best_step == (best if best != 12 else None)
    assert result.held_out == 8


def test_a_resumed_training_compares_gold_by_prompt_as_an_uninterrupted_one(lively: Path, tmp_path: Path):
    optim = OPTIM.model_copy(update={"checkpoint_every": 2})
    task = {"held_out": asked(24)[16:], "gold": Letters("gold", "a")}
    settings = {"optim": optim, "task": task, "eval_every": 1, "alarms": "warn"}
    whole = run(lively, tmp_path / "whole", steps=4, **settings)
    with breaking_at(3), pytest.raises(KeyboardInterrupt):
        run(lively, tmp_path / "broken", steps=4, **settings)
    (state,) = (tmp_path / "broken").rglob("state.json")
    saved = json.loads(state.read_text())
    assert [len(row["gold_by_prompt"]) for row in saved["history"] if "eval/gold" in row] == [8, 8, 8]
    shutil.copytree(tmp_path / "broken", tmp_path / "older")
    resumed = run(lively, tmp_path / "broken", steps=4, **settings)
    assert resumed.warnings == whole.warnings
    metrics = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert metrics == (tmp_path / "broken" / "metrics.jsonl").read_bytes()
    assert b"gold_by_prompt" not in metrics  # no metric: it is in the checkpoints only

    # A checkpoint of a version that did not save it.
    for row in saved["history"]:
        row.pop("gold_by_prompt", None)
    (older,) = (tmp_path / "older").rglob("state.json")
    older.write_text(json.dumps(saved))
    run(lively, tmp_path / "older", steps=4, **settings)
    assert metrics == (tmp_path / "older" / "metrics.jsonl").read_bytes()


@contextmanager
def breaking_at(step: int) -> Iterator[None]:
    """Interrupt training in the update of a step."""
    from training.rl.ppo.update import PolicyUpdate

    once = PolicyUpdate.run

    def run(*given: Any) -> dict[str, float]:
        if given[2] == step:
            raise KeyboardInterrupt
        return once(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PolicyUpdate, "run", run)
        yield


def test_the_start_is_the_result_where_nothing_is_better(lively: Path, brief: Path, tmp_path: Path):
    settings = {"eval_every": 1, "keep": "best", "patience": 2, "steps": 6, "learning_rate": 1e-2}
    task = {"held_out": asked(32)[16:], "gold": Brief()}
    result = run(lively, tmp_path, start=brief, reward=Longer(), task=task, max_new_tokens=24, **settings)
    assert (result.best_step, result.steps) == (0, 2)
    assert (tmp_path / WEIGHTS).read_bytes() == (brief / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("reward", "gold", "looks", "rate", "expected"),
    [(Longer(), Brief(), 2, 3e-3, {"gold", "length"}), (Phrase(), Varied(), 99, 1e-2, {"boilerplate"})],
)
def test_a_gamed_reward_is_told_before_gold_has_lost_a_tenth_and_ends_training_where_asked(
    lively: Path,
    brief: Path,
    tmp_path: Path,
    reward: Reward,
    gold: Reward,
    looks: int,
    rate: float,
    expected: set[str],
):
    # With greater steps gold can lose a tenth in one of them, by the rounding of the processor.
    settings = {"eval_every": 1, "steps": 12, "learning_rate": rate, "kl_coef": 0.02, "max_new_tokens": 24}
    settings["alarm_evals"] = looks
    task = {"held_out": asked(32)[16:], "gold": gold}
    given = {"start": brief, "reward": reward, "task": task, **settings}
    warned = run(lively, tmp_path / "warn", alarms="warn", **given)
    assert warned.steps == 12
    stopped = run(lively, tmp_path / "stop", alarms="stop", **given)
    assert stopped.steps < 12
    (warning,) = stopped.warnings[:1]
    assert warning in warned.warnings
    assert warning.startswith(f"step {stopped.steps}: ")
    told = json.loads((tmp_path / "stop" / "training.json").read_text())["alarms"]
    assert set(told) <= expected
    golds = {row["step"]: row["eval/gold"] for row in rows_of(tmp_path / "warn", "eval/gold")}
    assert golds[stopped.steps] > 0.9 * max(golds.values())
    assert rows_of(tmp_path / "warn")[: stopped.steps] == rows_of(tmp_path / "stop")


def test_prompts_and_policies_that_cannot_be_used_are_told(lively: Path, tmp_path: Path):
    endless = Prompt.of((Message(role="user", content="x" * 600),))
    result = run(lively, tmp_path, steps=1, task={"prompts": [*asked(4), endless]})
    (left,) = result.excluded
    assert left.reason.startswith("prompt and ppo.max_new_tokens exceed optim.max_length")
    assert left.detail.endswith("at most 248")
    with pytest.raises(DataError, match="there are no prompts to train on"):
        run(lively, tmp_path / "none", task={"prompts": [endless]})


def test_watching_without_anything_to_watch_by_is_one_clear_line(lively: Path, tmp_path: Path):
    for settings in ({"keep": "best"}, {"patience": 3}):
        with pytest.raises(ConfigError, match=r"ppo\.gold: ppo\.keep: best and ppo\.patience need a gold"):
            run(lively, tmp_path, task={"held_out": asked(2)}, **settings)
    with pytest.raises(ConfigError, match=r"ppo\.held_out: no held-out prompts to measure the gold"):
        run(lively, tmp_path, task={"gold": Brief()})


def test_a_reward_that_is_no_number_stops_with_its_name(lively: Path, tmp_path: Path):
    class Broken(Vowels):
        def scores(self, samples: Sequence[Sample]) -> list[float]:
            return [float("nan")] * len(samples)

    with pytest.raises(DataError, match="reward 'vowels': it returned nan"):
        run(lively, tmp_path, reward=Broken())


def test_a_policy_whose_logits_are_nan_ends_in_one_line_and_keeps_its_checkpoint(
    lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    step = DecodingBatch.step

    def spoilt(batch: Any) -> Any:
        if (tmp_path / "checkpoints" / "checkpoint-1").exists():
            batch._logits = batch._logits * float("nan")
        return step(batch)

    monkeypatch.setattr(DecodingBatch, "step", spoilt)
    optim = OPTIM.model_copy(update={"checkpoint_every": 1})
    with pytest.raises(EngineError, match="the policy's logits are not finite") as caught:
        run(lively, tmp_path, steps=3, optim=optim)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoints" / "checkpoint-1").is_dir()


def test_answers_without_a_score_teach_nothing_and_are_counted(lively: Path, tmp_path: Path):
    class Some(Letters):
        def scores(self, samples: Sequence[Sample]) -> Any:
            scores = super().scores(samples)
            return [None if number % 2 else score for number, score in enumerate(scores)]

    run(lively, tmp_path, reward=Some("some", PRINTABLE))
    assert rows_of(tmp_path)[0]["rewards/some/missing"] == 0.5
    scores = series(tmp_path, "objective/scores")
    assert scores[-1] > scores[0] + 0.4

    class Never(Vowels):
        def scores(self, samples: Sequence[Sample]) -> Any:
            return [None] * len(samples)

    with pytest.raises(EngineError, match="no answer of step 1 could be scored"):
        run(lively, tmp_path / "none", reward=Never())


def test_a_policy_that_never_ends_pays_for_it_or_learns_nothing(lively: Path, tmp_path: Path):
    run(lively, tmp_path / "pays", steps=2, missing_eos_penalty=1.0)
    rows = rows_of(tmp_path / "pays")
    assert rows[0]["completions/clipped_ratio"] > 0.9
    run(lively, tmp_path / "masked", steps=1, mask_truncated=True, max_new_tokens=1)
    masked = rows_of(tmp_path / "masked")[0]
    assert not {"loss/policy_avg", "policy/grad_norm", "critic/grad_norm"} & masked.keys()  # no token counted
    weights = load_file(tmp_path / "masked" / WEIGHTS)
    assert all(not value.any() for name, value in weights.items() if "lora_B" in name)


def test_too_steep_a_gradient_stops_and_names_the_step(lively: Path, tmp_path: Path):
    with pytest.raises(EngineError, match=r"policy/grad_norm_max is .* at step 1"):
        run(lively, tmp_path, optim=OPTIM.model_copy(update={"stop_grad_norm": 1e-9}))


def test_divergence_beyond_the_limit_ends_training(lively: Path, tmp_path: Path):
    result = run(lively, tmp_path, stop_kl=5.0)
    divergences = series(tmp_path, "objective/kl")
    assert len(divergences) < 20
    assert divergences[-1] > 5.0 >= max(divergences[:-1])
    assert "above ppo.stop_kl" in result.warnings[0]
