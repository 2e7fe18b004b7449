"""The doctor says what is there and how to get the rest."""

from __future__ import annotations

import platform
import re

import pytest
import torch

from core.lazy import install_command
from core.machine import usable_cores
from engines.hf.threads import thread_control
from engines.vllm import setup as vllm_setup
from engines.vllm.setup import install_vllm, vllm_version
from publius import doctor
from publius.doctor import EnvironmentCheck, examine


def vllm_finding() -> EnvironmentCheck:
    return next(finding for finding in examine().findings if finding.name == "engine vllm")


def test_missing_vllm_is_no_fault_and_its_installation_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vllm_setup, "find_spec", lambda name: None)
    assert vllm_finding() == EnvironmentCheck("engine vllm", "not installed", ok=True, run=install_vllm())


@pytest.mark.skipif(vllm_version() is None, reason=f"vLLM is not installed; run: {install_vllm()}")
def test_installed_vllm_is_named_with_what_it_runs_on():
    found = vllm_finding()
    assert found.ok
    assert found.run is None
    assert str(vllm_version()) in found.state
    assert found.state.endswith(("runs on cpu", "runs on cuda"))


def test_a_missing_http_client_is_no_fault_and_its_installation_is_told(monkeypatch: pytest.MonkeyPatch):
    assert finding("engine http").state.startswith("httpx2 ")
    found = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "httpx2" else found(name))
    assert finding("engine http") == EnvironmentCheck(
        "engine http", "not installed", ok=True, run=install_command("http")
    )


@pytest.mark.parametrize("token", [None, "hf_secret"])
def test_access_token_of_the_hub_is_said_to_be_set_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, token: str | None
):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    examination = examine()
    found = next(finding for finding in examination.findings if finding.name == "hub token")
    assert found.ok
    assert found.state.startswith("not set" if token is None else "set")
    assert found.run == ("hf auth login, or set HF_TOKEN" if token is None else None)
    assert "hf_secret" not in str(examination.as_json())


def finding(name: str) -> EnvironmentCheck:
    return next(finding for finding in examine().findings if finding.name == name)


def test_a_system_that_is_not_tested_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "release", lambda: "5.15.90.1-microsoft-standard-WSL2")
    assert finding("system") == EnvironmentCheck("system", "Linux x86_64 (WSL)", ok=True)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "release", lambda: "25.1.0")
    assert finding("system").state == "Darwin arm64; tested on Linux x86_64"
    assert finding("device").state.startswith("CPU, Apple GPU not used, ")


@pytest.mark.parametrize(
    ("free", "state", "ok"),
    [
        (8.0, "8.0 GiB available, enough to train the embedded model", True),
        (2.0, "2.0 GiB available; with the embedded model, training needs 3.5 GiB", True),
        (
            0.9,
            "0.9 GiB available; with the embedded model, generating needs 1.3 GiB and training needs 3.5 GiB",
            False,
        ),
    ],
)
def test_little_memory_says_what_fits(free: float, state: str, ok: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "available_memory_gib", lambda: free)
    found = finding("memory")
    assert (found.state, found.ok) == (state, ok)
    assert (found.run is None) == (free > 3.5)


def test_the_device_names_the_threads_and_the_load(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    thread_control.cache_clear()
    assert "1 thread (set by OMP_NUM_THREADS or the program), float32" in finding("device").state
    monkeypatch.delenv("OMP_NUM_THREADS")
    before = torch.get_num_threads()
    torch.set_num_threads(max(2, len(usable_cores())))
    thread_control.cache_clear()
    try:
        state = finding("device").state
    finally:
        torch.set_num_threads(before)
        thread_control.cache_clear()
    if len(usable_cores()) > 1:
        assert re.search(r"\d of \d+ threads now \(other processes use \d+\.\d of \d+ cores\)", state)


def test_each_finding_is_ok_missing_or_optional(monkeypatch: pytest.MonkeyPatch):
    hidden = {"matplotlib", "fastapi", "trl", "vllm"}
    found = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in hidden else found(name))
    monkeypatch.setattr(vllm_setup, "find_spec", lambda name: None)
    status = {finding.name: finding.status for finding in examine().findings}
    assert status["publius"] == status["engine scripted"] == "ok"
    assert status["training"] == "missing"
    assert [status[name] for name in ("engine vllm", "annotation page", "server", "plots")] == [
        "optional"
    ] * 4
    plots = finding("plots")
    assert plots.state == "not installed; needed only for the plots of publius report"
    assert plots.run == install_command("report")
    assert examine().as_json()[0]["status"] == "ok"
