"""A byte-level BPE tokenizer as the metadata of a GGUF file.

llama.cpp splits text before BPE by rules of its own, which a name in the file chooses. The name is told here
from the tokenizer's own rules, and a tokenizer with other rules is refused: with the wrong ones, the model
would see other tokens without any error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import EngineError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_PATTERNS = {
    rf"{_CONTRACTIONS}|{_LETTERS}|\p{{N}}|{_REST}": "qwen2",
    rf"{_CONTRACTIONS}|{_LETTERS}|\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
}
"""llama.cpp's names of the patterns that split text."""
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
"""llama.cpp's types of tokens."""


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file holds about a tokenizer."""

    pre: str
    """llama.cpp's name of the rules that split text before BPE."""
    tokens: list[str]
    """The token of each id, in the alphabet of byte-level BPE."""
    types: list[int]
    merges: list[str]
    """Pairs that are merged, in order, with a space between them."""


def vocabulary_of(tokenizer: PreTrainedTokenizerBase, size: int, name: str) -> Vocabulary:
    """Return a tokenizer's vocabulary.

    Args:
        tokenizer: a tokenizer backed by the `tokenizers` library.
        size: number of rows of the model's embedding; ids without a token are marked as unused.
        name: the model's name, for messages.

    Raises:
        EngineError: if the tokenizer is not byte-level BPE, or splits text by rules that are not known.
    """
    backend: Any = tokenizer
    state = json.loads(backend.backend_tokenizer.to_str())
    model = state["model"]
    pre = _splitting(state.get("pre_tokenizer") or {})
    if model["type"] != "BPE" or model.get("byte_fallback") or pre is None:
        raise EngineError(
            f"{name} has a tokenizer that this export does not know",
            where="--gguf",
            accepted="byte-level BPE as in Llama 3, Qwen 2, Qwen 3 or SmolLM; or llama.cpp's own converter",
            run="python convert_hf_to_gguf.py MODEL_DIR --outtype q8_0",
        )
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [_UNUSED] * size
    for token, number in model["vocab"].items():
        tokens[number], types[number] = token, _NORMAL
    for added in state["added_tokens"]:
        number = added["id"]
        tokens[number], types[number] = added["content"], _CONTROL if added["special"] else _USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return Vocabulary(pre, tokens, types, merges)


def _splitting(rules: dict[str, Any]) -> str | None:
    """Return llama.cpp's name of the rules that split text; None if there is none."""
    steps = rules["pretokenizers"] if rules.get("type") == "Sequence" else [rules]
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and steps[0].get("behavior") == "Isolated":
        return _PATTERNS.get(steps[0]["pattern"].get("Regex", ""))
    return None
