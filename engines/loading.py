"""Locate a model on disk (download or convert it if needed), and load its tokenizer."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.digests import digest, file_digest
from core.errors import EngineError, RunStateError, first_line
from core.lazy import require
from core.libraries import unloadable
from core.store.files import write_atomic
from engines.adapter import adapter_digest
from engines.config import ModelConfig
from engines.embedded import EMBEDDED_NAME, cache_folder, ensure_embedded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_EXTRA = "transformers"
_NEEDED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
_OUR_FILE = "publius.json"
_OF_TRAININGS = (
    _OUR_FILE,
    "training.json",
    "job.json",
    "card.json",
    "reward.json",
    "reward_metrics.json",
)
"""Files beside a model whose weights were trained; they do not affect its answers."""
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
    identity = _identity(folder)
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


def model_files(folder: Path) -> list[Path]:
    """Return the files of a whole model that affect its answers, sorted within each kind."""
    others = _OF_TRAININGS if (folder / "job.json").exists() else (_OUR_FILE,)
    files = sorted(path for pattern in _NEEDED for path in folder.glob(pattern))
    return [path for path in files if path.name not in others]


def context_tokens(files: ModelFiles) -> int | None:
    """Return the model's context length in tokens; None if its configuration gives none."""
    config: dict[str, Any] = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    parts = (config, config.get("text_config") or {})  # multimodal models keep it in `text_config`
    sizes = (part.get(name) for part in parts for name in _CONTEXTS)
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)


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
    """Return `cpu` or `cuda`; `auto` is `cuda` if a GPU is available."""
    torch = require("torch", _EXTRA)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError("no CUDA device found", where="engine.device", accepted="auto, cpu")
    return device


def _is_folder(model_id: str) -> bool:
    """Return True if an id is the path of a folder; raise EngineError if it is a path that does not exist."""
    path = Path(model_id).expanduser()
    if path.is_dir():
        return True
    # `owner/name` may be an id of the hub; anything that can only be a path must exist.
    if path.is_absolute() or model_id.startswith((".", "~")) or model_id.count("/") > 1:
        raise EngineError("no such model folder", where=model_id, accepted=ACCEPTED_MODELS)
    return False


def _fetch(config: ModelConfig) -> Path:
    hub = require("huggingface_hub", _EXTRA)
    errors = (OSError, ValueError, require("huggingface_hub.errors", _EXTRA).HfHubHTTPError)
    try:
        return Path(hub.snapshot_download(config.id, revision=config.revision, allow_patterns=list(_NEEDED)))
    except errors as error:
        raise EngineError(
            f"not a local folder, and the download failed ({first_line(error)})",
            where=config.id,
            accepted=ACCEPTED_MODELS,
            run="publius doctor",
        ) from error


def _identity(folder: Path) -> str:
    """Return a digest of the content of every file that affects the answers.

    Digests are cached by path, size, modification time and inode, so a model of many gigabytes is read once.
    """
    memo_path = cache_folder() / "digests.json"
    try:
        memo: dict[str, str] = json.loads(memo_path.read_text())
    except (OSError, ValueError):
        memo = {}
    known = len(memo)
    digests = [(path.name, _remembered_digest(path, memo)) for path in model_files(folder)]
    if len(memo) > known:
        with contextlib.suppress(OSError, RunStateError):  # without the cache, files are only read again
            memo_path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(memo_path, json.dumps(memo, indent=0))
    return digest(digests)[:32]


def _remembered_digest(path: Path, memo: dict[str, str]) -> str:
    stat = path.stat()
    key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"
    if key not in memo:
        memo[key] = file_digest(path)
    return memo[key]
