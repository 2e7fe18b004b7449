"""Lazy imports of the packages of optional extras."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

from core.errors import EngineError, MissingExtraError, on_one_line, shell_command

_SPINS = "1000"
"""Rounds, some 50 ns each, that a thread of GNU OpenMP spins before it sleeps; 300,000 if nothing is set."""
_DISTRIBUTION = "publius"
_WAIT_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def require(module: str, extra: str) -> ModuleType:
    """Import and return `module`, which the optional extra `extra` installs.

    Raises:
        MissingExtraError: The package is not installed.
        EngineError: It is installed, but its own import fails; the message repeats the reason.
    """
    package = module.partition(".")[0]
    if "torch" not in sys.modules:  # OpenMP reads its settings once, when torch loads it
        os.environ.update(short_waits(os.environ))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise MissingExtraError(
                f"the package '{package}' is not installed", run=install_command(extra)
            ) from error
        # A dependency of the package is missing, so installing the same extra again would not help.
        raise _broken(package, error, extra) from error
    except (ImportError, OSError) as error:  # OSError: the package failed to load a shared library
        raise _broken(package, error, extra) from error


def short_waits(environment: Mapping[str, str]) -> dict[str, str]:
    """Return settings that limit how long OpenMP threads spin while they wait for each other.

    A thread of GNU OpenMP spins for milliseconds at each barrier before it sleeps. If another process has
    taken the core of the thread that it waits for, it occupies the core that could do the work. Results do
    not depend on this.

    Args:
        environment: environment variables; if one of them sets it already, nothing is returned.
    """
    return {} if any(name in environment for name in _WAIT_SETTINGS) else {"GOMP_SPINCOUNT": _SPINS}


def install_command(extra: str, *, upgrade: bool = False) -> str:
    """Return the command that installs an optional extra from where this program was installed.

    It never asks a package index for a package named `publius`, which may be of anybody.
    """
    options = ("--upgrade",) if upgrade else ()
    checkout = Path(__file__).resolve().parents[1]
    try:
        installed = distribution(_DISTRIBUTION)
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        installed, origin = None, {}
    if installed is None or not origin:
        if (checkout / "pyproject.toml").is_file():
            return pip_command(*options, *_constraints(checkout), "-e", f"{checkout}[{extra}]")
        return pip_command(
            *options, *(_requirements(installed, extra) if installed else ["-e", f"CHECKOUT[{extra}]"])
        )
    return pip_command(*options, *_from_origin(origin, extra) or _requirements(installed, extra))


def pip_command(*arguments: str) -> str:
    """Return a command that installs into the environment of this process."""
    # Not `find_spec`: setuptools takes a look for pip as a sign to use the standard library's distutils.
    if not PathFinder.find_spec("pip"):
        return shell_command("uv", "pip", "install", "--python", sys.executable, *arguments)
    pip = shutil.which("pip")
    if pip is not None and Path(pip).parent == Path(sys.executable).parent:
        return shell_command("pip", "install", *arguments)
    return shell_command(sys.executable, "-m", "pip", "install", *arguments)


def _from_origin(origin: Mapping[str, object], extra: str) -> list[str]:
    """Return pip's arguments for a record of where a package came from (PEP 610); empty if it is gone."""
    url = str(origin.get("url", ""))
    if (vcs := origin.get("vcs_info")) and isinstance(vcs, dict):
        return [f"{_DISTRIBUTION}[{extra}] @ {vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"]
    if not url.startswith("file:"):
        return [f"{_DISTRIBUTION}[{extra}] @ {url}"]
    path = Path(unquote(urlsplit(url).path))
    if not path.exists():
        return []
    info = origin.get("dir_info")
    editable = ["-e"] if isinstance(info, dict) and info.get("editable") else []
    return [*_constraints(path), *editable, f"{path}[{extra}]"]


def _constraints(folder: Path) -> list[str]:
    """Return pip's option for the versions that a checkout was tested with."""
    file = folder / "constraints.txt"
    return ["-c", str(file)] if file.is_file() else []


def _requirements(installed: Distribution, extra: str) -> list[str]:
    """Return the packages of an extra, with those of the extras that it includes."""
    found: list[str] = []
    for line in installed.requires or ():
        requirement, _, marker = line.partition(";")
        if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker):
            own = re.match(rf"{_DISTRIBUTION}\[([\w,-]+)\]", requirement.strip())
            names = own[1].split(",") if own else []
            found += [p for name in names for p in _requirements(installed, name)]
            found += [] if own else [requirement.strip()]
    return list(dict.fromkeys(found))


def _broken(package: str, error: Exception, extra: str) -> EngineError:
    return EngineError(
        f"the package '{package}' is installed, but importing it fails: {on_one_line(error)}",
        accepted="a complete installation in the versions that the extra requires",
        run=install_command(extra, upgrade=True),
    )
