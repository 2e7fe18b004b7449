from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import ClassVar

import pytest

import core.lazy
from core.errors import EngineError, MissingExtraError
from core.lazy import install_command, pip_command, require, short_waits


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
        f"the package 'publius_absent' is not installed; run: {install_command('transformers')}"
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
    assert install_command("vllm", upgrade=True) in str(caught.value)


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


class Installed:
    """The record that an installer leaves of this program."""

    requires: ClassVar[list[str]] = [
        "rich>=15",
        'fastapi<1,>=0.136; extra == "annotate"',
        'uvicorn>=0.54; extra == "annotate"',
        'publius[annotate]; extra == "dev"',
        'ruff; extra == "dev"',
    ]

    def __init__(self, origin: dict[str, object] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


def advice(monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None, extra: str) -> list[str]:
    """Return the arguments of `pip install` that are advised for an installation."""
    monkeypatch.setattr(core.lazy, "distribution", lambda name: Installed(origin))
    words = shlex.split(install_command(extra))
    return words[words.index("install") + 1 :]


def test_advice_for_a_checkout_names_its_folder_and_its_tested_versions(monkeypatch, tmp_path):
    folder = tmp_path / "my; checkout"
    folder.mkdir()
    origin = {"url": folder.as_uri(), "dir_info": {"editable": True}}
    assert advice(monkeypatch, origin, "annotate") == ["-e", f"{folder}[annotate]"]
    (folder / "constraints.txt").touch()
    constraints = ["-c", str(folder / "constraints.txt")]
    assert advice(monkeypatch, origin, "annotate") == [*constraints, "-e", f"{folder}[annotate]"]
    assert advice(monkeypatch, {"url": folder.as_uri(), "dir_info": {}}, "dev")[-2:] == [
        constraints[1],
        f"{folder}[dev]",
    ]


def test_advice_for_a_wheel_names_the_wheel_or_the_packages_themselves(monkeypatch, tmp_path):
    wheel = tmp_path / "publius-0.1.0-py3-none-any.whl"
    origin = {"url": wheel.as_uri(), "archive_info": {}}
    assert advice(monkeypatch, origin, "dev") == ["fastapi<1,>=0.136", "uvicorn>=0.54", "ruff"]
    wheel.touch()
    assert advice(monkeypatch, origin, "dev") == [f"{wheel}[dev]"]


def test_advice_for_a_repository_names_the_same_commit(monkeypatch):
    origin = {"url": "https://host/publius.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}
    assert advice(monkeypatch, origin, "annotate") == [
        "publius[annotate] @ git+https://host/publius.git@abc123"
    ]


def test_no_advice_asks_an_index_for_a_package_of_our_name(monkeypatch, tmp_path):
    missing = {"url": (tmp_path / "gone.whl").as_uri(), "archive_info": {}}
    for origin in (None, {}, missing):
        for extra in ("annotate", "dev"):
            named = [word for word in advice(monkeypatch, origin, extra) if word.startswith("publius")]
            assert named == []


def test_advice_installs_into_the_environment_of_this_process(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    assert pip_command("x") == f"{tmp_path / 'bin' / 'python'} -m pip install x"
    monkeypatch.setattr(core.lazy.PathFinder, "find_spec", lambda name: None)
    assert pip_command("x") == f"uv pip install --python {tmp_path / 'bin' / 'python'} x"
