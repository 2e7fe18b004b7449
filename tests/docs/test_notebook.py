"""The notebook was executed, and its programs still print what has this form."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from engines.loading import ModelFiles
from tests.publius.test_cli import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "notebooks" / "labels.ipynb"
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def cells_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(cell: Any) -> str:
    streams = [one for one in cell["outputs"] if one["output_type"] == "stream" and one["name"] == "stdout"]
    return "".join("".join(one["text"]) for one in streams)


def form(cell: Any) -> list[str]:
    """Return what a cell prints with figures left out: they differ between processors."""
    return [" ".join(_NUMBER.sub("0", line).split()) for line in printed(cell).splitlines()]


def test_the_notebook_is_stored_as_it_was_executed_from_beginning_to_end():
    cells = cells_of(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert [one for cell in cells for one in cell["outputs"] if one["output_type"] == "error"] == []
    assert all(printed(cell) for cell in cells if "print(" in "".join(cell["source"]))


@pytest.mark.long
def test_the_notebook_runs_and_prints_what_is_stored_but_for_figures(
    embedded_files: ModelFiles, monkeypatch: pytest.MonkeyPatch
):
    nbformat = pytest.importorskip("nbformat", reason="pip install -c constraints.txt -e '.[docs]'")
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    stored = nbformat.read(NOTEBOOK, as_version=4)
    executed = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(executed, timeout=600, kernel_name="python3").execute()
    assert [form(cell) for cell in cells_of(executed)] == [form(cell) for cell in cells_of(stored)]
