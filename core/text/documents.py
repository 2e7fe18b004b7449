"""Templates of documents for people: reports and cards. What models read is in `environment.py`."""

from __future__ import annotations

from jinja2 import PackageLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment


def document_template(room: str, name: str) -> Template:
    """Return the template of a document, `templates/NAME` in a room.

    What is filled in stands there as it is: whoever fills it in escapes the text of models and data.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader(room, "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(name)
