"""`publius label --pairs`: import existing answer pairs as comparisons of a run, and label them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.notices import note
from core.records import Comparison
from core.store.seen_ids import SeenIds
from engines.cached import RequestCounts
from publius.config.run_file import build_run_config
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.folder import Run
from publius.sources.pairs import read_pairs
from publius.stages.outcome import RunOutcome
from publius.stages.runner import StagePlan, run_plan


@dataclass(frozen=True)
class PairsRequest:
    """Answer pairs to judge under a constitution."""

    pairs: Path
    constitution: str
    model: str
    project: Path
    overrides: Sequence[str] = ()


def label_pairs(request: PairsRequest, make: EngineMaker = make_engine) -> RunOutcome:
    """Judge the pairs of a file in a new run folder, or resume it; return the outcome.

    Raises:
        PubliusError: for any error that the user can fix. Completed work is saved.
    """
    unread: set[str] = set()
    for _ in read_pairs(request.pairs, unread):
        pass  # read to the end first, so an error in the last line is raised before any pair is copied
    if unread:
        note(f"pairs: columns not read: {', '.join(sorted(unread))}")
    settings = {
        "name": "pairs",
        "constitution": request.constitution,
        "prompts": str(request.pairs.resolve()),
        "models": {"policy": request.model},
    }
    config = build_run_config(settings, request.overrides)
    ingest = partial(import_pairs, comparisons=read_pairs(request.pairs))
    return run_plan(StagePlan(config, request.project, ("label",), ingest, pairs_only=True), make)


def import_pairs(run: Run, comparisons: Iterable[Comparison]) -> None:
    """Write comparisons to a run as the compare stage does; duplicates are excluded."""
    with SeenIds() as seen:
        for comparison in comparisons:
            if not seen.add(comparison.id):
                run.exclude("compare", comparison.id, "duplicate pair", comparison.group)
            run.comparisons.append(comparison)
    run.record_stage("compare", len(run.comparisons), RequestCounts(), 0.0)
