"""Content digests and the seeds derived from them.

Ids are content hashes: the same content has the same id in every run and on every machine, and an edit
changes only the ids of the content it affects.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ID_LENGTH = 16
"""Hexadecimal digits in a record id: 64 bits, a one-in-a-million chance of a collision in 6 million ids."""

_SEED_BITS = 53
"""Bits in a seed: a JSON reader in any language represents integers below 2**53 exactly."""

# `json.dumps` builds an encoder at each call, which takes as long as encoding the parts of an id.
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_json(value: object) -> str:
    """Return `value` as JSON with sorted keys and no spaces: equal values give equal text."""
    return _CANONICAL.encode(value)


def digest(*parts: object) -> str:
    """Return the SHA-256 of JSON-able parts as 64 hexadecimal digits; part boundaries count."""
    return hashlib.sha256(_bytes(canonical_json(parts))).hexdigest()


def record_id(*parts: object) -> str:
    """Return the first 16 hexadecimal digits of `digest(*parts)`: the id of a record."""
    return digest(*parts)[:ID_LENGTH]


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2**53) determined by the parts alone."""
    return int(digest("seed", *parts)[:16], 16) >> (64 - _SEED_BITS)


def derive_uniform(*parts: object) -> float:
    """Return a number in the open interval (0, 1) determined by the parts alone."""
    return _open_unit(digest("uniform", *parts))


def derive_uniforms(key: Sequence[object], parts: Iterable[object]) -> Iterator[float]:
    """Yield `derive_uniform(*key, part)` for each part; the key is encoded and hashed once."""
    begun = hashlib.sha256(_bytes(canonical_json(("uniform", *key))[:-1] + ","))
    for part in parts:
        whole = begun.copy()
        whole.update(_bytes(canonical_json(part) + "]"))
        yield _open_unit(whole.hexdigest())


def _open_unit(hexadecimal: str) -> float:
    """Return the number in (0, 1) that the first 16 digits of a digest determine."""
    bits = _SEED_BITS - 1  # one fewer than a float holds, so adding 0.5 below is exact
    return math.ldexp((int(hexadecimal[:16], 16) >> (64 - bits)) + 0.5, -bits)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
