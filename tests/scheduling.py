"""Which worker process runs which tests, and in which order; see the hooks in `conftest.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.scheduler import LoadGroupScheduling

HEAVIEST = Path(__file__).with_name("heaviest.txt").read_text(encoding="utf-8").split()
"""Files and groups of tests that take longest, the longest first."""


class FilesAndGroups(LoadGroupScheduling):
    """Gives each group to one worker, and each file's other tests: they share what its fixtures make."""

    def _split_scope(self, nodeid: str) -> str:
        group: str = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if group == nodeid else group


def heaviest_first(items: list[pytest.Item]) -> None:
    """Sort tests so that those that take longest begin; what takes long comes last on no worker."""
    places = {name: place for place, name in enumerate(HEAVIEST)}
    items.sort(key=lambda item: places.get(_scope_of(item), len(places)))


def _scope_of(item: pytest.Item) -> str:
    group = item.get_closest_marker("xdist_group")
    return str(group.args[0]) if group else item.nodeid.partition("::")[0]
