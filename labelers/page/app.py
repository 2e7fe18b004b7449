"""Routes of the annotation page. Import this module inside functions only, since it imports FastAPI."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp

from core.errors import DataError, PubliusError
from core.web.hosts import Hosts
from labelers.page.access import Access, clean_name
from labelers.page.guard import Guard
from labelers.page.overview import overview
from labelers.page.session import Session
from labelers.page.tasks import Decision

_STATIC = Path(__file__).parent / "static"
_COOKIE_S = 30 * 24 * 3600
_log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Page:
    """State of the application that the routes use."""

    session: Session
    access: Access


class SignIn(BaseModel):
    """Request body of an annotator's sign-in: the token from the link, and a name."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200)
    annotator: str = Field(max_length=200)


class OwnerSignIn(BaseModel):
    """Request body of the owner's sign-in: the token from the link."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200)


class Undo(BaseModel):
    """Request body to take a decision back, identified by the id of its first judgment."""

    model_config = ConfigDict(extra="forbid")

    judgment: str = Field(pattern=r"^[a-f0-9]{16}$")


router = APIRouter()


def build_app(page: Page, hosts: Hosts) -> ASGIApp:
    """Return the web application, wrapped in the guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.page = page
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(AnyHTTPException, _on_http_error)
    app.add_exception_handler(PubliusError, _on_publius_error)
    return Guard(app, hosts)


def _page(request: Request) -> Page:
    page: Page = request.app.state.page
    return page


_ThePage = Annotated[Page, Depends(_page)]


def _annotator(request: Request, page: _ThePage) -> str:
    name = page.access.annotator_of(request.cookies.get(page.access.cookie))
    if name is None:
        raise HTTPException(401, "not signed in; open your link again")
    return name


_Annotator = Annotated[str, Depends(_annotator)]


@router.get("/")
def index() -> FileResponse:
    """Return the static page, which has no data of the collection."""
    return FileResponse(_STATIC / "index.html")


@router.get("/owner")
def owner() -> FileResponse:
    """Return the owner's static page, which has no data of the collection."""
    return FileResponse(_STATIC / "owner.html")


@router.post("/api/enter")
def sign_in(entry: SignIn, page: _ThePage, response: Response) -> dict[str, str]:
    """Exchange the token from the link for an annotator's cookie."""
    if not page.access.is_annotator_token(entry.token):
        raise HTTPException(401, "this link is invalid or no longer valid; ask for a new one")
    name = clean_name(entry.annotator)
    _set_cookie(response, page.access.cookie, page.access.sign(name))
    return {"annotator": name}


@router.post("/api/leave")
def sign_out(page: _ThePage, response: Response) -> dict[str, str]:
    """Delete the annotator's cookie."""
    response.delete_cookie(page.access.cookie)
    return {}


@router.get("/api/view")
def view(annotator: _Annotator, page: _ThePage) -> dict[str, Any]:
    """Return the content of an annotator's screen."""
    return page.session.view(annotator)


@router.post("/api/decide")
def decide(decision: Decision, annotator: _Annotator, page: _ThePage) -> dict[str, Any]:
    """Store a decision, and return the next screen once the decision is on disk."""
    return _then_view(page, annotator, page.session.decide(annotator, decision))


@router.post("/api/undo")
def undo(taken_back: Undo, annotator: _Annotator, page: _ThePage) -> dict[str, Any]:
    """Take back the last decision, and return its task as the next one."""
    return _then_view(page, annotator, page.session.undo(annotator, taken_back.judgment))


def _then_view(page: Page, annotator: str, refusal: str | None) -> dict[str, Any]:
    if refusal is not None:
        raise HTTPException(409, refusal)
    return page.session.view(annotator)


@router.post("/api/owner")
def sign_in_owner(entry: OwnerSignIn, page: _ThePage, response: Response) -> dict[str, str]:
    """Exchange the owner's token for a cookie."""
    if not page.access.is_owner_token(entry.token):
        raise HTTPException(401, "this is not the owner's link")
    _set_cookie(response, page.access.owner_cookie, page.access.sign_owner())
    return {}


@router.get("/api/overview")
def owner_metrics(request: Request, page: _ThePage) -> dict[str, Any]:
    """Return the metrics of the owner's page."""
    if not page.access.is_owner(request.cookies.get(page.access.owner_cookie)):
        raise HTTPException(401, "not signed in; open the owner's link again")
    return overview(page.session)


def _set_cookie(response: Response, name: str, value: str) -> None:
    response.set_cookie(name, value, max_age=_COOKIE_S, httponly=True, samesite="strict")


def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return JSONResponse({"error": f"{place}: {first['msg']}" if place else str(first["msg"])}, 400)


def _on_publius_error(request: Request, error: Exception) -> JSONResponse:
    """Return status 400 for an invalid request, or 503 for a problem of the server that may be fixed."""
    assert isinstance(error, PubliusError)
    if isinstance(error, DataError):
        return JSONResponse({"error": str(error)}, 400)
    _log.error("%s", error)  # the full text has paths, which annotators must not see
    return JSONResponse({"error": f"The server cannot store it: {error.problems[0].what}."}, 503)
