"""Short forms of a run file's values, expanded before validation."""

from __future__ import annotations

from engines.config import ROLES


def expand_short_forms(value: object) -> object:
    """Return a run file's value with its short forms expanded.

    `prompts: FILE` becomes `prompts: {path: FILE}`, `policy: ID` becomes `policy: {id: ID}`, and `scale: ray`
    becomes `scale: {kind: ray}`.
    """
    if not isinstance(value, dict):
        return value
    full = dict(value)
    if isinstance(full.get("prompts"), str):
        full["prompts"] = {"path": full["prompts"]}
    if isinstance(full.get("scale"), str):
        full["scale"] = {"kind": full["scale"]}
    if isinstance(full.get("models"), dict):
        full["models"] = {
            role: {"id": model} if isinstance(model, str) and model not in ROLES else model
            for role, model in full["models"].items()
        }
    return full
