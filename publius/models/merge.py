"""An adapter merged into its model: a plain folder that transformers and vLLM load without peft.

A policy stays a causal language model; a reward model becomes a sequence classifier with one score.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.errors import EngineError, first_line
from core.lazy import require
from core.libraries import load_errors, quiet_transformers
from core.store.files import os_errors, require_empty
from engines.adapter import WEIGHTS, attach_adapter, read_settings
from engines.config import ModelConfig
from engines.loading import ModelFiles, load_tokenizer, locate
from engines.reward_settings import FILE as REWARD_SETTINGS
from engines.reward_settings import read_reward_settings
from engines.tokenization import TurnEncoder
from publius.models.folder import GENERATION, require_room, write_model

_EXTRA = "train"
_POLICY, _REWARD = "CAUSAL_LM", "SEQ_CLS"


def merge_adapter(adapter: Path, to: Path, base: ModelConfig) -> Path:
    """Return the folder that the model with the adapter merged into it was written to.

    Weights keep the type in which the base model is stored, whatever `base.dtype` says.

    Args:
        adapter: folder of a policy's or a reward model's LoRA adapter.
        to: a new or empty folder.
        base: the model that the adapter was trained on.

    Raises:
        EngineError: if model or adapter cannot be loaded, or do not go together.
        MissingExtraError: if torch, transformers or peft is not installed.
        RunStateError: if the folder is not empty, or the disk is too small, full or not writable.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, _EXTRA)
    target = to.expanduser().resolve()
    require_empty(target)
    task = _task_of(adapter)
    files = locate(base)
    _require_plain(files, task)
    require_room(target, _weight_bytes(files.folder, adapter))
    with quiet_transformers(_EXTRA):  # it would report that a reward model's head is new
        encoder = TurnEncoder(load_tokenizer(files), base.chat_template_kwargs, files.name)
        model = _merged(files, adapter, task)
        _prepare(model, encoder, task)
        kept = (files.folder / GENERATION, adapter / REWARD_SETTINGS)
        write_model(model, encoder.tokenizer, kept, target)
    return to


def _task_of(adapter: Path) -> str:
    """Return peft's name of what the adapter makes of a model. Raises EngineError if it cannot be merged."""
    members = read_reward_settings(adapter).members
    if len(members) > 1:
        raise EngineError(
            f"a reward model of {len(members)} members cannot become one model",
            where=str(adapter),
            accepted=f"the folder of one of them, such as {adapter / members[0]}",
        )
    task = str(read_settings(adapter).get("task_type"))
    if task not in (_POLICY, _REWARD):
        raise EngineError(
            f"an adapter of the task {task}",
            where=str(adapter),
            accepted=f"{_POLICY} (a policy) or {_REWARD} (a reward model)",
        )
    return task


def _require_plain(files: ModelFiles, task: str) -> None:
    """Refuse a base model into whose weights nothing can be merged."""
    try:
        settings = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError("config.json cannot be read", where=str(files.folder)) from error
    if settings.get("quantization_config"):
        raise EngineError(
            "an adapter cannot be merged into quantized weights",
            where=str(files.folder),
            accepted="the same model in float32, bfloat16 or float16",
        )
    if files.adapter is not None and task == _REWARD:
        raise EngineError(
            "a reward model's adapter cannot be merged on top of another adapter",
            where=str(files.adapter),
            accepted="a model without an adapter; merge that one first, and name the result",
        )


def _weight_bytes(base: Path, adapter: Path) -> int:
    """Return how large the merged weights can be at most: they are as large as the base's."""
    with os_errors(base):
        return sum(path.stat().st_size for path in (*base.glob("*.safetensors"), adapter / WEIGHTS))


def _merged(files: ModelFiles, adapter: Path, task: str) -> Any:
    """Return the base model with its adapters merged, on the CPU."""
    transformers = require("transformers", _EXTRA)
    kind = transformers.AutoModelForCausalLM
    options: dict[str, Any] = {"dtype": "auto", "use_safetensors": True, "trust_remote_code": False}
    if task == _REWARD:
        kind, options = transformers.AutoModelForSequenceClassification, options | {"num_labels": 1}
    with load_errors("model", files.folder):
        model = kind.from_pretrained(files.folder, **options)
    for folder in (files.adapter, adapter) if files.adapter else (adapter,):
        model = _merge_adapter(model, folder)
    return model


def _merge_adapter(model: Any, adapter: Path) -> Any:
    tuner = require("peft.tuners.tuners_utils", _EXTRA).BaseTunerLayer
    worn: Any = attach_adapter(model, adapter)
    plain = worn.get_base_model()
    ends = (plain.get_input_embeddings(), plain.get_output_embeddings())
    if getattr(plain.config, "tie_word_embeddings", False) and any(
        isinstance(layer, tuner) for layer in ends
    ):
        raise EngineError(
            "the adapter changes embedding or head, which are one matrix in this model",
            where=str(adapter),
            accepted="an adapter on the layers between them; this one can only be used unmerged",
        )
    try:
        return worn.merge_and_unload(safe_merge=True)
    except ValueError as error:  # what peft raises when it finds a value that is no number
        raise EngineError(
            f"the adapter cannot be merged ({first_line(error)})",
            where=str(adapter),
            accepted="an adapter of finite numbers",
        ) from error


def _prepare(model: Any, encoder: TurnEncoder, task: str) -> None:
    """Make model and tokenizer ready to be used without Publius."""
    tokenizer: Any = encoder.tokenizer
    # A quantization entry, even a null one, makes vLLM refuse the folder.
    vars(model.config).pop("quantization_config", None)
    if encoder.is_base:  # it was trained with the template that it was given
        tokenizer.chat_template = encoder.template
    if task == _REWARD:
        # transformers reads the score at the last token that is not the pad token, by its id; were that the
        # token that ends a turn, it would read another place than training did and vLLM does.
        pad = _pad_token(encoder, model.get_input_embeddings().num_embeddings)
        model.config.pad_token_id = pad
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)


def _pad_token(encoder: TurnEncoder, vocabulary: int) -> int:
    """Return the id of a token that ends no scored conversation: the tokenizer's own pad, if it is one."""
    tokenizer: Any = encoder.tokenizer
    end = encoder.end_of_turn[-1]
    if tokenizer.pad_token_id not in (None, end):
        return int(tokenizer.pad_token_id)
    special = {number: token for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    free = [number for number in sorted(special) if number != end and number < vocabulary]
    # Those with a use of their own come last.
    used = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    free.sort(key=lambda number: (number in used, "pad" not in str(special[number]).lower()))
    if not free:
        raise EngineError(
            "the tokenizer has no token to pad with but the one that ends a turn",
            accepted="a tokenizer with another special token",
        )
    return int(free[0])
