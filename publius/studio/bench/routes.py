"""Routes of the bench. Import this module inside functions only, since it imports FastAPI."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from core.records import Prompt
from publius.studio.bench.bench import MAX_CARDS
from publius.studio.state import Studio, signed_in, the_studio

_PromptId = Annotated[str, Field(pattern=r"^[a-f0-9]{16}$")]


class TypedPrompt(BaseModel):
    """Request body with a prompt that was typed."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=20_000, pattern=r"\S")


class SampleSize(BaseModel):
    """Request body with a number of prompts to sample."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(ge=1, le=MAX_CARDS)


class OneCard(BaseModel):
    """Request body that names a prompt on the bench."""

    model_config = ConfigDict(extra="forbid")

    id: _PromptId


class PinnedCard(OneCard):
    """Request body that pins a prompt, or takes the pin out."""

    pinned: bool


class ChosenCards(BaseModel):
    """Request body that names prompts on the bench; none for all of them."""

    model_config = ConfigDict(extra="forbid")

    ids: list[_PromptId] = Field(default=[], max_length=MAX_CARDS)


bench_router = APIRouter(prefix="/api/bench", dependencies=[Depends(signed_in)])
_TheStudio = Annotated[Studio, Depends(the_studio)]


@bench_router.post("/add")
def add_prompt(typed: TypedPrompt, studio: _TheStudio) -> dict[str, Any]:
    """Put a typed prompt on the bench."""
    prompt = Prompt.of(typed.text.strip(), source="studio")
    return {"id": studio.bench.do(lambda bench: bench.add(prompt, "typed"))}


@bench_router.post("/sample")
def sample_prompts(size: SampleSize, studio: _TheStudio) -> dict[str, Any]:
    """Put prompts of the run on the bench."""
    return {"added": studio.bench.do(lambda bench: bench.sample(size.count))}


@bench_router.post("/remove")
def remove_prompt(card: OneCard, studio: _TheStudio) -> dict[str, Any]:
    """Take a prompt off the bench."""
    studio.bench.do(lambda bench: bench.remove(card.id))
    return {}


@bench_router.post("/pin")
def pin_prompt(card: PinnedCard, studio: _TheStudio) -> dict[str, Any]:
    """Pin a prompt in the project's file, or take it out of there."""
    studio.bench.do(lambda bench: bench.pin(card.id, card.pinned))
    return {}


@bench_router.post("/rewrite")
def rewrite_answers(cards: ChosenCards, studio: _TheStudio) -> dict[str, Any]:
    """Write answers again under the current constitution."""
    studio.bench.do(lambda bench: bench.rewrite(cards.ids))
    return {}


@bench_router.post("/stop")
def stop_bench(studio: _TheStudio) -> dict[str, Any]:
    """Stop writing and judging."""
    studio.bench.do(lambda bench: bench.stop())
    return {}


@bench_router.post("/work")
def continue_bench(studio: _TheStudio) -> dict[str, Any]:
    """Go on after a stop."""
    studio.bench.do(lambda bench: bench.work())
    return {}


@bench_router.post("/baseline")
def mark_baseline(studio: _TheStudio) -> dict[str, Any]:
    """Compare with the current constitution from now on."""
    studio.bench.do(lambda bench: bench.mark())
    return {}
