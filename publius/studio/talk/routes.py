"""Routes of the talk. Import this module inside functions only, since it imports FastAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from publius.studio.state import Studio, signed_in, the_studio
from publius.studio.talk.room import MOST_VARIANTS

_Variant = Annotated[str, Field(min_length=1, max_length=300)]
_Turn = Annotated[str, Field(pattern=r"^[a-f0-9]{12}-\d{1,3}$")]


class TalkQuestion(BaseModel):
    """Request body with the next question."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=20_000, pattern=r"\S")
    variants: list[_Variant] = Field(min_length=1, max_length=MOST_VARIANTS)


class GivenThumb(BaseModel):
    """Request body with what the user thinks of an answer."""

    model_config = ConfigDict(extra="forbid")

    turn: _Turn
    variant: _Variant
    thumb: Literal["up", "down"] | None


class KeptTurn(BaseModel):
    """Request body that makes something of a turn."""

    model_config = ConfigDict(extra="forbid")

    turn: _Turn
    kind: Literal["prompt", "example", "comparison"]
    first: _Variant
    """The variant whose conversation, better answer or first answer it is."""
    second: _Variant | None = None
    """The other variant; not for a prompt."""
    principle: str | None = Field(default=None, max_length=200)
    text: str | None = Field(default=None, max_length=1024 * 1024)
    """For an example: the constitution as it is in the editor."""


talk_router = APIRouter(prefix="/api/talk")
_TheStudio = Annotated[Studio, Depends(the_studio)]
_User = Annotated[str, Depends(signed_in)]


@talk_router.post("")
def ask_variants(body: TalkQuestion, studio: _TheStudio, user: _User) -> dict[str, str]:
    """Ask the next question; the answers come with the event stream."""
    return {"turn": studio.talk.ask(body.question, body.variants)}


@talk_router.post("/stop")
def stop_talk(studio: _TheStudio, user: _User) -> dict[str, str]:
    """Stop answering."""
    studio.talk.stop()
    return {}


@talk_router.post("/new")
def new_talk(studio: _TheStudio, user: _User) -> dict[str, str]:
    """Begin a new talk."""
    studio.talk.begin()
    return {}


@talk_router.post("/thumb")
def give_thumb(body: GivenThumb, studio: _TheStudio, user: _User) -> dict[str, str]:
    """Store a thumb once it and the ratings that follow from it are on disk."""
    studio.talk.thumb(body.turn, body.variant, body.thumb, user)
    return {}


@talk_router.post("/keep")
def keep_turn(body: KeptTurn, studio: _TheStudio, user: _User) -> dict[str, Any]:
    """Make a turn a prompt of the bench, an example of a principle, or a pair to rate."""
    if body.kind == "prompt":
        return {"id": studio.talk.keep_prompt(body.turn, body.first)}
    second = body.second or ""
    if body.kind == "comparison":
        return {"added": studio.talk.keep_comparison(body.turn, body.first, second)}
    text = studio.talk.keep_example(body.turn, body.principle or "", body.first, second, body.text or "")
    return {"text": text}
