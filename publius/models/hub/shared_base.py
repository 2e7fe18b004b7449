"""The name of a base model on a card that others read: an id that they can load, never a path."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engines.embedded import EMBEDDED_NAME

EMBEDDED_ON_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""Id on the Hugging Face Hub of the model that the embedded one is made from."""
UNNAMED = "BASE_MODEL"
"""What stands in a card's code for a base model that only the machine of the training has."""
_EMBEDDED = (
    f"The training started from the 4-bit weights of {EMBEDDED_ON_HUB} that Publius ships, which differ "
    "slightly from those on the Hub. publius models pull makes the same ones on any machine, in a folder: "
    "put its path for the id."
)
_UNNAMED = (
    "The base model is a folder of the machine of the training and has no public name: put an id or path "
    f"that has the same weights for {UNNAMED}. publius export --base OWNER/NAME names it."
)


class SharedBase(NamedTuple):
    """How a card that leaves the machine names a base model."""

    name: str
    """An id of the Hub, or `BASE_MODEL`."""
    note: str = ""
    """What to know before loading it; empty for an id."""


def shared_base(name: str, training: Path) -> SharedBase:
    """Return how a card names a base model for others.

    Args:
        name: the base model, an id or a folder.
        training: the folder of its training.
    """
    if not is_local(name, training):
        return SharedBase(name)
    if EMBEDDED_NAME in name:
        return SharedBase(EMBEDDED_ON_HUB, _EMBEDDED)
    return SharedBase(UNNAMED, _UNNAMED)


def is_local(name: str, training: Path) -> bool:
    """Return True if a model's name is a path, also one that is relative to the project of its training."""
    if Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        return True
    return any((folder / name).is_dir() for folder in (Path(), *training.resolve().parents[:3]))
