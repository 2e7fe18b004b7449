"""Rollouts by vLLM: they are the policy's as it is now, and no process stays behind."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import DataError, EngineError, MissingExtraError
from core.records import Sampling
from core.rewards import Sample
from engines.answers import AnswerReader
from engines.config import EngineConfig, ModelConfig
from engines.tokenization import CHATML
from engines.trees import Tree
from engines.vllm import setup as vllm_setup
from engines.vllm.processes import living_members
from engines.vllm.setup import install_vllm, vllm_device
from tests.training.jobs import DISTILL, OPTIM, PPO, RLOO, SMALL, Vowels, asked, job, taught
from training.distill.train import train_distill
from training.job import TrainingJob, TrainingResult
from training.policy import load_encoder, save_adapter
from training.rl import sampler as opening
from training.rl.metrics import GAP
from training.rl.ppo.actor_critic import ActorCritic, load_actor_critic
from training.rl.reward_sum import WeightedReward
from training.rl.rollouts import Drawn, LiveSampler
from training.rl.task import RLTask
from training.rl.train import train_ppo, train_rloo
from training.rl.vllm_sampler import VllmSampler

_CPU = pytest.mark.skipif(
    vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}"
)


def on_vllm(test: Any) -> Any:
    """Mark a test that runs vLLM."""
    return pytest.mark.vllm(_CPU(test))


TEMPERATURE = 0.7
NEW_TOKENS = 24
PROMPTS = [
    *(tuple((7 * n + 3 * i) % 250 + 3 for i in range(2 + n % 9)) for n in range(40)),
    *(
        tuple((i * i + n) % 250 + 3 for i in range(300)) for n in range(2)
    ),  # long enough to be kept as prefixes
]
SEEDS = list(range(100, 100 + len(PROMPTS)))
ROUNDING = 1e-2
"""Largest gap in nats between vLLM and the trainer that float32 explains: 2e-5 on most processors, 1.5e-3 at
long prompts on some. Weights of another step are 10 nats away."""
ENGINE = EngineConfig(kind="vllm", kv_cache_gib=0.25, max_batch=16, max_model_len=384)


@dataclass
class Pair:
    """A policy with the sampler that is to follow it."""

    models: ActorCritic
    sampler: VllmSampler
    ends: frozenset[int]
    folder: Path
    others: frozenset[int]
    """Host processes of other tests' engines."""

    def sample(self) -> list[Drawn]:
        return self.sampler.sample(PROMPTS, SEEDS)

    def trainer_logprobs(self, drawn: Sequence[Drawn]) -> torch.Tensor:
        """What the policy as it is now says of the answers' tokens."""
        trees = [Tree(ids, (answer.tokens,)) for ids, answer in zip(PROMPTS, drawn, strict=True)]
        return self.models.outputs(self.models.row(trees)).logprobs

    def gap(self, drawn: Sequence[Drawn]) -> torch.Tensor:
        """(A,) distances between the log-probabilities of sampler and trainer, in nats."""
        theirs = torch.tensor([logprob for answer in drawn for logprob in answer.logprobs])
        return (self.trainer_logprobs(drawn) - theirs).abs()

    def redraw(self, seed: int) -> None:
        """Give the policy other weights, and the critic too: none of them may end up in vLLM."""
        torch.manual_seed(seed)
        for name, weight in self.models.policy.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[..., Any],
    tiny_tokenizer: Callable[..., Any],
) -> ModelConfig:
    """A random model of a width that vLLM's attention takes."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    heads = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}
    tiny_model(attention="sdpa", initializer_range=0.1, **heads).save_pretrained(folder)
    tiny_tokenizer(CHATML).save_pretrained(folder)
    return ModelConfig(id=str(folder))


@pytest.fixture(scope="module")
def pair(model: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    built = pair_of(model, tmp_path_factory.mktemp("sampler"))
    yield built
    built.sampler.close()


def pair_of(model: ModelConfig, folder: Path) -> Pair:
    encoder, probe = load_encoder(model), Tree((5, 6), ((7, 8),))
    models = load_actor_critic(job("ppo", folder, model.id), "separate", None, probe, TEMPERATURE)
    reader = AnswerReader(encoder.tokenizer, encoder, [2], "tiny")
    sampling = Sampling(temperature=TEMPERATURE, max_new_tokens=NEW_TOKENS)
    sampler = VllmSampler(models.policy, reader, sampling, model, ENGINE, folder)
    return Pair(models, sampler, reader.end_ids, folder, processes())


def processes() -> frozenset[int]:
    """The host processes that this process has started and that run."""
    parent = str(os.getpid()).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended while we looked
            words = path.read_bytes().split(b"\0")
            found += [int(path.parent.name)] if b"engines.vllm.host" in words and parent in words else []
    return frozenset(found)


# In step with the policy


@on_vllm
def test_logprobs_are_the_trainer_s_at_the_temperature_at_which_tokens_are_drawn(pair: Pair):
    pair.redraw(1)
    pair.sampler.update()
    drawn = pair.sample()
    assert pair.gap(drawn).max() < ROUNDING
    with torch.inference_mode():
        trees = [Tree(ids, (answer.tokens,)) for ids, answer in zip(PROMPTS, drawn, strict=True)]
        row = pair.models.row(trees)
        cooled, plain = (pair.models.logprobs(row, heat) for heat in (TEMPERATURE, 1.0))
    assert (cooled - plain).abs().mean() > 0.1


@on_vllm
def test_answers_hold_the_token_that_ended_them(pair: Pair):
    pair.sampler.update()
    drawn = pair.sample()
    for answer in drawn:
        assert len(answer.tokens) == len(answer.logprobs) <= NEW_TOKENS
        assert answer.finished == (answer.tokens[-1] in pair.ends)
        assert answer.finished or len(answer.tokens) == NEW_TOKENS
        assert not pair.ends & set(answer.tokens[:-1])
    assert {answer.finished for answer in drawn} == {True, False}


@on_vllm
def test_seeds_decide_what_is_drawn(pair: Pair):
    pair.sampler.update()
    again, first = (
        pair.sampler.sample(PROMPTS[:1] * 4, [1, 2, 1, 3]),
        pair.sampler.sample(PROMPTS[:1], [1])[0],
    )
    assert [answer.tokens == first.tokens for answer in again] == [True, False, True, False]


@on_vllm
@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=pytest.mark.long)])
def test_an_update_brings_the_new_weights_and_forgets_the_old(pair: Pair, seed: int):
    pair.redraw(1)
    pair.sampler.update()
    pair.sample()  # so that prefixes of the old weights are kept
    old = copy.deepcopy(pair.models.policy.state_dict())
    pair.redraw(seed)
    assert pair.gap(pair.sample()).mean() > 1e-2  # it does not look at the weights by itself
    pair.sampler.update()
    drawn = pair.sample()
    assert pair.gap(drawn).max() < ROUNDING
    assert len(list(pair.folder.glob("*/*"))) == 1
    pair.models.policy.load_state_dict(old)
    assert pair.gap(drawn).mean() > 1e-2


@on_vllm
def test_closing_leaves_no_process_and_no_file(pair: Pair):
    pair.sampler.update()
    (host,) = processes() - pair.others
    assert len(living_members(host)) > 1
    pair.sampler.close()
    pair.sampler.close()
    assert living_members(host) == []
    assert processes() == pair.others
    assert list(pair.folder.iterdir()) == []


# In a training


class Watching(Vowels):
    """Notes how many host processes there are whenever it is asked."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def scores(self, samples: Sequence[Sample]) -> list[float]:
        self.seen.append(len(processes()))
        return super().scores(samples)


class Failing(Vowels):
    """Fails the second time."""

    asked = 0

    def scores(self, samples: Sequence[Sample]) -> list[float]:
        self.asked += 1
        if self.asked > 1:
            raise ValueError("no more")
        return super().scores(samples)


def run(model: ModelConfig, folder: Path, reward: Any, **config: Any) -> TrainingResult:
    job = TrainingJob("ppo", folder, model, SMALL, OPTIM, 1e-3, 1.0, 0, device="cpu")
    return train_ppo(RLTask(asked(), [WeightedReward(reward)]), job, PPO.model_copy(update=config))


@on_vllm
@pytest.mark.long  # loads vLLM again
@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_training_samples_from_the_weights_of_each_step(method: str, model: ModelConfig, tmp_path: Path):
    reward, before = Watching(), processes()
    settings = {"steps": 2, "rollout_engine": "vllm", "kv_cache_gib": 0.25}
    if method == "ppo":
        run(model, tmp_path / method, reward, **settings)
    else:
        own = job("rloo", tmp_path / method, model.id, learning_rate=1e-2)
        task = RLTask(asked(), [WeightedReward(reward)])
        train_rloo(task, own, RLOO.model_copy(update={**settings, "rollouts": 64}))
    assert reward.seen == [len(before) + 1] * 2
    assert processes() == before
    rows = [json.loads(line) for line in (tmp_path / method / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[1]["objective/kl"] > 0.1  # the policy has moved
    for row in rows:
        assert row["sampling/sampling_logp_difference/max"] < ROUNDING
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1.0, abs=1e-3)
    assert not list(tmp_path.rglob("sampler-*"))


def test_sampler_is_closed_where_training_fails(
    model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    closed = []

    class Recorded(LiveSampler):
        def close(self) -> None:
            closed.append(self)

    monkeypatch.setattr(opening, "LiveSampler", Recorded)
    with pytest.raises(DataError, match="no more"):
        run(model, tmp_path / "ppo", Failing(), steps=2)
    assert len(closed) == 1
    run(model, tmp_path / "ppo", Vowels(), steps=2)
    assert len(closed) == 2


def test_training_goes_on_with_other_memory_but_not_with_another_sampler(
    model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run(model, tmp_path / "ppo", Vowels(), steps=1)
    again = run(model, tmp_path / "ppo", Vowels(), steps=1, kv_cache_gib=9.0, gpu_memory_utilization=0.5)
    assert again.seconds == 0
    monkeypatch.setattr(opening, "require_vllm", lambda device: "cpu")
    monkeypatch.setattr(opening, "VllmSampler", lambda *args: pytest.fail("begins anew"))
    with pytest.raises(pytest.fail.Exception, match="begins anew"):
        run(model, tmp_path / "ppo", Vowels(), steps=1, rollout_engine="vllm")


@pytest.mark.parametrize(("beside", "engines"), [(0, 1), (1, 2)])
def test_sampler_gets_its_settings_and_the_number_of_engines_that_share_the_gpu(
    beside: int, engines: int, model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given: list[Any] = []
    monkeypatch.setattr(opening, "require_vllm", lambda device: "cpu")
    monkeypatch.setattr(opening, "VllmSampler", lambda *args: (given.extend(args), pytest.fail("seen"))[1])
    config = {
        "rollout_engine": "vllm",
        "rollout_gpus": (1,),
        "rollout_arguments": {"tensor_parallel_size": 1},
    }
    own = TrainingJob("ppo", tmp_path / "ppo", model, SMALL, OPTIM, 1e-3, 1.0, 0, device="cpu")
    task = RLTask(asked(), [WeightedReward(Vowels())], vllm_engines=beside)
    with pytest.raises(pytest.fail.Exception, match="seen"):
        train_ppo(task, own, PPO.model_copy(update=config))
    settings, count = given[4], given[6]
    assert (settings.gpus, settings.arguments, count) == ((1,), {"tensor_parallel_size": 1}, engines)
    assert settings.max_batch == PPO.rollouts
    assert settings.gpu_memory_utilization is None


# What is refused


def test_missing_vllm_is_said_with_both_ways_to_install_it(
    model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vllm_setup, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        run(model, tmp_path / "ppo", Vowels(), rollout_engine="vllm")
    assert str(caught.value) == f"the package 'vllm' is not installed; run: {install_vllm()}"


def test_a_second_adapter_below_the_policy_s_is_refused(
    model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vllm_setup, "vllm_device", lambda: "cpu")
    built = pair_of(model, tmp_path / "sampler")
    (tmp_path / "adapter").mkdir()
    save_adapter(built.models.policy, tmp_path / "adapter", model.id)
    with pytest.raises(EngineError, match=r"tiny\+adapter: vLLM attaches one adapter at a time"):
        pair_of(model.model_copy(update={"adapter": str(tmp_path / "adapter")}), tmp_path / "sampler")


@on_vllm
@pytest.mark.long  # loads vLLM again
def test_distillation_draws_from_the_student_as_it_is_after_each_step(model: ModelConfig, tmp_path: Path):
    settings = {"steps": 3, "rollout_engine": "vllm", "kv_cache_gib": 0.25, "learning_rate": 5e-2}
    train_distill(taught(8), job("distill", tmp_path, model.id), DISTILL.model_copy(update=settings))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row[GAP] < ROUNDING for row in rows] == [True] * 3
    assert len({row["loss/policy_avg"] for row in rows}) == 3
