"""Output of `publius show RUN`: small print, rows to look at, figures, costs, and where to look next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from core.errors import shell_command
from core.notices import counted
from core.terminal.breaking import BreakableName
from publius.console import heading, out
from publius.runs.pairs.caveats import asked_models, reason_in_words
from publius.views.looking.cells import SHORT_ID, cell_text, columns, told_apart
from publius.views.looking.figures import EDGES, PairTally, PreferenceFigures, by_size
from publius.views.looking.judged import JudgmentFigures
from publius.views.looking.reading import RunOverview
from publius.views.votes.winners import print_who_won

_MOST = 12
"""Rows of a table of tags, answers or flags; the rest are counted."""
_BAR = 30
_LABEL = 12
"""Columns before the texts of a row."""


def print_overview(run: RunOverview) -> None:
    """Print a run as a whole. Tables fit in a terminal of 80 columns."""
    _print_head(run)
    print_who_won(run.won, str)
    _print_rows(run)
    if run.figures.all.pairs:
        _print_figures(run.figures, run)
    _print_flags(run)
    _print_costs(run)
    _print_excluded(run)
    heading("Look further")
    for command, what in run.next:
        out.print(Text(command))
        out.print(Text(f"    {what}", style="dim"))


def _print_head(run: RunOverview) -> None:
    manifest, pairs = run.manifest, run.figures.all
    out.print(Text(run.folder.name, style="bold"))
    models = asked_models(run.folder, manifest)
    named = ", ".join(f"{role} {name}" for role, name in models.items())
    same = len(set(models.values())) == 1
    none = "no model was asked" if manifest["models"] else ""
    out.print(Text(f"model: {next(iter(models.values()))}" if same else named or none))
    if run.constitution is not None:
        principles = counted(len(run.constitution.principles), "principle")
        out.print(Text(f"constitution: {run.constitution.name}, {principles}"))
    if pairs.pairs:
        seen = pairs.pairs + sum(run.left_out.values())
        share = f"{pairs.pairs:,} of " if run.left_out else ""
        ties = f", {pairs.ties:,} of them ties" if pairs.ties else ""
        mean = f"mean p of the chosen answer {pairs.mean_p:.2f}"
        out.print(Text(f"{share}{counted(seen, 'preference')}{ties}; {mean}"))
    for reason, count in run.left_out.items():
        out.print(Text(f"left out: {count:,} {reason}"))
    for line in run.small_print:
        out.print(Text(line, style="bold"))


def _print_rows(run: RunOverview) -> None:
    if not run.rows:
        if run.figures.rows_wanted:  # with --rows 0, no rows is what was asked for
            out.print(Text("\nNo preferences and no critique traces yet."))
        return
    what = "preferences" if run.is_labelled else "drafts and last revisions"
    number = run.figures.all.pairs if run.is_labelled else run.stages["critique"]["records"]
    shown = f"All {number:,}" if len(run.rows) == number else f"{len(run.rows):,} of {number:,}"
    drawn = "" if len(run.rows) == number else ", drawn at random"
    only = "The only preference" if run.is_labelled else "The only draft, and its last revision"
    heading(only if number == len(run.rows) == 1 else f"{shown} {what}{drawn}")
    if run.is_labelled:
        out.print(Text("id, p of the chosen answer, [tags], prompt; below it both answers", style="dim"))
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for row in run.rows:
        p = "" if row.p is None else f"{row.p:.2f}  "
        tags = f"[{', '.join(row.tags)}] " if row.tags else ""
        table.add_row(Text(row.id[:SHORT_ID], style="bold"), Text(f"{p}{tags}{cell_text(row.prompt)}"))
        for name, text in zip(run.names, told_apart(row.left, row.right, out.width - _LABEL), strict=True):
            table.add_row(f"  {name}", Text(text))
    out.print(table)


def _print_figures(figures: PreferenceFigures, run: RunOverview) -> None:
    heading("By certainty: p of the chosen answer")
    _print_certainty(figures.certainty)
    _print_principles(figures, run)
    _print_tags(by_size(figures.tags))
    _print_sources(run.judged)
    heading("By kind of answer: chosen over rejected, ties apart")
    _print_counts(dict(figures.answers.most_common()))
    lengths = figures.lengths
    if lengths.pairs:
        heading("By length")
        chosen, rejected = lengths.chosen / lengths.pairs, lengths.rejected / lengths.pairs
        out.print(Text(f"mean words: chosen {chosen:.1f}, rejected {rejected:.1f}"))
        longer = (
            f"{lengths.chosen_longer / lengths.pairs:.0%}",
            f"{lengths.rejected_longer / lengths.pairs:.0%}",
        )
        out.print(Text(f"longer answer: chosen in {longer[0]} of the pairs, rejected in {longer[1]}"))


def _print_principles(figures: PreferenceFigures, run: RunOverview) -> None:
    """Print how often each principle is for the chosen answer, and what its check finds in both answers."""
    found = figures.ordered_principles(run.principles)
    if found:
        heading("By principle: how often it is for the chosen answer, ties apart")
        checks = run.judged.checks
        table = columns(
            "principle", "pairs", "for", "against", "mean p", *(("both pass", "both fail") if checks else ())
        )
        for name, tally in found.items():
            sides = f"{tally.agrees:,}", f"{tally.against:,}"
            check = checks.get(name)
            both = () if check is None else (f"{check.both_pass:,}", f"{check.both_fail:,}")
            table.add_row(BreakableName(name), f"{tally.pairs:,}", *sides, f"{tally.mean_p:.2f}", *both)
        out.print(table)
        if any(tally.pairs < figures.all.pairs for tally in found.values()):
            out.print(
                f"pairs: those whose label the principle has a part in, not all that it judged{_why(run)}"
            )
    if figures.unprincipled:
        whole = f"{figures.unprincipled:,} of {counted(figures.all.pairs, 'pair')}"
        out.print(Text(f"{whole} under no principle: people judged the answers as a whole"))


def _why(run: RunOverview) -> str:
    """Return why judgments under principles have no part in labels, if people's votes come first."""
    label = run.manifest["identity"]["configuration"].get("label", {})
    if not run.manifest["people"].get("judgments") or label.get("mix", "override") != "override":
        return ""
    agreement = shell_command("publius", "agreement", run.folder)
    return (
        f": under label.mix override, a person's vote decides alone where there is one ({agreement} has all)"
    )


def _print_certainty(counts: Sequence[int]) -> None:
    titles = ("tie", *(f"up to {edge:.1f}" for edge in EDGES))
    most = max(counts)
    for title, count in zip(titles, counts, strict=True):
        bar = "#" * round(_BAR * count / most) if most else ""
        out.print(Text(f"{title:<12}{count:>9,}  {bar}"))


def _print_tags(tallies: Mapping[str, PairTally]) -> None:
    if not tallies:
        return
    heading("By tag")
    table = columns("tag", "pairs", "ties", "mean p")
    for name, tally in list(tallies.items())[:_MOST]:
        table.add_row(BreakableName(name), f"{tally.pairs:,}", f"{tally.ties:,}", f"{tally.mean_p:.2f}")
    out.print(table)
    _print_more(len(tallies), "tags")


def _print_sources(judged: JudgmentFigures) -> None:
    """Print what each source says itself; its mean p is that of its judgments that prefer an answer."""
    heading("By source: its own judgments, for and against the chosen answer")
    table = columns("source", "pairs", "prefers one", "judgments", "for", "against", "mean p")
    for name, tally in list(judged.by_size().items())[:_MOST]:
        counts = tally.pairs, len(tally.decided), tally.judgments, tally.agrees, tally.against
        mean = "" if tally.mean_p is None else f"{tally.mean_p:.2f}"
        table.add_row(BreakableName(name), *(f"{count:,}" for count in counts), mean)
    out.print(table)
    _print_more(len(judged.sources), "sources")
    if len(judged.sources) > 1:
        small = "prefers one: for either answer, however slightly (the report has what decided)"
        out.print(Text(small, style="dim"))


def _print_counts(counts: Mapping[str, int]) -> None:
    for name, count in list(counts.items())[:_MOST]:
        out.print(Text(f"{count:>9,}  {name}"))
    _print_more(len(counts), "kinds")


def _print_more(number: int, what: str) -> None:
    if number > _MOST:
        out.print(Text(f"and {number - _MOST:,} more {what}; --json has all", style="dim"))


def _print_flags(run: RunOverview) -> None:
    if run.flags:
        heading(f"Flags of {run.revisions:,} revisions")
        _print_counts({name.replace("_", " "): count for name, count in run.flags.items()})


def _print_costs(run: RunOverview) -> None:
    heading("Stages: requests, tokens and seconds of all commands of this run")
    table = columns("stage", "records", "asked", "reused", "tokens read", "written", "seconds")
    for name, stage in run.stages.items():
        table.add_row(name, *_costs(stage))
    total = run.total
    table.add_row("total", *_costs(total))
    out.print(table)
    if "usd" in total:
        out.print(Text(f"price: ${total['usd']:,.4f}"))


def _costs(entry: Mapping[str, Any]) -> Iterable[str]:
    yield f"{entry['records']:,}" if "records" in entry else ""
    for key in ("asked", "reused", "prompt_tokens", "completion_tokens"):
        yield f"{entry[key]:,}"
    yield f"{entry['seconds']:,.1f}"


def _print_excluded(run: RunOverview) -> None:
    excluded = [(name, *entry) for name, stage in run.stages.items() for entry in stage["left_out"].items()]
    if excluded:
        heading("Excluded")
        for name, reason, count in excluded:
            out.print(Text(f"{name:<12}{count:>9,}  {reason_in_words(reason)}"))
