"""Runs that a shell's `*` gives in the order of their hashes are compared in order of age."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from publius.views.report.writing import oldest_first


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """Run folders of two names, each with the date of its manifest."""
    dates = {
        "desk-0a": "2026-03-02T10:00:00+00:00",
        "desk-9f": "2026-03-01T10:00:00+00:00",
        "plain-55": "2026-03-03",
    }
    folders = {name: tmp_path / name for name in dates}
    for name, folder in folders.items():
        folder.mkdir()
        identity = {"constitution": "", "configuration": {}, "prompts": "", "templates": "", "models": {}}
        manifest = {"created": dates[name], "identity": identity, "seed": 0, "models": {}, "stages": {}}
        (folder / "manifest.json").write_text(json.dumps({"name": "x", "digest": "0" * 64, **manifest}))
    return folders


def test_runs_of_one_name_are_in_order_of_age(runs: dict[str, Path]):
    given = [runs["desk-0a"], runs["desk-9f"]]
    assert oldest_first(given) == [runs["desk-9f"], runs["desk-0a"]]


@pytest.mark.parametrize("given", [["desk-9f", "desk-0a"], ["desk-0a", "plain-55"], ["desk-0a"]])
def test_any_other_order_is_kept(runs: dict[str, Path], given: list[str]):
    assert list(oldest_first([runs[name] for name in given])) == [runs[name] for name in given]


def test_a_folder_without_a_manifest_leaves_the_order_as_it_is(runs: dict[str, Path]):
    (runs["desk-9f"] / "manifest.json").unlink()
    given = [runs["desk-0a"], runs["desk-9f"]]
    assert oldest_first(given) == given
