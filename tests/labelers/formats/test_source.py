"""A user's label source that fails on a row costs that row; a mistake of a built-in source is a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from labelers.formats.source import Row, RowLabels, RowSource


class Stumbling(RowSource):
    """A source that expects a column and does not look whether it is there."""

    name = "stumbling"
    summary = "for a test"

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        return RowLabels((number,) if values["needed"] else ())


def test_exception_of_a_users_source_drops_its_row_with_the_reason():
    good, bad = Stumbling().read([Row(1, {"needed": 1}), Row(2, {})])
    assert good.rows == (1,)
    (skipped,) = bad.skipped
    assert skipped.reason == "the label source failed on the row (KeyError)"
    assert skipped.detail == "'needed'"


def test_exception_of_a_built_in_source_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Stumbling.labels_of, "__module__", "labelers.formats.datasets.trl")
    with pytest.raises(KeyError):
        list(Stumbling().read([Row(1, {})]))
