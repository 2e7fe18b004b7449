"""Routes of the API. Import this module inside functions only, since it imports FastAPI."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from core.concurrency import all_or_none
from core.digests import digest
from core.errors import ConfigError, DataError, EngineError, FailedRequestError, PubliusError, RequestError
from core.web.hosts import Hosts
from engines.decisions.openai_form import OpenAIDecisions
from engines.decisions.questions import DecisionCall, Decisions
from engines.decisions.systemone import SystemOne
from engines.decisions.wire import DecisionDialect
from engines.protocols import Engine
from engines.requests.failures import failure_of_one_request
from publius.serving.chat_form import chat_events, chat_response, read_chat_request
from publius.serving.guard import ApiGuard, Bearer, api_error

_Result = TypeVar("_Result")
_log = logging.getLogger("uvicorn.error")

_UNKNOWN_TIME = 0
"""Time at which a model was made, which is not known; that of the start would differ after each restart."""

routes = APIRouter()


class Decider(Protocol):
    """Answers typed questions."""

    @property
    def identity(self) -> str:
        """Digest of everything that affects its answers. May read the files of a model."""
        ...

    async def decide(self, call: DecisionCall) -> Decisions:
        """Return the answers to all questions of a request."""
        ...


@dataclass
class Service:
    """What is served."""

    engines: Mapping[str, Engine]
    """Engine of each model's name; the first is asked where a request names no model. Empty if only decisions
    are answered."""
    deciders: Mapping[str, Decider]
    """Who answers decisions under each name."""
    answered: Counter[str] = field(default_factory=Counter)
    """Number of answers by kind: `chat completions` and `decisions`."""
    _identities: dict[str, asyncio.Task[str]] = field(default_factory=dict)

    async def identity(self, name: str) -> str:
        """Return a digest of what answers under a name; computed once, since it may read all weights."""
        task = self._identities.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(asyncio.to_thread(self._identity, name))
            self._identities[name] = task
        return await asyncio.shield(task)

    def _identity(self, name: str) -> str:
        behind = (self.engines.get(name), self.deciders.get(name))
        return digest(*(None if answers is None else answers.identity for answers in behind))[:32]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all models."""
        return tuple(dict.fromkeys([*self.engines, *self.deciders]))


class _UnknownModelError(Exception):
    pass


def build_api(service: Service, hosts: Hosts, bearer: Bearer) -> ASGIApp:
    """Return the web application, wrapped in the guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.include_router(routes)
    app.add_exception_handler(PubliusError, _on_publius_error)
    app.add_exception_handler(_UnknownModelError, _on_unknown_model)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_any_error)
    return ApiGuard(app, hosts, bearer)


@routes.get("/health")
async def health() -> dict[str, str]:
    """Return that the server answers; no token is needed."""
    return {"status": "ok"}


@routes.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """Return the names of the served models."""
    service = _service(request)
    return {"object": "list", "data": [await _described(service, name) for name in service.names]}


@routes.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> dict[str, Any]:
    """Return one of the served models."""
    service = _service(request)
    if name not in service.names:
        raise _unknown(name, service.names)
    return await _described(service, name)


@routes.post("/v1/chat/completions")
async def chat_completions(request: Request) -> Response:
    """Answer a conversation."""
    service = _service(request)
    call = read_chat_request(await _body(request))
    name, engine = _of_model(service.engines, call.model, "chat completions")

    async def answer() -> Any:
        with failure_of_one_request(engine.model):
            return await all_or_none(map(engine.generate, call.requests))

    answers = await _while_connected(request, answer())
    fingerprint = await service.identity(name)
    service.answered["chat completions"] += 1
    request_id = f"chatcmpl-{secrets.token_hex(12)}"
    if call.stream:
        events = chat_events(request_id, name, fingerprint, answers, with_usage=call.with_usage)
        return StreamingResponse(events, media_type="text/event-stream")
    return JSONResponse(chat_response(request_id, name, fingerprint, answers))


@routes.post("/v1/systemone")
async def systemone(request: Request) -> Response:
    """Answer questions in the form of System One."""
    return await _decided(request, SystemOne())


@routes.post("/v1/decisions")
async def decisions(request: Request) -> Response:
    """Answer questions in the form of OpenAI's decisions."""
    return await _decided(request, OpenAIDecisions())


async def _decided(request: Request, dialect: DecisionDialect) -> Response:
    service = _service(request)
    call = dialect.read_request(await _body(request))
    name, decider = _of_model(service.deciders, call.model, "decisions")
    found = await _while_connected(request, decider.decide(call))
    service.answered["decisions"] += len(call.questions)
    named = Decisions(name, found.answers, found.prompt_tokens, found.completion_tokens)
    body = dialect.write_response(call, named, f"decision-{secrets.token_hex(12)}")
    return JSONResponse({**body, "system_fingerprint": await service.identity(name)})


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _described(service: Service, name: str) -> dict[str, Any]:
    """Return the entry of a model, by which clients tell it from another one that has the same name."""
    described = {"id": name, "object": "model", "created": _UNKNOWN_TIME, "owned_by": "publius"}
    return {**described, "meta": {"identity": await service.identity(name)}}


def _of_model(of: Mapping[str, _Result], name: str | None, what: str) -> tuple[str, _Result]:
    """Return what answers for a model, with its name; the first one if no name is given."""
    if not of:
        raise DataError(f"this server answers no {what}", accepted="a server that was started with a model")
    if name is None:
        return next(iter(of.items()))
    if name not in of:
        raise _unknown(name, tuple(of))
    return name, of[name]


def _unknown(name: str, served: tuple[str, ...]) -> _UnknownModelError:
    return _UnknownModelError(f"no model {name[:80]!r} is served here; accepted: {', '.join(served)}")


async def _body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises:
        DataError: if the body is not a JSON object, has the same key twice in an object, or has half of a
            character.
    """
    try:
        value = json.loads(await request.body(), object_pairs_hook=_distinct)
        # "\ud800" is valid JSON, but no text: no tokenizer reads it, and no response could repeat it.
        json.dumps(value, ensure_ascii=False).encode()
    except DataError:
        raise
    except UnicodeEncodeError as error:
        raise DataError(
            f"the body has half of a character (\\u{ord(error.object[error.start]):04x})",
            accepted="valid Unicode",
        ) from error
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise DataError(f"the body is not JSON ({reason})", accepted="a JSON object") from error
    if not isinstance(value, dict):
        raise DataError("the body is not a JSON object", accepted="a JSON object")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise DataError(f"the key {twice[:80]!r} is given twice", accepted="different keys")
    return value


async def _while_connected(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return the result of the work; stop it if the client disconnects, for nobody would read it."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
    if not task.done():
        raise HTTPException(499, "the client disconnected")
    return task.result()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _on_publius_error(request: Request, error: Exception) -> Response:
    """Respond to an error of ours: with 400 to what the client can mend."""
    status = 400
    if isinstance(error, FailedRequestError):
        status = 500
    elif isinstance(error, EngineError):
        status = 503
    assert isinstance(error, PubliusError)
    first = error.problems[0]
    param = first.where if isinstance(error, DataError | RequestError) else None
    kinds = (DataError, RequestError, ConfigError, EngineError)
    message = str(first) if isinstance(error, kinds) else type(error).__name__
    return JSONResponse(api_error(status, message, param), status)


async def _on_unknown_model(request: Request, error: Exception) -> Response:
    return JSONResponse(api_error(404, str(error), "model"), 404)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, path = error.status_code, request.url.path[:80]
    reasons = {404: f"there is no route {path}", 405: f"{request.method} is not answered at {path}"}
    return JSONResponse(api_error(status, reasons.get(status, str(error.detail))), status)


async def _on_any_error(request: Request, error: Exception) -> Response:
    _log.error("%s: %s", type(error).__name__, error)
    return JSONResponse(api_error(500, f"the server failed on the request ({type(error).__name__})"), 500)
