"""Rollouts by a vLLM server that gets the policy's adapter before each draw."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from core.errors import EngineError
from engines.config import ModelConfig
from engines.tokenization import CHATML
from engines.vllm import server as link_module
from engines.vllm.processes import wait_until_gone
from engines.vllm.server import ServerLink
from engines.vllm.setup import host_environment
from engines.vllm.wire import Adapter
from tests.publius.serving.test_litellm import wait_until_up
from tests.training.jobs import PPO, Vowels
from tests.training.rl.test_vllm_sampler import ROUNDING, on_vllm, run
from training.rl.config import PPOConfig

KEY = "a-key-of-this-test"


class Refusing(BaseHTTPRequestHandler):
    """A server that knows no adapters, and repeats the key that it got."""

    def do_POST(self) -> None:
        body = f"no such route {self.headers['Authorization']}".encode()
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "given", [{"rollout_engine": "server"}, {"rollout_engine": "vllm", "rollout_url": "http://gpu:8000"}]
)
def test_a_server_and_its_address_belong_together(given: dict[str, Any]):
    with pytest.raises(ValidationError, match="rollout_engine: server and rollout_url belong together"):
        PPOConfig(**given)


def test_address_and_key_are_no_part_of_a_training_s_identity():
    fields = PPOConfig.model_fields
    for name in ("rollout_url", "rollout_api_key_env"):
        assert fields[name].json_schema_extra == fields["kv_cache_gib"].json_schema_extra


def test_a_server_without_adapters_is_refused_with_how_to_start_one(
    refusing: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ROLLOUT_KEY", KEY)
    link = ServerLink(refusing, "tiny", "ROLLOUT_KEY", 2, 60.0)
    try:
        with pytest.raises(EngineError, match=r"refused /v1/load_lora_adapter.*--enable-lora") as caught:
            link.attach(Adapter(name="policy-1", folder="/adapters/1")).result(60)
        assert KEY not in str(caught.value)
    finally:
        link.close()
        link.close()


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(link_module, "_FIRST_WAIT_S", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        link = ServerLink(url, "tiny", None, 2, 60.0)
        with pytest.raises(EngineError, match=rf"tiny: {url}/v1: the server does not answer \(ConnectError"):
            link.ask((1, 2), {"max_tokens": 1}).result(60)
        link.close()


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[..., Any],
    tiny_tokenizer: Callable[..., Any],
) -> ModelConfig:
    """A random model of a width that vLLM's attention takes."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    heads = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}
    tiny_model(attention="sdpa", initializer_range=0.1, **heads).save_pretrained(folder)
    tiny_tokenizer(CHATML).save_pretrained(folder)
    return ModelConfig(id=str(folder))


@pytest.fixture(scope="module")
def url(model: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM server that takes adapters at run time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options: dict[str, Any] = {
        "model": model.id,
        "host": "127.0.0.1",
        "port": port,
        "api-key": KEY,
        "dtype": "float32",
        "max-model-len": 384,
        "kv-cache-memory-bytes": 2**28,
        "max-lora-rank": 8,
        "logprobs-mode": "processed_logprobs",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry", *words]
    command += ["--enforce-eager", "--no-enable-chunked-prefill", "--enable-lora"]
    log = tmp_path_factory.mktemp("vllm") / "log"
    environment = {**os.environ, **host_environment(), "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    environment["PYTHONPATH"] = ""
    with log.open("w") as written:
        server = subprocess.Popen(
            command, stdout=written, stderr=written, env=environment, start_new_session=True
        )
    try:
        wait_until_up(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        assert wait_until_gone(server.pid, 120)


@on_vllm
@pytest.mark.long  # starts a server
def test_a_server_samples_from_the_weights_of_each_step(
    url: str, model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ROLLOUT_KEY", KEY)
    settings = {"steps": 2, "rollout_engine": "server", "rollout_url": url, "temperature": 0.7}
    run(model, tmp_path / "ppo", Vowels(), rollout_api_key_env="ROLLOUT_KEY", **settings)
    rows = [json.loads(line) for line in (tmp_path / "ppo" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[1]["objective/kl"] > 0.1  # the policy has moved
    for row in rows:
        assert row["sampling/sampling_logp_difference/max"] < ROUNDING
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1.0, abs=1e-3)
    assert not list(tmp_path.rglob("sampler-*"))
    listed = httpx2.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {KEY}"}).json()["data"]
    assert [entry["id"] for entry in listed] == [model.id]  # no adapter is left behind
    assert PPO.rollout_engine == "transformers"
