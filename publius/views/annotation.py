"""Output of `publius annotate` and `publius select`: links, counts of answers, selected comparisons."""

from __future__ import annotations

from core.errors import shell_command
from core.notices import counted, note
from labelers.page.tasks import Task
from publius.console import out, print_lines
from publius.labels.annotating import Collected, Links
from publius.labels.selecting import SelectedQuestions
from publius.labels.sheet import WrittenSheet


def print_links(links: Links) -> None:
    """Print the links to the page, for annotators and for the owner."""
    note(f"{counted(len(links.tasks), 'question')}, {_kinds(links.tasks)}; labels go to {links.folder}")
    out.print(f"For annotators: {links.annotators}")
    out.print(f"For you only:   {links.owner}")
    note("Press Ctrl-C to stop; run the same command to resume")


def print_collected(collected: Collected) -> None:
    """Print the number of answers, and the AI labeler's accuracy if a gold slice was asked."""
    counts = collected.overview
    annotators = counted(len(counts["annotators"]), "annotator")
    out.print(f"{counts['given']:,} of {counted(counts['wanted'], 'answer')}, by {annotators}")
    for line in collected.gold.lines() if collected.gold else ():
        out.print(line)


def print_selected(selected: SelectedQuestions, *, is_written: bool) -> None:
    """Print the comparisons, unless they were written to a file, and how many are the random control."""
    if not is_written:
        print_lines(selected.lines())
    questions, budget = selected.questions, selected.budget
    controls = sum(question.control for question in questions)
    fewer = f" (all that are left; {budget:,} were requested)" if len(questions) < budget else ""
    note(f"{counted(len(questions), 'comparison')}{fewer}, {controls:,} of them drawn at random")


def print_sheet(sheet: WrittenSheet) -> None:
    """Print what the person who gets a sheet fills in, and the command that reads it back."""
    out.print(f"wrote {sheet.path}: {counted(sheet.rows, 'row')}, without the machines' labels")
    if sheet.quoted:
        note(f"{counted(sheet.quoted, 'cell')} with an apostrophe in front, against formulas")
    note("In each row, fill in better (1, 2, tie, both_bad or skip), who (a name) and, if you like, comment")
    note(f"When it is back: publius import labels {shell_command(str(sheet.path))} --to people/NAME")


def _kinds(tasks: tuple[Task, ...]) -> str:
    rankings = sum(len(task.answers) > 2 for task in tasks)
    return f"including {counted(rankings, 'ranking')}" if rankings else "each with two answers"
