"""Routes of the runs. Import this module inside functions only, since it imports FastAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from publius.studio.runs.board import RunBoard
from publius.studio.state import Studio, signed_in, the_studio

REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
)
"""Policy of a report in its frame: an origin of its own without the studio's cookie, and no request.

The page's own policy, which also holds, allows only the script and style that it has itself.
"""

_Name = Annotated[str, Field(min_length=1, max_length=255)]


class StartedBy(BaseModel):
    """Request body that starts a run."""

    model_config = ConfigDict(extra="forbid")

    run_file: _Name
    overrides: list[Annotated[str, Field(min_length=3, max_length=2000)]] = Field(default=[], max_length=50)
    """`a.b=value` each, as after `--set`."""
    resume: _Name | None = None
    """Name of the run folder to resume."""


class StoppedRun(BaseModel):
    """Request body that stops a process."""

    model_config = ConfigDict(extra="forbid")

    process: _Name


def _board(studio: Annotated[Studio, Depends(the_studio)]) -> RunBoard:
    return studio.runs


runs_router = APIRouter(dependencies=[Depends(signed_in)])
_TheBoard = Annotated[RunBoard, Depends(_board)]


@runs_router.get("/api/runs")
def runs_shown(board: _TheBoard) -> dict[str, Any]:
    """Return the runs, the processes and the run files."""
    return board.shown()


@runs_router.post("/api/runs/start")
def start_run(body: StartedBy, board: _TheBoard) -> dict[str, str]:
    """Start or resume a run."""
    return {"process": board.start(body.run_file, body.overrides, body.resume)}


@runs_router.post("/api/runs/stop")
def stop_run(body: StoppedRun, board: _TheBoard) -> dict[str, str]:
    """Stop a process; completed work is saved."""
    board.stop(body.process)
    return {}


@runs_router.get("/api/runs/compare")
def compare_runs(board: _TheBoard, run: Annotated[list[str], Query(max_length=16)]) -> dict[str, Any]:
    """Return runs side by side."""
    return board.compared(run)


@runs_router.get("/api/runs/{run}/curves")
def run_curves(run: str, board: _TheBoard) -> dict[str, Any]:
    """Return the curves of a run's trainings."""
    return {"trainings": board.curves(run)}


@runs_router.get("/report/{run}")
def run_report(run: str, board: _TheBoard, theme: Literal["light", "dark"] | None = None) -> HTMLResponse:
    """Return the report of a run, which opens in a frame that may do nothing but show itself.

    It opens in the theme of the page around it; without one, in the system's.
    """
    headers = {"content-security-policy": REPORT_POLICY, "x-frame-options": "SAMEORIGIN"}
    page = board.report(run)
    if theme is not None:
        page = page.replace("<html ", f'<html data-theme="{theme}" ', 1)
    return HTMLResponse(page, headers=headers)
