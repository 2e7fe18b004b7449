"""The routes of the annotation page. Only functions import this module, since it imports FastAPI."""

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
from labelers.page.access import Access, clean_name
from labelers.page.guard import Guard
from labelers.page.hosts import Hosts
from labelers.page.overview import overview
from labelers.page.session import Session
from labelers.page.tasks import Decision

_STATIC = Path(__file__).parent / "static"
_COOKIE_S = 30 * 24 * 3600
_log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Page:
    """What the routes work with."""

    session: Session
    access: Access


class Entry(BaseModel):
    """A person at the door: the token of the link, and who they are."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200)
    annotator: str = Field(max_length=200)


class OwnerEntry(BaseModel):
    """The owner at the door."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200)


class Undo(BaseModel):
    """A decision to take back, by the first of its judgments."""

    model_config = ConfigDict(extra="forbid")

    judgment: str = Field(pattern=r"^[a-f0-9]{16}$")


router = APIRouter()


def build_app(page: Page, hosts: Hosts) -> ASGIApp:
    """Return the web application, with the guard in front of it."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.page = page
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_exception_handler(RequestValidationError, _say_misfit)
    app.add_exception_handler(AnyHTTPException, _say_refusal)
    app.add_exception_handler(PubliusError, _say_problem)
    return Guard(app, hosts)


def _page(request: Request) -> Page:
    page: Page = request.app.state.page
    return page


_ThePage = Annotated[Page, Depends(_page)]


def _annotator(request: Request, page: _ThePage) -> str:
    name = page.access.annotator_of(request.cookies.get(page.access.cookie))
    if name is None:
        raise HTTPException(401, "open the link that you were given again")
    return name


_Annotator = Annotated[str, Depends(_annotator)]


@router.get("/")
def index() -> FileResponse:
    """Return the page; it holds nothing of the collection."""
    return FileResponse(_STATIC / "index.html")


@router.get("/owner")
def owner() -> FileResponse:
    """Return the owner's page; it holds nothing of the collection."""
    return FileResponse(_STATIC / "owner.html")


@router.post("/api/enter")
def enter(entry: Entry, page: _ThePage, response: Response) -> dict[str, str]:
    """Trade the token of the link for the cookie of a person."""
    if not page.access.lets_in(entry.token):
        raise HTTPException(401, "this link is not, or no longer, valid; ask for a new one")
    name = clean_name(entry.annotator)
    _set_cookie(response, page.access.cookie, page.access.sign(name))
    return {"annotator": name}


@router.post("/api/leave")
def leave(page: _ThePage, response: Response) -> dict[str, str]:
    """Forget who the person is."""
    response.delete_cookie(page.access.cookie)
    return {}


@router.get("/api/view")
def view(annotator: _Annotator, page: _ThePage) -> dict[str, Any]:
    """Return what a person's screen shows."""
    return page.session.view(annotator)


@router.post("/api/decide")
def decide(decision: Decision, annotator: _Annotator, page: _ThePage) -> dict[str, Any]:
    """Store a decision, and return what comes next once it is on disk."""
    return _then_view(page, annotator, page.session.decide(annotator, decision))


@router.post("/api/undo")
def undo(taken_back: Undo, annotator: _Annotator, page: _ThePage) -> dict[str, Any]:
    """Take the last decision back, and return it as the next question."""
    return _then_view(page, annotator, page.session.undo(annotator, taken_back.judgment))


def _then_view(page: Page, annotator: str, refusal: str | None) -> dict[str, Any]:
    if refusal is not None:
        raise HTTPException(409, refusal)
    return page.session.view(annotator)


@router.post("/api/owner")
def enter_owner(entry: OwnerEntry, page: _ThePage, response: Response) -> dict[str, str]:
    """Trade the owner's token for a cookie."""
    if not page.access.lets_owner_in(entry.token):
        raise HTTPException(401, "this is not the owner's link")
    _set_cookie(response, page.access.owner_cookie, page.access.sign_owner())
    return {}


@router.get("/api/overview")
def figures(request: Request, page: _ThePage) -> dict[str, Any]:
    """Return the owner's figures."""
    if not page.access.is_owner(request.cookies.get(page.access.owner_cookie)):
        raise HTTPException(401, "open the owner's link again")
    return overview(page.session)


def _set_cookie(response: Response, name: str, value: str) -> None:
    response.set_cookie(name, value, max_age=_COOKIE_S, httponly=True, samesite="strict")


def _say_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _say_misfit(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return JSONResponse({"error": f"{place}: {first['msg']}" if place else str(first["msg"])}, 400)


def _say_problem(request: Request, error: Exception) -> JSONResponse:
    """Say what a request did wrong (400), or that something is wrong here that may be mended (503)."""
    assert isinstance(error, PubliusError)
    if isinstance(error, DataError):
        return JSONResponse({"error": str(error)}, 400)
    _log.error("%s", error)  # with paths, which are for the owner's eyes
    return JSONResponse({"error": f"The server cannot store it: {error.problems[0].what}."}, 503)
