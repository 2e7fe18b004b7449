"""Uploads to the Hub through its own client: repository, branch, one commit, and errors in one line."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.errors import ConfigError, EngineError, PubliusError, first_line, on_one_line
from core.lazy import require
from core.notices import counted, note, warn
from core.progress import progress
from engines.endpoint.credentials import Credentials
from publius.models.hub.repository import HUB_EXTRA, TYPE_NAMES, HubRepository, RepositoryType

_LOGIN = "hf auth login, or set HF_TOKEN"
_WRITES = "a token that may write to it, from https://huggingface.co/settings/tokens"
_OF_THE_HUB = frozenset({".gitattributes"})
"""Files that the Hub makes."""


@dataclass(frozen=True)
class UploadOptions:
    """Options of an upload."""

    private: bool
    branch: str | None
    message: str
    asked_type: RepositoryType | None
    """The type that the user asked for; None if it is that of what is pushed."""


def hub_token() -> str:
    """Return the user's token. Raises ConfigError without one."""
    hub: Any = require("huggingface_hub", HUB_EXTRA)
    token: str | None = hub.get_token()
    if not token:
        raise ConfigError("no access token for the Hub is set", accepted=_WRITES, run=_LOGIN)
    return token


class HubClient:
    """Uploads to one repository."""

    def __init__(self, repository: HubRepository, token: str) -> None:
        self._hub: Any = require("huggingface_hub", HUB_EXTRA)
        self._errors: Any = require("huggingface_hub.errors", HUB_EXTRA)
        self._repository = repository
        self._mask = Credentials(token).mask
        self._api: Any = self._hub.HfApi(
            endpoint=repository.endpoint, token=token, library_name="publius", library_version=_version()
        )
        self._named = {"repo_id": repository.id, "repo_type": repository.type}

    def upload(self, files: Mapping[str, Path], options: UploadOptions) -> tuple[str, bool]:
        """Make one commit with all files, and the repository and branch if they do not exist.

        Args:
            files: the files by their path in the repository.
            options: the options.

        Returns:
            The id of the branch's last commit, and whether it is a new one.

        Raises:
            ConfigError: if the repository is public or of the other type, or the token is wrong.
            EngineError: if the Hub refuses, or cannot be reached.
        """
        with self._one_line(), self._progress(len(files)):
            self._require_repository(options)
            if options.branch is not None:
                self._api.create_branch(branch=options.branch, exist_ok=True, **self._named)
            head = self._api.repo_info(revision=options.branch, **self._named)
            additions = [
                self._hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=path)
                for name, path in files.items()
            ]
            done = self._api.create_commit(
                operations=additions,
                commit_message=options.message,
                revision=options.branch,
                **self._named,
            )
        self._report(files, head, additions)
        return str(done.oid), done.oid != head.sha

    def _require_repository(self, options: UploadOptions) -> None:
        """Make the repository if it does not exist."""
        found = self._find(self._repository.type)
        if found is None:
            self._require_no_namesake(options)
            private = True if options.private else None  # None: the default of the owner
            self._api.create_repo(private=private, exist_ok=True, **self._named)
            found = self._find(self._repository.type)
        # The Hub ignores `private` for a repository that exists.
        if options.private and found is not None and not found.private:
            raise ConfigError(
                f"{self._repository.url} exists and is public",
                where="--private",
                accepted="another name, or a repository that was made private in its settings on the Hub",
            )

    def _require_no_namesake(self, options: UploadOptions) -> None:
        other: RepositoryType = "model" if self._repository.type == "dataset" else "dataset"
        if options.asked_type is None and self._find(other) is not None:
            kind = self._repository.type
            what = f"{self._repository.id} exists, as a {TYPE_NAMES[other]}"
            raise ConfigError(
                f"{what}, and what is pushed is a {TYPE_NAMES[kind]}",
                where="REPO",
                accepted=f"another name, or --type {kind} to have both under this name",
            )

    def _find(self, kind: RepositoryType) -> Any:
        """Return what the Hub knows of the repository with this name and type, or None if there is none."""
        try:
            return self._api.repo_info(repo_id=self._repository.id, repo_type=kind)
        except self._errors.RepositoryNotFoundError as error:
            if error.response.status_code == 401:  # the Hub answers so to those whom it does not know
                raise
            return None

    def _report(self, files: Mapping[str, Path], head: Any, additions: list[Any]) -> None:
        """Print what of the push is not in the repository, and what is there beside it."""
        ignored = [op.path_in_repo for op in additions if getattr(op, "_should_ignore", False)]
        if ignored:
            warn(f"not uploaded, as the repository's .gitignore says: {', '.join(ignored)}")
        there = {sibling.rfilename for sibling in head.siblings or ()}
        others = sorted(there - files.keys() - _OF_THE_HUB)
        if others:
            shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            note(f"the repository has {counted(len(others), 'other file')}, left as they are: {shown}")

    @contextlib.contextmanager
    def _progress(self, files: int) -> Iterator[None]:
        """Show the client's bars on a terminal and lines elsewhere, and its warnings as notices."""
        utils: Any = require("huggingface_hub.utils", HUB_EXTRA)
        talkative = logging.getLogger("huggingface_hub.hf_api")  # says that nothing changed, as we do
        level, hidden = talkative.level, utils.are_progress_bars_disabled()
        talkative.setLevel(logging.ERROR)
        is_terminal = sys.stderr.isatty()
        if not is_terminal:
            utils.disable_progress_bars()
        lines = contextlib.nullcontext() if is_terminal else progress("upload", files)
        try:
            with warnings.catch_warnings(record=True) as caught, lines as task:
                yield
                if task is not None:
                    task.advance(files)
            for warning in caught:
                warn(on_one_line(Warning(str(warning.message))))
        finally:
            talkative.setLevel(level)
            if not hidden:
                utils.enable_progress_bars()

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        """Turn the client's exceptions into errors of one line, without the token."""
        httpx: Any = require("httpx2", HUB_EXTRA)
        try:
            yield
        except PubliusError:
            raise
        except self._errors.HfHubHTTPError as error:
            raise self._refused(error) from error
        except self._errors.OfflineModeIsEnabled as error:
            raise ConfigError(
                "the Hub's client is switched off",
                where="HF_HUB_OFFLINE",
                accepted="a shell without this variable",
            ) from error
        except (httpx.TransportError, ConnectionError, TimeoutError) as error:
            reason = self._mask(first_line(error))
            accepted = "a network that reaches it; HTTPS_PROXY names a proxy, HF_ENDPOINT another Hub"
            if "xet" in reason:
                accepted += "; HF_HUB_DISABLE_XET=1 for a Hub without Xet storage"
            raise EngineError(
                f"the Hub cannot be reached ({reason})", where=self._repository.endpoint, accepted=accepted
            ) from error
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(
                f"the upload failed ({self._mask(on_one_line(error))})", where=self._repository.url
            ) from error

    def _refused(self, error: Any) -> PubliusError:
        """Return the error for a response of the Hub that says no."""
        response = error.response
        status = response.status_code
        said = self._mask(" ".join((error.server_message or response.reason_phrase or "").split()))
        where = self._repository.url
        if status == 401:
            return ConfigError("the Hub does not accept the access token (401)", accepted=_WRITES, run=_LOGIN)
        if status == 403:
            return ConfigError(
                f"the access token may not do this (403: {said})", where=where, accepted=_WRITES, run=_LOGIN
            )
        if status == 429:
            after = response.headers.get("Retry-After")
            wait = f"in {after} seconds" if after else "later"
            return EngineError(
                f"the Hub's rate limit is reached (429: {said})",
                where=where,
                accepted=f"the same command {wait}; what was uploaded is not sent again",
            )
        if status == 404:
            return ConfigError(f"the Hub has no such repository or branch (404: {said})", where=where)
        return EngineError(f"the Hub refused ({status}: {said})", where=where)


def _version() -> str | None:
    try:
        return version("publius")
    except PackageNotFoundError:
        return None
