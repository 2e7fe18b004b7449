"""`publius studio`: open a project, serve the page on this machine, and watch the files."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from constitution.loader import read_constitution
from core.errors import ConfigError, DataError
from core.lazy import require
from core.notices import warn
from core.web.hosts import Hosts
from core.web.links import PageLink
from core.web.server import listen, serve
from labelers.page.access import clean_name, open_access
from publius.runs.engines import EngineMaker, make_engine
from publius.studio.bench.workbench import Workbench
from publius.studio.feed import Feed
from publius.studio.files import FileVersion, ProjectFiles
from publius.studio.project import STATE_FOLDER, StudioProject
from publius.studio.ratings.desk import RatingDesk
from publius.studio.runs.board import RunBoard
from publius.studio.runs.views import RunViews
from publius.studio.talk.room import TalkRoom

if TYPE_CHECKING:
    from publius.studio.state import Studio

_EXTRA = "studio"
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class StudioRequest:
    """Options of `publius studio`."""

    project: Path
    """The project's folder, or one of its run files or constitutions."""
    port: int = 0
    """Port on this machine; 0 for a free one."""
    token: str | None = None
    """Token of the link; None for the one of the project, which is made at the first start."""


def serve_studio(
    request: StudioRequest,
    opened: Callable[[PageLink], None],
    views: RunViews,
    make: EngineMaker = make_engine,
) -> None:
    """Serve the studio on this machine until the user interrupts.

    Args:
        request: options of the command.
        opened: called with the link once the page can be reached.
        views: readings of runs by the report's code.
        make: builds an engine; tests pass their own.

    Raises:
        ConfigError: the project has no constitution, or an option is wrong.
        MissingExtraError: the web server's packages are not installed.
    """
    for package in ("fastapi", "uvicorn"):
        require(package, _EXTRA)
    from publius.studio.app import build_studio

    project = StudioProject.of(request.project)
    with (
        listen(_LOOPBACK, request.port) as listening,
        open_studio(project, request.token, views, make) as studio,
    ):
        port = listening.getsockname()[1]
        opened(PageLink(f"http://{_LOOPBACK}:{port}/#{studio.access.token}", project.folder))
        serve(build_studio(studio, Hosts.of(_LOOPBACK)), listening, _EXTRA)


@contextmanager
def open_studio(
    project: StudioProject, token: str | None, views: RunViews, make: EngineMaker
) -> Iterator[Studio]:
    """Yield the studio of a project, which watches it and works at its bench until the block ends."""
    from publius.studio.file_routes import announce
    from publius.studio.state import Studio

    files, feed = ProjectFiles(project), Feed()
    access = open_access(project.folder / STATE_FOLDER / "access.json", token)
    bench = Workbench(project, feed.publish, make)
    state = project.folder / STATE_FOLDER
    desk = RatingDesk(project.folder, state / "queue", lambda: _principles(project), feed.publish)
    talk = TalkRoom(project, files, bench, desk, feed.publish)

    def runs_changed(topic: str, content: dict[str, Any]) -> None:
        feed.publish(topic, content)
        feed.publish("talk", talk.shown())  # a run may have trained a variant that can answer

    board = RunBoard(project, views, runs_changed)
    studio = Studio(project, files, feed, bench, access, _user_name(), board, desk, talk)
    stopped = threading.Event()
    feed.provide("talk", talk.shown)
    board.look()
    feed.publish("project", _shown(project))
    feed.publish("files", {"files": files.digests()})
    feed.when_opened(lambda: bench.post(lambda inner: inner.open()))
    try:
        bench.edit(read_constitution(project.constitution))
    except ConfigError as error:
        warn(f"the bench waits for a valid constitution:\n{error}")

    def changed(version: FileVersion) -> None:
        announce(studio, version)

    watching = [
        threading.Thread(target=files.watch, args=(changed, stopped), name="files", daemon=True),
        threading.Thread(target=board.watch, args=(stopped,), name="runs", daemon=True),
    ]
    for thread in watching:
        thread.start()
    try:
        yield studio
    finally:
        studio.closed = True
        stopped.set()
        for thread in watching:
            thread.join(5.0)
        bench.close()
        desk.close()


def _shown(project: StudioProject) -> dict[str, Any]:
    return {
        "folder": str(project.folder),
        "name": project.folder.name,
        "constitution": project.constitution.name,
        "run_file": project.run_file.name if project.run_file else None,
    }


def _principles(project: StudioProject) -> tuple[str, ...]:
    """Return the texts of the project's principles; none if the constitution on disk is not valid."""
    try:
        loaded = read_constitution(project.constitution)
    except ConfigError:
        return ()
    return tuple(principle.text for principle in loaded.constitution.steering)


def _user_name() -> str:
    """Return the name of the user of this machine as an annotator's."""
    try:
        return clean_name(getpass.getuser())
    except (OSError, KeyError, DataError):
        return "me"
