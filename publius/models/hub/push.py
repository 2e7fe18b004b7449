"""`publius push`: what is sent, checked before anything is, and the result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import ConfigError, RunStateError, shell_command
from core.notices import counted, note
from core.store.files import os_errors
from evaluation.gates.recorded import require_gates
from publius.config.card_terms import NO_TERMS, CardTerms
from publius.models.hub.leaks import require_no_leaks
from publius.models.hub.repository import HubRepository, RepositoryType, parse_repository
from publius.models.hub.source import (
    ModelOptions,
    PushSource,
    find_source,
    require_models_texts,
    write_content,
)
from publius.models.hub.upload import HubClient, UploadOptions, hub_token

_MESSAGE = "Upload with Publius"


@dataclass(frozen=True)
class PushRequest:
    """Options of `publius push`."""

    what: Path
    repository: str
    type: RepositoryType | None = None
    model: ModelOptions = field(default_factory=ModelOptions)
    private: bool = False
    branch: str | None = None
    message: str | None = None
    dry_run: bool = False
    allow: tuple[str, ...] = ()
    """Places that are sent although they look like a key or a path of this machine."""
    force: bool = False
    terms: CardTerms = NO_TERMS
    """What the card of a run or a training states; an exported folder is pushed with its card as it is."""


@dataclass(frozen=True)
class PushPlan:
    """The files that are sent, and where to."""

    repository: HubRepository
    branch: str | None
    files: dict[str, Path]
    """The files by their path in the repository."""
    sizes: dict[str, int]
    """Bytes of each file."""


@dataclass(frozen=True)
class PushedFolder:
    """The result of a push."""

    plan: PushPlan
    commit: str | None
    """Id of the branch's last commit; None after a dry run."""
    changed: bool
    """False if the repository had the same files already, and after a dry run."""
    refused: RunStateError | None = None
    """Why a real push would be refused, after a dry run."""

    @property
    def was_sent(self) -> bool:
        """False after a dry run."""
        return self.commit is not None

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return {
            "url": self.plan.repository.url,
            "type": self.plan.repository.type,
            "branch": self.plan.branch or "main",
            "files": [{"path": name, "bytes": size} for name, size in self.plan.sizes.items()],
            "sent": self.was_sent,
            "changed": self.changed,
            "commit": self.commit,
            **({} if self.refused is None else {"refused": str(self.refused)}),
        }


def push_folder(request: PushRequest, show: Callable[[PushPlan], object]) -> PushedFolder:
    """Upload what a folder holds, and return the result.

    Args:
        request: what is pushed, and where to.
        show: gets the plan once it is known to be in order, before anything is sent.

    Raises:
        ConfigError: if an option, the repository or the token is wrong.
        DataError: if a text file has a key or a path of this machine; nothing is sent.
        EngineError: if the Hub refuses, or cannot be reached.
        RunStateError: if there is nothing to push; or, unless it is a dry run, if the run failed a gate or no
            model wrote its texts.
    """
    source = find_source(request.what, request.type, request.model)
    repository = parse_repository(request.repository, source.type)
    token = None if request.dry_run else hub_token()
    refused = _refused(source, request)
    if refused is not None and not request.dry_run:
        raise refused
    with _content(source, request, force=request.force or refused is not None) as folder:
        files = _files_of(folder)
        require_no_leaks(files, _folders_of(source), request.allow)
        with os_errors(folder):
            sizes = {name: path.stat().st_size for name, path in files.items()}
        plan = PushPlan(repository, request.branch, files, sizes)
        show(plan)
        if token is None:
            return PushedFolder(plan, None, changed=False, refused=refused)
        options = UploadOptions(request.private, request.branch, request.message or _MESSAGE, request.type)
        commit, changed = HubClient(repository, token).upload(files, options)
        return PushedFolder(plan, commit, changed)


def _refused(source: PushSource, request: PushRequest) -> RunStateError | None:
    """Return why what is there must not be pushed without `--force`; None if it may."""
    if request.force:
        return None
    try:
        require_models_texts(source, force=False)
        if not source.is_exported:
            require_gates(source.folder, force=False)
    except RunStateError as error:
        return error
    return None


@contextmanager
def _content(source: PushSource, request: PushRequest, *, force: bool) -> Iterator[Path]:
    """Yield the folder whose files are sent: an exported one, or a temporary one."""
    if source.is_exported:
        if request.terms != NO_TERMS:
            raise ConfigError(
                "an exported folder is pushed with its card as it is",
                where="--license, --language",
                accepted="these options of `publius export`, or the fields in README.md",
            )
        yield source.folder
        return
    with (
        os_errors(Path(tempfile.gettempdir())),
        tempfile.TemporaryDirectory(prefix="publius-push-") as temporary,
    ):
        to = Path(temporary) / "content"
        write_content(source, request.model, to, force=force, terms=request.terms)
        yield to


def _files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their relative path. Hidden files are skipped and counted.

    Raises:
        RunStateError: if there is none, or one is a link, which may lead anywhere on this machine.
    """
    files: dict[str, Path] = {}
    hidden = 0
    with os_errors(folder):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if any(part.startswith(".") for part in name.parts):
                hidden += path.is_file()
            elif path.is_symlink():
                raise RunStateError(
                    "this is a symbolic link",
                    where=str(path),
                    accepted="a folder of files",
                    run=shell_command("cp", "-rL", folder, "COPY"),
                )
            elif path.is_file():
                files[name.as_posix()] = path
    if hidden:
        note(f"{counted(hidden, 'hidden file')} of {folder} not sent")
    if not files:
        raise RunStateError("nothing to push: the folder has no files", where=str(folder))
    return files


def _folders_of(source: PushSource) -> list[Path]:
    """Return the folders that show where the content is from: its own, and those of its run and project."""
    folder = source.folder.resolve()
    return [folder] if source.is_exported else [folder, folder.parent, folder.parent.parent]
