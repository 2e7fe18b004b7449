from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from core.errors import EngineError, MissingExtraError
from core.lazy import require, short_waits


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path, to install packages in."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_installed_module_is_returned():
    assert require("json", "transformers") is json


@pytest.mark.parametrize("module", ["publius_absent", "publius_absent.sub.module"])
def test_absent_package_names_the_extra_to_install(module: str):
    with pytest.raises(MissingExtraError) as caught:
        require(module, "transformers")
    assert str(caught.value) == (
        "the package 'publius_absent' is not installed; run: pip install 'publius[transformers]'"
    )


def test_package_that_lacks_another_package_is_not_called_absent(site: Path):
    (site / "publius_lacking.py").write_text("import publius_absent\n")
    reason = r"'publius_lacking' is installed.*No module named 'publius_absent'"
    with pytest.raises(EngineError, match=reason):
        require("publius_lacking", "vllm")


def test_package_without_the_submodule_is_not_called_absent(site: Path):
    (site / "publius_old").mkdir()
    (site / "publius_old" / "__init__.py").write_text("")
    with pytest.raises(EngineError, match=r"No module named 'publius_old\.new'"):
        require("publius_old.new", "vllm")


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_package_whose_library_is_missing_repeats_the_reason_on_one_line(site: Path, error: str):
    (site / f"publius_broken_{error}.py").write_text(f"raise {error}('libcudart.so.13:\\n cannot open')\n")
    with pytest.raises(EngineError) as caught:
        require(f"publius_broken_{error}", "vllm")
    assert "libcudart.so.13: cannot open" in str(caught.value)
    assert "pip install --upgrade 'publius[vllm]'" in str(caught.value)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_waits_of_threads_are_short_unless_the_user_has_set_them(name: str):
    assert short_waits({"OMP_NUM_THREADS": "2"}) == {"GOMP_SPINCOUNT": "1000"}
    assert short_waits({name: "1"}) == {}


def test_waits_are_set_before_torch_is_loaded(site: Path, monkeypatch: pytest.MonkeyPatch):
    # OpenMP reads them when torch loads it: afterwards it would be too late, and a lie to child processes.
    (site / "publius_watcher.py").write_text("import os\nseen = os.environ.get('GOMP_SPINCOUNT')\n")
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert require("publius_watcher", "transformers").seen == "1000"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setitem(sys.modules, "torch", sys.modules[__name__])
    require("publius_watcher", "transformers")
    assert "GOMP_SPINCOUNT" not in os.environ
