"""Texts of the scripted engine, which stand in for those of a model: who has them, and what a card says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from core.notices import warn
from publius.config.run_file import RunConfig

_ROLES: Final = ("policy", "critic", "labeler")
"""The judge only measures: none of its texts is in a data set or a model."""
_SAID = re.compile(r"^\*\*No model (?:wrote|judged) this\*\*: (.*)\.$", re.MULTILINE)
"""The sentence of `stand_ins_section` on a line of a card."""


def stand_in_roles(config: RunConfig) -> tuple[str, ...]:
    """Return the roles of a run whose texts are made by the scripted engine."""
    return tuple(
        role for role in _ROLES if config.engine.for_model(config.models.of(role), role).kind == "scripted"
    )


def stand_in_settings(config: RunConfig) -> tuple[str, ...]:
    """Return the settings by which the scripted engine plays roles of a run: `engine.kind`."""
    scripted = stand_in_roles(config)
    found = (
        f"models.{role}.engine.kind"
        if (own := config.models.of(role).engine) is not None and own.kind == "scripted"
        else "engine.kind"
        for role in _ROLES
        if role in scripted
    )
    return tuple(dict.fromkeys(found))


def warn_of_stand_ins(roles: Sequence[str]) -> None:
    """Print a warning that an export has texts of the scripted engine, if it has."""
    if roles:
        warn(f"exported although {stand_ins_described(roles)}; the card says so")


def stand_ins_section(roles: Sequence[str]) -> str:
    """Return the sentence of a card about texts of the scripted engine, in Markdown; empty without any."""
    return f"**{_head(roles)}**: {stand_ins_described(roles)}." if roles else ""


def stand_ins_sentence(roles: Sequence[str]) -> str:
    """Return the sentence of a card as plain text, for a terminal."""
    return f"{_head(roles)}: {stand_ins_described(roles)}."


def _head(roles: Sequence[str]) -> str:
    return "No model judged this" if tuple(roles) == ("labeler",) else "No model wrote this"


def made_up(roles: Sequence[str]) -> str:
    """Return in a clause that texts or labels are made up, for a page; empty if none are.

    Args:
        roles: the roles that the scripted engine plays, as `stand_in_roles` returns them.
    """
    if not roles:
        return ""
    if tuple(roles) == ("labeler",):
        return "labels made up (scripted engine): no model judged this"
    if "labeler" in roles:
        return "made up (scripted engine): no model wrote or judged this"
    return f"texts of {' and '.join(roles)} made up (scripted engine): no model wrote them"


def stand_ins_on_card(text: str) -> str:
    """Return what a card says about texts of the scripted engine; empty if it says nothing."""
    found = _SAID.search(text)
    return found[1] if found else ""


def stand_ins_described(roles: Sequence[str]) -> str:
    """Return the fact as a clause."""
    if tuple(roles) == ("labeler",):
        return "the labels of the AI labeler are from the scripted engine, which stands in for a model"
    return f"the texts of {', '.join(roles)} are from the scripted engine, which stands in for a model"
