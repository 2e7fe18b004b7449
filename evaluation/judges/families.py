"""Families of models by their names: models of one family share data, style and errors.

A name is all that a server tells, so this is a guess for warnings and nothing else. A name may belong to
several families, as that of a distilled model does.
"""

from __future__ import annotations

import re

_FAMILIES = {
    "claude": "claude",
    "command": r"command-?[ar]\b|\baya\b|c4ai",
    "deepseek": "deepseek",
    "ernie": "ernie",
    "exaone": "exaone",
    "falcon": "falcon",
    "gemini": "gemini",
    "gemma": "gemma",
    "glm": "glm",
    "gpt": r"gpt|\bo[134]\b",
    "granite": "granite",
    "grok": "grok",
    "internlm": "internlm",
    "jamba": "jamba",
    "kimi": "kimi",
    "llama": r"llama|vicuna|alpaca",
    "minimax": "minimax",
    "mistral": r"mi[sx]tral|ministral|magistral|codestral|devstral|pixtral",
    "nemotron": "nemotron",
    "olmo": r"olmo|tulu",
    "phi": r"\bphi\b|\bphi-?\d",
    "pythia": "pythia",
    "qwen": r"qwen|qwq",
    "smollm": "smollm",
    "yi": r"\byi-",
}
"""Pattern of the names of each family, in lower case."""


def families_of(model: str) -> frozenset[str]:
    """Return the families that a model's id, folder or name names; empty if none is known."""
    name = model.lower()
    return frozenset(family for family, pattern in _FAMILIES.items() if re.search(pattern, name))


def shared_families(one: str, other: str) -> tuple[str, ...]:
    """Return the families that two models have in common, in order; the name itself if both are the same."""
    if one == other:
        return (one,)
    return tuple(sorted(families_of(one) & families_of(other)))
