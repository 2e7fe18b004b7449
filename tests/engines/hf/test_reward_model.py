"""Scores are read where answers end, packed or not, and are those of transformers and of vLLM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import EngineError
from engines.config import ModelConfig
from engines.hf import reward_model
from engines.hf.loading import load_classifier
from engines.hf.reward_model import (
    RewardModel,
    combine,
    is_packable,
    load_reward_model,
    score_head,
    tree_scores,
)
from engines.loading import locate
from engines.reward_settings import RewardSettings, write_reward_settings
from engines.tokenization import CHATML, TurnEncoder
from engines.trees import Tree
from engines.vllm.setup import host_environment, install_vllm, vllm_device
from publius.models.merge import merge_adapter
from tests.engines.families import FAMILIES, tiny

REPOSITORY = Path(__file__).parents[3]
PAD, END = 0, 2
TREES = [
    Tree((1, 5, 6, 7), ((8, 9, END), (20, 21, 22, 23, 24, END))),
    Tree((1, 30), ((31, 32, 33, 34, 35, 36, 37, 38, 39, END),)),
    Tree((1, 40, 41, END, 43, 44, 45, 46), ((47, END, END), (), (48, 0, 0), (49,))),
]
ANSWERS = 7


def classifier(family: str = "llama", attention: str = "publius_grouped", **config: Any) -> Any:
    """A tiny sequence classifier with one score, in float64."""
    return tiny(family, attention, scores=True, **config)


def scored(model: Any, trees: list[Tree], *, packed: bool) -> torch.Tensor:
    with torch.inference_mode():
        return tree_scores(model, trees, score_head(model), packed=packed)


def by_hand(model: Any, trees: list[Tree]) -> torch.Tensor:
    """The head on the last hidden state of each answer in a row of its own, unpadded."""
    rows = [torch.tensor([[*tree.prompt_ids, *answer]]) for tree in trees for answer in tree.answers]
    with torch.inference_mode():
        return torch.stack([model.score(model.model(input_ids=row)[0][0, -1])[0] for row in rows])


# Where the score is read


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("packed", [True, False])
def test_the_score_is_the_head_s_at_the_last_token(family: str, packed: bool):
    expected = by_hand(classifier(family, "sdpa"), TREES)
    found = scored(classifier(family), TREES, packed=packed)
    assert found.shape == (ANSWERS,)
    assert (found - expected).abs().max() < 1e-10
    assert expected.std() > 0.1


@pytest.mark.parametrize("packed", [True, False])
def test_a_pad_token_that_ends_turns_does_not_move_the_place(packed: bool):
    model = classifier(pad_token_id=END)
    found = scored(model, TREES, packed=packed)
    assert (found - by_hand(model, TREES)).abs().max() < 1e-10
    # transformers, which goes by the token's id, reads another place.
    with torch.inference_mode():
        row = torch.tensor([[*TREES[0].prompt_ids, *TREES[0].answers[0]]])
        assert (model(input_ids=row).logits[0, 0] - found[0]).abs() > 0.1


def test_an_empty_answer_has_the_score_of_its_prompt():
    model = classifier()
    prompt = TREES[2].prompt_ids
    with torch.inference_mode():
        expected = model.score(model.model(input_ids=torch.tensor([prompt]))[0][0, -1]).item()
    for packed in (True, False):
        assert scored(model, TREES, packed=packed)[4].item() == pytest.approx(expected, abs=1e-10)


def test_an_answer_s_score_does_not_depend_on_the_others():
    model = classifier("mistral")
    alone = scored(model, [Tree(TREES[0].prompt_ids, TREES[0].answers[1:])], packed=True)[0]
    assert (scored(model, [*TREES[1:], TREES[0]], packed=True)[-1] - alone).abs() < 1e-12


def test_gradients_of_packed_scores_are_those_of_rows_of_their_own():
    found = []
    for packed in (True, False):
        model = classifier()
        scores = tree_scores(model, TREES, score_head(model), packed=packed)
        (scores * torch.linspace(-1, 2, ANSWERS)).sum().backward()
        found.append({name: weight.grad for name, weight in model.named_parameters()})
    for name, theirs in found[1].items():
        assert (found[0][name] - theirs).norm() <= 1e-6 * theirs.norm(), name


def test_scores_of_half_precision_come_in_float32():
    model = classifier().bfloat16()
    found = scored(model, TREES, packed=True)
    assert found.dtype == torch.float32
    expected = by_hand(classifier(), TREES).float()
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()


def test_no_hook_is_left_on_the_head_even_after_an_error():
    model = classifier()
    head = score_head(model)
    scored(model, TREES, packed=True)
    assert not head._forward_hooks
    for packed in (True, False):
        with pytest.raises(IndexError):
            scored(model, [Tree((1, 100_000), ((2,),))], packed=packed)
        assert not head._forward_hooks


def test_a_model_without_a_score_is_one_line():
    with pytest.raises(EngineError, match="Linear has no layer named score") as caught:
        score_head(torch.nn.Linear(2, 2))
    assert "\n" not in str(caught.value)


# Packed or not


@pytest.mark.parametrize(("attention", "packable"), [("publius_grouped", True), ("sdpa", False)])
@pytest.mark.parametrize("training", [True, False])
def test_what_cannot_be_packed_is_found_out_and_left_in_its_mode(
    attention: str, packable: bool, training: bool
):
    model = classifier("llama", attention).train(training)
    assert is_packable(model, TREES[0]) is packable
    assert model.training is training


@pytest.fixture(scope="module")
def encoder(tiny_tokenizer: Callable[..., Any]) -> TurnEncoder:
    return TurnEncoder(tiny_tokenizer(CHATML), {}, "tiny")


def test_a_model_that_cannot_be_packed_gives_the_same_scores(encoder: TurnEncoder):
    packed, plain = (
        RewardModel(classifier("llama", attention), encoder, RewardSettings())
        for attention in ("publius_grouped", "sdpa")
    )
    assert packed.scores(TREES) == pytest.approx(plain.scores(TREES), abs=1e-10)


@pytest.mark.parametrize("tokens", [1, 15, 4096])
def test_scores_come_in_the_order_of_the_answers_however_they_are_grouped(
    encoder: TurnEncoder, monkeypatch: pytest.MonkeyPatch, tokens: int
):
    monkeypatch.setattr(reward_model, "MICRO_TOKENS", tokens)
    model = RewardModel(classifier(), encoder, RewardSettings())
    assert model.scores(TREES) == pytest.approx(by_hand(classifier(), TREES).tolist(), abs=1e-10)
    assert model.scores(TREES[::-1])[:4] == pytest.approx(model.scores(TREES)[3:], abs=1e-10)


def test_nothing_to_score_gives_no_scores(encoder: TurnEncoder):
    assert RewardModel(classifier(), encoder, RewardSettings()).scores([]) == []


def test_scoring_switches_dropout_off(encoder: TurnEncoder):
    model = RewardModel(classifier("llama", "sdpa", attention_dropout=0.5).train(), encoder, RewardSettings())
    assert model.scores(TREES) == model.scores(TREES)


# Ensembles


def test_worked_combinations():
    # Members say 1, 2, 6 of the first answer (mean 3, variance (4 + 1 + 9) / 3) and -1 of the second.
    members = torch.tensor([[1.0, -1.0], [2.0, -1.0], [6.0, -1.0]], dtype=torch.float64)
    assert combine(members, "mean", 0.5).tolist() == [3.0, -1.0]
    assert combine(members, "min", 0.5).tolist() == [1.0, -1.0]
    assert combine(members, "uncertainty", 0.5).tolist() == pytest.approx([3 - 0.5 * 14 / 3, -1.0])
    assert combine(members, "uncertainty", 0.0).tolist() == [3.0, -1.0]


@pytest.mark.parametrize("how", ["mean", "min", "uncertainty"])
def test_a_single_member_is_not_changed_by_how_it_is_combined(how: str):
    scores = torch.tensor([[0.25, -7.0, 3.0]], dtype=torch.float64)
    assert torch.equal(combine(scores, how, 0.5), scores[0])


# From a folder


def adapter_on(model: Path, folder: Path, seed: int = 0, **shape: Any) -> Path:
    """Write a reward model's adapter, with its head, that acts."""
    import peft

    base = load_classifier(locate(ModelConfig(id=str(model))), "float32", "cpu", seed)
    torch.manual_seed(seed)
    settings = {"r": 4, "target_modules": "all-linear", "task_type": "SEQ_CLS"} | shape
    worn = peft.get_peft_model(base, peft.LoraConfig(**settings, modules_to_save=["score"]))
    for name, weight in worn.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    worn.save_pretrained(folder)
    return folder


def padded_logits(folder: Path, trees: list[Tree]) -> list[float]:
    """What plain transformers makes of all rows in one batch, padded on the right."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = [[*tree.prompt_ids, *answer] for tree in trees for answer in tree.answers]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()


def ending(trees: list[Tree]) -> list[Tree]:
    """The trees with the answers that do not end in the pad token, which transformers would overlook."""
    return [Tree(tree.prompt_ids, tuple(a for a in tree.answers if a and a[-1] != PAD)) for tree in trees]


def test_adapter_merged_model_and_transformers_agree(tiny_folder: Path, tmp_path: Path):
    adapter = adapter_on(tiny_folder, tmp_path / "adapter")
    merged = merge_adapter(adapter, tmp_path / "merged", ModelConfig(id=str(tiny_folder)))
    trees = ending(TREES)
    worn, plain = (load_reward_model(folder, "cpu").scores(trees) for folder in (adapter, merged))
    assert worn == pytest.approx(plain, abs=1e-5)
    assert plain == pytest.approx(padded_logits(merged, trees), abs=1e-5)
    assert max(plain) - min(plain) > 0.1


def test_the_model_below_may_stand_elsewhere_than_the_adapter_says(tiny_folder: Path, tmp_path: Path):
    adapter = adapter_on(tiny_folder, tmp_path / "adapter")
    expected = load_reward_model(adapter, "cpu").scores(TREES)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    moved = settings | {"base_model_name_or_path": "/no/such/folder"}
    (adapter / "adapter_config.json").write_text(json.dumps(moved))
    with pytest.raises(EngineError, match="no such model folder"):
        load_reward_model(adapter, "cpu")
    found = load_reward_model(adapter, "cpu", ModelConfig(id=str(tiny_folder)))
    assert found.scores(TREES) == expected


def test_members_are_loaded_in_order_each_with_its_own_head(tiny_folder: Path, tmp_path: Path):
    folders = [adapter_on(tiny_folder, tmp_path / f"member-{seed}", seed) for seed in range(3)]
    settings = RewardSettings(members=("member-0", "member-1", "member-2"), combine="min")
    write_reward_settings(tmp_path, settings)
    ensemble = load_reward_model(tmp_path, "cpu")
    alone = torch.tensor([load_reward_model(folder, "cpu").scores(TREES) for folder in folders])
    found = ensemble.member_scores(TREES)
    assert found.shape == (3, ANSWERS)
    assert (found - alone).abs().max() < 1e-5
    assert ensemble.scores(TREES) == pytest.approx(alone.min(dim=0).values.tolist(), abs=1e-5)
    assert torch.equal(ensemble.member_scores(TREES), found)  # switching members leaves none on


def test_a_member_that_is_missing_or_of_another_model_is_one_line(
    tiny_folder: Path, tmp_path: Path, tiny_model: Callable[..., Any]
):
    adapter_on(tiny_folder, tmp_path / "member-0")
    write_reward_settings(tmp_path, RewardSettings(members=("member-0", "member-1")))
    with pytest.raises(EngineError, match="no LoRA adapter in this folder") as missing:
        load_reward_model(tmp_path, "cpu")
    tiny_model(attention="sdpa", num_hidden_layers=1).save_pretrained(tmp_path / "other")
    adapter_on(tmp_path / "other", tmp_path / "member-1", target_modules=["q_proj", "v_proj"])
    with pytest.raises(EngineError, match="does not fit the model") as foreign:
        load_reward_model(tmp_path, "cpu")
    for caught in (missing, foreign):
        assert "\n" not in str(caught.value)
        assert str(tmp_path / "member-1") in str(caught.value)


def test_a_folder_with_no_model_is_one_line(tmp_path: Path):
    with pytest.raises(EngineError, match=r"config\.json is missing") as caught:
        load_reward_model(tmp_path, "cpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(EngineError, match="no such model folder"):
        load_reward_model(tmp_path / "nothing", "cpu")
    (tmp_path / "reward.json").write_text("{")
    with pytest.raises(EngineError, match="settings of the reward model cannot be read"):
        load_reward_model(tmp_path, "cpu")


# In vLLM


CHILD = """
import json, os, sys

from vllm import LLM, PoolingParams

if __name__ == "__main__":
    engine = LLM(
        model=sys.argv[1],
        runner="pooling",
        dtype="float32",
        max_model_len=256,
        enforce_eager=True,
        kv_cache_memory_bytes=2**28,
        disable_log_stats=True,
    )
    prompts = [{"prompt_token_ids": row} for row in json.loads(sys.argv[2])]
    outputs = engine.classify(prompts, pooling_params=PoolingParams(use_activation=False), use_tqdm=False)
    print("SCORES", json.dumps([output.outputs.probs for output in outputs]), flush=True)
    engine.llm_engine.engine_core.shutdown()
    os._exit(0)  # as engines/vllm/host.py: a thread of its modules can abort the interpreter's end
"""


def scored_by_vllm(folder: Path, rows: list[list[int]], script: Path) -> list[float]:
    """The scores from a process of its own."""
    script.write_text(CHILD)
    command = [sys.executable, str(script), str(folder), json.dumps(rows)]
    env = {**os.environ, **host_environment(), "PYTHONPATH": str(REPOSITORY)}
    child = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert child.returncode == 0, child.stderr[-3000:]
    line = next(line for line in child.stdout.splitlines() if line.startswith("SCORES"))
    return [score for (score,) in json.loads(line.removeprefix("SCORES"))]


@pytest.mark.vllm
@pytest.mark.long  # loads vLLM in another way, to judge
@pytest.mark.skipif(vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}")
def test_vllm_gives_a_merged_reward_model_the_same_scores(
    tiny_model: Callable[..., Any], tiny_tokenizer: Callable[..., Any], tmp_path: Path
):
    base = tmp_path / "base"
    heads = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}  # of a width it takes
    tiny_model(attention="sdpa", initializer_range=0.1, pad_token_id=END, **heads).save_pretrained(base)
    tiny_tokenizer(CHATML, pad_token="<|im_end|>").save_pretrained(base)
    adapter = adapter_on(base, tmp_path / "adapter")
    merged = merge_adapter(adapter, tmp_path / "merged", ModelConfig(id=str(base)))
    trees = ending(TREES)
    rows = [[*tree.prompt_ids, *answer] for tree in trees for answer in tree.answers]
    ours = load_reward_model(merged, "cpu").scores(trees)
    assert scored_by_vllm(merged, rows, tmp_path / "child.py") == pytest.approx(ours, abs=1e-3)
    assert padded_logits(merged, trees) == pytest.approx(ours, abs=1e-5)
    assert max(ours) - min(ours) > 0.1
