"""What the routes of the studio share. Import this module in route modules only, since it imports FastAPI."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import HTTPException, Request

from labelers.page.access import Access
from publius.studio.bench.workbench import Workbench
from publius.studio.feed import Feed
from publius.studio.files import ProjectFiles
from publius.studio.project import StudioProject
from publius.studio.ratings.desk import RatingDesk
from publius.studio.runs.board import RunBoard
from publius.studio.talk.room import TalkRoom


@dataclass
class Studio:
    """A studio that is open on a project."""

    project: StudioProject
    files: ProjectFiles
    feed: Feed
    bench: Workbench
    access: Access
    annotator: str
    """Name that the user's ratings have."""
    runs: RunBoard
    ratings: RatingDesk
    talk: TalkRoom
    closed: bool = field(default=False)


def the_studio(request: Request) -> Studio:
    """Return the studio of an application."""
    studio: Studio = request.app.state.studio
    return studio


def signed_in(request: Request) -> str:
    """Return the name of the user whose cookie a request has. Raises HTTPException without a valid one."""
    access = the_studio(request).access
    name = access.annotator_of(request.cookies.get(access.cookie))
    if name is None:
        raise HTTPException(401, "not signed in; open the link that the command printed again")
    return name
