"""Files and groups of tests stay together in one worker process, and those that take longest begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scheduling import HEAVIEST, FilesAndGroups, heaviest_first

REPOSITORY = Path(__file__).parents[1]


def scope_of(nodeid: str) -> str:
    scheduler: Any = object.__new__(FilesAndGroups)
    return str(scheduler._split_scope(nodeid))


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/a/test_b.py::test_c", "tests/a/test_b.py"),
        ("tests/a/test_b.py::test_c[x@y::z]", "tests/a/test_b.py"),
        ("tests/a/test_b.py::test_c@vllm", "vllm"),
        ("tests/a/test_b.py::test_c[x@y::z]@gemma2, caps of 2", "gemma2, caps of 2"),
    ],
)
def test_a_group_is_a_unit_and_so_are_a_file_s_other_tests(nodeid: str, scope: str):
    assert scope_of(nodeid) == scope


def test_what_takes_longest_begins_and_the_rest_stays_in_order():
    class Item:
        def __init__(self, nodeid: str, group: str | None = None) -> None:
            self.nodeid, self._group = nodeid, group

        def get_closest_marker(self, name: str) -> Any:
            return pytest.mark.xdist_group(self._group).mark if self._group else None

    items: list[Any] = [
        Item("tests/test_b.py::test_one"),
        Item("tests/test_a.py::test_two"),
        Item(f"{HEAVIEST[-1]}::test_three"),
        Item("tests/test_c.py::test_four", HEAVIEST[0]),
    ]
    heaviest_first(items)
    assert [item.nodeid.rpartition("_")[2] for item in items] == ["four", "three", "one", "two"]


def test_names_of_the_heaviest_are_files_or_groups():
    assert [name for name in HEAVIEST if name != "vllm" and not (REPOSITORY / name).is_file()] == []
    assert len({*HEAVIEST}) == len(HEAVIEST)
