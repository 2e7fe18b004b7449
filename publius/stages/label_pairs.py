"""Judging someone else's pairs in a run folder of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from constitution.loader import load_constitution
from core.notices import note
from engines.cached import RequestCounts
from publius.config.run_file import build_run_config
from publius.run.engines import EngineMaker, make_engine, open_engines
from publius.run.folder import open_run
from publius.sources.pairs import read_pairs
from publius.stages.label import label_stage, warn_of_labels
from publius.stages.outcome import RunOutcome


@dataclass(frozen=True)
class PairsRequest:
    """Someone else's pairs, to be judged under a constitution."""

    pairs: Path
    constitution: str
    model: str
    project: Path
    overrides: Sequence[str] = ()


def label_pairs(request: PairsRequest, make: EngineMaker = make_engine) -> RunOutcome:
    """Judge the pairs of a file in a run folder of their own, and return what that left behind.

    Raises:
        PubliusError: for anything that the user can mend; what was finished stays.
    """
    comparisons = list(read_pairs(request.pairs))
    settings = {
        "name": "pairs",
        "constitution": request.constitution,
        "prompts": str(request.pairs.resolve()),
        "models": {"policy": request.model},
    }
    config = build_run_config(settings, request.overrides)
    load_constitution(config.constitution)
    with open_engines(config, request.project, make, pairs_only=True) as engines:
        with open_run(config, request.project, engines.identities()) as run:
            note(f"run folder {run.folder}")
            warn_of_labels(config, engines, self_labels=False)
            seen: set[str] = set()
            for comparison in comparisons:
                if comparison.id in seen:
                    run.exclude(
                        "compare", comparison.id, "the pair stands in the file twice", comparison.group
                    )
                seen.add(comparison.id)
                run.comparisons.append(comparison)
            run.record_stage("compare", len(run.comparisons), RequestCounts(), 0.0)
            result = asyncio.run(label_stage(run, engines))
        return RunOutcome(run.folder, (result,))
