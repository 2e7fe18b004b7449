"""A machine check as the line to write into a constitution."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from constitution.checks.kinds import Check
from core.text.yaml_writing import yaml_flow

_CHECK: TypeAdapter[Any] = TypeAdapter(Check)


class CheckLine(NamedTuple):
    """Kind and value of a check, before it is validated."""

    kind: str
    value: Any

    @property
    def flow(self) -> str:
        """The check as YAML on one line, without the key `check`."""
        return yaml_flow({"kind": self.kind, "value": self.value})

    @property
    def line(self) -> str:
        """The line to write below the principle's `text`."""
        return f"check: {self.flow}"

    @property
    def check(self) -> Check:
        """The check itself. Raises pydantic's ValidationError if it is not valid."""
        found: Check = _CHECK.validate_python({"kind": self.kind, "value": self.value})
        return found

    @property
    def is_valid(self) -> bool:
        """True if a constitution with this check loads."""
        try:
            _ = self.check
        except ValidationError:
            return False
        return True
