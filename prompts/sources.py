"""Prompts of a run: their splits, and which are admitted: duplicates, near-duplicates and the limit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from core.digests import derive_uniform, digest
from core.records import Message, Prompt, Split
from core.store.near_duplicates import GramCounts, Match, NearDuplicates
from core.store.seen_ids import SeenIds

BEYOND_LIMIT = "beyond prompts.limit"
"""Reason for skipping a prompt that the user asked to skip."""
Duplicates = Literal["exact", "normalised", "near", "keep"]
"""Prompts to skip: with the same messages and tags as an earlier one; also those that differ only in case,
spacing and punctuation; also near-duplicates; none with `keep`."""
Html = Literal["keep", "text"]
"""What becomes of HTML in texts that are read: it stays, or is read as the text that a browser shows."""
ToolTurns = Literal["skip", "drop"]
"""What becomes of a conversation with calls of tools: it is skipped, or loses the turns of tools."""
Quotes = Literal["keep", "drop"]
"""What becomes of quoted mail and signatures at the end of texts that are read."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILE_ENDINGS = {
    ".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".gz", ".yaml", ".yml", ".xlsx", ".zip"
}  # fmt: skip
_OTHER_SPLIT = "near-duplicate of a prompt in another split"
_SHOWN_TEXT = 80
"""Letters of a prompt's text in the detail of a near-duplicate."""
_SPLITS: tuple[Split, ...] = ("train", "preference", "test")


def assign_split(prompt: Prompt, shares: Mapping[Split, float]) -> Prompt:
    """Return the prompt with a split: its own if it has one, else by the hash of its normalised text.

    Prompts that differ only in case, spacing or punctuation get the same split, to prevent leakage from
    training into the test split.

    Args:
        prompt: the prompt.
        shares: share of prompts by split; the shares sum to 1.
    """
    if prompt.split is not None:
        return prompt
    point = derive_uniform("split", normalised(prompt.messages))
    bound = 0.0
    for split in _SPLITS:
        bound += shares.get(split, 0.0)
        if point < bound:
            return prompt.model_copy(update={"split": split})
    return prompt.model_copy(update={"split": max(shares, key=lambda split: shares[split])})


@dataclass(frozen=True, slots=True)
class Admission:
    """A prompt with its split, and the reason if a run skips it."""

    prompt: Prompt
    reason: str = ""
    """Reason why the prompt is skipped; empty if the run uses it."""
    detail: str = ""
    near: bool = False
    """True if the run uses the prompt, which nearly repeats an earlier one that it uses."""
    same_words: bool = False
    """True if `near`, and the words are those of the earlier one: other tags, case or punctuation."""
    is_similar: bool = False
    """True if the run skips the prompt because it nearly repeats one; the detail then has both texts."""


class PromptIdentities:
    """Ids of a data set's prompts, one after another: the same text with other tags is another prompt.

    Args:
        duplicates: with `keep`, the same text with the same tags is one, too.
    """

    def __init__(self, duplicates: Duplicates) -> None:
        self._keeps = duplicates == "keep"
        self._cases, self._texts = SeenIds(), SeenIds()

    def identify(self, prompt: Prompt, place: str) -> tuple[Prompt, str]:
        """Return the prompt with its id in the run, and the place of the row that it repeats; "" if none."""
        case = digest(prompt.id, sorted(set(prompt.tags)))
        if not self._cases.add(case, place) and not self._keeps:
            return prompt, self._cases.place_of(case)
        return prompt.repeated(self._texts.times(prompt.id)), ""

    def close(self) -> None:
        """Delete what is remembered of the prompts."""
        self._cases.close()
        self._texts.close()


class Admissions:
    """Decides one prompt after another. Memory does not grow with their number.

    A near-duplicate of an admitted prompt has that prompt's split, so nothing that was trained on is nearly
    repeated in the test split. If it has another split of its own, and one of both is `test`, it is skipped.

    Args:
        shares: share of prompts by split, as in `assign_split`.
        counts: grams of all prompts, from `compared_text`.
        limit: maximum number of prompts outside the test split; None for all.
        duplicates: prompts to skip besides exact duplicates.
    """

    def __init__(
        self,
        shares: Mapping[Split, float],
        counts: GramCounts,
        limit: int | None = None,
        duplicates: Duplicates = "exact",
    ) -> None:
        self._shares = shares
        self._limit = limit
        self._skips = duplicates
        self._training = 0
        self._ids = PromptIdentities(duplicates)
        self._near = NearDuplicates(counts)

    def decide(self, prompt: Prompt, place: str) -> Admission:
        """Return whether the run uses a prompt.

        Args:
            prompt: the next prompt of the file.
            place: place of its row, such as `prompts.jsonl:3`, for the detail of a duplicate.
        """
        prompt, first = self._ids.identify(prompt, place)
        if first:
            return Admission(
                assign_split(prompt, self._shares), "duplicate prompt", f"{place} repeats {first}"
            )
        decided: list[Admission] = []

        def admit(match: Match | None) -> str | None:
            decided.append(self._decided(prompt, match, place))
            return None if decided[0].reason else _Earlier.of(decided[0].prompt, place).payload()

        self._near.find_or_add(compared_text(prompt), normalised(prompt.messages), admit)
        return decided[0]

    def _decided(self, prompt: Prompt, match: Match | None, place: str) -> Admission:
        """Return the decision about a prompt that is no exact duplicate, given those it nearly repeats.

        A conversation does not repeat one with fewer or more turns: they share the split, and both are used.
        """
        earlier = [] if match is None else [_Earlier.read(payload) for payload in match.payloads]
        near = {entry.split: entry for entry in reversed(earlier)}
        if near and prompt.split is None:
            prompt = prompt.model_copy(update={"split": min(near)})
        prompt = assign_split(prompt, self._shares)
        if match is not None:
            if match.same_words and self._skips in ("normalised", "near"):
                detail = f"{place} repeats {earlier[0].place}"
                return Admission(prompt, "same words as an earlier prompt", detail)
            same_turns = [entry for entry in earlier if entry.turns == _turns(prompt)]
            if self._skips == "near" and same_turns:
                detail = _resembles(prompt, place, same_turns[0])
                return Admission(prompt, "near-duplicate of an earlier prompt", detail, is_similar=True)
            if len(splits := {str(prompt.split), *near}) > 1 and "test" in splits:
                other = next(entry for entry in earlier if entry.split != prompt.split)
                detail = _resembles(prompt, place, other)
                return Admission(prompt, _OTHER_SPLIT, detail, is_similar=True)
        if prompt.split != "test":
            if self._limit is not None and self._training >= self._limit:
                return Admission(prompt, BEYOND_LIMIT)
            self._training += 1
        return Admission(prompt, near=match is not None, same_words=match is not None and match.same_words)

    def close(self) -> None:
        """Delete what is remembered of the prompts."""
        self._ids.close()
        self._near.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Earlier(NamedTuple):
    """A prompt that a run uses, as it is remembered for those that nearly repeat it."""

    split: str
    turns: int
    text: str
    """Its text, shortened."""
    place: str

    @classmethod
    def of(cls, prompt: Prompt, place: str) -> Self:
        return cls(str(prompt.split), _turns(prompt), _shown(prompt), place)

    @classmethod
    def read(cls, payload: str) -> Self:
        """Return what `payload` wrote."""
        kind, _, rest = payload.partition(" ")
        split, _, turns = kind.partition(":")
        text, _, place = rest.partition("\n")
        return cls(split, int(turns), text, place)

    def payload(self) -> str:
        """Return it as text whose first word, the kind, is its split and its number of turns."""
        return f"{self.split}:{self.turns} {self.text}\n{self.place}"


def _turns(prompt: Prompt) -> int:
    return sum(message.role != "system" for message in prompt.messages)


def _shown(prompt: Prompt) -> str:
    """Return the compared text on one line; of a longer one, its beginning and its end."""
    text = " ".join(compared_text(prompt).split())
    half = _SHOWN_TEXT // 2
    return text if len(text) <= _SHOWN_TEXT else f"{text[:half].rstrip()} ... {text[-half:].lstrip()}"


def _resembles(prompt: Prompt, place: str, earlier: _Earlier) -> str:
    return f'{place} nearly repeats {earlier.place}: "{_shown(prompt)}", "{earlier.text}"'


def may_be_on_hub(path: Path) -> bool:
    """Return True if a missing path may be a Hugging Face id: `owner/name` without a file's ending."""
    return bool(_HUB_ID.fullmatch(str(path))) and path.suffix.lower() not in _FILE_ENDINGS


def compared_text(prompt: Prompt) -> str:
    """Return the text by which near-duplicates are found: all turns without the system message."""
    return "\n".join(message.content for message in prompt.messages if message.role != "system")


def normalised(messages: Sequence[Message]) -> str:
    """Return the words of all messages, case-folded, with single spaces and no punctuation."""
    text = "\n".join(message.content for message in messages)
    return " ".join(re.findall(r"\w+", text.casefold()))
