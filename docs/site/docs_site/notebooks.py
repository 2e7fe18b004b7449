"""A notebook as Markdown: its texts, its programs and what they printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def notebook_page(path: Path) -> str:
    """Return the cells of an executed notebook in order, each program with its output below it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell))


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield text
        return
    yield f"```python\n{text}\n```"
    printed = "".join(map(_printed, cell["outputs"])).rstrip()
    if printed:
        yield f"```text\n{printed}\n```"


def _printed(output: dict[str, Any]) -> str:
    """Return the text of an output. Messages on standard error (progress, warnings) are no result."""
    if output["output_type"] == "stream":
        return "".join(output["text"]) if output["name"] == "stdout" else ""
    return "".join(output.get("data", {}).get("text/plain", [])) + "\n"
