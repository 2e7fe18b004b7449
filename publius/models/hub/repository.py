"""Repositories of the Hub: their names, as users write them, and their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from core.errors import ConfigError, first_line
from core.lazy import require

HUB_EXTRA = "hub"
RepositoryType = Literal["dataset", "model"]
_PREFIXES: dict[str, RepositoryType] = {"datasets/": "dataset", "models/": "model"}
TYPE_NAMES: dict[RepositoryType, str] = {"dataset": "data set", "model": "model"}
"""What each type is called in messages."""


@dataclass(frozen=True)
class HubRepository:
    """A repository of the Hub, which may not exist yet."""

    id: str
    """`OWNER/NAME`."""
    type: RepositoryType
    endpoint: str
    """Address of the Hub: `$HF_ENDPOINT`, or https://huggingface.co."""

    @property
    def url(self) -> str:
        """Address of its page."""
        return f"{self.endpoint}/{'datasets/' if self.type == 'dataset' else ''}{self.id}"


def parse_repository(text: str, kind: RepositoryType) -> HubRepository:
    """Return a repository by its name or the address of its page.

    Args:
        text: `OWNER/NAME`, `datasets/OWNER/NAME` or the address.
        kind: the type of what is pushed.

    Raises:
        ConfigError: if the name is not valid, or is that of the other type.
        MissingExtraError: if the package huggingface_hub is not installed.
    """
    constants: Any = require("huggingface_hub.constants", HUB_EXTRA)
    name = (
        text.strip().removeprefix(f"{constants.ENDPOINT}/").removeprefix("https://huggingface.co/").strip("/")
    )
    for prefix, named in _PREFIXES.items():
        if name.startswith(prefix) and name.count("/") == 2:
            if named != kind:
                what = f"{text!r} is the address of a {TYPE_NAMES[named]}"
                raise ConfigError(
                    f"{what}, but what is pushed is a {TYPE_NAMES[kind]}",
                    where="REPO",
                    accepted=name.removeprefix(prefix),
                )
            name = name.removeprefix(prefix)
    require_repository_id(name, "REPO")
    return HubRepository(name, kind, constants.ENDPOINT)


def require_repository_id(name: str, where: str) -> None:
    """Raise ConfigError unless a name is a valid `OWNER/NAME` on the Hub."""
    utils: Any = require("huggingface_hub.utils", HUB_EXTRA)
    errors: Any = require("huggingface_hub.errors", HUB_EXTRA)
    accepted = "OWNER/NAME, of letters, digits, '-', '_' and '.'; OWNER is a user or an organisation"
    if name.count("/") != 1:
        raise ConfigError(f"{name!r} is not the name of a repository", where=where, accepted=accepted)
    try:
        utils.validate_repo_id(name)
    except errors.HFValidationError as error:
        raise ConfigError(first_line(error).rstrip("."), where=where, accepted=accepted) from error
