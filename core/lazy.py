"""Lazy imports of the packages of optional extras."""

from __future__ import annotations

import importlib
from types import ModuleType

from core.errors import EngineError, MissingExtraError, on_one_line


def require(module: str, extra: str) -> ModuleType:
    """Import and return `module`, which the optional extra `extra` installs.

    Raises:
        MissingExtraError: The package is not installed.
        EngineError: It is installed, but its own import fails; the message repeats the reason.
    """
    package = module.partition(".")[0]
    install = f"pip install 'publius[{extra}]'"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise MissingExtraError(f"the package '{package}' is not installed", run=install) from error
        # A dependency of the package is missing, so installing the same extra again would not help.
        raise _broken(package, error, install) from error
    except (ImportError, OSError) as error:  # OSError: the package failed to load a shared library
        raise _broken(package, error, install) from error


def _broken(package: str, error: Exception, install: str) -> EngineError:
    return EngineError(
        f"the package '{package}' is installed, but importing it fails: {on_one_line(error)}",
        accepted="a complete installation in the versions that the extra requires",
        run=install.replace("install", "install --upgrade", 1),
    )
