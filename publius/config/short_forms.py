"""Short forms of a run file's values, written out in full before the models check them."""

from __future__ import annotations

from engines.config import ROLES


def expand_short_forms(value: object) -> object:
    """Return a run file's value with its short forms in full.

    `prompts: FILE` stands for `prompts: {path: FILE}`, and `policy: ID` for `policy: {id: ID}`.
    """
    if not isinstance(value, dict):
        return value
    full = dict(value)
    if isinstance(full.get("prompts"), str):
        full["prompts"] = {"path": full["prompts"]}
    if isinstance(full.get("models"), dict):
        full["models"] = {
            role: {"id": model} if isinstance(model, str) and model not in ROLES else model
            for role, model in full["models"].items()
        }
    return full
