"""`publius doctor`: check the installation, and name the command that fixes each problem."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from core.errors import PubliusError
from core.lazy import require
from engines.embedded import cache_folder, embedded_folder, is_complete, verify, wheel_is_installed
from engines.vllm.setup import INSTALL, vllm_device, vllm_version

_ENGINE_PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "gguf")
_TRAINING_PACKAGES = ("trl", "peft", "datasets")
_MIN_FREE_GIB = 2


@dataclass(frozen=True, slots=True)
class EnvironmentCheck:
    """The result of one check."""

    name: str
    state: str
    ok: bool
    run: str | None = None
    """Command that fixes the problem; None if there is none."""


@dataclass(frozen=True)
class Examination:
    """The results of all checks, in the order a new user needs them."""

    findings: tuple[EnvironmentCheck, ...]

    @property
    def ok(self) -> bool:
        """True if everything works."""
        return all(finding.ok for finding in self.findings)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the findings as JSON-able values."""
        return [asdict(finding) for finding in self.findings]


def examine() -> Examination:
    """Run all checks."""
    return Examination(tuple(_findings()))


def _findings() -> Iterator[EnvironmentCheck]:
    yield EnvironmentCheck("publius", f"{_version('publius')}, Python {platform.python_version()}", ok=True)
    engine = _packages("engine transformers", _ENGINE_PACKAGES, "transformers")
    yield engine
    if engine.ok:
        try:
            yield _device()
        except PubliusError as error:
            yield EnvironmentCheck("device", error.problems[0].what, ok=False, run=error.problems[0].run)
        yield _hub_token()
    yield _vllm()
    yield EnvironmentCheck("engine scripted", "answers by rule, for dry runs and tests", ok=True)
    yield _packages("training", _TRAINING_PACKAGES, "train")
    yield _embedded()
    yield _cache()


def _packages(name: str, packages: tuple[str, ...], extra: str) -> EnvironmentCheck:
    """Check that all packages of an extra are installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        state = f"not usable: {', '.join(missing)} not installed"
        return EnvironmentCheck(name, state, ok=False, run=f"pip install 'publius[{extra}]'")
    return EnvironmentCheck(
        name, ", ".join(f"{package} {_version(package)}" for package in packages), ok=True
    )


def _vllm() -> EnvironmentCheck:
    """Check the vLLM engine. A missing vLLM counts as ok, since the other engines do not need it."""
    installed = vllm_version()
    if installed is None:
        return EnvironmentCheck("engine vllm", "not installed", ok=True, run=INSTALL)
    return EnvironmentCheck("engine vllm", f"vllm {installed}, runs on {vllm_device()}", ok=True)


def _device() -> EnvironmentCheck:
    torch = require("torch", "transformers")
    if torch.cuda.is_available():
        return EnvironmentCheck("device", f"{torch.cuda.get_device_name(0)}, bfloat16", ok=True)
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return EnvironmentCheck("device", f"CPU, {threads}, float32", ok=True)


def _hub_token() -> EnvironmentCheck:
    """Check for an access token, without showing it. A missing one counts as ok: most models need none."""
    if require("huggingface_hub", "transformers").get_token():
        return EnvironmentCheck("hub token", "set", ok=True)
    return EnvironmentCheck(
        "hub token",
        "not set; only gated and private models need one",
        ok=True,
        run="hf auth login, or set HF_TOKEN",
    )


def _embedded() -> EnvironmentCheck:
    folder = embedded_folder()
    if is_complete(folder):
        damaged = verify(folder)
        if damaged:
            fix = f"rm -r {folder} && publius models pull"
            return EnvironmentCheck("embedded model", f"damaged: {', '.join(damaged)}", ok=False, run=fix)
        return EnvironmentCheck("embedded model", f"converted and verified in {folder}", ok=True)
    state = "wheel installed, not converted yet" if wheel_is_installed() else "not installed"
    return EnvironmentCheck("embedded model", state, ok=False, run="publius models pull")


def _cache() -> EnvironmentCheck:
    folder = cache_folder()
    place = folder
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return EnvironmentCheck(
            "model cache", f"{folder} is not writable", ok=False, run="export PUBLIUS_CACHE=DIR"
        )
    free = shutil.disk_usage(place).free / 2**30
    state = f"{folder}, {free:.0f} GiB free"
    fix = None if free >= _MIN_FREE_GIB else "export PUBLIUS_CACHE=DIR on a disk with more free space"
    return EnvironmentCheck("model cache", state, ok=fix is None, run=fix)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
