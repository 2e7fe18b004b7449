"""Vectors are found again, and the first of a key wins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import RunStateError
from core.store.vectors import VectorStore


def vector(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_vectors_survive_the_process_and_the_first_wins(tmp_path: Path):
    path = tmp_path / "deep" / "states.sqlite"
    with VectorStore(path) as store:
        store.put({"a": vector(1, 2), "b": vector(3)})
        store.put({"a": vector(9, 9)})
    with VectorStore(path) as store:
        found = store.get(["a", "b", "c"])
    assert {key: value.tolist() for key, value in found.items()} == {"a": [1, 2], "b": [3]}


def test_more_keys_than_one_statement_takes(tmp_path: Path):
    with VectorStore(tmp_path / "states.sqlite") as store:
        store.put({str(n): vector(n) for n in range(1200)})
        assert len(store.get([str(n) for n in range(2000)])) == 1200


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    path = tmp_path / "states.sqlite"
    path.write_text("no database" * 100)
    with pytest.raises(RunStateError, match=r"states\.sqlite: the file is damaged"):
        VectorStore(path)
