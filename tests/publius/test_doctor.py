"""The doctor says what is there and how to get the rest."""

from __future__ import annotations

import pytest

from engines.vllm import setup as vllm_setup
from engines.vllm.setup import INSTALL, vllm_version
from publius.doctor import EnvironmentCheck, examine


def vllm_finding() -> EnvironmentCheck:
    return next(finding for finding in examine().findings if finding.name == "engine vllm")


def test_missing_vllm_is_no_fault_and_its_installation_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vllm_setup, "find_spec", lambda name: None)
    assert vllm_finding() == EnvironmentCheck("engine vllm", "not installed", ok=True, run=INSTALL)


@pytest.mark.skipif(vllm_version() is None, reason=f"vLLM is not installed; run: {INSTALL}")
def test_installed_vllm_is_named_with_what_it_runs_on():
    found = vllm_finding()
    assert found.ok
    assert found.run is None
    assert str(vllm_version()) in found.state
    assert found.state.endswith(("runs on cpu", "runs on cuda"))


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
