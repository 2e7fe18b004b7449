"""Lazy imports of the packages of optional extras."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType

from core.errors import EngineError, MissingExtraError, on_one_line

_SPINS = "1000"
"""Rounds, some 50 ns each, that a thread of GNU OpenMP spins before it sleeps; 300,000 if nothing is set."""
_WAIT_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def require(module: str, extra: str) -> ModuleType:
    """Import and return `module`, which the optional extra `extra` installs.

    Raises:
        MissingExtraError: The package is not installed.
        EngineError: It is installed, but its own import fails; the message repeats the reason.
    """
    package = module.partition(".")[0]
    install = f"pip install 'publius[{extra}]'"
    if "torch" not in sys.modules:  # OpenMP reads its settings once, when torch loads it
        os.environ.update(short_waits(os.environ))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise MissingExtraError(f"the package '{package}' is not installed", run=install) from error
        # A dependency of the package is missing, so installing the same extra again would not help.
        raise _broken(package, error, install) from error
    except (ImportError, OSError) as error:  # OSError: the package failed to load a shared library
        raise _broken(package, error, install) from error


def short_waits(environment: Mapping[str, str]) -> dict[str, str]:
    """Return settings that limit how long OpenMP threads spin while they wait for each other.

    A thread of GNU OpenMP spins for milliseconds at each barrier before it sleeps. If another process has
    taken the core of the thread that it waits for, it occupies the core that could do the work. Results do
    not depend on this.

    Args:
        environment: environment variables; if one of them sets it already, nothing is returned.
    """
    return {} if any(name in environment for name in _WAIT_SETTINGS) else {"GOMP_SPINCOUNT": _SPINS}


def _broken(package: str, error: Exception, install: str) -> EngineError:
    return EngineError(
        f"the package '{package}' is installed, but importing it fails: {on_one_line(error)}",
        accepted="a complete installation in the versions that the extra requires",
        run=install.replace("install", "install --upgrade", 1),
    )
