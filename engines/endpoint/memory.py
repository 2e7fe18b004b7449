"""What servers said of their models when a project last asked them, to report a change under one name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import RunStateError
from core.notices import warn
from core.store.files import write_atomic

MEMORY = "servers.json"
"""Name of the file, beside the request cache."""
_CREATED = "created"


def report_change(path: Path, model: str, url: str, facts: Mapping[str, Any]) -> None:
    """Warn if a server describes a model in another way than before, and remember what it says now.

    Without the file, or if it cannot be written, nothing is reported.

    Args:
        path: the file.
        model: name of the model.
        url: address of the server.
        facts: what the server says about the model.
    """
    known = _read(path)
    name = f"{model} at {url}"
    before = known.get(name)
    if before == facts:
        return
    if isinstance(before, dict):
        changed = [key for key in {**before, **facts} if before.get(key) != facts.get(key)]
        if not (before.get(_CREATED) and facts.get(_CREATED)):
            changed = [key for key in changed if key != _CREATED]  # not known of a model that was just made
        told = ", ".join(f"{key} is {facts.get(key)!r}, before {before.get(key)!r}" for key in changed)
        if changed:
            warn(f"{url}: the model behind {model} has changed since it was last asked: {told}")
    with contextlib.suppress(OSError, RunStateError):
        write_atomic(path, json.dumps({**known, name: dict(facts)}, indent=1, sort_keys=True) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
