"""Near duplicates in a stream of texts, found with bounded memory by MinHash and locality-sensitive hashing.

`similarity.near_duplicates` compares sentences that fit in memory. Here the texts may be millions: what is
remembered of them is in a temporary SQLite file.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from core.store.files import sqlite_errors
from core.text.similarity import words_of

NEAR_DUPLICATE = 0.8
"""Jaccard similarity from which two texts are near-duplicates, as in Lee et al. 2022, arXiv 2107.06499."""

_N = 4
"""Letters in a gram."""
_BANDS, _ROWS = 10, 4
"""At similarity 0.8, two texts share one of 10 bands of 4 MinHash values with probability 0.995."""
_FEWEST = 8
"""Texts with fewer grams of their own are not compared: one word decides their similarity."""
_COMMON, _COMMON_SHARE = 10, 0.05
"""A gram is boilerplate, such as the words of a template, if more than 10 texts and 5 % of all have it."""
_BUCKETS = 1 << 22
"""Counters of grams. Two grams that share one are counted together; 4 million hold a book's grams apart."""
_CANDIDATES = 32
_CHUNK = 4096
_REMEDY = "a writable folder for temporary files (TMPDIR)"
_SCHEMA = """
PRAGMA cache_size = -4096;
PRAGMA journal_mode = OFF;
CREATE TABLE words (key BLOB PRIMARY KEY, payload TEXT) WITHOUT ROWID;
CREATE TABLE texts (number INTEGER PRIMARY KEY, payload TEXT, grams BLOB);
CREATE TABLE bands (key INTEGER, number INTEGER, PRIMARY KEY (key, number)) WITHOUT ROWID;
BEGIN;
"""

_SAME = "SELECT payload FROM words WHERE key = ?"

Grams = npt.NDArray[np.uint32]
"""Sorted hashes of a text's letter grams, each once."""

_random = np.random.default_rng(20220710)
_FACTORS = _random.integers(1, 2**63, _BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)
_OFFSETS = _random.integers(0, 2**63, _BANDS * _ROWS, dtype=np.uint64)
_BAND_FACTORS = _random.integers(1, 2**63, _ROWS, dtype=np.uint64) | np.uint64(1)
_GRAM_FACTORS = _random.integers(1, 2**63, _N, dtype=np.uint64) | np.uint64(1)


def grams_of(text: str) -> Grams:
    """Return the grams of a text. Case, spacing and punctuation are ignored."""
    plain = f" {' '.join(words_of(text))} ".ljust(_N)
    letters = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = len(letters) - _N + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_GRAM_FACTORS):
        hashes += letters[place : place + count] * factor
    hashes ^= hashes >> np.uint64(31)
    return np.unique((hashes * _GRAM_FACTORS[0] >> np.uint64(32)).astype(np.uint32))


class GramCounts:
    """How many texts have each gram, in 16 MB whatever the number of texts."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, dtype=np.uint32)
        self._texts = 0

    def add(self, text: str) -> None:
        """Count the grams of one text."""
        self._texts += 1
        self._counts[np.unique(grams_of(text) % _BUCKETS)] += 1

    def own(self, text: str) -> Grams:
        """Return the grams of a text without boilerplate, which many of the counted texts have."""
        grams = grams_of(text)
        most = max(_COMMON, _COMMON_SHARE * self._texts)
        return grams[self._counts[grams % _BUCKETS] <= most]

    def is_distinctive(self, text: str) -> bool:
        """Return True if a text has enough grams of its own to be compared with others."""
        return len(self.own(text)) >= _FEWEST


class Match(NamedTuple):
    """The earlier texts that a text repeats or nearly repeats."""

    payloads: tuple[str, ...]
    """Payloads of the earlier texts, the oldest of each kind; one with the same words comes first."""
    same_words: bool
    """True if one of them has the same words, False if they are only similar."""


class NearDuplicates:
    """Texts seen so far, each with a payload, for the question which of them a new text nearly repeats.

    Args:
        counts: the grams of all texts that will be asked about.
        threshold: Jaccard similarity of near-duplicates.
    """

    def __init__(self, counts: GramCounts, threshold: float = NEAR_DUPLICATE) -> None:
        self._counts = counts
        self._threshold = threshold
        self._count = 0
        self._errors = sqlite_errors(Path("temporary database"), _REMEDY)
        with self._errors:
            self._connection = sqlite3.connect("", isolation_level=None)  # "" is a temporary file
            self._connection.executescript(_SCHEMA)

    def find_or_add(
        self, text: str, words: str, payload: Callable[[Match | None], str | None]
    ) -> Match | None:
        """Return the match of a text with the texts remembered so far, and remember it.

        Args:
            text: the text to compare by its grams.
            words: a form of the text that is the same for texts with the same words; empty to compare none.
            payload: returns what to store with the text, given the match; None to remember nothing. Its first
                word is its kind; of several similar texts of a kind, the match has the oldest.

        Raises:
            RunStateError: The disk is full, or the folder for temporary files is not writable.
        """
        grams = self._counts.own(text)
        keys = _keys(grams) if len(grams) >= _FEWEST else []
        key = hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._errors:
            same = self._same(key) if words else ()
            found = self._similar(grams, keys, same)
            match = Match(found, bool(same)) if found else None
            stored = payload(match)
            if stored is not None:
                if words:
                    self._connection.execute("INSERT OR IGNORE INTO words VALUES (?, ?)", (key, stored))
                if keys and not same:  # also if similar: a later text may be similar to this one alone
                    self._add(grams, keys, stored)
        return match

    def _same(self, key: bytes) -> tuple[str, ...]:
        return tuple(row[0] for row in self._connection.execute(_SAME, (key,)))

    def _similar(self, grams: Grams, keys: list[int], known: tuple[str, ...]) -> tuple[str, ...]:
        """Return the payloads of similar texts behind those that are known, whose kinds are not compared."""
        found = {_kind(payload): payload for payload in known}
        for payload, stored in self._candidates(keys) if keys else ():
            kind = _kind(payload)
            if kind not in found and _jaccard(grams, _unpacked(stored)) >= self._threshold:
                found[kind] = payload
        return tuple(found.values())

    def _add(self, grams: Grams, keys: list[int], payload: str) -> None:
        self._count += 1
        self._connection.execute(
            "INSERT INTO texts VALUES (?, ?, ?)", (self._count, payload, grams.tobytes())
        )
        self._connection.executemany(
            "INSERT OR IGNORE INTO bands VALUES (?, ?)", ((key, self._count) for key in keys)
        )

    def _candidates(self, keys: list[int]) -> Iterator[tuple[str, bytes]]:
        """Return payload and grams of the texts that share a band, the oldest first, at most 32."""
        marks = ", ".join("?" * len(keys))
        found: Iterator[tuple[str, bytes]] = self._connection.execute(
            "SELECT payload, grams FROM texts WHERE number IN "
            f"(SELECT number FROM bands WHERE key IN ({marks})) ORDER BY number LIMIT ?",
            (*keys, _CANDIDATES),
        )
        return found

    def close(self) -> None:
        """Delete the texts."""
        with self._errors:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _keys(grams: Grams) -> list[int]:
    """Return the hash of each band of the MinHash signature, as signed integers of 64 bits for SQLite."""
    least = np.full(_BANDS * _ROWS, np.iinfo(np.uint64).max, dtype=np.uint64)
    for start in range(0, len(grams), _CHUNK):
        hashes = grams[start : start + _CHUNK, None].astype(np.uint64) * _FACTORS + _OFFSETS
        hashes ^= hashes >> np.uint64(32)
        least = np.minimum(least, hashes.min(axis=0))
    bands = least.reshape(_BANDS, _ROWS) * _BAND_FACTORS
    keys = bands.sum(axis=1, dtype=np.uint64) + np.arange(_BANDS, dtype=np.uint64)
    return [int(key) for key in keys.view(np.int64)]


def _kind(payload: str) -> str:
    return payload.partition(" ")[0]


def _unpacked(stored: bytes) -> Grams:
    return np.frombuffer(stored, dtype=np.uint32)


def _jaccard(one: Grams, two: Grams) -> float:
    shared = len(np.intersect1d(one, two, assume_unique=True))
    return shared / (len(one) + len(two) - shared)
