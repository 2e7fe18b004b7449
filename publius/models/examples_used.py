"""What a training learned from: how many of its examples it used, and the prompts of them.

Few examples teach little, and answers to the prompts of the training say little about others. Both are said
wherever a result is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.digests import record_id
from core.notices import counted
from core.records import Message
from core.store.files import is_there, os_errors, write_atomic
from prompts.sources import normalised
from publius.runs.manifest import MANIFEST
from publius.runs.reader import RunReader
from training.methods import ON_POLICY_METHODS

TRAINED_PROMPTS = "prompts.txt"
"""File with a digest of each prompt of a training on a data set, one a line."""
_FEW = 0.5
"""Share of the examples below which a training is said to have used few of them."""
_FEWEST = 5
"""Number of examples below which a training is said to have few, whatever their share."""
_MANY_LOST = 3
"""Examples that were left out for each that was not, from which on a training is said to have few."""


@dataclass(frozen=True)
class UsedExamples:
    """The examples of a training by what became of them."""

    method: str
    used: int
    held_out: int = 0
    """Number of examples held out for evaluation."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Number of excluded examples by reason."""

    @property
    def total(self) -> int:
        """Number of all examples."""
        return self.used + self.held_out + sum(self.excluded.values())

    @property
    def line(self) -> str:
        """The examples in words, such as `1 of 8 pairs`."""
        if self.used + self.held_out == self.total:
            return counted(self.used, self._noun)
        return f"{self.used:,} of {counted(self.total, self._noun)}"

    @property
    def warning(self) -> str | None:
        """What is said where most examples were excluded, with the most frequent reason; None elsewhere."""
        reasons = self.excluded
        if not reasons or self.used + self.held_out >= _FEW * self.total:
            return None
        reason = max(reasons, key=lambda name: reasons[name])
        often = f"{sum(reasons.values()):,} excluded, {reasons[reason]:,} of them because: {reason}"
        return f"learned from only {self.line} ({often})"

    @property
    def _noun(self) -> str:
        if self.method in ("dpo", "reward"):
            return "pair"
        return "prompt" if self.method in ON_POLICY_METHODS else "answer"


def few_examples(method: str, examples: int, excluded: Mapping[str, int]) -> str | None:
    """Return that a training has few examples, and what became of the others; None if enough, or none.

    Args:
        method: the method, such as `dpo`.
        examples: number of its examples.
        excluded: number of those that were left out before, by reason.
    """
    lost = sum(excluded.values())
    if not examples or (examples >= _FEWEST and lost < _MANY_LOST * examples):
        return None
    said = f"{UsedExamples(method, examples).line} only"
    if len(excluded) < 2:
        return f"{said} ({lost:,} left out: {next(iter(excluded))})" if excluded else said
    reasons = ", ".join(f"{count:,} as {reason}" for reason, count in excluded.items())
    return f"{said} ({lost:,} left out: {reasons})"


def write_trained_prompts(folder: Path, prompts: Iterable[Sequence[Message]]) -> None:
    """Record the prompts that a training on a data set learned from, as digests of their normalised words."""
    path = folder / TRAINED_PROMPTS
    text = "".join(f"{key}\n" for key in sorted(_keys(prompts)))
    with os_errors(path):
        if not is_there(path) or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text)


def trained_prompts(training: Path) -> frozenset[str] | None:
    """Return the digests of the prompts that a training could learn from; None if nothing records them.

    In a run, they are those of all prompts that are not held out. A prompt with a system message has a second
    digest, without it, by which the same question is found that is asked without one.

    Args:
        training: the folder of a training on a data set, or of a method in a run.
    """
    folder = training.resolve()
    recorded = folder / TRAINED_PROMPTS
    if is_there(recorded):
        with os_errors(recorded):
            return frozenset(recorded.read_text(encoding="utf-8").split())
    if not is_there(folder.parent / MANIFEST):
        return None
    with RunReader(folder.parent) as run:
        return frozenset(_keys(prompt.messages for prompt in run.prompts if prompt.split != "test"))


def _keys(prompts: Iterable[Sequence[Message]]) -> set[str]:
    """Return the digests of prompts, each with its system message and without it."""
    return {key for messages in prompts for key in (prompt_key(messages), key_without_system(messages))}


def key_without_system(messages: Sequence[Message]) -> str:
    """Return the digest of a prompt's words without its system message."""
    return prompt_key([one for one in messages if one.role != "system"])


def prompt_key(messages: Sequence[Message]) -> str:
    """Return the digest of a prompt's words, 16 hexadecimal digits: case and punctuation do not count."""
    return record_id("trained prompt", normalised(messages))
