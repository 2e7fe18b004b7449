"""What a bench knows, kept in the project so that the next studio shows it before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from core.digests import digest
from core.records import CritiqueTrace, Judgment, Prompt
from core.store.files import os_errors, write_atomic
from publius.config.run_file import RunConfig
from publius.studio.bench.cards import Card, CardOrigin
from publius.studio.bench.labels import LabelMemory

_R = TypeVar("_R", Prompt, CritiqueTrace, Judgment)

_KEPT_JUDGMENTS = 2000
_RELEVANT = ("models", "engine", "critique", "label", "seed", "templates", "prompts")


def settings_digest(config: RunConfig) -> str:
    """Return a digest of the settings that the bench depends on."""
    return digest("bench-settings", config.model_dump(mode="json", include=set(_RELEVANT)))


class SavedBench:
    """The file with the prompts, answers and judgments of a bench. A damaged one counts as empty.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = _read(path)

    def prompts(self) -> list[tuple[Prompt, CardOrigin]]:
        """Return the prompts that were not pinned, in their order."""
        rows = self._content.get("prompts", [])
        found = ((_valid(Prompt, row.get("prompt")), row.get("origin")) for row in rows)
        return [
            (prompt, cast(CardOrigin, origin)) for prompt, origin in found if prompt and origin != "pinned"
        ]

    def trace(self, prompt: Prompt, settings: str) -> CritiqueTrace | None:
        """Return the answers to a prompt that were written with the same settings."""
        if self._content.get("settings") != settings:
            return None
        return _valid(CritiqueTrace, self._content.get("traces", {}).get(prompt.id))

    def judgments(self, settings: str) -> dict[str, Judgment]:
        """Return the judgments that were made with the same settings, by their keys."""
        if self._content.get("settings") != settings:
            return {}
        found = ((key, _valid(Judgment, row)) for key, row in self._content.get("judgments", {}).items())
        return {key: judgment for key, judgment in found if judgment is not None}

    def keep(self, cards: Sequence[Card], memory: LabelMemory, settings: str) -> None:
        """Replace the file."""
        latest = list(memory.judgments.items())[-_KEPT_JUDGMENTS:]
        self._content = {
            "schema_version": "1",
            "settings": settings,
            "prompts": [
                {
                    "prompt": card.prompt.model_dump(mode="json"),
                    "origin": "pinned" if card.pinned else card.origin,
                }
                for card in cards
            ],
            "traces": {c.prompt.id: c.trace.model_dump(mode="json") for c in cards if c.trace},
            "judgments": {key: judgment.model_dump(mode="json") for key, judgment in latest},
        }
        with os_errors(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, json.dumps(self._content) + "\n", mode=0o600)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        return content if isinstance(content, dict) and content.get("schema_version") == "1" else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _valid(kind: type[_R], row: object) -> _R | None:
    try:
        return kind.model_validate(row)
    except ValidationError:
        return None
