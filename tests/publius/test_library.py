"""`import publius`: what it exports, what it loads, what it prints, and what hides it."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import publius
from tests.test_architecture import HEAVY

REPOSITORY = Path(__file__).parents[2]


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_every_exported_name_is_there():
    # httpx2 has a test of this kind: what is exported is a promise.
    assert [name for name in publius.__all__ if getattr(publius, name, None) is None] == []
    assert set(publius.__all__) <= set(dir(publius))


def test_type_checkers_see_the_same_names_from_the_same_modules():
    tree = ast.parse(Path(publius.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module if alias.name == alias.asname else f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == publius._MODULE_OF


def test_no_exported_name_is_a_module_of_the_package():
    # A sub-package of that name would take the place of the function as soon as it is imported.
    assert [name for name in publius.__all__ if importlib.util.find_spec(f"publius.{name}")] == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'steer_faster'"):
        publius.steer_faster  # noqa: B018


def test_the_import_and_a_constitution_load_nothing_heavy_and_print_nothing(tmp_path: Path):
    program = f"""
import sys, publius
assert publius.load_constitution("harmless").name == "harmless"
assert not [name for name in {HEAVY!r} if name in sys.modules]
"""
    done = run_in(tmp_path, "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "command", [["-m", "publius", "check", "harmless"], ["-c", "import publius; publius.run"]]
)
def test_a_package_of_the_users_that_hides_ours_is_named_in_one_line(command: list[str], tmp_path: Path):
    for name in ("training", "prompts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    done = run_in(tmp_path, *command)
    last = done.stderr.splitlines()[-1]
    assert f"{tmp_path / 'prompts'} hides the package 'prompts' of publius" in last
    assert done.returncode == (2 if "-m" in command else 1)


def test_folders_of_the_same_names_that_are_no_packages_hide_nothing(tmp_path: Path):
    for name in ("training", "prompts"):
        (tmp_path / name).mkdir()
    assert run_in(tmp_path, "-m", "publius", "check", "harmless").returncode == 0


@pytest.mark.parametrize(
    ("program", "code"),
    [("from publius.__main__ import main; main()", 2), ("import publius; publius.RunReader", 1)],
)
def test_on_windows_one_line_names_wsl(program: str, code: int, tmp_path: Path):
    # Modules that Windows lacks: none may be imported before the message.
    lacking = "sys.modules.update(dict.fromkeys(('fcntl', 'resource', 'pwd', 'grp', 'termios'))); "
    done = run_in(tmp_path, "-c", f"import sys; sys.platform = 'win32'; {lacking}{program}")
    last = done.stderr.splitlines()[-1]
    assert last.endswith(
        "rror: Publius does not run on Windows itself, but in WSL (Windows Subsystem for Linux): "
        "run wsl --install, and install Publius inside it"
    )
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1 or code == 1


def test_the_installed_command_checks_the_system_before_it_imports_the_command_line():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"publius": "publius.__main__:main"}
