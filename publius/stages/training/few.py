"""Trainings on few examples: said before the training, with what became of the others and what has more."""

from __future__ import annotations

from collections.abc import Mapping

from core.notices import counted, warn
from critique.scoring import ALL_PASS
from publius.models.examples_used import few_examples
from publius.runs.folder import Run
from publius.stages.compare import more_pairs
from training.methods import Method
from training.processes import is_main

FEW_LEARNED = "few_examples"
"""Field of a training's entry in the manifest: that it has few examples, why, and what has more."""
_BEFORE = ("compare", "label")
"""Stages that leave out pairs before a training on pairs."""


def warn_before_training(
    run: Run, method: Method, examples: int, excluded: Mapping[str, int] | None = None
) -> str | None:
    """Print a warning if a training has few examples, and return it.

    Args:
        run: the run.
        method: the method; SFT learns from answers, the others from pairs.
        examples: number of its examples, held-out ones included.
        excluded: number of excluded examples by reason; pairs have those of the stages before, too.
    """
    lost = dict(excluded or {})
    if method != "sft":
        for stage in _BEFORE:
            entry = run.manifest["stages"].get(stage, {})
            for reason, count in entry.get("left_out", {}).items():
                lost[reason] = lost.get(reason, 0) + count
    lost.pop(ALL_PASS, None)  # a model that follows the rules already has no more to learn
    few = few_examples(method, examples, lost)
    said = few and f"{few}{_discarded(run)}; {_remedy(run, method, lost)}"
    if said and is_main():
        warn(f"{method}: {said}")
    return said


def _discarded(run: Run) -> str:
    """Return how many revisions the critique loop discarded, by reason; empty if no pair is made of them."""
    if run.config.compare.source != "revisions":
        return ""
    rounds = run.manifest["stages"].get("critique", {}).get("loop", {}).get("rounds", {}).values()
    revisions = sum(counts["revisions"] for counts in rounds)
    reasons: dict[str, int] = {}
    for counts in rounds:
        for reason, count in counts["dropped"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    if not reasons:
        return ""
    listed = ", ".join(f"{count:,} by {reason}" for reason, count in reasons.items())
    were = "was" if sum(reasons.values()) == 1 else "were"
    return f"; {sum(reasons.values()):,} of {counted(revisions, 'revision')} {were} discarded ({listed})"


def _remedy(run: Run, method: Method, lost: Mapping[str, int]) -> str:
    """Return what has more examples."""
    if not lost:
        return "use more prompts"
    if method != "sft":
        return f"use more prompts, or: {more_pairs(run)}"
    if run.config.sft.source == "revisions":
        return "use more prompts, or learn from the best of K samples (--set sft.from=samples)"
    return f"use more prompts, or raise sample.draws (now {run.config.sample.draws})"
