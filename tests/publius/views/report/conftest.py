"""Runs and their pages, made once for all tests of reports."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from publius.views.report import contents
from tests.publius.views.report.projects import ReadPage, page_of, write_stock, write_wordings

_RECORDED = Path(__file__).parents[2] / "recorded" / "project"


@pytest.fixture(scope="session")
def recorded_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a run with SFT, a reward model, DPO, PPO and human labels, made by an older version."""
    project = tmp_path_factory.mktemp("recorded") / "project"
    shutil.copytree(_RECORDED, project)
    (folder,) = (project / "runs").iterdir()
    return folder


@pytest.fixture(scope="session")
def wordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs of two wordings with two seeds each."""
    return write_wordings(tmp_path_factory.mktemp("wordings"))


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in whose answers a phrase spreads."""
    return write_stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="session")
def recorded_page(recorded_run: Path, tmp_path_factory: pytest.TempPathFactory) -> ReadPage:
    return page_of([recorded_run], tmp_path_factory.mktemp("page") / "recorded.html")


@pytest.fixture(scope="session")
def wordings_page(wordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> ReadPage:
    return page_of(wordings, tmp_path_factory.mktemp("page") / "wordings.html")


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots out, which take most of the time of a page."""
    monkeypatch.setattr(contents, "missing_plots", lambda: "pip install matplotlib")
