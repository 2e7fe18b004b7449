"""Read hh-rlhf: transcripts `chosen` and `rejected` that differ in the last answer (Bai et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import TRANSCRIPT_START, is_transcript, oddities, shown, sides_of
from core.errors import RequestError
from labelers.formats.fields import required
from labelers.formats.opinions import Opinion, pair_of
from labelers.formats.source import RowLabels, RowSource


class Transcripts(RowSource):
    """Whole conversations between `Human:` and `Assistant:`; the one in `chosen` was preferred.

    A turn begins with its speaker's name after an empty line. Anywhere else the name is part of the text.
    """

    name = "hh-rlhf"
    summary = "transcripts of Human and Assistant under chosen and rejected (.jsonl or .jsonl.gz)"
    columns = frozenset({"chosen", "rejected"})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like hh-rlhf, or None."""
        both = is_transcript(row.get("chosen")) and is_transcript(row.get("rejected"))
        return "chosen and rejected are transcripts of Human and Assistant" if both else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row. The data has neither the annotator nor the presentation order."""
        for name in ("chosen", "rejected"):
            if not is_transcript(required(values, name)):
                start = TRANSCRIPT_START.strip()
                raise RequestError(f"a transcript must begin with '{start}'", detail=shown(values[name]))
        sides = sides_of(None, values["chosen"], values["rejected"])
        pair = pair_of(sides, [Opinion(verdict="first")], ("chosen", "rejected"))
        return RowLabels((number,), (pair,), notes=oddities(sides.prompt))
