"""Protocol of the importers of constitution formats."""

from __future__ import annotations

from typing import Protocol

from constitution.importers.reading import Reading
from constitution.importers.source import ForeignFile


class ConstitutionForm(Protocol):
    """Importer of one constitution format."""

    @property
    def name(self) -> str:
        """Name of the format, as given to `--format`."""
        ...

    @property
    def summary(self) -> str:
        """One-line description of such a file."""
        ...

    @property
    def takes_columns(self) -> bool:
        """True if `--columns` can map keys to the file's names."""
        ...

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file has this format, e.g. "it has ...", or None if it does not."""
        ...

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the content of the file to `reading`, including every mistake found."""
        ...
