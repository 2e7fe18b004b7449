"""In which order prompts are asked by the methods that learn from rewards."""

from __future__ import annotations

from functools import lru_cache

from core.digests import derive_seed
from core.lazy import require


def prompt_at(seed: int, place: int, count: int) -> int:
    """Return the number of the prompt at a place of the endless sequence: all prompts, shuffled each time."""
    return _shuffled(seed, place // count, count)[place % count]


@lru_cache(maxsize=2)
def _shuffled(seed: int, turn: int, count: int) -> tuple[int, ...]:
    torch = require("torch", "train")
    generator = torch.Generator().manual_seed(derive_seed(seed, "prompts", turn))
    return tuple(torch.randperm(count, generator=generator).tolist())
