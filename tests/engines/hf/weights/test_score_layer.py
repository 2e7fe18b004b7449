"""Reward models on decoders for which transformers has no sequence classifier: merged, loaded and used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaForSequenceClassification,
)

from core.errors import EngineError
from engines.config import ModelConfig
from engines.hf.loading import load_classifier
from engines.hf.reward_model import load_reward_model
from engines.hf.weights.score_layer import classifier_class
from engines.loading import locate
from engines.tokenization import CHATML
from engines.trees import Tree
from publius.models.eval_reward import _require_reward_model
from publius.models.merge import merge_adapter
from tests.architectures.models import write_model
from tests.engines.hf.test_reward_model import adapter_on
from tests.training.jobs import job
from training.rl.ppo.actor_critic import load_actor_critic
from training.rl.task import CriticOrigin

TREES = [Tree((5, 6, 7, 8), ((9, 10, 2), (20, 21, 22, 23, 2))), Tree((30, 31), ((32, 33, 34),))]


@pytest.fixture(scope="module")
def granite(tiny_tokenizer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "granite"
    write_model("granite", folder, tiny_tokenizer(CHATML))
    return folder


@pytest.fixture(scope="module")
def reward(granite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reward model's adapter."""
    return adapter_on(granite, tmp_path_factory.mktemp("adapters") / "reward")


def test_the_score_is_the_head_s_on_the_decoder_s_last_hidden_state(granite: Path):
    classifier: Any = load_classifier(locate(ModelConfig(id=str(granite))), "float32", "cpu", 0)
    assert type(classifier).__name__ == "GraniteForSequenceClassification"
    plain: Any = AutoModelForCausalLM.from_pretrained(granite, attn_implementation="eager").eval()
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        hidden = plain.model(input_ids=ids)[0]
        assert (classifier.model(input_ids=ids)[0] - hidden).abs().max() < 1e-5
        assert (classifier(input_ids=ids).logits - classifier.score(hidden[:, -1])).abs().max() < 1e-5


def test_transformers_own_class_is_taken_where_there_is_one(tiny_folder: Path):
    files = locate(ModelConfig(id=str(tiny_folder)))
    assert type(load_classifier(files, "float32", "cpu", 0)) is LlamaForSequenceClassification


def test_a_merged_folder_is_loaded_again_and_says_what_it_is(granite: Path, reward: Path, tmp_path: Path):
    base = ModelConfig(id=str(granite))
    expected = load_reward_model(reward, "cpu", base).scores(TREES)
    folder = merge_adapter(reward, tmp_path / "merged", base)
    assert json.loads((folder / "config.json").read_text())["architectures"] == [
        "GraniteForSequenceClassification"
    ]
    _require_reward_model(folder)
    assert load_reward_model(folder, "cpu").scores(TREES) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_a_critic_starts_from_it(granite: Path, reward: Path, tmp_path: Path):
    models = load_actor_critic(
        job("ppo", tmp_path, str(granite)), "separate", CriticOrigin(reward), TREES[0], 1.0
    )
    trees = [Tree(tree.prompt_ids, (answer,)) for tree in TREES for answer in tree.answers]
    scores = load_reward_model(reward, "cpu", ModelConfig(id=str(granite))).scores(trees)
    longer = [Tree(tree.prompt_ids, ((*tree.answers[0], 2),)) for tree in trees]
    rows = [models.row([tree]) for tree in longer]
    values = [float(models.run(row, policy=False, critic=True)[1][-1]) for row in rows]
    assert values == pytest.approx(scores, abs=1e-4)


def test_a_folder_without_some_weights_is_refused(granite: Path, tmp_path: Path):
    for path in granite.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(granite / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        EngineError, match=r"1 weights .* not in the model's files, the first is .*up_proj"
    ) as caught:
        load_classifier(locate(ModelConfig(id=str(tmp_path))), "float32", "cpu", 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["CohereConfig", "Gemma4TextConfig", "Lfm2Config", "Llama4TextConfig"])
def test_the_class_is_named_after_the_family_and_built_once(name: str):
    import transformers

    config = getattr(transformers, name)()
    built = classifier_class(config)
    assert built is classifier_class(config)
    assert built.__name__.endswith("ForSequenceClassification")
    assert issubclass(built, transformers.PreTrainedModel)
