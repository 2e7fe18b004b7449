"""A merged model answers and scores as the model with its adapter does, in plain transformers."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import EngineError, RunStateError
from engines.config import ModelConfig
from engines.hf.weights.saving import require_disk_space
from engines.reward_settings import RewardSettings, write_reward_settings
from engines.tokenization import CHATML
from publius.models.merge import merge_adapter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

IDS = torch.tensor([[5, 9, 40, 41, 2], [7, 8, 100, 3, 2]])
END, PAD = 2, 0


def loaded(folder: Path, task: str) -> Any:
    """A model as transformers loads it, with nothing of ours."""
    import transformers

    if task == "SEQ_CLS":
        kind = transformers.AutoModelForSequenceClassification
        return kind.from_pretrained(folder, num_labels=1, dtype="auto").eval()
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


def worn(base: Any, adapter: Path) -> Any:
    import peft

    return peft.PeftModel.from_pretrained(base, adapter).eval()


def write_adapter(base: Any, folder: Path, task: str, seed: int = 0, std: float = 0.2, **shape: Any) -> Path:
    """Write an adapter, with a head if it is a reward model's, that changes every output."""
    import peft

    heads = ["score"] if task == "SEQ_CLS" else None
    settings = {"r": 4, "target_modules": "all-linear", "task_type": task, "modules_to_save": heads} | shape
    torch.manual_seed(seed)
    model = peft.get_peft_model(base, peft.LoraConfig(**settings))
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=std)
    model.save_pretrained(folder)
    return folder


def outputs(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    """Logits of a policy, scores of a reward model."""
    with torch.inference_mode():
        return model(input_ids=ids).logits.float()


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def change_config(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config_of(folder) | changes))


@pytest.fixture
def base(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, which a test may change."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "base"))


@pytest.fixture
def policy(base: Path, tmp_path: Path) -> Path:
    return write_adapter(loaded(base, "CAUSAL_LM"), tmp_path / "policy", "CAUSAL_LM")


@pytest.fixture
def reward(base: Path, tmp_path: Path) -> Path:
    return write_adapter(loaded(base, "SEQ_CLS"), tmp_path / "reward", "SEQ_CLS")


def merged(adapter: Path, base: Path | ModelConfig) -> Path:
    model = base if isinstance(base, ModelConfig) else ModelConfig(id=str(base))
    return merge_adapter(adapter, adapter.parent / "merged", model)


def test_merged_policy_has_the_logits_of_model_and_adapter(base: Path, policy: Path):
    plain = loaded(base, "CAUSAL_LM")
    before = outputs(plain)
    expected = outputs(worn(plain, policy))
    found = outputs(loaded(merged(policy, base), "CAUSAL_LM"))
    assert (found - expected).abs().max() < 1e-5
    assert (found - before).abs().max() > 0.1


@pytest.mark.parametrize(
    ("dtype", "std", "warned"),
    [("bfloat16", 1e-5, True), ("bfloat16", 0.2, False), ("float32", 1e-5, False)],
)
def test_adapter_that_rounding_would_lose_is_warned_of(
    base: Path, tmp_path: Path, dtype: str, std: float, warned: bool, caplog: pytest.LogCaptureFixture
):
    model = loaded(base, "CAUSAL_LM").to(getattr(torch, dtype))
    model.save_pretrained(base)
    adapter = write_adapter(model, tmp_path / "policy", "CAUSAL_LM", std=std)
    merged(adapter, base)
    warnings = [message for message in caplog.messages if "rounding to bfloat16 loses" in message]
    assert len(warnings) == warned


def test_merged_reward_model_has_the_scores_of_model_and_adapter(base: Path, reward: Path):
    expected = outputs(worn(loaded(base, "SEQ_CLS"), reward))
    folder = merged(reward, base)
    found = outputs(loaded(folder, "SEQ_CLS"))
    assert found.shape == (2, 1)
    assert (found - expected).abs().max() < 1e-5
    assert config_of(folder)["architectures"] == ["LlamaForSequenceClassification"]


@pytest.mark.parametrize("own_pad", ["<|im_end|>", None])
def test_reward_is_read_at_the_end_of_the_turn_where_pad_and_end_were_one_token(
    base: Path, tiny_tokenizer: Callable[..., PreTrainedTokenizerBase], reward: Path, own_pad: str | None
):
    tiny_tokenizer(CHATML, pad_token=own_pad, bos_token="<|im_start|>").save_pretrained(base)
    change_config(base, pad_token_id=None if own_pad is None else END)
    folder = merged(reward, base)
    assert config_of(folder)["pad_token_id"] == PAD
    assert json.loads((folder / "tokenizer_config.json").read_text())["pad_token"] == "<|endoftext|>"
    model = loaded(folder, "SEQ_CLS")
    alone = outputs(model)
    padded = torch.cat([IDS, torch.full((2, 3), PAD)], dim=1)
    assert (outputs(model, padded) - alone).abs().max() < 1e-5
    hidden = model.model(input_ids=IDS).last_hidden_state
    assert (model.score(hidden[:, -1]) - alone).abs().max() < 1e-5


def test_tokenizer_with_nothing_to_pad_with_is_refused(
    base: Path, tiny_tokenizer: Callable[..., PreTrainedTokenizerBase], reward: Path
):
    tiny_tokenizer(CHATML, special=("<|im_end|>",), pad_token="<|im_end|>").save_pretrained(base)
    with pytest.raises(EngineError, match="no pad token"):
        merged(reward, base)


def test_tokenizer_template_and_generation_settings_are_kept(base: Path, policy: Path):
    from transformers import AutoTokenizer

    # transformers would refuse to write this: a temperature without sampling.
    settings = '{"do_sample": false, "temperature": 0.7, "eos_token_id": [2, 0]}'
    (base / "generation_config.json").write_text(settings)
    folder = merged(policy, base)
    assert (folder / "generation_config.json").read_text() == settings
    before, after = (AutoTokenizer.from_pretrained(path) for path in (base, folder))
    assert after.chat_template == before.chat_template == CHATML
    assert after.pad_token_id == before.pad_token_id
    assert after.encode("Hi <|im_end|>") == before.encode("Hi <|im_end|>")


def test_model_without_generation_settings_gets_none(base: Path, policy: Path):
    (base / "generation_config.json").unlink()
    folder = merged(policy, base)
    assert not (folder / "generation_config.json").exists()
    assert loaded(folder, "CAUSAL_LM").generation_config.eos_token_id == END


def test_base_model_gets_the_template_that_it_was_trained_with(
    base: Path, tiny_tokenizer: Callable[..., PreTrainedTokenizerBase], policy: Path
):
    from transformers import AutoTokenizer

    tiny_tokenizer().save_pretrained(base)
    (base / "chat_template.jinja").unlink()
    assert AutoTokenizer.from_pretrained(base).chat_template is None
    assert AutoTokenizer.from_pretrained(merged(policy, base)).chat_template == CHATML


@pytest.mark.parametrize("task", ["policy", "reward"])
def test_null_quantization_entry_is_not_written(base: Path, task: str, request: pytest.FixtureRequest):
    change_config(base, quantization_config=None)
    assert "quantization_config" not in config_of(merged(request.getfixturevalue(task), base))


def test_old_generation_settings_in_the_config_do_not_stop_a_reward_model(base: Path, reward: Path):
    change_config(base, temperature=0.7, max_length=20)
    assert merged(reward, base).exists()


def test_weights_keep_the_type_in_which_they_are_stored(base: Path, policy: Path):
    from safetensors import safe_open

    loaded(base, "CAUSAL_LM").to(torch.bfloat16).save_pretrained(base)
    folder = merged(policy, ModelConfig(id=str(base), dtype="float32"))
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert config_of(folder)["dtype"] == "bfloat16"


def test_adapter_on_top_of_the_models_own_adapter_is_merged_after_it(
    base: Path, policy: Path, tmp_path: Path
):
    first = worn(loaded(base, "CAUSAL_LM"), policy).merge_and_unload()
    second = write_adapter(first, tmp_path / "second", "CAUSAL_LM", seed=1)
    under = worn(loaded(base, "CAUSAL_LM"), policy).merge_and_unload()
    expected = outputs(worn(under, second))
    found = outputs(loaded(merged(second, ModelConfig(id=str(base), adapter=str(policy))), "CAUSAL_LM"))
    assert (found - expected).abs().max() < 1e-5


def test_reward_model_on_top_of_an_adapter_is_refused(base: Path, policy: Path, reward: Path):
    with pytest.raises(EngineError, match="on top of another adapter"):
        merged(reward, ModelConfig(id=str(base), adapter=str(policy)))


def test_settings_of_the_reward_model_are_copied(base: Path, reward: Path):
    write_reward_settings(reward, RewardSettings(mean=0.5, std=2.0, temperature=1.5))
    folder = merged(reward, base)
    assert (folder / "reward.json").read_bytes() == (reward / "reward.json").read_bytes()


def test_ensemble_is_refused_with_the_folder_of_a_member(base: Path, reward: Path):
    write_reward_settings(reward, RewardSettings(members=("member-0", "member-1")))
    with pytest.raises(EngineError, match=r"2 reward models cannot be merged.*member-0"):
        merged(reward, base)


def test_folder_may_be_empty_but_not_full(base: Path, policy: Path, tmp_path: Path):
    to = tmp_path / "to"
    to.mkdir()
    assert merge_adapter(policy, to, ModelConfig(id=str(base))) == to
    before = sorted(path.name for path in to.iterdir())
    with pytest.raises(RunStateError, match="the folder is not empty"):
        merge_adapter(policy, to, ModelConfig(id=str(base)))
    assert sorted(path.name for path in to.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_files_may_be_read_by_whom_the_umask_lets(base: Path, policy: Path):
    modes = {path.stat().st_mode & 0o777 for path in merged(policy, base).iterdir()}
    probe = policy.parent / "probe"
    probe.touch()
    assert modes == {probe.stat().st_mode & 0o777}


def test_what_a_killed_merge_left_is_replaced(base: Path, policy: Path):
    stale = policy.parent / ".merged.merging"
    stale.mkdir()
    (stale / "model-00001-of-00002.safetensors").write_text("half")
    folder = merged(policy, base)
    assert not stale.exists()
    assert [path.name for path in folder.glob("*.safetensors")] == ["model.safetensors"]


def test_failed_write_leaves_nothing_behind(base: Path, policy: Path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(RunStateError) as caught:
            merged(policy, base)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in policy.parent.iterdir()) == ["base", "policy"]


def test_too_little_disk_is_told_before_anything_is_written(tmp_path: Path):
    with pytest.raises(RunStateError, match=r"not enough disk space for the model: .* MiB free"):
        require_disk_space(tmp_path / "new" / "folder", 2**60)
    require_disk_space(tmp_path / "new" / "folder", 1)


def test_quantized_model_is_refused(base: Path, policy: Path):
    change_config(base, quantization_config={"quant_method": "fp8"})
    with pytest.raises(EngineError, match="cannot be merged into quantized weights"):
        merged(policy, base)


@pytest.mark.parametrize("tied", [True, False])
def test_adapter_on_the_head_is_refused_where_the_head_is_the_embedding_too(
    base: Path, tmp_path: Path, tiny_model: Callable[..., Any], tied: bool
):
    tiny_model(attention="sdpa", tie_word_embeddings=tied).save_pretrained(base)
    model = loaded(base, "CAUSAL_LM")
    adapter = write_adapter(model, tmp_path / "head", "CAUSAL_LM", target_modules=["lm_head", "q_proj"])
    if tied:
        with pytest.raises(EngineError, match="tied weights"):
            merged(adapter, base)
    else:
        expected = outputs(worn(loaded(base, "CAUSAL_LM"), adapter))
        assert (outputs(loaded(merged(adapter, base), "CAUSAL_LM")) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("task", [None, "FEATURE_EXTRACTION"])
def test_adapter_of_another_task_is_refused(base: Path, policy: Path, task: str | None):
    settings = json.loads((policy / "adapter_config.json").read_text())
    (policy / "adapter_config.json").write_text(json.dumps(settings | {"task_type": task}))
    with pytest.raises(EngineError, match="the adapter has the task type"):
        merged(policy, base)


def test_adapter_that_is_no_number_is_refused(base: Path, policy: Path):
    from safetensors.torch import load_file, save_file

    weights = load_file(policy / "adapter_model.safetensors")
    next(iter(weights.values())).fill_(float("nan"))
    save_file(weights, policy / "adapter_model.safetensors")
    with pytest.raises(EngineError, match="the adapter cannot be merged"):
        merged(policy, base)
    assert not (policy.parent / "merged").exists()


def test_missing_adapter_and_one_of_another_model_are_refused(
    base: Path, policy: Path, tmp_path: Path, tiny_model: Callable[..., Any]
):
    with pytest.raises(EngineError, match="no LoRA adapter in this folder"):
        merged(tmp_path / "nothing", base)
    tiny_model(attention="sdpa", num_hidden_layers=1).save_pretrained(base)
    with pytest.raises(EngineError, match="does not fit the model"):
        merged(policy, base)
