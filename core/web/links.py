"""The link to a page that this process serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PageLink:
    """A page that can be opened, about a folder."""

    url: str
    """The address, with the secret token in the fragment."""
    folder: Path

    def as_json(self) -> dict[str, Any]:
        """Return the link as JSON-able values."""
        return {"url": self.url, "folder": str(self.folder)}
