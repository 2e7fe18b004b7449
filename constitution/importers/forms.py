"""What a form of constitutions must do to be imported: the protocol."""

from __future__ import annotations

from typing import Protocol

from constitution.importers.reading import Reading
from constitution.importers.source import ForeignFile


class ConstitutionForm(Protocol):
    """Reads one form of constitutions."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    @property
    def summary(self) -> str:
        """One line: what such a file holds."""
        ...

    @property
    def takes_columns(self) -> bool:
        """Whether `--columns` can say what the file calls our keys."""
        ...

    def recognises(self, file: ForeignFile) -> str | None:
        """Return why a file looks like this form, as in "it has ...", or None if it does not."""
        ...

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Gather what the file says in `reading`; mistakes in it are noted there, all of them."""
        ...
