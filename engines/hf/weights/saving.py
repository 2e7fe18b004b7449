"""Write whole models atomically: to a temporary folder first, then renamed into place.

A process that is killed leaves no incomplete model under the target's name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import EngineError, RunStateError, shell_command
from core.lazy import require
from core.libraries import write_errors
from core.store.files import os_errors, sync_folder
from engines.tokenization import TurnEncoder

GENERATION = "generation_config.json"
CONFIG = "config.json"
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_EXTRA = "transformers"
_SLACK = 1.05
"""Factor on the size of the weights; leaves room for tokenizer, settings and file-system blocks."""


def require_disk_space(target: Path, weight_bytes: int) -> None:
    """Raise RunStateError, with both sizes, if the weights do not fit on the disk."""
    needed = int(_SLACK * weight_bytes)
    with os_errors(target):
        there = next(folder for folder in (target, *target.parents) if folder.exists())
        free = shutil.disk_usage(there).free
    if free < needed:
        raise RunStateError(
            f"not enough disk space for the model: {free / 2**20:,.0f} MiB free",
            where=str(target),
            accepted=f"at least {needed / 2**20:,.0f} MiB",
            run=shell_command("df", "-h", there),
        )


def write_model(model: Any, tokenizer: Any, extra: tuple[Path, ...], target: Path) -> None:
    """Write a model to a temporary folder, and rename the folder once it is complete.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer, with the chat template.
        extra: files to copy unchanged, if they exist.
        target: a new or empty folder.

    Raises:
        RunStateError: if the disk is full or the folder is not writable.
    """
    with _complete(target) as temporary:
        with write_errors("model", target, target.parent, also=(ValueError,)):
            _save(model, tokenizer, temporary)
        for path in extra:
            if path.exists():
                shutil.copy2(path, temporary)


@contextlib.contextmanager
def _complete(target: Path) -> Iterator[Path]:
    """Yield a temporary folder, which is flushed to disk and renamed to `target` at the end."""
    temporary = target.with_name(f".{target.name}.merging")
    with os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            _settle(temporary)
            temporary.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def copy_model(files: Sequence[Path], target: Path) -> None:
    """Copy the files of a model to a new folder, which is renamed once it is complete.

    Raises:
        RunStateError: if the disk is too small or full, or the folder is not writable.
    """
    require_disk_space(target, sum(path.stat().st_size for path in files))
    with _complete(target) as temporary:
        for path in files:
            shutil.copy2(path, temporary)


def save_into(model: Any, encoder: TurnEncoder, base: Path, folder: Path, staging: Path) -> None:
    """Save a model and its tokenizer into a folder that holds other files too.

    `config.json` comes last: a folder counts as a model only with it. Weights that are in the folder already,
    of a model or an adapter, are removed first.

    Args:
        model: a transformers model.
        encoder: its encoder.
        base: folder of the model that training started from, whose generation settings are copied.
        folder: the output folder.
        staging: temporary folder, on the same disk.

    Raises:
        RunStateError: if the disk is full or the folder not writable.
    """
    with os_errors(folder):
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        prepare_for_others(model, encoder)
        _save(model, encoder.tokenizer, staging)
        if (base / GENERATION).exists():
            shutil.copy2(base / GENERATION, staging)
        _settle(staging)
        (folder / CONFIG).unlink(missing_ok=True)
        for pattern in (*_WEIGHTS, "adapter_config.json"):
            for old in folder.glob(pattern):
                old.unlink()
        for path in sorted(staging.iterdir(), key=lambda path: path.name == CONFIG):
            path.replace(folder / path.name)
        staging.rmdir()
        sync_folder(folder)


def restore_weights(model: Any, folder: Path) -> None:
    """Load the weights that a checkpoint's folder holds into a model of the same kind."""
    # Through `from_pretrained`: the names of some weights (experts) differ between files and modules.
    stored = type(model).from_pretrained(folder, config=model.config, dtype=model.dtype, use_safetensors=True)
    model.load_state_dict(stored.state_dict())


def prepare_for_others(model: Any, encoder: TurnEncoder) -> None:
    """Prepare model and tokenizer for use without Publius."""
    tokenizer: Any = encoder.tokenizer
    # vLLM rejects a folder whose config has a quantization entry, even a null one.
    vars(model.config).pop("quantization_config", None)
    if encoder.is_base:  # training used this template, so inference has to use it as well
        tokenizer.chat_template = encoder.template
    if not model.can_generate():
        # transformers reads the score at the last token whose id is not the pad token's. If the pad token
        # were the end-of-turn token, it would read an earlier position than training and vLLM do.
        pad = _pad_token(encoder, model.get_input_embeddings().num_embeddings)
        model.config.pad_token_id = pad
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)


def _pad_token(encoder: TurnEncoder, vocabulary: int) -> int:
    """Return a pad token id that differs from the end-of-turn token; the tokenizer's own one, if possible."""
    tokenizer: Any = encoder.tokenizer
    end = encoder.end_of_turn[-1]
    if tokenizer.pad_token_id not in (None, end):
        return int(tokenizer.pad_token_id)
    special = {number: token for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    free = [number for number in sorted(special) if number != end and number < vocabulary]
    # Prefer tokens named "pad", and use the tokens that begin or end a sequence only if nothing else is free.
    used = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    free.sort(key=lambda number: (number in used, "pad" not in str(special[number]).lower()))
    if not free:
        raise EngineError(
            "no pad token: the tokenizer has no special token other than the end-of-turn token",
            accepted="a tokenizer with another special token",
        )
    return int(free[0])


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights, settings and tokenizer.

    The generation settings are copied by the caller, not saved here: transformers refuses to save settings
    that it considers invalid, and many published models have such settings.
    """
    transformers = require("transformers", _EXTRA)
    if model.can_generate():
        model.generation_config = transformers.GenerationConfig()
    model.save_pretrained(folder)
    (folder / GENERATION).unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)


def _settle(folder: Path) -> None:
    """Flush every file to disk and give it the mode of the umask; safetensors writes for the owner only."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.iterdir():
        path.chmod(mode)
        with path.open("rb") as file:
            os.fsync(file.fileno())
