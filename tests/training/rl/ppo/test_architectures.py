"""The loop's log-probabilities are the model's own, whatever its logits and layers do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.hf.reward_model import is_packable
from engines.tokenization import CHATML
from engines.trees import Tree
from tests.training.jobs import job
from training.rl.ppo.actor_critic import ActorCritic, load_actor_critic

TREES = [Tree((1, 5, 6, 7), ((8, 9, 10, 2), (11, 2))), Tree((1, 20, 21), ((22, 23, 24, 25, 26),))]
TEMPERATURE = 0.8
SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LINEAR: dict[str, Any] = {
    "head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {}),
    "granite": ("GraniteConfig", {"logits_scaling": 3.0, "attention_multiplier": 0.3}),
    "cohere": ("CohereConfig", {"logit_scale": 0.25}),
    "gemma2, capped": ("Gemma2Config", {"head_dim": 8, "final_logit_softcapping": 2.0}),
    "qwen3_5": ("Qwen3_5TextConfig", LINEAR),
}
PACKED = {"llama", "granite", "cohere"}


@pytest.fixture(params=MODELS)
def written(
    request: pytest.FixtureRequest, tiny_tokenizer: Callable[..., Any], tmp_path: Path
) -> tuple[str, Path]:
    """The name of an architecture, and a folder with a random model of it."""
    import transformers

    kind, more = MODELS[request.param]
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**{**SHAPE, **more})
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer(CHATML).save_pretrained(tmp_path)
    return request.param, tmp_path


def plain(folder: Path) -> list[float]:
    """The log-probabilities of all answer tokens, by single rows in eager attention without a cache."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    found = []
    for tree in TREES:
        for answer in tree.answers:
            ids = torch.tensor([[*tree.prompt_ids, *answer]])
            with torch.inference_mode():
                logprobs = (model(ids, use_cache=False).logits[0] / TEMPERATURE).log_softmax(dim=-1)
            first = len(tree.prompt_ids)
            found += [float(logprobs[first + n - 1, token]) for n, token in enumerate(answer)]
    return found


def test_log_probabilities_are_those_of_plain_rows(written: tuple[str, Path]):
    name, folder = written
    own = job("ppo", folder / "unused", str(folder))
    models: ActorCritic = load_actor_critic(own, "separate", None, TREES[0], TEMPERATURE)
    assert models.packed == (name in PACKED)
    trees = TREES if models.packed else [Tree(t.prompt_ids, (a,)) for t in TREES for a in t.answers]
    rows = [models.row(trees)] if models.packed else [models.row([tree]) for tree in trees]
    expected = plain(folder)
    for found in (
        [models.outputs(row).logprobs for row in rows],
        [models.reference_logprobs(row) for row in rows],
        [models.run(row, policy=True, critic=False)[0].detach() for row in rows],
    ):
        assert torch.cat(found).tolist() == pytest.approx(expected, abs=1e-4)


def test_a_reward_model_with_a_state_is_not_packed_even_for_single_answers(tiny_folder: Path):
    import transformers

    torch.manual_seed(0)
    config = transformers.Qwen3_5TextConfig(**{**SHAPE, **LINEAR}, num_labels=1)
    classifier = transformers.AutoModelForSequenceClassification.from_config(config)
    assert not is_packable(classifier, Tree((1, 5, 6), ((7, 8, 2),)))
