"""What to know about a run before its numbers, and which command to look further with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import shell_command
from core.notices import counted
from publius.runs.pairs.caveats import caveats
from publius.views.looking.figures import EDGES, PairTally, PreferenceFigures

_LONGER = 0.7
_ENOUGH = 20
"""Pairs from which a share is worth a remark."""


def small_print(
    folder: Path, manifest: Mapping[str, Any], labels: Mapping[str, float | int], figures: PreferenceFigures
) -> list[str]:
    """Return reasons not to trust the numbers of a run.

    Args:
        folder: the run folder.
        manifest: its manifest.
        labels: metrics of its judgments.
        figures: figures of its preferences.
    """
    found = list(caveats(folder, manifest, labels))
    lengths = figures.lengths
    if lengths.pairs >= _ENOUGH:
        for side, longer in (("chosen", lengths.chosen_longer), ("rejected", lengths.rejected_longer)):
            if longer > _LONGER * lengths.pairs:
                found.append(
                    f"The {side} answer is the longer one in {longer / lengths.pairs:.0%} of the pairs."
                )
    return found


def next_commands(
    folder: Path, figures: PreferenceFigures, first: str | None, manifest: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return commands to look further, each with what it shows.

    Args:
        folder: the run folder.
        figures: figures of its preferences.
        first: id of the first row.
        manifest: the run's manifest.
    """
    run = str(folder)
    show = ("publius", "show", run)
    found = []
    if first is not None:
        found.append((shell_command(*show, first[:8]), "one row, principle by principle"))
    if not figures.all.pairs:
        return [*found, ("publius run RUN.yaml", "continues the run")]
    doubtful = figures.certainty[0] + figures.certainty[1]
    if doubtful:
        command = shell_command("publius", "select", run, "--budget", min(50, doubtful), "--to", "ask.jsonl")
        found.append(
            (command, f"{counted(doubtful, 'pair')} with p of at most {EDGES[0]:g}, to ask people about")
        )
    if worst := most_contradicted(figures.principles):
        tally = figures.principles[worst]
        share = tally.against / (tally.agrees + tally.against)
        found.append((shell_command(*show, "--principle", worst), f"loses {share:.0%} of its pairs"))
    found.append((shell_command(*show, "--min-p", "0.8"), "only the pairs that are clear"))
    found.append((shell_command(*show, "--to", "pairs.csv"), "all rows for a spreadsheet"))
    if "eval" in manifest["stages"]:
        found.append((shell_command("publius", "report", run), "what training changed"))
    found.append((shell_command("publius", "export", run, "--to", "DIR"), "the data set, for training"))
    return found


def most_contradicted(principles: Mapping[str, PairTally]) -> str | None:
    """Return the principle that is most often against the chosen answer, among those with enough pairs."""
    shares = {
        name: tally.against / (tally.agrees + tally.against)
        for name, tally in principles.items()
        if tally.agrees + tally.against >= _ENOUGH and tally.against
    }
    return max(shares, key=lambda name: shares[name], default=None)
