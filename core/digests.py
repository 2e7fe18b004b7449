"""Content digests and the seeds derived from them.

Ids are content hashes, so that the same work gets the same id in every run, on every machine, and an edit
changes exactly the ids of what it touched.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

ID_LENGTH = 16
"""Hexadecimal digits in a record id: 64 bits, a one-in-a-million chance of any clash in 6 million records."""

_SEED_BITS = 53
"""Seeds stay below 2**53 so that a JSON reader in any language keeps them exact."""


def canonical_json(value: object) -> str:
    """Return `value` as JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def digest(*parts: object) -> str:
    """Return the SHA-256 of JSON-able parts as 64 hexadecimal digits; part boundaries count."""
    return hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).hexdigest()


def record_id(*parts: object) -> str:
    """Return the first 16 hexadecimal digits of `digest(*parts)`: the id of a record."""
    return digest(*parts)[:ID_LENGTH]


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2**53) that depends on nothing but the parts."""
    return int(digest("seed", *parts)[:16], 16) >> (64 - _SEED_BITS)


def derive_uniform(*parts: object) -> float:
    """Return a number in the open interval (0, 1) that depends on nothing but the parts."""
    bits = _SEED_BITS - 1  # one fewer than a float holds, so that the half below is exact
    unit = (int(digest("uniform", *parts)[:16], 16) >> (64 - bits)) + 0.5
    return math.ldexp(unit, -bits)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
