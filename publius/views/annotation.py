"""What `publius annotate` prints: the links when the page opens, and what was answered when it ends."""

from __future__ import annotations

from core.notices import counted, note
from labelers.page.tasks import Task
from publius.console import out
from publius.labels.annotating import Collected, Links


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


def _kinds(tasks: tuple[Task, ...]) -> str:
    rankings = sum(len(task.answers) > 2 for task in tasks)
    return f"{counted(rankings, 'ranking')} among them" if rankings else "each of two answers"
