"""Policy, critic and reference over one model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import EngineError
from engines.config import ModelConfig
from engines.hf.packing import PackedRow
from engines.hf.reward_model import load_reward_model
from engines.tokenization import CHATML
from engines.trees import Tree
from tests.training.jobs import job, train
from training.rl.config import Critic
from training.rl.merged import merged
from training.rl.ppo.actor_critic import CRITIC, POLICY, REFERENCE, ActorCritic, load_actor_critic
from training.rl.task import CriticOrigin

TREES = [Tree((1, 5, 6, 7), ((8, 9, 10, 2), (11, 2))), Tree((1, 20, 21), ((22, 23, 24, 25, 26),))]
TOKENS = 11


def values_of(models: ActorCritic, row: PackedRow) -> torch.Tensor:
    return models.run(row, policy=False, critic=True)[1]


def load(
    model: Path,
    start: Path | None = None,
    critic: Critic = "separate",
    origin: CriticOrigin | None = None,
    temperature: float = 1.0,
) -> ActorCritic:
    own = job("ppo", model / "unused", str(model), start)
    return load_actor_critic(own, critic, origin, TREES[0], temperature)


@pytest.fixture(scope="module")
def adapter(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy's adapter that changes what the model says."""
    folder = tmp_path_factory.mktemp("sft")
    train("sft", folder, str(tiny_folder))
    return folder


@pytest.fixture(scope="module")
def reward(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reward")
    train("reward", folder, str(tiny_folder))
    return folder


def disturb(models: ActorCritic) -> None:
    """Move the policy's adapter."""
    with torch.no_grad():
        for parameter in models.policy_parameters().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_and_entropies_are_those_of_the_plain_model(tiny_folder: Path, temperature: float):
    models = load(tiny_folder, temperature=temperature)
    disturb(models)
    row = models.row(TREES)
    figures, learned = models.outputs(row), models.logprobs(row)
    expected, entropies = [], []
    with torch.inference_mode():
        for tree in TREES:
            for answer in tree.answers:
                ids = torch.tensor([[*tree.prompt_ids, *answer]])
                logits = models.policy(input_ids=ids).logits[0, len(tree.prompt_ids) - 1 : -1] / temperature
                logprobs = logits.log_softmax(-1)
                expected += logprobs.gather(-1, torch.tensor(answer)[:, None])[:, 0].tolist()
                entropies += (-(logprobs.exp() * logprobs).sum(-1)).tolist()
    assert len(expected) == TOKENS
    assert figures.logprobs.tolist() == pytest.approx(expected, abs=1e-5)
    assert learned.tolist() == pytest.approx(expected, abs=1e-5)
    assert figures.entropies.tolist() == pytest.approx(entropies, abs=1e-5)


def test_merged_the_model_says_what_it_says_with_its_adapter_and_is_restored_exactly(tiny_folder: Path):
    models = load(tiny_folder)
    disturb(models)
    models.attach_policy()
    ids = torch.tensor([[1, 5, 6, 7, 8, 9]])
    before = {name: value.clone() for name, value in models.policy.state_dict().items()}
    with torch.no_grad():
        worn = models.policy(input_ids=ids).logits
        with merged(models.policy):
            inside = models.policy(input_ids=ids).logits
            with models.policy.disable_adapter():
                assert torch.equal(models.policy(input_ids=ids).logits, inside)  # it is in the weights
        again = models.policy(input_ids=ids).logits
        with models.policy.disable_adapter():
            bare = models.policy(input_ids=ids).logits
    torch.testing.assert_close(inside, worn, atol=1e-5, rtol=0)
    assert (inside - bare).abs().max() > 0.01
    assert torch.equal(again, worn)
    for name, value in models.policy.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_an_error_while_merged_restores_the_weights_too(tiny_folder: Path):
    models = load(tiny_folder)
    disturb(models)
    models.attach_policy()
    weight = next(value for name, value in models.policy.named_parameters() if "base_layer" in name)
    before = weight.clone()
    inside = []

    def fail_while_merged() -> None:
        with merged(models.policy):
            inside.append(weight.clone())
            raise RuntimeError("drawing failed")

    with pytest.raises(RuntimeError, match="drawing failed"):
        fail_while_merged()
    assert not torch.equal(inside[0], before)
    assert torch.equal(weight, before)


def test_narrow_weights_are_not_merged(tiny_folder: Path):
    models = load(tiny_folder)
    disturb(models)
    models.policy.to(torch.bfloat16)
    models.attach_policy()
    weight = next(value for name, value in models.policy.named_parameters() if "base_layer" in name)
    before = weight.clone()
    with merged(models.policy):
        assert torch.equal(weight, before)


def test_the_reference_is_the_policy_at_the_start_and_stays_there(tiny_folder: Path, adapter: Path):
    for start in (None, adapter):
        models = load(tiny_folder, start)
        assert (REFERENCE in models.policy.peft_config) is (start is not None)
        row = models.row(TREES)
        before = models.outputs(row).logprobs
        assert torch.equal(models.reference_logprobs(row), before)
        disturb(models)
        assert torch.equal(models.reference_logprobs(row), before)
        assert (models.outputs(row).logprobs - before).abs().max() > 1e-3


def test_adapters_keep_to_themselves(tiny_folder: Path, adapter: Path):
    models = load(tiny_folder, adapter)
    row = models.row(TREES)
    models.logprobs(row).sum().backward()
    assert all(p.grad is None for p in models.critic_parameters().values())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in models.policy_parameters().values())
    (values_of(models, row) - 1).square().sum().backward()
    trained = {*map(id, models.policy_parameters().values()), *map(id, models.critic_parameters().values())}
    others = [p for p in models.policy.parameters() if id(p) not in trained]
    assert all(p.grad is None for p in others)
    assert models.value_head.bias.grad is not None
    assert models.value_head.bias.grad.abs() > 0


def test_values_begin_as_0_and_a_shared_critic_reads_the_policys_trunk(tiny_folder: Path):
    separate, shared = load(tiny_folder), load(tiny_folder, critic="shared")
    assert CRITIC in separate.policy.peft_config
    assert CRITIC not in shared.policy.peft_config
    row = shared.row(TREES)
    logprobs, values = shared.run(row, policy=True, critic=True)
    assert values.tolist() == [0.0] * TOKENS
    assert torch.equal(logprobs, shared.logprobs(row))
    assert values_of(separate, row).tolist() == [0.0] * TOKENS
    with torch.no_grad():
        shared.value_head.weight.fill_(1.0)
    disturb(shared)
    assert values_of(shared, row).std() > 1e-3
    assert torch.equal(shared.outputs(row).values, values_of(shared, row))


def test_a_critic_that_starts_from_a_reward_model_gives_its_score_behind_the_answer(
    tiny_folder: Path, reward: Path
):
    models = load(tiny_folder, origin=CriticOrigin(reward, 0.25, 3.0))
    answers = [Tree(tree.prompt_ids, (answer,)) for tree in TREES for answer in tree.answers]
    scores = load_reward_model(reward, "cpu", ModelConfig(id=str(tiny_folder))).scores(answers)
    # The value before a token sees what stands before it: one more token lets it see the whole answer.
    longer = [Tree(tree.prompt_ids, ((*tree.answers[0], 2),)) for tree in answers]
    values = [values_of(models, models.row([tree]))[-1].item() for tree in longer]
    assert values == pytest.approx([3 * (score - 0.25) for score in scores], abs=1e-4)


def test_a_reward_model_of_another_model_is_refused(
    tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any], reward: Path, tmp_path: Path
):
    tiny_model(attention="sdpa", hidden_size=64).save_pretrained(tmp_path)
    tiny_tokenizer(CHATML).save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="its adapter does not fit the policy's model"):
        load(tmp_path, origin=CriticOrigin(reward))


def test_a_model_that_cannot_be_packed_takes_its_answers_one_by_one(tiny_folder: Path):
    models = load(tiny_folder)
    trees = [Tree(tree.prompt_ids, (answer,)) for tree in TREES for answer in tree.answers]
    packed = models.outputs(models.row(trees)).logprobs
    models.packed = False
    alone = torch.cat([models.outputs(models.row([tree])).logprobs for tree in trees])
    assert torch.allclose(packed, alone, atol=1e-5)
    assert models.policy.active_adapter == POLICY
