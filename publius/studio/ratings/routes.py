"""Routes of the ratings. Import this module inside functions only, since it imports FastAPI."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from labelers.page.tasks import Decision
from publius.studio.ratings.desk import MOST_QUEUED, RATINGS
from publius.studio.state import Studio, signed_in, the_studio


class TakenBack(BaseModel):
    """Request body that takes the last rating back."""

    model_config = ConfigDict(extra="forbid")

    judgment: str = Field(pattern=r"^[a-f0-9]{16}$")


class RemovedPair(BaseModel):
    """Request body that takes pairs out of the queue."""

    model_config = ConfigDict(extra="forbid")

    task: str | None = Field(pattern=r"^[a-f0-9]{16}$")
    """The pair; None for all that are not rated."""


class SelectedFrom(BaseModel):
    """Request body that fills the queue from a run."""

    model_config = ConfigDict(extra="forbid")

    run: str = Field(min_length=1, max_length=255)
    count: int = Field(ge=1, le=MOST_QUEUED)


ratings_router = APIRouter(prefix="/api/ratings")
_TheStudio = Annotated[Studio, Depends(the_studio)]
_User = Annotated[str, Depends(signed_in)]


@ratings_router.get("/view")
def ratings_view(studio: _TheStudio, user: _User) -> dict[str, Any]:
    """Return the pair to rate, and the folder of the ratings."""
    return {**studio.ratings.view(user), "folder": RATINGS}


@ratings_router.post("/decide")
def rate_pair(decision: Decision, studio: _TheStudio, user: _User) -> dict[str, Any]:
    """Store a rating, and return the next pair once it is on disk."""
    return _then_shown(studio, user, studio.ratings.decide(user, decision))


@ratings_router.post("/undo")
def undo_rating(body: TakenBack, studio: _TheStudio, user: _User) -> dict[str, Any]:
    """Take the last rating back, and return its pair."""
    return _then_shown(studio, user, studio.ratings.undo(user, body.judgment))


@ratings_router.post("/remove")
def remove_pairs(body: RemovedPair, studio: _TheStudio, user: _User) -> dict[str, Any]:
    """Take a pair out of the queue, or all that are not rated, and return the next one."""
    removed = studio.ratings.remove(user, body.task)
    return {"removed": removed, **_then_shown(studio, user, None)}


@ratings_router.post("/select")
def select_pairs(body: SelectedFrom, studio: _TheStudio, user: _User) -> dict[str, Any]:
    """Fill the queue with the pairs of a run that ratings would help most."""
    added = studio.ratings.select(studio.runs.folder(body.run), body.count)
    return {"added": added, **_then_shown(studio, user, None)}


def _then_shown(studio: Studio, user: str, refusal: str | None) -> dict[str, Any]:
    if refusal is not None:
        raise HTTPException(409, refusal)
    return ratings_view(studio, user)
