"""Token ids of a text by its words, for tokenizers that encode words independently of each other.

A labeler's requests repeat the same words: question and answers are judged under several principles in both
orders. Byte-level tokenizers first split a text by a regular expression and encode each part on its own.
Where that expression always splits before a space that follows another character, so may we.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_CUT = re.compile(r"(?<=\S)(?= )")
_STORED_WORDS = 1 << 17
_LONGEST = 64
"""Characters of the longest word that is stored."""
_SAMPLES = "aZ7_.'\"-<(#é日\n\t\u00a0\U0001f600"
"""One character of each kind that pre-tokenizers tell apart."""


class WordEncoder:
    """Encodes texts word by word, with the ids of the tokenizer itself.

    Args:
        tokenizer: a tokenizer of the `tokenizers` library for which `encodes_words` is true.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text between special tokens."""
        known, ids = self._known, []
        for word in _CUT.split(text):
            found = known.get(word)
            ids += self._encoded(word) if found is None else found
        return ids

    def _encoded(self, word: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        if len(word) <= _LONGEST:
            if len(self._known) >= _STORED_WORDS:
                self._known.clear()
            self._known[word] = ids
        return ids


def encodes_words(description: dict[str, Any]) -> bool:
    """Return True if a tokenizer encodes the words of a text independently.

    Args:
        description: the tokenizer as the `tokenizers` library describes it.
    """
    model, added = description["model"], description["added_tokens"]
    if model["type"] != "BPE" or model.get("dropout"):
        return False
    if any(token["lstrip"] or token["rstrip"] or token["single_word"] for token in added):
        return False
    if any(_CUT.search(token["content"]) for token in added):
        return False
    return _splits_words(json.dumps([description["normalizer"], description["pre_tokenizer"]]))


@lru_cache(maxsize=64)
def _splits_words(parts: str) -> bool:
    """Return True if a normaliser and a pre-tokenizer treat the words of a text independently."""
    from tokenizers import Tokenizer, models

    normalizer, pre_tokenizer = json.loads(parts)
    if normalizer is not None and normalizer["type"] not in ("NFC", "NFD"):
        return False
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer])
    # Others, such as Metaspace, leave words together or treat the beginning of a text differently.
    if any(step is None or step["type"] not in ("ByteLevel", "Digits", "Split") for step in steps):
        return False
    if steps[-1]["type"] != "ByteLevel" or any(step.get("add_prefix_space") for step in steps):
        return False
    own = Tokenizer(models.BPE())
    description = json.loads(own.to_str())
    own = Tokenizer.from_str(json.dumps({**description, "pre_tokenizer": pre_tokenizer}))
    splitter: Any = own.pre_tokenizer

    def split(text: str) -> list[str]:
        return [part for part, _ in splitter.pre_tokenize_str(text)]

    befores = [text for text in (*_SAMPLES, "a'", "'s", "..", "a1", "\n\n.", " a") if not text[-1].isspace()]
    afters = [f" {text}" for text in (*_SAMPLES, "", " ", "  a", " \n", "a ", "\n\n", "'s", "11")]
    left, right = ({text: split(text) for text in texts} for texts in (befores, afters))
    return all(split(one + two) == left[one] + right[two] for one in befores for two in afters)
