"""`publius doctor`: check the installation, and name the command that fixes each problem."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Literal

from core.errors import PubliusError, shell_command
from core.lazy import install_command, require
from core.machine import available_memory_gib
from engines.embedded import cache_folder, embedded_folder, is_complete, verify, wheel_is_installed
from engines.hf.threads import describe_threads
from engines.loading import pick_dtype
from engines.vllm.setup import install_vllm, vllm_device, vllm_version

_ENGINE_PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "gguf")
_TRAINING_PACKAGES = ("trl", "peft", "datasets")
_OPTIONAL = (
    ("annotation page", "fastapi", "annotate", "publius annotate"),
    ("studio", "fastapi", "studio", "publius studio"),
    ("server", "fastapi", "serve", "publius serve"),
    ("plots", "matplotlib", "report", "the plots of publius report"),
    ("crowd-kit", "crowdkit", "crowd", "its own Dawid-Skene model of annotators"),
    ("cluster", "ray", "ray", "workers on Ray (scale.kind: ray)"),
    ("4-bit weights", "bitsandbytes", "nf4", "training on 4-bit base weights"),
)
"""Name, package, extra and purpose of what only some commands need."""
_NOT_THERE = ("not installed", "not set")
Status = Literal["ok", "missing", "optional"]
_MIN_FREE_GIB = 2
_TESTED_SYSTEM = "Linux x86_64"
_EMBEDDED_PEAK_GIB = {"generating": 1.3, "training": 3.5}
"""Peak memory of a process with the embedded model on a CPU, by what it does (docs/benchmarks.md)."""


@dataclass(frozen=True, slots=True)
class EnvironmentCheck:
    """The result of one check."""

    name: str
    state: str
    ok: bool
    run: str | None = None
    """Command that fixes the problem; None if there is none."""

    @property
    def status(self) -> Status:
        """`ok`; `missing` for what is needed; `optional` for what is not there and some commands need."""
        if not self.ok:
            return "missing"
        return "optional" if self.state.startswith(_NOT_THERE) else "ok"


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
        return [{**asdict(finding), "status": finding.status} for finding in self.findings]


def examine() -> Examination:
    """Run all checks."""
    return Examination(tuple(_findings()))


def _findings() -> Iterator[EnvironmentCheck]:
    yield EnvironmentCheck("publius", f"{_version('publius')}, Python {platform.python_version()}", ok=True)
    yield _system()
    engine = _packages("engine transformers", _ENGINE_PACKAGES, "transformers")
    yield engine
    if engine.ok:
        try:
            yield _device()
            yield _memory()
        except PubliusError as error:
            yield EnvironmentCheck("device", error.problems[0].what, ok=False, run=error.problems[0].run)
        yield _hub_token()
    yield _vllm()
    yield _http()
    yield EnvironmentCheck("engine scripted", "answers by rule, for dry runs and tests", ok=True)
    yield _packages("training", _TRAINING_PACKAGES, "train")
    for name, package, extra, purpose in _OPTIONAL:
        yield _optional(name, package, extra, purpose)
    yield _embedded()
    yield _cache()


def _optional(name: str, package: str, extra: str, purpose: str) -> EnvironmentCheck:
    """Check a package that only some commands need, so that a missing one counts as ok."""
    if find_spec(package) is None:
        state = f"not installed; needed only for {purpose}"
        return EnvironmentCheck(name, state, ok=True, run=install_command(extra))
    return EnvironmentCheck(name, f"installed, for {purpose}", ok=True)


def _packages(name: str, packages: tuple[str, ...], extra: str) -> EnvironmentCheck:
    """Check that all packages of an extra are installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        state = f"not usable: {', '.join(missing)} not installed"
        return EnvironmentCheck(name, state, ok=False, run=install_command(extra))
    return EnvironmentCheck(
        name, ", ".join(f"{package} {_version(package)}" for package in packages), ok=True
    )


def _vllm() -> EnvironmentCheck:
    """Check the vLLM engine. A missing vLLM counts as ok, since the other engines do not need it."""
    installed = vllm_version()
    if installed is None:
        return EnvironmentCheck("engine vllm", "not installed", ok=True, run=install_vllm())
    return EnvironmentCheck("engine vllm", f"vllm {installed}, runs on {vllm_device()}", ok=True)


def _http() -> EnvironmentCheck:
    """Check the HTTP engine. A missing client counts as ok, since only models behind a server need it."""
    if find_spec("httpx2") is None:
        return EnvironmentCheck("engine http", "not installed", ok=True, run=install_command("http"))
    return EnvironmentCheck("engine http", f"httpx2 {_version('httpx2')}", ok=True)


def _system() -> EnvironmentCheck:
    """Check the operating system and processor against those that are tested."""
    system, machine = platform.system(), platform.machine()
    name = f"{system} {machine}" + (" (WSL)" if "microsoft" in platform.release().lower() else "")
    tested = system == "Linux" and machine == "x86_64"
    return EnvironmentCheck("system", name if tested else f"{name}; tested on {_TESTED_SYSTEM}", ok=True)


def _device() -> EnvironmentCheck:
    torch = require("torch", "transformers")
    if torch.cuda.is_available():
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(0))
        state = f"{torch.cuda.get_device_name(0)}, {free:.0f} of {total:.0f} GiB free"
        return EnvironmentCheck("device", f"{state}, {pick_dtype('auto', 'cuda')}", ok=True)
    unused = ", Apple GPU not used" if platform.system() == "Darwin" else ""
    return EnvironmentCheck("device", f"CPU{unused}, {describe_threads()}, float32", ok=True)


def _memory() -> EnvironmentCheck:
    """Say what can be done with the embedded model in the memory that is available now."""
    free = available_memory_gib()
    missing = [f"{task} needs {gib} GiB" for task, gib in _EMBEDDED_PEAK_GIB.items() if gib > free]
    if not missing:
        return EnvironmentCheck(
            "memory", f"{free:.1f} GiB available, enough to train the embedded model", ok=True
        )
    state = f"{free:.1f} GiB available; with the embedded model, {' and '.join(missing)}"
    usable = len(missing) < len(_EMBEDDED_PEAK_GIB)
    fix = (
        "publius run RUN.yaml --set optim.micro_tokens=512 --set optim.micro_batch=2, or close other programs"
    )
    return EnvironmentCheck("memory", state, ok=usable, run=fix)


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
            fix = f"{shell_command('rm', '-r', folder)} && publius models pull"
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
