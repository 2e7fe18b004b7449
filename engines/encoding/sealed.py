"""A tokenizer whose protected tokens no text can produce: only the chat template writes them.

Protected are special tokens, and the added tokens that the chat template writes, such as `<think>` or markers
of turns. Every other added token (runs of spaces, newlines, HTML tags) is how ordinary text is encoded.

A rendering of the template is encoded in one call, as `apply_chat_template` does, so that merges across the
borders of messages and the tokenizer's treatment of white space are the model's own. What keeps text harmless
is done before and after the template is rendered:

1. `seal` breaks each protected string in a message's content with secret marks. The template still sees the
   real content: it trims it, looks for strings in it, or splits it.
2. Protected strings that are whole in the rendering are then the template's own. `ids` replaces them by
   secret names, removes the marks, and encodes the text with a copy of the tokenizer that knows only these
   names.

Names and marks are random characters of Unicode's private use area. They differ in each process and have no
effect on token ids.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from core.errors import EngineError, RequestError
from engines.encoding.words import WordEncoder, encodes_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PRIVATE_USE = (0xE000, 0xF8FF)
_SECRET_CHARACTERS = 8
"""Characters of a secret, about 12.6 bits each."""
_MARKER = re.compile(r"[^\w\s▁](?=.*\w).+[^\w\s▁]", re.DOTALL)
"""Form of an added token that marks a structure: a name in brackets of some kind."""
_REWRITES = re.compile(
    r"\b(?:replace|join|lower|upper|title|capitalize|swapcase|casefold|translate|format|reverse)\b"
)
"""Operations of a template that may change letters or join parts of a message, and so complete a string."""


class SealedTokenizer:
    """Encodes renderings of a chat template; content that was sealed gives no protected token.

    Args:
        tokenizer: a tokenizer backed by the `tokenizers` library.
        template: source of the chat template.
        written: what the template writes around the messages of a conversation.
        name: the model's name, for error messages.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str, written: str, name: str) -> None:
        self._name = name
        description = _description(tokenizer)
        protected = _protected(tokenizer, description, template + written)
        self.tokens: dict[str, int] = {token["content"]: token["id"] for token in protected}
        """The protected strings with their token ids."""
        self.special: dict[str, bool] = {token["content"]: token["special"] for token in protected}
        """Whether each protected string is a special token; the others are markers of the template."""
        secret = _secret()
        names = {token: secret + chr(_PRIVATE_USE[0] + i) for i, token in enumerate(self.tokens)}
        self._shut, self._mark = _secret(), _secret()
        self._copy, self._original = _renamed_copy(description, names)
        self._names = names
        self._words = WordEncoder(self._copy) if encodes_words(description) else None
        self._counted = frozenset(self.tokens.values()) - {_unknown(description["model"], self.tokens)}
        whole = _any_of(self.tokens)
        self._whole = re.compile(whole)
        self._own = re.compile(f"(?<!{self._shut}){whole}")
        self._split = re.compile(f"(?<!{self._shut})({whole})")
        # A lookahead, since occurrences may overlap.
        first = _any_of({token[0] for token in self.tokens})
        self._starts = re.compile(f"(?={first if _REWRITES.search(template) else whole})(.)", re.DOTALL)
        self._heads = frozenset(token[:n] for token in self.tokens for n in range(1, len(token)))
        self._tails = frozenset(token[n:] for token in self.tokens for n in range(1, len(token)))
        self._longest = max(map(len, self.tokens), default=1)

    def seal(self, text: str, allowed: frozenset[str] = frozenset()) -> str:
        """Return the text of a message in a form from which no protected token can arise.

        Args:
            text: the message's content.
            allowed: protected strings that stay tokens wherever the text holds them.
        """
        if not allowed:
            return self._broken(text)
        parts, start = [], 0
        for found in self._whole.finditer(text):
            if found[0] in allowed:
                parts += [self._broken(text[start : found.start()]), found[0]]
                start = found.end()
        return "".join((*parts, self._broken(text[start:])))

    def ids(self, rendering: str) -> tuple[int, ...]:
        """Return the token ids of a rendering with sealed contents.

        Raises:
            RequestError: if the tokenizer makes a protected token of other text.
        """
        if self._words is not None:
            return self._ids_by_words(rendering, self._words)
        written: list[str] = []

        def name_of(found: re.Match[str]) -> str:
            written.append(found[0])
            return self._names[found[0]]

        text = self._own.sub(name_of, rendering).replace(self._mark, "").replace(self._shut, "")
        ids: list[int] = self._copy.encode(text, add_special_tokens=False).ids
        if self._original:
            ids = [self._original.get(token, token) for token in ids]
        expected = sum(self.tokens[token] in self._counted for token in written)
        if sum(map(self._counted.__contains__, ids)) != expected:
            raise self._not_plain()
        return tuple(ids)

    def _ids_by_words(self, rendering: str, words: WordEncoder) -> tuple[int, ...]:
        """Return the same as `ids`: the text between protected tokens is encoded on its own anyway."""
        # re.split alternates: other text, protected string, other text, ...
        parts = self._split.split(rendering)
        ids: list[int] = []
        for i, part in enumerate(parts):
            if i % 2:
                ids.append(self.tokens[part])
                continue
            text = part.replace(self._mark, "").replace(self._shut, "")
            found = words.ids(text) if text else []
            ids += found
            if not self._counted.isdisjoint(found):
                raise self._not_plain()
        return tuple(ids)

    def _not_plain(self) -> RequestError:
        return RequestError(f"the tokenizer of {self._name} turns plain text into a special token")

    def end_of_first_own(self, text: str) -> int | None:
        """Return where the first protected token of a rendering ends; None if there is none."""
        found = self._own.search(text)
        return found.end() if found else None

    def last_own(self, text: str) -> tuple[int, int] | None:
        """Return start and end of the last protected token of a rendering; None if there is none."""
        spans = [found.span() for found in self._own.finditer(text)]
        return spans[-1] if spans else None

    def found_in(self, text: str) -> list[str]:
        """Return the protected strings in a text, in order."""
        return self._whole.findall(text)

    def _broken(self, text: str) -> str:
        """Return a text with marks around the first character of each protected string, and at risky ends."""
        mark = self._mark
        # The mark in front is one of its own: the one at a message's end may precede a token of the template.
        text = self._starts.sub(lambda found: self._shut + found[1] + mark, text)
        # With the template's text beside it, or after white space is trimmed, an end could complete a token.
        bare = text.strip()
        sizes = range(1, min(self._longest, len(bare) + 1))
        if any(bare[-size:] in self._heads for size in sizes):
            end = len(text.rstrip())
            text = text[:end] + mark + text[end:]
        if any(bare[:size] in self._tails for size in sizes):
            start = len(text) - len(text.lstrip())
            text = text[:start] + mark + text[start:]
        return text


def _protected(
    tokenizer: PreTrainedTokenizerBase, description: dict[str, Any], written: str
) -> list[dict[str, Any]]:
    """Return the special tokens, and the markers among the added tokens that a template writes."""
    named = set(tokenizer.all_special_tokens)
    found = []
    for token in description["added_tokens"]:
        text = token["content"]
        special = token["special"] or text in named
        if text and (special or (_MARKER.fullmatch(text) and text in written)):
            found.append({**token, "special": special})
    return found


def require_fast(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise EngineError if the tokenizer is not one of the `tokenizers` library."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise EngineError(
            f"the tokenizer of {name} has no fast version",
            accepted="a model with a tokenizer.json",
        )


def _description(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the tokenizer as the `tokenizers` library describes it."""
    own: Any = tokenizer  # its type does not have all that a tokenizer of the `tokenizers` library has
    description: dict[str, Any] = json.loads(own.backend_tokenizer.to_str())
    # A rendering is complete, so nothing may be added to it, cut off or padded.
    description.update(post_processor=None, truncation=None, padding=None)
    return description


def _renamed_copy(description: dict[str, Any], names: dict[str, str]) -> tuple[Any, dict[int, int]]:
    """Return the tokenizer with other names for some tokens, and the original ids of ids that differ."""
    from tokenizers import Tokenizer

    model = dict(description["model"])
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): number for token, number in vocabulary.items()}
    else:
        model["vocab"] = [[names.get(token, token), *rest] for token, *rest in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if model.get("merges"):
        model["merges"] = [merge for merge in model["merges"] if not _touches(merge, names)]
    added = [
        {**token, "content": names.get(token["content"], token["content"])}
        for token in description["added_tokens"]
    ]
    copy: Any = Tokenizer.from_str(json.dumps({**description, "model": model, "added_tokens": added}))
    found = ((copy.token_to_id(token["content"]), token["id"]) for token in added)
    return copy, {mine: original for mine, original in found if mine != original}


def _unknown(model: dict[str, Any], tokens: dict[str, int]) -> int | None:
    """Return the only protected id that other text may give, that of characters the model does not know."""
    if isinstance(model["vocab"], list):
        number: int | None = model.get("unk_id")
        return number
    return tokens.get(model.get("unk_token") or "")


def _touches(merge: str | list[str], names: dict[str, str]) -> bool:
    """Return True if a merge makes or takes a token that is renamed."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names


def _secret() -> str:
    first, last = _PRIVATE_USE
    return "".join(chr(first + secrets.randbelow(last - first + 1)) for _ in range(_SECRET_CHARACTERS))


def _any_of(texts: Iterable[str]) -> str:
    """Return a pattern for any of the texts, the longest first; one that never matches if there is none.

    Common beginnings are merged: some models have a thousand special tokens, tried at each character.
    """
    tree: dict[str, Any] = {}
    for text in sorted(texts):
        node = tree
        for character in text:
            node = node.setdefault(character, {})
        node[""] = {}
    return _branches(tree) if tree else "(?!)"


def _branches(node: dict[str, Any]) -> str:
    parts = [re.escape(character) + _branches(rest) for character, rest in node.items() if character]
    return f"(?:{'|'.join(parts)})" + ("?" if "" in node else "") if parts else ""
