"""Routes of the project's files. Import this module inside functions only, since it imports FastAPI."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from constitution.file_schema import json_schema
from core.errors import PubliusError
from publius.config.run_file import load_run_config
from publius.config.run_schema import run_schema
from publius.studio.files import FileVersion, NotSavedError, UnsavedText, now_utc
from publius.studio.linting import as_loaded, linted, principle_at
from publius.studio.project import file_kind
from publius.studio.state import Studio, signed_in, the_studio

_MAX_CHARACTERS = 1024 * 1024
_Name = Annotated[str, Field(min_length=1, max_length=255)]
_Tab = Annotated[str, Field(pattern=r"^[\w-]{1,64}$")]
_Digest = Annotated[str, Field(pattern=r"^([a-f0-9]{64})?$")]


class EditedText(BaseModel):
    """Request body with the text of a file as it is on a page."""

    model_config = ConfigDict(extra="forbid")

    name: _Name
    text: str = Field(max_length=_MAX_CHARACTERS)
    base: _Digest
    """Digest of the version that it is based on; empty for a new file."""
    tab: _Tab


class TypedText(EditedText):
    """Request body with a text that is being typed."""

    typing: int | None = Field(default=None, ge=1)
    """Line at whose unfinished end the cursor is."""


class DroppedDraft(BaseModel):
    """Request body that names a draft."""

    model_config = ConfigDict(extra="forbid")

    name: _Name
    tab: _Tab


file_router = APIRouter(prefix="/api", dependencies=[Depends(signed_in)])
_TheStudio = Annotated[Studio, Depends(the_studio)]


@file_router.get("/schema/{kind}")
def editor_schema(kind: str) -> Any:
    """Return the JSON Schema of constitutions or of run files, for completion."""
    return _schema("run" if kind == "run" else "constitution")


@cache
def _schema(kind: str) -> dict[str, Any]:
    return run_schema() if kind == "run" else json_schema()


@file_router.get("/files/{name}")
def file_version(name: str, studio: _TheStudio) -> dict[str, Any]:
    """Return a file as it is on disk, with the texts of it that were typed and not saved."""
    version = studio.files.read(name)
    drafts = [draft.as_json() for draft in studio.files.drafts(name)]
    lint = linted(studio.project.paths()[name], version.kind, version.text)
    return {**version.as_json(), "drafts": drafts, "problems": [d.as_json() for d in lint.diagnostics]}


@file_router.post("/draft")
def keep_draft(edited: TypedText, studio: _TheStudio) -> dict[str, Any]:
    """Store a text that is being typed, return its mistakes, and show its labels if it is valid."""
    if studio.files.read(edited.name).text != edited.text:
        studio.files.keep_draft(UnsavedText(edited.name, edited.tab, edited.base, edited.text, now_utc()))
    else:
        studio.files.drop_draft(edited.name, edited.tab)
    path = studio.project.paths()[edited.name]
    lint = linted(path, file_kind(path, edited.text), edited.text)
    follow(studio, edited.name, edited.text, edited.tab, edited.typing)
    return {"problems": [diagnostic.as_json() for diagnostic in lint.diagnostics]}


@file_router.post("/draft/drop")
def drop_draft(draft: DroppedDraft, studio: _TheStudio) -> dict[str, Any]:
    """Forget a text that was not saved."""
    studio.files.drop_draft(draft.name, draft.tab)
    version = studio.files.read(draft.name)
    follow(studio, draft.name, version.text, draft.tab)
    return {}


@file_router.post("/save")
def save_file(edited: EditedText, studio: _TheStudio) -> Any:
    """Save a text, or return the file's current version if it is another one than the text is based on."""
    try:
        version = studio.files.save(edited.name, edited.text, edited.base, edited.tab)
    except NotSavedError as error:
        return JSONResponse({"error": str(error), **error.current.as_json()}, 409)
    announce(studio, version, edited.tab)
    return {"digest": version.digest}


def announce(studio: Studio, version: FileVersion, source: str = "") -> None:
    """Tell all pages of a file's new version, and let the bench follow it."""
    studio.feed.publish("files", {"files": studio.files.digests()})
    follow(studio, version.name, version.text, source)
    run_file = studio.project.run_file
    if run_file is not None and version.name == run_file.name:
        try:
            studio.bench.configure(load_run_config(run_file))
        except PubliusError:
            return  # the editor shows its mistakes; the bench keeps the settings that it has


def follow(studio: Studio, name: str, text: str, source: str, typing: int | None = None) -> None:
    """Show the labels under the project's constitution with a text in place of one of its files.

    Args:
        studio: the studio.
        name: name of the file.
        text: its text.
        source: id of the page that it was typed on; empty for a file on disk.
        typing: line at whose unfinished end the user types.
    """
    main = studio.project.constitution
    path = studio.project.paths().get(name, main.with_name(name))
    if file_kind(path, text) in ("constitution", "text"):
        loaded = as_loaded(main, path, text)
        if loaded is not None:
            unfinished = None if typing is None else principle_at(loaded, path, typing)
            studio.bench.edit(loaded, source, unfinished)
