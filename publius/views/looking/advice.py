"""What to know about a run before its numbers, and which command to look further with."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from core.errors import shell_command
from core.notices import counted
from publius.runs.pairs.answers.table import has_evaluated_answers
from publius.runs.pairs.caveats import caveats, checks_in_labels, cut_off_caveat
from publius.runs.pairs.unlabelled import without_pairs
from publius.stages.outcome import evaluation_caveats
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
    cut_off = cut_off_caveat(folder, manifest, figures.cut_off, figures.all.pairs)
    found = [*caveats(folder, manifest, labels), *cut_off, *chain(*evaluation_caveats(folder))]
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
        return [*found, *_without_preferences(folder, manifest)]
    if doubtful := figures.unasked:
        command = shell_command("publius", "select", run, "--budget", min(50, doubtful), "--to", "ask.jsonl")
        found.append(
            (
                command,
                f"{counted(doubtful, 'pair')} with p of at most {EDGES[0]:g}, to ask people about",
            )
        )
    if losing := _losing_principle(folder, figures.principles):
        worst, remark = losing
        found.append((shell_command(*show, "--principle", worst), remark))
    found.append((shell_command(*show, "--min-p", "0.8"), "only the pairs that are clear"))
    found.append((shell_command(*show, "--to", "pairs.csv"), "all rows for a spreadsheet"))
    is_evaluated = "eval" in manifest["stages"]
    page = "what training or the rules changed" if is_evaluated else "one page with the answers and labels"
    found.append((shell_command("publius", "report", run), page))
    found.append((shell_command("publius", "export", run, "--to", "DIR"), "the data set, for training"))
    return found


def _without_preferences(folder: Path, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return commands for a run that has no preferences, which it may never get."""
    found = []
    if has_evaluated_answers(folder, manifest):
        command = shell_command("publius", "show", folder, "--answers", "--to", "answers.csv")
        found.append((command, "the answers, with the checks that each fails, for a spreadsheet"))
        found.append((shell_command("publius", "report", folder), "one page with the answers"))
    if without_pairs(manifest) is None:
        found.append(("publius run RUN.yaml", "continues the run"))
    return found


def _losing_principle(folder: Path, principles: Mapping[str, PairTally]) -> tuple[str, str] | None:
    """Return the principle to look at, with the reason: the most overruled check, which the caveats name.

    Without one, it is the principle that loses most of its pairs.
    """
    overruled = {n: found for n, found in checks_in_labels(folder).items() if found.is_overruled}
    if shown := overruled.keys() & principles.keys():
        name = max(sorted(shown), key=lambda name: overruled[name].share_lost)
        pairs = overruled[name]
        return name, f"an answer that breaks it was chosen in {pairs.lost:,} of {pairs.decided:,} pairs"
    if (worst := most_contradicted(principles)) is None:
        return None
    tally = principles[worst]
    return worst, f"loses {tally.against / (tally.agrees + tally.against):.0%} of its pairs"


def most_contradicted(principles: Mapping[str, PairTally]) -> str | None:
    """Return the principle that is most often against the chosen answer, among those with enough pairs."""
    shares = {
        name: tally.against / (tally.agrees + tally.against)
        for name, tally in principles.items()
        if tally.agrees + tally.against >= _ENOUGH and tally.against
    }
    return max(shares, key=lambda name: shares[name], default=None)
