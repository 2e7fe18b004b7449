"""What a user states on the card of a data set or a model: its licence, and the languages of its texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from core.errors import ConfigError

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class CardTerms:
    """The licence and the languages of what is published."""

    license: str | None = None
    """Identifier of the Hugging Face Hub, such as `cc-by-4.0`; None if none is stated."""
    languages: tuple[str, ...] = ()
    """ISO 639 codes, such as `en`."""

    @classmethod
    def of(cls, license: str | None, languages: Sequence[str] | None) -> Self:
        """Return the terms of the options of a command.

        Raises:
            ConfigError: if a value is no identifier of a licence, or no code of a language.
        """
        named = None if license is None else license.strip().lower()
        if named is not None and not _LICENSE.fullmatch(named):
            raise ConfigError(
                f"{license!r} is not the identifier of a licence",
                where="--license",
                accepted="an identifier of the Hugging Face Hub, such as cc-by-4.0, apache-2.0 or other",
            )
        codes = tuple(dict.fromkeys(code.strip().lower() for code in languages or ()))
        for code in codes:
            if not _LANGUAGE.fullmatch(code):
                raise ConfigError(
                    f"{code!r} is not the code of a language",
                    where="--language",
                    accepted="an ISO 639 code of two or three letters, such as en",
                )
        return cls(named, codes)

    def fields(self) -> dict[str, Any]:
        """Return the fields for the header of a card."""
        found = {"license": self.license, "language": list(self.languages)}
        return {name: value for name, value in found.items() if value}


NO_TERMS = CardTerms()
"""Nothing is stated."""
