"""Folders with people's judgments, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from core.records import Comparison, Judgment, Message, Prompt
from core.store.record_store import RecordStore
from publius.runs.records import RunFiles


def write_people(folder: Path, judgments: Iterable[Judgment], comparisons: Iterable[Comparison] = ()) -> Path:
    """Write a folder as an import or the annotation page does."""
    with RecordStore(folder) as store:
        files = RunFiles(store)
        for comparison in comparisons:
            files.comparisons.append(comparison)
        for judgment in judgments:
            files.judgments.append(judgment)
    return folder


def person(comparison_id: str, verdict: str, who: str = "anna", **fields: object) -> Judgment:
    """A person's judgment of a comparison."""
    given = {"id": f"{who}-{comparison_id}-{verdict}", "labeler": "crowd", "annotator": who, **fields}
    return Judgment.model_validate({"comparison_id": comparison_id, "verdict": verdict, **given})


def pair(question: str, split: str | None = None) -> Comparison:
    prompt = Prompt.of((Message(role="user", content=question),), source="elsewhere")
    return Comparison.of(prompt.model_copy(update={"split": split}), ("Yes, gladly.", "x"), ("No.", "y"))
