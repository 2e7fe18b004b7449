"""`publius export --model METHOD --gguf TYPE`: a trained model as one file for llama.cpp and Ollama."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError
from core.store.files import os_errors, whole_folder
from engines.config import ModelConfig
from engines.gguf.writer import GGUFType, write_gguf
from engines.loading import load_tokenizer, locate
from engines.reward_settings import FILE as REWARD_SETTINGS
from engines.tokenization import TurnEncoder
from publius.config.card_terms import NO_TERMS, CardTerms
from publius.models.export import export_model

MODELFILE = "Modelfile"
_CARD = "README.md"
_CHATML_TEMPLATE = """TEMPLATE \"\"\"{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
\"\"\"
"""


@dataclass(frozen=True)
class ExportedGGUF:
    """The folder of an exported GGUF file."""

    folder: Path
    file: Path

    def as_json(self) -> dict[str, str]:
        """Return the result as JSON-able values."""
        return {"folder": str(self.folder), "file": str(self.file)}


def export_gguf(
    folder: Path,
    method: str,
    to: Path,
    kind: GGUFType,
    *,
    base: str | None = None,
    force: bool = False,
    terms: CardTerms = NO_TERMS,
) -> ExportedGGUF:
    """Write a trained model as a GGUF file, with a Modelfile for Ollama and its card.

    Args:
        folder: as `export_model` takes it.
        method: the training method, or `steered`.
        to: a new or empty folder.
        kind: type of the matrices.
        base: Hugging Face id of the base model, for the card.
        force: True to export a model whose run failed a gate.
        terms: the licence and the languages that the card states.

    Raises:
        ConfigError: if the model is a reward model, or as `export_model` raises it.
        EngineError: if the model's architecture or tokenizer is not known, or the adapter cannot be merged.
        RunStateError: if the run failed a gate or has no such model, the target is not empty, or the disk is
            too small.
    """
    if method == "reward" or (folder / REWARD_SETTINGS).is_file():
        raise ConfigError(
            "a reward model cannot be a GGUF file", where="--gguf", accepted="--model reward without --gguf"
        )
    with whole_folder(to) as staging:
        merged = staging / "merged"
        export_model(folder, method, merged, base=base, force=force, terms=terms)
        files = locate(ModelConfig(id=str(merged)))
        tokenizer = load_tokenizer(files)
        name = f"{folder.resolve().name}-{method}"
        file = staging / f"{name}-{kind.upper()}.gguf"
        write_gguf(merged, tokenizer, file, kind, name)
        text = modelfile(file.name, TurnEncoder(tokenizer, {}, name))
        (staging / MODELFILE).write_text(text, encoding="utf-8")
        with os_errors(staging):
            (merged / _CARD).rename(staging / _CARD)
            shutil.rmtree(merged)
    return ExportedGGUF(to, to / file.name)


def modelfile(file: str, encoder: TurnEncoder) -> str:
    """Return a Modelfile for Ollama: the file, the chat format where it is ChatML, and the end of a turn.

    Ollama knows the formats of common models by the template in the file itself.

    Args:
        file: name of the GGUF file in the same folder.
        encoder: the encoder of the model's conversations.
    """
    end = str(encoder.tokenizer.decode(list(encoder.end_of_turn))).strip()
    is_chatml = encoder.is_base or "<|im_start|>" in encoder.template
    template = _CHATML_TEMPLATE if is_chatml else ""
    return f'FROM ./{file}\n{template}PARAMETER stop "{end}"\n'
