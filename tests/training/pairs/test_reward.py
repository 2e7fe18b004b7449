"""Reward models from pairs to scores, on a tiny model."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from core.errors import DataError, EngineError
from engines.adapter import SETTINGS, WEIGHTS
from engines.config import ModelConfig
from engines.hf.loading import load_classifier
from engines.hf.reward_model import RewardModel, load_reward_model, score_head
from engines.loading import locate
from engines.reward_settings import RewardSettings, write_reward_settings
from engines.tokenization import CHATML
from tests.training.jobs import OPTIM, SMALL, job, pairs, train
from training.config import LoraConfig, OptimConfig, RewardConfig
from training.examples import PreferencePair, encode_pair
from training.job import TrainingResult
from training.pairs.reward import member_folders, train_reward
from training.policy import load_encoder, load_policy, load_reward_policy

PLAIN = RewardConfig(center=0.0)
FAST = 2e-2
"""A learning rate at which a few steps move a tiny model far."""
QUICK = OPTIM.model_copy(update={"checkpoint_every": 100})


def metrics_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def teach(
    rows: list[PreferencePair],
    folder: Path,
    model: Path,
    config: RewardConfig = PLAIN,
    optim: OptimConfig = QUICK,
    learning_rate: float = FAST,
    epochs: float = 2.0,
) -> TrainingResult:
    """Train one reward model."""
    own = job("reward", folder, str(model), optim=optim, learning_rate=learning_rate)
    return train_reward(rows, replace(own, epochs=epochs), config)[0]


def scores_of(folder: Path, rows: list[PreferencePair]) -> tuple[torch.Tensor, torch.Tensor]:
    """The scores of chosen and rejected answers under a trained reward model."""
    return scored_by(load_reward_model(folder, "cpu"), rows)


def scored_by(model: RewardModel, rows: list[PreferencePair]) -> tuple[torch.Tensor, torch.Tensor]:
    trees = [encode_pair(model.encoder, row).tree for row in rows]
    chosen, rejected = torch.tensor(model.scores(trees)).view(-1, 2).unbind(dim=1)
    return chosen, rejected


def untrained(model: Path) -> RewardModel:
    """What a training of seed 0 begins with."""
    config = ModelConfig(id=str(model))
    scorer = load_reward_policy(config, SMALL, "cpu", 0)
    return RewardModel(scorer, load_encoder(config), RewardSettings())


# What is learned


def test_training_lowers_the_loss_and_ranks_the_pairs(tiny_folder: Path, tmp_path: Path):
    rows = pairs(p=1.0)
    result = teach(rows, tmp_path / "reward", tiny_folder)
    steps = metrics_of(tmp_path / "reward")
    assert result.steps == len(steps) == 6
    assert steps[-1]["loss"] < 0.5 * steps[0]["loss"]
    assert steps[-1]["accuracy"] == 1.0
    assert steps[-1]["margin"] > steps[0]["margin"]
    chosen, rejected = scores_of(tmp_path / "reward", rows)
    assert (chosen > rejected).all()


def test_labels_turned_round_rank_the_pairs_the_other_way(tiny_folder: Path, tmp_path: Path):
    rows = pairs(p=0.0)
    teach(rows, tmp_path / "reward", tiny_folder)
    chosen, rejected = scores_of(tmp_path / "reward", rows)
    assert (chosen < rejected).all()


def test_the_first_loss_is_that_of_the_untrained_scores(tiny_folder: Path, tmp_path: Path):
    from training.pairs.losses import centering_loss, soft_reward_loss

    rows = [replace(row, p_chosen=0.7, margin=0.5, weight=0.3) for row in pairs(4)]
    teach(rows, tmp_path / "reward", tiny_folder, RewardConfig(center=0.2))
    chosen, rejected = scored_by(untrained(tiny_folder), rows)
    label, margin = (torch.full_like(chosen, value) for value in (0.7, 0.5))
    loss = soft_reward_loss(chosen, rejected, label, margin) + 0.2 * centering_loss(chosen, rejected)
    first = metrics_of(tmp_path / "reward")[0]
    assert first["loss"] == pytest.approx(0.3 * loss.mean().item(), rel=1e-5)
    assert first["margin"] == pytest.approx((chosen - rejected).mean().item(), rel=1e-5)
    assert first["mean_reward"] == pytest.approx(torch.cat([chosen, rejected]).mean().item(), rel=1e-5)


def test_ties_pull_scores_together(tiny_folder: Path, tmp_path: Path):
    rows = pairs(p=0.5)
    before = [score.double() for score in scored_by(untrained(tiny_folder), rows)]
    teach(rows, tmp_path / "reward", tiny_folder)
    chosen, rejected = scores_of(tmp_path / "reward", rows)
    assert (chosen - rejected).abs().mean() < 0.5 * (before[0] - before[1]).abs().mean()


def test_long_training_ends_at_margin_plus_the_label_s_logit(tiny_folder: Path, tmp_path: Path):
    differences = []
    for margin in (0.0, 3.0):
        rows = [replace(row, margin=margin) for row in pairs(4, p=0.9)]
        teach(rows, tmp_path / f"{margin}", tiny_folder, learning_rate=1e-2, epochs=30)
        chosen, rejected = scores_of(tmp_path / f"{margin}", rows)
        differences.append((chosen - rejected).mean().item())
    assert differences == pytest.approx([math.log(9), math.log(9) + 3.0], abs=0.2)


def test_centring_brings_the_mean_score_to_zero(tiny_folder: Path, tmp_path: Path):
    rows = pairs(4, p=0.9)
    means = {}
    for center in (0.0, 1.0):
        config, folder = RewardConfig(center=center), tmp_path / f"{center}"
        teach(rows, folder, tiny_folder, config, learning_rate=1e-2, epochs=30)
        means[center] = fmean(torch.cat(scores_of(folder, rows)).tolist())
    assert abs(means[0.0]) > 0.3  # where it happens to lie
    assert abs(means[1.0]) < 0.1


def test_a_weight_of_zero_teaches_nothing(tiny_folder: Path, tmp_path: Path):
    rows = [replace(row, weight=0.0) for row in pairs()]
    teach(rows, tmp_path / "reward", tiny_folder, RewardConfig())
    assert all(step["loss"] == 0 and step["grad_norm"] == 0 for step in metrics_of(tmp_path / "reward"))
    for found, before in zip(
        scores_of(tmp_path / "reward", rows), scored_by(untrained(tiny_folder), rows), strict=True
    ):
        assert found.tolist() == pytest.approx(before.tolist(), abs=1e-6)


def test_a_pair_of_weight_two_counts_as_two_pairs(tiny_folder: Path, tmp_path: Path):
    one, two, three = pairs(3)
    other = replace(three, p_chosen=0.3)
    teach([replace(one, weight=2.0), two, other], tmp_path / "weighted", tiny_folder)
    teach([one, replace(one, id="again"), two, other], tmp_path / "doubled", tiny_folder)
    weighted, doubled = (metrics_of(tmp_path / name)[0] for name in ("weighted", "doubled"))
    assert 3 * weighted["loss"] == pytest.approx(4 * doubled["loss"], rel=1e-5)
    assert 3 * weighted["grad_norm"] == pytest.approx(4 * doubled["grad_norm"], rel=1e-4)


def test_micro_batches_do_not_change_the_loss(tiny_folder: Path, tmp_path: Path):
    losses = []
    for tokens in (16, 300, 100_000):  # every pair alone, some together, a whole step
        optim = QUICK.model_copy(update={"micro_tokens": tokens})
        teach(pairs(8), tmp_path / f"{tokens}", tiny_folder, optim=optim, learning_rate=1e-3)
        losses.append([step["loss"] for step in metrics_of(tmp_path / f"{tokens}")])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0] == pytest.approx(losses[2], abs=1e-5)


# What can be used


def test_ties_are_left_out_where_they_are_not_kept(tiny_folder: Path, tmp_path: Path):
    tie = replace(pairs(1)[0], id="tie", p_chosen=0.5)
    near = replace(tie, id="near", p_chosen=0.501)
    rows = [*pairs(6), tie, near]
    dropped = teach(rows, tmp_path / "dropped", tiny_folder, RewardConfig(keep_ties=False))
    assert [(row.id, row.reason) for row in dropped.excluded] == [
        ("tie", "a tie, and reward.keep_ties is off")
    ]
    assert dropped.examples == 7
    kept = teach(rows, tmp_path / "kept", tiny_folder, RewardConfig())
    assert kept.excluded == ()
    assert kept.examples == 8


def test_nothing_but_ties_trains_with_a_warning_or_is_one_clear_line(tiny_folder: Path, tmp_path: Path):
    result = teach(pairs(p=0.5), tmp_path / "kept", tiny_folder)
    assert len(result.warnings) == 1
    assert "every label is 0.5" in result.warnings[0]
    assert teach(pairs(p=0.6), tmp_path / "decided", tiny_folder).warnings == ()
    with pytest.raises(DataError, match=r"12 excluded: a tie, and reward\.keep_ties is off") as caught:
        teach(pairs(p=0.5), tmp_path / "dropped", tiny_folder, RewardConfig(keep_ties=False))
    assert "\n" not in str(caught.value)


def test_no_preferences_is_one_clear_line(tiny_folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no preferences to train on"):
        teach([], tmp_path / "reward", tiny_folder)


def test_an_answer_that_was_cut_can_be_scored(tiny_folder: Path, tmp_path: Path):
    rows = [replace(row, chosen_finished=False) for row in pairs(4)]
    result = teach(rows, tmp_path / "reward", tiny_folder)
    assert result.examples == 4
    assert result.excluded == ()
    encoder = load_encoder(ModelConfig(id=str(tiny_folder)))
    row = encode_pair(encoder, rows[0])
    assert row.chosen.answer_ids[-1] not in encoder.end_of_turn
    assert row.rejected.answer_ids[-1:] == encoder.end_of_turn


@pytest.mark.parametrize("overlong", ["drop", "truncate"])
def test_over_long_pairs_are_dropped_or_cut_and_counted(tiny_folder: Path, tmp_path: Path, overlong: str):
    good = pairs(7)
    question = good[0].prompt[0].model_copy(update={"content": "Well, what is it? " * 20})
    rows = [*good, replace(good[0], id="long", prompt=(question,))]
    optim = QUICK.model_copy(update={"overlong": overlong})
    result = teach(rows, tmp_path / "reward", tiny_folder, optim=optim)
    reasons = [(row.id, row.reason) for row in result.excluded]
    if overlong == "drop":
        assert reasons == [("long", "longer than optim.max_length")]
        assert (result.examples, result.truncated) == (7, 0)
    else:
        assert reasons == []
        assert (result.examples, result.truncated) == (8, 1)
    encoder = load_encoder(ModelConfig(id=str(tiny_folder)))
    assert result.tokens < sum(encode_pair(encoder, row).packed_tokens for row in rows)


# Where it begins


def test_a_new_head_has_the_variance_of_one_over_width_and_one(
    tiny_model: Callable[..., Any], tmp_path: Path
):
    shape = {"hidden_size": 512, "intermediate_size": 16, "num_hidden_layers": 1, "num_key_value_heads": 1}
    tiny_model(attention="sdpa", initializer_range=0.1, **shape).save_pretrained(tmp_path)
    files = locate(ModelConfig(id=str(tmp_path)))
    heads = [score_head(load_classifier(files, "float32", "cpu", seed)).weight for seed in range(8)]
    drawn = torch.stack([head.detach() for head in heads])
    assert drawn.shape == (8, 1, 512)
    # Of 4096 draws the variance is known to 2.2 %, and the mean to 0.016 standard deviations.
    assert drawn.var().item() * 513 == pytest.approx(1.0, abs=0.1)
    assert abs(drawn.mean().item()) * 513**0.5 < 0.08


def test_a_new_head_follows_from_the_seed_alone(tiny_folder: Path):
    files = locate(ModelConfig(id=str(tiny_folder)))
    torch.manual_seed(3)
    first = score_head(load_classifier(files, "float32", "cpu", 7)).weight
    torch.manual_seed(4)
    again = score_head(load_classifier(files, "float32", "cpu", 7)).weight
    other = score_head(load_classifier(files, "float32", "cpu", 8)).weight
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_a_head_that_the_folder_holds_is_kept(tiny_folder: Path, tmp_path: Path):
    classifier = load_classifier(locate(ModelConfig(id=str(tiny_folder))), "float32", "cpu", 7)
    classifier.save_pretrained(tmp_path)
    loaded = load_classifier(locate(ModelConfig(id=str(tmp_path))), "float32", "cpu", 8)
    assert torch.equal(score_head(loaded).weight, score_head(classifier).weight)


def hidden_states(model: Any) -> torch.Tensor:
    ids = torch.tensor([[1, 5, 6, 7, 40, 41, 2]])
    with torch.inference_mode():
        return model.eval().get_base_model().model(input_ids=ids).last_hidden_state


def test_a_reward_model_from_an_sft_adapter_begins_as_the_sft_model(tiny_folder: Path, tmp_path: Path):
    train("sft", tmp_path / "sft", str(tiny_folder))
    model = ModelConfig(id=str(tiny_folder))
    sft = hidden_states(load_policy(model, SMALL, "cpu", 0, tmp_path / "sft"))
    scorer = load_reward_policy(model, SMALL, "cpu", 0, tmp_path / "sft")
    assert torch.equal(hidden_states(scorer), sft)
    base = hidden_states(load_reward_policy(model, SMALL, "cpu", 0))
    assert (base - sft).abs().max() > 1e-3  # not trivially so
    learning = [name for name, weight in scorer.named_parameters() if weight.requires_grad]
    assert len(learning) == 2 * 7 * 2 + 1  # A and B of seven layers in two blocks, and the head


def policy_adapter(folder: Path, model: Any, **shape: Any) -> Path:
    """Write a policy's adapter that acts, as plain peft does."""
    import peft

    torch.manual_seed(0)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | shape
    worn = peft.get_peft_model(model, peft.LoraConfig(**settings))
    for name, weight in worn.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    worn.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "shape",
    [
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 32}},
        {"target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.3},
    ],
    ids=["scale", "ranks", "targets"],
)
def test_an_adapter_that_is_gone_on_with_keeps_its_shape(
    tiny_folder: Path, tmp_path: Path, shape: dict[str, Any]
):
    from transformers import AutoModelForCausalLM

    start = policy_adapter(tmp_path / "start", AutoModelForCausalLM.from_pretrained(tiny_folder), **shape)
    model = ModelConfig(id=str(tiny_folder))
    policy = load_policy(model, SMALL, "cpu", 0, start)
    scorer = load_reward_policy(model, LoraConfig(r=16, alpha=1, dropout=0.5), "cpu", 0, start)
    assert torch.equal(hidden_states(scorer), hidden_states(policy))
    assert scorer.peft_config["default"].lora_dropout == shape.get("lora_dropout", 0.0)


@pytest.mark.parametrize("other", [{"num_hidden_layers": 1}, {"hidden_size": 64}], ids=["layers", "width"])
def test_an_adapter_of_another_model_is_one_line(
    tiny_folder: Path, tmp_path: Path, tiny_model: Callable[..., Any], other: dict[str, int]
):
    targets = ["q_proj", "v_proj"]
    start = policy_adapter(tmp_path / "start", tiny_model(attention="sdpa", **other), target_modules=targets)
    own = job("reward", tmp_path / "reward", str(tiny_folder), start=start)
    with pytest.raises(EngineError, match="the adapter does not fit the model") as caught:
        train_reward(pairs(), own, PLAIN)
    assert "\n" not in str(caught.value)
    assert str(start) in str(caught.value)


def test_training_cannot_begin_with_an_adapter_on_the_model(tiny_folder: Path, tmp_path: Path):
    train("sft", tmp_path / "sft", str(tiny_folder))
    own = job("reward", tmp_path / "reward", str(tiny_folder))
    worn = ModelConfig(id=str(tiny_folder), adapter=str(tmp_path / "sft"))
    with pytest.raises(EngineError, match="cannot be loaded on a model that has an adapter"):
        train_reward(pairs(), replace(own, policy=worn), PLAIN)


# What is saved


@pytest.mark.parametrize("from_sft", [True, False])
def test_the_adapter_scores_in_plain_peft_and_transformers_as_it_does_here(
    tiny_folder: Path, tmp_path: Path, from_sft: bool
):
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    start = train("sft", tmp_path / "sft", str(tiny_folder)).folder if from_sft else None
    folder = tmp_path / "reward"
    train_reward(pairs(), job("reward", folder, str(tiny_folder), start, learning_rate=FAST), PLAIN)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_folder, num_labels=1)
    plain = PeftModel.from_pretrained(base, folder).eval()
    model = load_reward_model(folder, "cpu")
    tree = encode_pair(model.encoder, pairs(3)[2]).tree
    with torch.inference_mode():
        rows = [torch.tensor([[*tree.prompt_ids, *answer]]) for answer in tree.answers]
        theirs = [plain(input_ids=row).logits.item() for row in rows]
    assert model.scores([tree]) == pytest.approx(theirs, abs=1e-5)
    assert abs(theirs[0] - theirs[1]) > 0.1


def test_the_adapter_names_its_model_and_task(tiny_folder: Path, tmp_path: Path):
    teach(pairs(), tmp_path / "reward", tiny_folder)
    settings = json.loads((tmp_path / "reward" / SETTINGS).read_text())
    assert settings["base_model_name_or_path"] == str(tiny_folder)
    assert settings["task_type"] == "SEQ_CLS"
    assert "score" in settings["modules_to_save"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tiny_folder: Path, tmp_path: Path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        own = replace(job("reward", tmp_path / name, str(tiny_folder), optim=QUICK), seed=seed)
        train_reward(pairs(), own, RewardConfig())
    a, b, c = ((tmp_path / name / WEIGHTS).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_finished_training_is_found_until_the_loss_changes(tiny_folder: Path, tmp_path: Path):
    rows, folder = pairs(4), tmp_path / "reward"
    assert teach(rows, folder, tiny_folder, RewardConfig(center=0.01)).seconds > 0
    assert teach(rows, folder, tiny_folder, RewardConfig(center=0.01)).seconds == 0
    assert teach(rows, folder, tiny_folder, RewardConfig(center=0.02)).seconds > 0
    wider = [replace(row, margin=1.0) for row in rows]
    assert teach(wider, folder, tiny_folder, RewardConfig(center=0.02)).seconds > 0


# Several members


def test_one_member_stands_in_the_folder_itself_and_several_below_it():
    assert member_folders(RewardConfig()) == (".",)
    assert member_folders(RewardConfig(members=3)) == ("member-0", "member-1", "member-2")


def test_members_differ_and_the_first_is_the_single_model(tiny_folder: Path, tmp_path: Path):
    config = RewardConfig(members=3)
    results = train_reward(pairs(), job("reward", tmp_path / "all", str(tiny_folder), optim=QUICK), config)
    assert [result.folder for result in results] == [tmp_path / "all" / f"member-{n}" for n in range(3)]
    weights = [(result.folder / WEIGHTS).read_bytes() for result in results]
    assert len(set(weights)) == 3
    teach(pairs(), tmp_path / "single", tiny_folder, RewardConfig(), learning_rate=1e-3)
    assert (tmp_path / "single" / WEIGHTS).read_bytes() == weights[0]
    # Each has its own order of pairs, too.
    first = [metrics_of(result.folder)[0]["mean_reward"] for result in results]
    assert len(set(first)) == 3


def test_finished_members_are_taken_over_from_another_run(tiny_folder: Path, tmp_path: Path):
    config = RewardConfig(members=2)
    train_reward(pairs(4), job("reward", tmp_path / "one", str(tiny_folder)), config)
    own = replace(job("reward", tmp_path / "two", str(tiny_folder)), siblings=(tmp_path / "one",))
    results = train_reward(pairs(4), own, config)
    assert [result.seconds for result in results] == [0, 0]
    for member in member_folders(config):
        found, there = ((tmp_path / run / member / WEIGHTS).read_bytes() for run in ("two", "one"))
        assert found == there


def test_an_ensemble_is_loaded_with_each_member_s_own_adapter_and_head(tiny_folder: Path, tmp_path: Path):
    config = RewardConfig(members=3)
    own = job("reward", tmp_path / "all", str(tiny_folder), optim=QUICK, learning_rate=FAST)
    train_reward(pairs(), own, config)
    settings = RewardSettings(members=member_folders(config), combine="uncertainty", uncertainty=2.0)
    write_reward_settings(tmp_path / "all", settings)
    ensemble = load_reward_model(tmp_path / "all", "cpu")
    trees = [encode_pair(ensemble.encoder, row).tree for row in pairs(5)]
    found = ensemble.member_scores(trees)
    alone = [load_reward_model(tmp_path / "all" / name, "cpu").scores(trees) for name in settings.members]
    assert found.shape == (3, 10)
    assert found.tolist() == [pytest.approx(scores, abs=1e-5) for scores in alone]
    assert found.std(dim=0).min() > 1e-3
    by_hand = [fmean(scores) - 2.0 * _variance(scores) for scores in zip(*alone, strict=True)]
    assert ensemble.scores(trees) == pytest.approx(by_hand, abs=1e-4)


def _variance(values: tuple[float, ...]) -> float:
    return fmean((value - fmean(values)) ** 2 for value in values)


# Models that are built otherwise


def other_model(folder: Path, kind: str, tokenizer: Any) -> Path:
    import transformers

    torch.manual_seed(0)
    if kind == "bert":
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
        transformers.BertModel(transformers.BertConfig(vocab_size=300, **sizes)).save_pretrained(folder)
    else:
        config = transformers.GPT2Config(
            vocab_size=300, n_embd=32, n_layer=2, n_head=4, n_positions=256, bos_token_id=1, eos_token_id=2
        )
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_without_a_score_on_the_last_hidden_state_is_one_line(
    tiny_tokenizer: Callable[..., Any], tmp_path: Path
):
    folder = other_model(tmp_path / "bert", "bert", tiny_tokenizer(CHATML))
    with pytest.raises(EngineError, match="BertForSequenceClassification has no layer `score`") as caught:
        teach(pairs(), tmp_path / "reward", folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_gpt2_learns_to_score(tiny_tokenizer: Callable[..., Any], tmp_path: Path):
    folder = other_model(tmp_path / "gpt2", "gpt2", tiny_tokenizer(CHATML))
    rows = pairs(p=1.0)
    teach(rows, tmp_path / "reward", folder)
    chosen, rejected = scores_of(tmp_path / "reward", rows)
    assert (chosen > rejected).all()


def test_a_model_whose_padding_ends_turns_learns_to_score(
    tiny_folder: Path, tiny_tokenizer: Callable[..., Any], tmp_path: Path
):
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "padless"))
    tiny_tokenizer(CHATML, pad_token="<|im_end|>").save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 2}))
    rows = pairs(p=1.0)
    for name, model in (("ends", folder), ("own", tiny_folder)):
        teach(rows, tmp_path / name, model)
    ends, own = (torch.cat(scores_of(tmp_path / name, rows)) for name in ("ends", "own"))
    assert ends.tolist() == pytest.approx(own.tolist(), abs=1e-5)


def without(folder: Path, to: Path, tokenizer: Any, **config: Any) -> Path:
    """A copy of a model with another tokenizer, and with other entries in its configuration."""
    shutil.copytree(folder, to)
    (to / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(to)
    settings = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(settings | config))
    return to


def test_a_model_without_a_pad_token_learns_to_score(
    tiny_folder: Path, tiny_tokenizer: Callable[..., Any], tmp_path: Path
):
    from transformers import AutoTokenizer

    tokenizer = tiny_tokenizer(CHATML, pad_token=None)
    folder = without(tiny_folder, tmp_path / "padless", tokenizer, pad_token_id=None)
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    rows = pairs(p=1.0)
    for name, model in (("none", folder), ("own", tiny_folder)):
        result = teach(rows, tmp_path / name, model)
        assert (result.examples, result.excluded) == (len(rows), ())
    none, own = (torch.cat(scores_of(tmp_path / name, rows)) for name in ("none", "own"))
    assert none.tolist() == pytest.approx(own.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"special": ("<|endoftext|>",), "eos_token": "<|endoftext|>"}],
    ids=["knows ChatML's tokens", "spells them in bytes"],
)
def test_a_model_without_a_chat_template_learns_to_score(
    tiny_folder: Path, tiny_tokenizer: Callable[..., Any], tmp_path: Path, options: dict[str, Any]
):
    from transformers import AutoTokenizer

    folder = without(tiny_folder, tmp_path / "base", tiny_tokenizer(**options))
    assert AutoTokenizer.from_pretrained(folder).chat_template is None
    rows = pairs(p=1.0)
    optim = QUICK.model_copy(update={"max_length": 400})
    result = teach(rows, tmp_path / "reward", folder, optim=optim)
    assert (result.examples, result.excluded) == (len(rows), ())
    chosen, rejected = scores_of(tmp_path / "reward", rows)
    assert (chosen > rejected).all()
