"""The studio's web application. Import this module inside functions only, since it imports FastAPI."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from core.errors import ConfigError, DataError, PubliusError
from core.web.hosts import Hosts
from labelers.page.guard import Guard
from publius.studio.bench.routes import bench_router
from publius.studio.file_routes import file_router
from publius.studio.ratings.routes import ratings_router
from publius.studio.runs.routes import runs_router
from publius.studio.state import Studio, signed_in, the_studio
from publius.studio.talk.routes import talk_router

MAX_STUDIO_BODY_BYTES = 4 * 2**20
"""Largest request: a file of a million characters, each of which JSON may escape."""
STUDIO_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The page's content policy. The nonce is for the style element that CodeMirror makes; no script has one."""

_STATIC = Path(__file__).parent / "static"
_NONCE = "NONCE"
_COOKIE_S = 30 * 24 * 3600
_log = logging.getLogger("uvicorn.error")


class StudioSignIn(BaseModel):
    """Request body with the token of the link."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200)


page_router = APIRouter()
_TheStudio = Annotated[Studio, Depends(the_studio)]


def build_studio(studio: Studio, hosts: Hosts) -> ASGIApp:
    """Return the web application, wrapped in the guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.studio = studio
    for router in (page_router, file_router, bench_router, runs_router, talk_router, ratings_router):
        app.include_router(router)
    app.mount("/static", GZipMiddleware(StaticFiles(directory=_STATIC)))
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(AnyHTTPException, _on_http)
    app.add_exception_handler(PubliusError, _on_problem)
    return Guard(app, hosts, MAX_STUDIO_BODY_BYTES)


@page_router.get("/")
def studio_page() -> HTMLResponse:
    """Return the static page, which has nothing of the project."""
    nonce = secrets.token_urlsafe(16)
    text = (_STATIC / "index.html").read_text(encoding="utf-8").replace(_NONCE, nonce)
    return HTMLResponse(text, headers={"content-security-policy": STUDIO_POLICY.format(nonce=nonce)})


@page_router.post("/api/enter")
def enter_studio(entry: StudioSignIn, studio: _TheStudio, response: Response) -> dict[str, str]:
    """Exchange the token of the link for a cookie."""
    if not studio.access.is_annotator_token(entry.token):
        raise HTTPException(401, "this link is no longer valid; open the one that the command printed last")
    cookie = studio.access.sign(studio.annotator)
    response.set_cookie(studio.access.cookie, cookie, max_age=_COOKIE_S, httponly=True, samesite="strict")
    return {"annotator": studio.annotator}


@page_router.get("/api/events", dependencies=[Depends(signed_in)])
async def events(studio: _TheStudio) -> StreamingResponse:
    """Return the event stream: the state of everything that the page shows, and each change of it."""
    return StreamingResponse(studio.feed.messages(), media_type="text/event-stream")


def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: Any = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return JSONResponse({"error": f"{place}: {first['msg']}" if place else str(first["msg"])}, 400)


def _on_problem(request: Request, error: Exception) -> JSONResponse:
    """Return status 400 for what the user can change on the page, or 503 for a problem of the server."""
    assert isinstance(error, PubliusError)
    if isinstance(error, DataError | ConfigError):
        return JSONResponse({"error": str(error)}, 400)
    _log.error("%s", error)
    return JSONResponse({"error": str(error)}, 503)
