"""Shards: parts of a run that separate processes or machines do, each in a run folder of its own.

A shard has the prompts whose id has its remainder, so K shards are the run, whatever the order of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

from core.errors import ConfigError
from core.records import Prompt

SHARD = "shard"
"""Key of the shard in the manifest of its folder."""
_FORM = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Shard:
    """One of several parts of a run."""

    number: int
    """From 1 to `count`."""
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def suffix(self) -> str:
        """What the name of a shard's folder has after that of the run, such as `.shard-3-of-8`."""
        return f".shard-{self.number}-of-{self.count}"

    def has(self, prompt_id: str) -> bool:
        """Return True if a prompt is in this shard."""
        return crc32(prompt_id.encode()) % self.count == self.number - 1

    def select(self, prompts: Iterable[Prompt]) -> Iterator[Prompt]:
        """Yield the prompts of this shard."""
        return (prompt for prompt in prompts if self.has(prompt.id))


def parse_shard(text: str) -> Shard:
    """Return the shard that `k/K` names. Raises ConfigError if it names none."""
    found = _FORM.fullmatch(text.strip())
    shard = Shard(int(found[1]), int(found[2])) if found else None
    if shard is None or not 1 <= shard.number <= shard.count:
        raise ConfigError(f"found {text!r}", where="--shard", accepted="k/K with k from 1 to K, such as 3/8")
    return shard
