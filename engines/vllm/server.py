"""A link to a vLLM server, maybe on another machine, that draws the answers of a training.

It has the interface of `engines.vllm.link.HostLink`, so a sampler can use either. Prompts and answers are
token ids (`/v1/completions`). The policy's adapter is handed over as a folder (`/v1/load_lora_adapter`) that
the server must see under the same path, with a new name each time: vLLM's prefix cache knows it by that.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pydantic import JsonValue

from core.errors import EngineError, RequestError, on_one_line
from core.lazy import require
from engines.endpoint.credentials import credentials_for
from engines.endpoint.settings import base_url
from engines.vllm.wire import Adapter, AdapterAttached, Response

_EXTRA = "http"
_TRIES = 5
_FIRST_WAIT_S = 1.0
"""Seconds before the second try of a request; doubled each time."""
_DROP_S = 10.0
_PASSING = (408, 425, 429)
"""Status codes below 500 after which a request is sent again."""
_OWN_FIELDS = ("detokenize",)
"""Sampling fields of the host process that the server has no name for."""
_START = (
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve MODEL --enable-lora --max-lora-rank R "
    "--logprobs-mode processed_logprobs"
)


class ServerLink:
    """Requests to a vLLM server, and the adapter that they are answered with.

    Args:
        url: address of the server.
        name: name of the policy's model, for error messages.
        key_variable: environment variable with the server's key; None for no key.
        together: number of requests that are sent at once.
        limit_s: seconds that the server may take for an answer; None for no limit.
    """

    def __init__(
        self, url: str, name: str, key_variable: str | None, together: int, limit_s: float | None
    ) -> None:
        self._url, self._name = base_url(url), name
        self._credentials = credentials_for(url, key_variable)
        self._client = require("httpx2", _EXTRA).Client(
            headers=self._credentials.headers,
            timeout=limit_s,
            limits=require("httpx2", _EXTRA).Limits(max_connections=together),
        )
        self._pool = ThreadPoolExecutor(together, thread_name_prefix="rollout")
        self._lock = threading.Lock()
        self._numbers = 0
        self._own = secrets.token_hex(4)
        self._attached: str | None = None
        self._closed = threading.Event()
        self.progress = 0
        """Number of tokens drawn for answers that are complete."""

    def ask(
        self,
        prompt_ids: tuple[int, ...],
        sampling: Mapping[str, JsonValue],
        choice_ids: tuple[int, ...] = (),
        *,
        wants_logprobs: bool = False,
        adapter: Adapter | None = None,
        affinity: str | None = None,
    ) -> Future[Response]:
        """Send a prompt to be continued with the attached adapter; return the future of its answer."""
        assert not choice_ids
        assert adapter is None
        fields = {name: value for name, value in sampling.items() if name not in _OWN_FIELDS}
        body = {
            **fields,
            "model": self._attached,
            "prompt": list(prompt_ids),
            "return_token_ids": True,
            "logprobs": 0 if wants_logprobs else None,  # 0 means the drawn token only
        }
        with self._lock:
            self._numbers += 1
            number = self._numbers
        return self._pool.submit(self._answer, number, body)

    def attach(self, adapter: Adapter) -> Future[AdapterAttached]:
        """Have the server load an adapter for later requests, and drop the one before."""
        return self._pool.submit(self._attach, adapter)

    def close(self) -> None:
        """Have the server drop the adapter, and give up what it has not answered. Safe to call twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._attached is not None:
            self._drop(self._attached)
        self._client.close()

    def _answer(self, number: int, body: dict[str, Any]) -> Response:
        found = self._sent("completions", body)
        try:
            choice = found.json()["choices"][0]
            tokens = tuple(choice["token_ids"])
            logprobs = choice["logprobs"]["token_logprobs"] if body["logprobs"] is not None else ()
            answer = Response(
                id=number,
                token_ids=tokens,
                finish_reason=choice["finish_reason"],
                drawn_logprobs=tuple(logprobs),
            )
        except (ValueError, LookupError, TypeError) as error:
            raise self._error(
                "the server's answer has no token ids and log-probabilities", "vLLM's own server"
            ) from error
        with self._lock:
            self.progress += len(tokens)
        return answer

    def _attach(self, adapter: Adapter) -> AdapterAttached:
        name, before = f"publius-{self._own}-{adapter.name}", self._attached
        self._sent("load_lora_adapter", {"lora_name": name, "lora_path": adapter.folder})
        self._attached = name
        if before is not None:
            self._drop(before)
        return AdapterAttached(id=0)

    def _drop(self, name: str) -> None:
        """Have the server forget an adapter. A failure leaves an entry in its list, and nothing else."""
        httpx2 = require("httpx2", _EXTRA)
        try:
            self._client.post(f"{self._url}/unload_lora_adapter", json={"lora_name": name}, timeout=_DROP_S)
        except httpx2.HTTPError:
            return

    def _sent(self, route: str, body: dict[str, Any]) -> Any:
        """Return the response to a request, which is sent again after failures that may pass.

        Raises:
            EngineError: if the server cannot be reached, or lacks the route.
            RequestError: if it refuses the request.
        """
        httpx2 = require("httpx2", _EXTRA)
        wait_s, told = _FIRST_WAIT_S, ""
        for number in range(_TRIES):
            if number and self._closed.wait(wait_s):
                break
            wait_s *= 2 if number else 1
            try:
                response = self._client.post(f"{self._url}/{route}", json=body)
            except httpx2.HTTPError as error:
                told = f"{type(error).__name__}: {on_one_line(error)}"
                continue
            if response.status_code < 400:
                return response
            told = f"status {response.status_code}: {' '.join(response.text.split())}"
            if response.status_code < 500 and response.status_code not in _PASSING:
                raise self._refused(route, response.status_code, told)
        raise self._error(f"the server does not answer ({self._shown(told)})", "a server that runs")

    def _refused(self, route: str, status: int, told: str) -> EngineError | RequestError:
        if route == "completions" and status != 404:
            return RequestError("the server refused the request", detail=self._shown(told))
        return self._error(f"the server refused /v1/{route} ({self._shown(told)})", _START)

    def _shown(self, told: str) -> str:
        return self._credentials.mask(told)[:300]

    def _error(self, what: str, accepted: str) -> EngineError:
        return EngineError(f"{self._url}: {what}", where=self._name, accepted=accepted)
