"""What `publius annotate` and `publius select` print: links, the answers given, and what to ask."""

from __future__ import annotations

from pathlib import Path

from core.notices import counted, note
from labelers.page.tasks import Task
from publius.console import out
from publius.labels.annotating import Collected, Links
from publius.labels.selecting import SelectedQuestions


def print_links(links: Links) -> None:
    """Print where people and the owner find the page."""
    note(f"{counted(len(links.tasks), 'question')}, {_kinds(links.tasks)}; labels go to {links.folder}")
    out.print(f"For people who compare: {links.people}")
    out.print(f"For you alone:          {links.owner}")
    note("Ctrl-C ends it; the same command goes on")


def print_collected(collected: Collected) -> None:
    """Print how many answers there are and how the labeler does on gold questions."""
    figures = collected.overview
    number = len(figures["annotators"])
    people = "1 person" if number == 1 else f"{number} people"
    out.print(f"{figures['given']:,} of {figures['wanted']:,} answers, by {people}")
    for line in collected.gold.lines() if collected.gold else ():
        out.print(line)


def print_selected(selected: SelectedQuestions, to: Path | None) -> None:
    """Print the comparisons, unless they are in the file `to`, and how many of them are the control."""
    if to is None:
        out.print(selected.lines(), end="", soft_wrap=True)
    questions, budget = selected.questions, selected.budget
    controls = sum(question.control for question in questions)
    fewer = f" (all there are; {budget:,} were asked for)" if len(questions) < budget else ""
    note(f"{len(questions):,} comparisons{fewer}, {controls:,} of them drawn at random")


def _kinds(tasks: tuple[Task, ...]) -> str:
    rankings = sum(len(task.answers) > 2 for task in tasks)
    return f"{counted(rankings, 'ranking')} among them" if rankings else "each of two answers"
