"""LiteLLM's proxy between Publius and `publius serve`: a client of the one, and a server for the other."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from core.chat import Turn
from core.records import Sampling
from engines.config import EngineConfig, ModelConfig
from engines.decisions.questions import DecisionCall, NamedQuestion
from engines.http.decisions import DecisionEngine
from engines.http.engine import HttpEngine
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from labelers.ai import AILabeler
from labelers.config import LabelConfig
from publius.serving.deciding import EngineDecider
from tests.engines.http.test_decisions import CONSTITUTION, DIALECTS, comparison
from tests.publius.serving.running import TOKEN, served

PROXY = Path(os.environ.get("PUBLIUS_LITELLM", Path(sys.prefix) / "litellm" / "bin" / "litellm"))
KEY = "sk-proxy-key-of-this-test-0123456789"
MODELS = """\
model_list:
  - {model_name: judge, litellm_params: {model: hosted_vllm/m, api_base: URL, api_key: os.environ/UPSTREAM}}
  - {model_name: writer, litellm_params: {model: openai/m, api_base: URL/v1, api_key: os.environ/UPSTREAM}}
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not PROXY.exists(), reason="LiteLLM's proxy is not installed; run: make litellm"),
]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a proxy in front of a scripted engine."""
    folder = tmp_path_factory.mktemp("litellm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with served({"m": ScriptedEngine(answerer=lambda request: "Four.")}) as upstream:
        (folder / "models.yaml").write_text(MODELS.replace("URL", upstream.url))
        command = [PROXY, "--config", folder / "models.yaml", "--host", "127.0.0.1", "--port", str(port)]
        settings = {"LITELLM_MASTER_KEY": KEY, "UPSTREAM": TOKEN, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **settings}
            )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_up(f"{url}/health/liveliness", process, folder / "log")
            yield url
        finally:
            process.terminate()
            process.wait(60)


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path, within_s: float = 600.0) -> None:
    """Wait for a server to answer; fail with its log if it ends first."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PROXY_KEY", KEY)
    return "PROXY_KEY"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_labels_through_the_proxy_are_those_of_the_engine_behind_it(
    proxy: str, key: str, dialect: Literal["systemone", "decisions"]
):
    config = EngineConfig(kind="http", url=proxy, dialect=dialect, api_key_env=key)
    engine = DecisionEngine(ModelConfig(id="judge"), config)
    engine.require_choices("", (" A", " B"))
    labeler = AILabeler(CONSTITUTION, engine, LabelConfig(principles=16))
    judgments = asyncio.run(labeler.label(comparison()))
    assert len(judgments) == 16
    direct = EngineDecider(ScriptedEngine())
    for judgment in judgments:
        (principle,) = (p for p in CONSTITUTION.principles if p.id == judgment.principle_id)
        odds = []
        for a_first in (True, False):
            request = labeler.request(comparison(), principle, a_first=a_first)
            assert request.question is not None
            call = DecisionCall(request.turns[0].text, (NamedQuestion(None, request.question),))
            (answer,) = asyncio.run(direct.decide(call)).answers
            assert answer is not None
            a, b = answer.probabilities if a_first else answer.probabilities[::-1]
            odds.append(math.log(a / b))
        assert judgment.p_a == pytest.approx(1 / (1 + math.exp(-sum(odds) / 2)), abs=1e-9)
        assert judgment.answer_mass == (pytest.approx(0.98) if dialect == "systemone" else None)


def test_chat_through_the_proxy(proxy: str, key: str):
    config = EngineConfig(kind="http", url=proxy, api_key_env=key)
    engine = HttpEngine(ModelConfig(id="writer"), config)
    request = GenerationRequest((Turn("user", ("Two and two?",)),), Sampling(max_new_tokens=9), 1, "draft")
    assert asyncio.run(engine.generate(request)).text == "Four."
