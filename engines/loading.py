"""Locate a model on disk (download or convert it if needed), and load its tokenizer."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.digests import digest
from core.errors import EngineError, first_line
from core.lazy import require
from core.libraries import unloadable
from engines.adapter import adapter_digest
from engines.config import ModelConfig
from engines.embedded import EMBEDDED_NAME, ensure_embedded
from engines.identity import MODEL_FILES, model_identity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_EXTRA = "transformers"
_OTHER_FORMS = ("*/*.safetensors", "original/*", "consolidated*.safetensors")
"""Patterns of files with the same weights in the authors' own form, as in Mistral and gpt-oss."""
UNKNOWN_CONTEXT = 2**31
"""Context length, in tokens, of a model whose configuration gives none."""
_PACKED = {"I32": 8, "U8": 2}
"""Weights of 4 bits in one number of a data type."""
_CONTEXTS = ("max_position_embeddings", "n_positions")
ACCEPTED_MODELS = f"a folder with config.json and safetensors, a Hugging Face id, or {EMBEDDED_NAME}"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk."""

    name: str
    """Name of the model in records."""
    folder: Path
    identity: str
    """Digest of all files that affect the model's answers, including the adapter."""
    adapter: Path | None = None
    """Folder of the LoRA adapter to attach to the model."""
    quantization: str | None = None
    """Form that the weights are quantized to while they are loaded: `nf4`, or None."""

    @property
    def base_name(self) -> str:
        """Name of the model without the adapter."""
        return self.name if self.adapter is None else self.name.removesuffix(f"+{self.adapter.name}")


def locate(config: ModelConfig) -> ModelFiles:
    """Return the files of a model; download or convert the model first if needed.

    Raises:
        EngineError: if the folder or id does not exist, or a folder contains no model or no adapter.
    """
    if config.id in (EMBEDDED_NAME, "embedded"):
        folder, name = ensure_embedded(), EMBEDDED_NAME
    elif _is_folder(config.id):
        folder = Path(config.id).expanduser().resolve()
        name = folder.name
    else:
        folder, name = _fetch(config), config.id
    if not (folder / "config.json").is_file():
        raise EngineError(
            "no model in this folder: config.json is missing", where=str(folder), accepted=ACCEPTED_MODELS
        )
    identity = model_identity(folder)
    if config.quantization is not None:
        identity = digest(identity, config.quantization)[:32]
    if config.adapter is None:
        return ModelFiles(name, folder, identity, quantization=config.quantization)
    adapter = Path(config.adapter).expanduser().resolve()
    return ModelFiles(
        f"{name}+{adapter.name}",
        folder,
        digest(identity, adapter_digest(adapter))[:32],
        adapter,
        config.quantization,
    )


def holds_model(folder: Path) -> bool:
    """Return True if a folder holds a whole model, and not only an adapter."""
    return (folder / "config.json").is_file()


def context_tokens(files: ModelFiles) -> int | None:
    """Return the model's context length in tokens; None if its configuration gives none."""
    config: dict[str, Any] = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    parts = (config, config.get("text_config") or {})  # multimodal models keep it in `text_config`
    sizes = (part.get(name) for part in parts for name in _CONTEXTS)
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)


def parameter_count(files: ModelFiles) -> int | None:
    """Return the number of the model's weights by the headers of its safetensors; None if there are none.

    Weights of several bits in one integer are counted for 4 bits each.
    """
    total = 0
    for path in files.folder.glob("*.safetensors"):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(size))
        for name, tensor in header.items():
            if name != "__metadata__":
                total += math.prod(tensor["shape"]) * _PACKED.get(tensor["dtype"], 1)
    return total or None


def parameters_by_config(folder: Path) -> int | None:
    """Return the number of weights of a model by its configuration alone; None if that does not tell."""
    torch, transformers = require("torch", _EXTRA), require("transformers", _EXTRA)
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        with torch.device("meta"):  # no memory is taken and nothing is initialised
            model = transformers.AutoModelForCausalLM.from_config(config)
    except (ImportError, OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError):
        return None  # an architecture that this version does not have, or that is not only a language model
    return sum(int(weight.numel()) for weight in model.parameters())


def load_tokenizer(files: ModelFiles) -> PreTrainedTokenizerBase:
    """Return the tokenizer. Raises EngineError if it cannot be loaded."""
    transformers = require("transformers", _EXTRA)
    try:
        tokenizer: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(files.folder)
    except Exception as error:  # `tokenizers` raises plain Exception for a damaged tokenizer.json
        raise unloadable("tokenizer", files.folder, error, ACCEPTED_MODELS) from error
    return tokenizer


def pick_dtype(dtype: str, device: str) -> str:
    """Return the data type of the weights.

    `auto` is float32 on a CPU, and on a GPU bfloat16, or float16 where the GPU has no bfloat16.
    """
    if dtype != "auto":
        return dtype
    place = pick_device(device)
    return "float32" if place == "cpu" else half_dtype(place)


def half_dtype(device: str) -> str:
    """Return the data type of mixed precision on a device: bfloat16, or float16 where the GPU lacks it."""
    return "bfloat16" if device == "cpu" or gpu_has_bfloat16() else "float16"


def gpu_has_bfloat16() -> bool:
    """Return True if the GPU computes in bfloat16. GPUs before Ampere (T4, V100) only emulate it, slowly."""
    supported: bool = require("torch", _EXTRA).cuda.is_bf16_supported(including_emulation=False)
    return supported


def pick_device(device: str) -> str:
    """Return the device, such as `cpu`, `cuda` or `cuda:1`; `auto` is `cuda` if there is a GPU, else `cpu`.

    Raises:
        EngineError: if there is no GPU, none with this index, or the device is of another kind such as `mps`.
    """
    torch = require("torch", _EXTRA)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not device.startswith("cuda"):
        raise EngineError(
            f"the device {device!r} is not supported", where="engine.device", accepted="auto, cpu, cuda"
        )
    if device != "cpu" and not torch.cuda.is_available():
        raise EngineError("no CUDA device found", where="engine.device", accepted="auto, cpu")
    index = int(device.partition(":")[2] or 0)
    if index and index >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise EngineError(
            f"no GPU {index}: {found} found", where="models.ROLE.engine.gpus", accepted=f"0 to {found - 1}"
        )
    return device


def pick_gpu(device: str, gpus: Sequence[int] | None) -> str:
    """Return the device for this process's copy of a model, such as `cpu`, `cuda` or `cuda:1`.

    It is one of the configured GPUs or, in one of several processes, the GPU of the process. The index is
    named then: CUDA's current device is that of a thread, and engines have threads of their own.
    """
    place = "cuda" if gpus and device == "auto" else pick_device(device)
    if place == "cpu":
        return place
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if gpus:
        return f"cuda:{gpus[rank % len(gpus)]}"
    if place == "cuda" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return f"cuda:{rank % require('torch', _EXTRA).cuda.device_count()}"
    return place


def _is_folder(model_id: str) -> bool:
    """Return True if an id is the path of a folder; raise EngineError if it is a path that does not exist."""
    path = Path(model_id).expanduser()
    if path.is_dir():
        return True
    # `owner/name` may be an id of the hub; anything that can only be a path must exist.
    if path.is_absolute() or model_id.startswith((".", "~")) or model_id.count("/") > 1:
        raise EngineError("no such model folder", where=model_id, accepted=ACCEPTED_MODELS)
    return False


def fetch_without_weights(config: ModelConfig) -> Path | None:
    """Return a folder with the tokenizer of a model whose weights are not on this machine, or None.

    The small files of the model are downloaded if needed, and no weights.

    Returns:
        None if the whole model is here: in a folder, in the hub's cache, or the embedded one.
    """
    if config.id in (EMBEDDED_NAME, "embedded") or _is_folder(config.id):
        return None
    hub = require("huggingface_hub", _EXTRA)
    with contextlib.suppress(OSError, ValueError):  # it is not in the hub's cache
        folder = hub.snapshot_download(config.id, revision=config.revision, local_files_only=True)
        if _has_weights(Path(folder)):
            return None
    return _fetch(config, [pattern for pattern in MODEL_FILES if not pattern.endswith(".safetensors")])


def _has_weights(folder: Path) -> bool:
    """Return True if a folder has all files of a model's weights."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return any(folder.glob("*.safetensors"))
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / shard).is_file() for shard in shards)


def _fetch(config: ModelConfig, patterns: Sequence[str] = MODEL_FILES) -> Path:
    hub = require("huggingface_hub", _EXTRA)
    errors = require("huggingface_hub.errors", _EXTRA)
    try:
        return Path(
            hub.snapshot_download(
                config.id,
                revision=config.revision,
                allow_patterns=list(patterns),
                ignore_patterns=list(_OTHER_FORMS),
            )
        )
    except errors.RepositoryNotFoundError as error:
        # The hub answers alike for a repository that does not exist and for a private one without a token.
        gated = isinstance(error, errors.GatedRepoError)
        token = "the token in use gives no access" if hub.get_token() else "no access token is set"
        raise EngineError(
            f"the model {'is gated' if gated else 'does not exist or is private'}, and {token}",
            where=config.id,
            accepted=f"a token of an account that has access on https://huggingface.co/{config.id}"
            if gated
            else ACCEPTED_MODELS,
            run="hf auth login, or set HF_TOKEN",
        ) from error
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise EngineError(
            f"not a local folder, and the download failed ({first_line(error)})",
            where=config.id,
            accepted=ACCEPTED_MODELS,
            run="publius doctor",
        ) from error
