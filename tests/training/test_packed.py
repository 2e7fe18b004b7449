"""Log-probabilities in packed rows against padded ones: the same figures and gradients, or another way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.config import ModelConfig
from engines.hf.attention import register
from engines.hf.packing import pack
from engines.trees import Tree
from tests.engines.families import tiny
from training import packed
from training.config import LoraConfig
from training.examples import EncodedAnswer
from training.logprobs import answer_logprobs, collate
from training.packed import PolicyScorer, sum_by_answer, token_logprobs
from training.policy import load_policy

LORA = LoraConfig(r=4, alpha=8)
TREES = [
    Tree((1, 5, 6, 7), ((8, 9, 2), (20, 21, 22, 23, 24, 2))),
    Tree((1, 30), ((31, 32, 33, 34, 35, 36, 37, 2), (2,))),
    Tree((1, 40, 41, 42, 43, 44, 45, 46), ((47, 48, 2), (), (49, 0, 0, 1))),
]


def learned(policy: Any) -> Any:
    """The policy with an adapter that acts, as after some steps."""
    generator = torch.Generator().manual_seed(5)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            weight.data.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    return policy


@pytest.fixture
def policy(tiny_folder: Path) -> Any:
    return learned(load_policy(ModelConfig(id=str(tiny_folder)), LORA, "cpu", 0))


def fresh_lora(model: Any, **shape: Any) -> Any:
    """A model with a new adapter, as peft puts it on: it changes nothing yet."""
    import peft

    torch.manual_seed(0)
    settings = {"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | shape
    return peft.get_peft_model(model, peft.LoraConfig(**settings))


def with_lora(model: Any, **shape: Any) -> Any:
    """A model with an adapter that acts."""
    return learned(fresh_lora(model, **shape))


def plainly(policy: Any, trees: list[Tree]) -> torch.Tensor:
    """The log-probability of each answer by padded rows."""
    rows = [EncodedAnswer(tree.prompt_ids, answer) for tree in trees for answer in tree.answers]
    return answer_logprobs(policy, collate(rows))


def gradients(policy: Any, logprobs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Those of a sum in which every answer counts otherwise."""
    policy.zero_grad()
    (logprobs * torch.linspace(-1.0, 1.5, len(logprobs), dtype=logprobs.dtype)).sum().backward()
    return {name: p.grad.clone() for name, p in policy.named_parameters() if p.requires_grad}


# The figures of padded rows


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_every_answer_has_the_log_probability_of_padded_rows(
    policy: Any, dtype: torch.dtype, tolerance: float
):
    policy.to(dtype)
    scorer = PolicyScorer(policy, TREES[0])
    assert scorer.packed
    assert scorer.head is policy.get_output_embeddings()
    with torch.no_grad():
        found, expected = scorer(policy, TREES), plainly(policy, TREES)
    assert found.dtype == expected.dtype == dtype
    assert found[5].item() == 0.0  # an empty answer
    assert ((found - expected).abs() <= tolerance * expected.abs().clamp(min=1)).all()


def test_the_adapter_takes_part_in_the_log_probabilities(policy: Any):
    scorer = PolicyScorer(policy, TREES[0])
    with torch.no_grad(), policy.disable_adapter():
        without = scorer(policy, TREES)
    with torch.no_grad():
        assert (scorer(policy, TREES) - without).abs().max() > 0.1


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
@pytest.mark.parametrize("apart", [True, False], ids=["head apart", "head within"])
def test_gradients_of_the_adapter_are_those_of_padded_rows(
    policy: Any, dtype: torch.dtype, tolerance: float, apart: bool
):
    policy.to(dtype)
    scorer = PolicyScorer(policy, TREES[0])
    scorer.head = scorer.head if apart else None
    expected = gradients(policy, plainly(policy, TREES))
    found = gradients(policy, scorer(policy, TREES))
    assert len(found) == 2 * 7 * 2  # A and B of seven layers in two blocks
    for name, theirs in expected.items():
        assert theirs.norm() > 0
        assert (found[name] - theirs).norm() <= tolerance * theirs.norm(), name


def test_a_model_that_scales_its_logits_is_scored_rightly():
    from transformers import AutoModelForCausalLM, GraniteConfig

    from engines.hf.attention import register

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = GraniteConfig(vocab_size=120, initializer_range=0.3, logits_scaling=3.0, **shape)
    granite = with_lora(AutoModelForCausalLM.from_config(config, attn_implementation=register()).double())
    scorer = PolicyScorer(granite, TREES[0])
    with torch.no_grad():
        assert (scorer(granite, TREES) - plainly(granite, TREES)).abs().max() < 1e-9


def test_more_answer_tokens_than_one_chunk_are_scored_rightly(policy: Any):
    # 255, 256 and 257 tokens lie around the first boundary, and the last row crosses it and the next one.
    policy.double()
    ids = [3 + (7 * number) % 250 for number in range(600)]
    for length in (255, 256, 257, 600):
        trees = [Tree((1, 5, 6), (tuple(ids[: length // 2]), tuple(ids[length // 2 : length])))]
        scorer = PolicyScorer(policy, TREES[0])
        expected = gradients(policy, plainly(policy, trees))
        logprobs = scorer(policy, trees)
        assert (logprobs - plainly(policy, trees)).abs().max() < 1e-8
        for name, theirs in gradients(policy, logprobs).items():
            assert (theirs - expected[name]).norm() <= 1e-6 * theirs.norm(), name


# The head apart


@pytest.mark.parametrize("chunk", [256, 3])
@pytest.mark.parametrize("biased", [True, False])
def test_the_gradient_of_the_frozen_head_is_the_numerical_one(
    monkeypatch: pytest.MonkeyPatch, chunk: int, biased: bool
):
    monkeypatch.setattr(packed, "_CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in [(7, 5), (11, 5), (11,)]
    )
    tokens = torch.tensor([0, 10, 3, 3, 7, 1, 10])
    hidden.requires_grad_()
    own = bias if biased else None
    assert torch.autograd.gradcheck(lambda h: packed._FrozenHead.apply(h, weight, own, tokens), (hidden,))
    expected = torch.nn.functional.linear(hidden, weight, own).log_softmax(-1)[torch.arange(7), tokens]
    found = packed._FrozenHead.apply(hidden, weight, own, tokens)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_large_logits_stay_finite():
    hidden = torch.tensor([[1e4, 0.0], [-1e4, 0.0]], requires_grad=True)
    found = packed._FrozenHead.apply(hidden, torch.eye(2), None, torch.tensor([0, 0]))
    found.sum().backward()
    assert found.tolist() == [0.0, -1e4]
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[0.0, 0.0], [1.0, -1.0]]


def test_no_gradient_reaches_head_or_tokens():
    weight = torch.randn(5, 3, requires_grad=True)
    hidden = torch.randn(2, 3, requires_grad=True)
    packed._FrozenHead.apply(hidden, weight, None, torch.tensor([0, 4])).sum().backward()
    assert weight.grad is None
    assert hidden.grad is not None


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_gives_log_probabilities_in_float32(kind: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(9, 16, generator=generator).to(kind).requires_grad_()
    weight = torch.randn(40, 16, generator=generator).to(kind)
    tokens = torch.arange(9)
    found = packed._FrozenHead.apply(hidden, weight, None, tokens)
    found.sum().backward()
    wide = hidden.detach().float().requires_grad_()
    expected = (wide @ weight.float().T).log_softmax(-1)[tokens, tokens]
    expected.sum().backward()
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 0.05
    assert hidden.grad is not None
    assert wide.grad is not None
    assert hidden.grad.dtype == kind
    assert (hidden.grad.float() - wide.grad).norm() < 0.02 * wide.grad.norm()


def test_under_mixed_precision_the_head_apart_gives_what_the_head_within_does(policy: Any):
    scorer = PolicyScorer(policy, TREES[0])
    found = {}
    for head in (scorer.head, None):
        scorer.head = head
        with torch.autocast("cpu", torch.bfloat16):
            found[head] = gradients(policy, scorer(policy, TREES))
    apart, within = found.values()
    for name, theirs in within.items():
        assert (apart[name] - theirs).norm() <= 0.05 * theirs.norm(), name


def test_the_head_works_again_after_an_error(policy: Any):
    head = policy.get_output_embeddings()
    inputs = {"input_ids": torch.tensor([[1, 5, 6]])}
    with torch.no_grad():
        before = policy(**inputs).logits
    beyond = pack([Tree((1, 5), ((100_000,), (2,)))])  # no such token
    with pytest.raises(IndexError):
        token_logprobs(policy, beyond, head=head)
    assert "forward" not in vars(head)
    with torch.no_grad():
        assert torch.equal(policy(**inputs).logits, before)


def test_the_head_works_as_before_between_two_scorings(policy: Any):
    scorer = PolicyScorer(policy, TREES[0])
    with torch.no_grad():
        first = scorer(policy, TREES)
        assert policy(input_ids=torch.tensor([[1, 5, 6]])).logits.shape == (1, 3, 300)
        assert torch.equal(scorer(policy, TREES), first)


# Another way, where the fastest is not exact


@pytest.mark.parametrize(("spread", "cap"), [(0.05, 30.0), (0.3, 3.0)])
def test_a_model_that_caps_its_logits_keeps_its_head(spread: float, cap: float):
    # Small logits are hardly capped: in float32 the probe alone does not tell that a cap was left away.
    gemma = with_lora(tiny("gemma2", initializer_range=spread, final_logit_softcapping=cap).float())
    scorer = PolicyScorer(gemma, TREES[0])
    assert scorer.head is None
    assert scorer.packed
    with torch.no_grad():
        found, expected = scorer(gemma, TREES), plainly(gemma, TREES)
    assert (found - expected).abs().max() < 5e-5


def test_a_trainable_head_is_not_taken_apart(policy: Any):
    policy.get_output_embeddings().weight.requires_grad_(True)
    scorer = PolicyScorer(policy, TREES[0])
    assert scorer.head is None
    assert scorer.packed
    found, expected = (gradients(policy, way(policy, TREES)) for way in (scorer, plainly))
    own = next(name for name in found if "lm_head" in name)
    assert (found[own] - expected[own]).norm() <= 1e-5 * expected[own].norm()


@pytest.mark.parametrize(
    "shape",
    [{"target_modules": ["q_proj", "lm_head"]}, {"modules_to_save": ["lm_head"]}],
    ids=["adapter on the head", "head trained beside"],
)
def test_a_head_that_peft_wraps_is_not_taken_apart(shape: dict[str, Any]):
    wrapped = fresh_lora(tiny("llama"), **shape)
    scorer = PolicyScorer(wrapped, TREES[0])  # before the first step, when the wrapped head is the plain one
    assert scorer.head is None
    assert scorer.packed
    learned(wrapped)
    expected = gradients(wrapped, plainly(wrapped, TREES))
    assert any("lm_head" in name for name in expected)
    found = gradients(wrapped, scorer(wrapped, TREES))
    for name, theirs in expected.items():
        assert (found[name] - theirs).norm() <= 1e-6 * theirs.norm(), name


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_model_with_another_attention_is_scored_in_padded_rows(attention: str):
    other = with_lora(tiny("llama", attention).float())
    scorer = PolicyScorer(other, TREES[0])
    assert not scorer.packed
    assert scorer.head is None
    with torch.no_grad():
        found, expected = scorer(other, TREES), plainly(with_lora(tiny("llama").float()), TREES)
    assert ((found - expected).abs() <= 1e-5 * expected.abs().clamp(min=1)).all()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Qwen2MoeConfig", {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 0}),
        (
            "Llama4TextConfig",
            {"attention_chunk_size": 12, "num_local_experts": 2, "intermediate_size_mlp": 48},
        ),
    ],
    ids=["window", "chunks"],
)
def test_a_window_that_only_the_mask_knows_is_found_on_rows_shorter_than_it(kind: str, more: dict[str, Any]):
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, kind)(
        vocab_size=120,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        **more,
    )
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=register())
    scorer = PolicyScorer(model.eval(), Tree((1, 5, 6), ((8, 2),)))
    assert not scorer.packed


def bloom() -> Any:
    from transformers import AutoModelForCausalLM, BloomConfig

    torch.manual_seed(0)
    config = BloomConfig(vocab_size=120, hidden_size=32, n_layer=2, n_head=4)
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("build", [lambda: tiny("llama"), lambda: tiny("llama", "eager"), bloom])
def test_the_probe_leaves_the_model_in_the_mode_it_was_in(build: Callable[[], Any], training: bool):
    # Bloom refuses a packed row with an exception, the eager model only gives other figures.
    model = build().train(training)
    PolicyScorer(model, TREES[0])
    assert model.training is training


# Sums over answers


def test_worked_sums():
    row = pack([Tree((1, 2), ((3, 4), (), (5,)))])
    values = torch.tensor([-1.0, -0.5, -2.0], dtype=torch.float64)
    assert sum_by_answer(values, row).tolist() == [-1.5, 0.0, -2.0]
