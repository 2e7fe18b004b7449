"""Load and save models in training: a trainable LoRA adapter on frozen weights, or trainable weights."""

from __future__ import annotations

import gc
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import EngineError, first_line
from core.lazy import require
from core.machine import return_free_memory
from core.notices import note
from core.store.files import os_errors, sync_folder, write_atomic
from engines.adapter import SETTINGS, WEIGHTS, attach_adapter, read_settings
from engines.config import ModelConfig
from engines.hf.loading import load_classifier, load_model, takes_packed_rows
from engines.hf.weights.decoder import decoder_linears, expert_weights, freeze_towers
from engines.hf.weights.saving import restore_weights, save_into
from engines.identity import model_files
from engines.loading import holds_model, load_tokenizer, locate, pick_dtype
from engines.tokenization import TurnEncoder
from training.checkpoints import ADAPTER_STAGING
from training.config import LoraConfig
from training.processes import is_main

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

TRAIN_EXTRA = "train"


def load_encoder(config: ModelConfig) -> TurnEncoder:
    """Return the encoder of the policy's conversations, without loading weights."""
    files = locate(config)
    return TurnEncoder(load_tokenizer(files), config.chat_template_kwargs, files.name)


def load_policy(
    config: ModelConfig, lora: LoraConfig | None, device: str, seed: int, start: Path | None = None
) -> PeftModel | PreTrainedModel:
    """Return the model with a trainable adapter, or trainable itself.

    Dropout is off, except in the adapter if `lora` sets it.

    Args:
        config: the model.
        lora: shape of a new adapter, ignored with `start`; None to train the model's own weights.
        device: `auto`, `cpu` or `cuda`.
        seed: seed of a new adapter, which does not change the outputs until it is trained.
        start: folder of an adapter to continue training; merged into the weights if those are trained.

    Raises:
        EngineError: if the model or adapter cannot be loaded, the model has no module in `lora.targets`, or
            it computes other log-probabilities in padded rows than in single rows.
    """
    from training.logprobs import require_padded_rows

    dtype = training_dtype(config, device, full=lora is None)
    model: Any = load_model(locate(config), dtype, device, for_training=True)
    _attend_to_packed_rows(model)
    if model.base_model is model and hasattr(model, "model"):
        model.base_model_prefix = "model"  # Llama 4 names another one, so TRL would not find its decoder
    if lora is None:
        policy: PeftModel | PreTrainedModel = _trainable(
            attach_adapter(model, start).merge_and_unload() if start else model
        )
    elif start is not None:
        policy = attach_adapter(model, start, trainable=True)
    else:
        if lora.targets == "all-linear" and (untrained := expert_weights(model)) and is_main():
            note(f"LoRA adapts no MLP of this mixture of experts, such as {untrained[0]}")
        policy = _with_adapter(model, adapter_shape(lora, "CAUSAL_LM", model), seed)
    require_padded_rows(policy, config.id)
    return policy


def load_reward_policy(
    config: ModelConfig, lora: LoraConfig | None, device: str, seed: int, start: Path | None = None
) -> PeftModel | PreTrainedModel:
    """Return the model with a trainable score head, and a trainable adapter or trainable weights.

    Dropout is as in `load_policy`.

    Args:
        config: the model.
        lora: shape of a new adapter, ignored with `start`; None to train the model's own weights.
        device: `auto`, `cpu` or `cuda`.
        seed: seed of the head and of a new adapter.
        start: folder of a policy's adapter to continue training.

    Raises:
        EngineError: if the model or adapter cannot be loaded.
    """
    from engines.hf.reward_model import require_scores

    dtype = training_dtype(config, device, full=lora is None)
    model: Any = load_classifier(locate(config), dtype, device, seed, for_training=True)
    if start is not None:
        adapted: Any = _with_adapter(model, _scoring_shape(start), seed)
        _copy_adapter(adapted, start)
        scorer: PeftModel | PreTrainedModel = (
            _trainable(adapted.merge_and_unload()) if lora is None else adapted
        )
    elif lora is None:
        scorer = _trainable(model)
    else:
        scorer = _with_adapter(model, adapter_shape(lora, "SEQ_CLS", model), seed)
    require_scores(scorer, config.id)
    return scorer


def training_dtype(config: ModelConfig, device: str, *, full: bool) -> str:
    """Return the data type of the weights in training.

    Weights that are trained themselves are in float32 unless `dtype` says otherwise. A GPU then computes in
    mixed precision. In bfloat16 weights, small steps would be rounded away.
    """
    return "float32" if full and config.dtype == "auto" else pick_dtype(config.dtype, device)


def _trainable(model: Any) -> PreTrainedModel:
    """Return the model with the weights of its decoder stack and heads trainable."""
    freeze_towers(model)
    for weight in model.parameters():
        weight.data = weight.data.contiguous()  # on a CPU they lie by columns, which no file can hold
    trainable: PreTrainedModel = model
    return trainable


def _scoring_shape(start: Path) -> Any:
    """Return the settings of a policy's adapter, changed for a reward model with a trainable head."""
    peft = require("peft", TRAIN_EXTRA)
    read_settings(start)
    shape = peft.LoraConfig.from_pretrained(str(start))
    shape.task_type, shape.modules_to_save, shape.inference_mode = "SEQ_CLS", ["score"], False
    shape.base_model_name_or_path = None  # peft would warn if the model's folder has another name
    return shape


def _copy_adapter(scorer: PeftModel, start: Path) -> None:
    """Copy all weights of a policy's adapter to a reward model; its head is not changed."""
    peft = require("peft", TRAIN_EXTRA)
    safetensors = require("safetensors.torch", TRAIN_EXTRA)
    own = peft.get_peft_model_state_dict(scorer, save_embedding_layers=False)
    learned = safetensors.load_file(start / WEIGHTS)
    # peft loads non-strictly: a part of the adapter would be lost silently.
    mismatched = sorted({key for key in own if ".score." not in key} ^ learned.keys())
    mismatched += [key for key in learned if key in own and learned[key].shape != own[key].shape]
    if mismatched:
        raise EngineError(
            f"the adapter does not fit the model ({len(mismatched)} weights do not match, "
            f"the first is {mismatched[0]})",
            where=str(start),
            accepted="an adapter trained on this model, on layers between the embedding and the head only",
        )
    peft.set_peft_model_state_dict(scorer, own | learned)


def _attend_to_packed_rows(model: Any) -> None:
    """Switch a model that was loaded for a GPU to the attention that supports packed rows, if it fits."""
    from engines.hf.attention import register

    name = register()
    if takes_packed_rows(model) and model.config._attn_implementation != name:
        model.set_attn_implementation(name)


def adapter_shape(lora: LoraConfig, task: str, model: Any) -> Any:
    """Return peft's settings of a new adapter; a reward model's head is trained and saved with it.

    Args:
        lora: rank, scale and targets. `all-linear` is resolved here: peft would also take vision towers and
            the routers of experts.
        task: peft's task type, `CAUSAL_LM` or `SEQ_CLS`.
        model: the transformers model that the adapter is for.
    """
    peft = require("peft", TRAIN_EXTRA)
    targets = decoder_linears(model) if lora.targets == "all-linear" else list(lora.targets)
    return peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type=task,
        modules_to_save=["score"] if task == "SEQ_CLS" else None,
    )


def _with_adapter(model: Any, shape: Any, seed: int) -> PeftModel:
    peft = require("peft", TRAIN_EXTRA)
    torch = require("torch", TRAIN_EXTRA)
    torch.manual_seed(seed)  # peft draws the adapter from the global generator
    try:
        policy: PeftModel = peft.get_peft_model(model, shape)
    except ValueError as error:
        raise EngineError(
            f"cannot attach an adapter to {model.config._name_or_path} ({first_line(error)})",
            where="lora.targets",
            accepted="all-linear, or names of the model's linear modules such as [q_proj, v_proj]",
        ) from error
    return policy


def load_trained_weights(policy: Any, folder: Path) -> None:
    """Load the weights of a checkpoint into a policy: those of its adapter, or all of them."""
    peft = require("peft", TRAIN_EXTRA)
    safetensors = require("safetensors.torch", TRAIN_EXTRA)
    if not isinstance(policy, peft.PeftModel):
        restore_weights(policy, folder)
        return
    peft.set_peft_model_state_dict(policy, safetensors.load_file(folder / WEIGHTS))


def keep_adapter_wide(policy: Any) -> None:
    """Set the 16-bit weights of an adapter and its score head to float32.

    In bfloat16 small steps are rounded away, and the loss scale of float16 takes no gradients of 16 bits.
    """
    torch = require("torch", TRAIN_EXTRA)
    for name, weight in policy.named_parameters():
        is_own = "lora_" in name or ".modules_to_save." in name
        if weight.requires_grad and is_own and weight.dtype in (torch.bfloat16, torch.float16):
            weight.data = weight.data.float()


def free_memory() -> None:
    """Free the memory of models that went out of scope, as the next model may need all of it."""
    torch = require("torch", TRAIN_EXTRA)
    gc.collect()  # trainers and models are in reference cycles
    return_free_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def save_model(model: PreTrainedModel, folder: Path, policy: ModelConfig) -> None:
    """Save a model whose weights were trained, with tokenizer and settings, as transformers and vLLM load it.

    Args:
        model: the trained model.
        folder: the output folder.
        policy: the model that training started from.

    Raises:
        RunStateError: if the disk is full or the folder not writable.
    """
    save_into(model, load_encoder(policy), locate(policy).folder, folder, folder / ADAPTER_STAGING)


def save_adapter(policy: PeftModel, folder: Path, base: str) -> None:
    """Save the adapter in peft's format: to a temporary folder first, then renamed into its place.

    Args:
        policy: the model with the adapter.
        folder: the output folder.
        base: the model's id or folder for `adapter_config.json`.

    Raises:
        RunStateError: if the disk is full or the folder not writable.
    """
    staging = folder / ADAPTER_STAGING
    with os_errors(folder):
        shutil.rmtree(staging, ignore_errors=True)
        policy.save_pretrained(str(staging), selected_adapters=["default"])
        settings = json.loads((staging / SETTINGS).read_text(encoding="utf-8"))
        if isinstance(settings["target_modules"], list):
            settings["target_modules"].sort()  # peft uses a set, whose order differs between processes
        settings["base_model_name_or_path"] = base
        # Synced before the rename, or a crash could leave an empty file under the final name. The weights
        # come before the settings: a folder counts as an adapter only with both.
        with (staging / WEIGHTS).open("rb") as file:
            os.fsync(file.fileno())
        # safetensors creates files that only the owner can read.
        (staging / WEIGHTS).chmod((staging / SETTINGS).stat().st_mode)
        if holds_model(folder):  # of an earlier job; transformers would load it with the adapter on top
            for path in model_files(folder):
                path.unlink()
        (staging / WEIGHTS).replace(folder / WEIGHTS)
        write_atomic(folder / SETTINGS, json.dumps(settings, indent=2, sort_keys=True) + "\n")
        shutil.rmtree(staging)
        sync_folder(folder)
