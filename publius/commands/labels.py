"""The commands about human labels: `annotate`, `select`, `agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.notices import note
from publius.commands.options import AsJson, MinP, SourceFilter, TagFilter
from publius.console import emit, note_made_up


def annotate(
    folder: Annotated[
        Path, typer.Argument(help="A run folder, or a folder with comparisons.jsonl.", metavar="RUN|DIR")
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for the labels; human/ inside RUN|DIR if not given.", metavar="DIR"),
    ] = None,
    annotators_per: Annotated[int, typer.Option(min=1, help="Number of annotators per comparison.")] = 1,
    select: Annotated[
        Path | None,
        typer.Option(
            help="Ask only about the comparisons that `publius select` wrote to this file.", metavar="FILE"
        ),
    ] = None,
    rank: Annotated[
        bool, typer.Option("--rank", help="Ask for a ranking where a prompt has three or four answers.")
    ] = False,
    principle: Annotated[
        str | None, typer.Option(help="Ask about this principle of the run's constitution.", metavar="ID")
    ] = None,
    min_p: MinP = None,
    tag: TagFilter = None,
    source: SourceFilter = None,
    dimension: Annotated[
        str | None,
        typer.Option(help="Ask which answer is better in this respect, such as helpfulness.", metavar="NAME"),
    ] = None,
    gold: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Ask about N random comparisons, then report how often the AI labeler agrees.",
            metavar="N",
        ),
    ] = None,
    gold_questions: Annotated[
        Path | None,
        typer.Option(help="Mix in attention checks: pairs whose better answer is known.", metavar="FILE"),
    ] = None,
    gold_share: Annotated[
        float,
        typer.Option(
            min=0.01, max=0.5, help="Share of an annotator's questions that come from --gold-questions."
        ),
    ] = 0.1,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 picks a free one.")] = 8321,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A host name under which browsers may open the page; may be repeated.", metavar="NAME"
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="The secret in the annotators' link; generated and saved if not given.",
            envvar="PUBLIUS_ANNOTATE_TOKEN",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let annotators compare answers on a local page. Each decision is saved before the next question."""
    from publius.labels.annotating import Address, Collection, serve_page
    from publius.runs.pairs.caveats import made_up_in
    from publius.runs.pairs.filters import PreferenceFilter
    from publius.views.annotation import print_collected, print_links

    collection = Collection(
        folder=folder,
        to=to,
        annotators_per=annotators_per,
        select=select,
        rank=rank,
        principle=principle,
        dimension=dimension,
        gold=gold,
        gold_questions=gold_questions,
        gold_share=gold_share,
        conditions=PreferenceFilter.of(min_p, tag, None, source),
    )
    made_up = made_up_in(folder)
    address = Address(host, port, tuple(allow_host or ()), token)
    collected = serve_page(
        collection,
        address,
        lambda links: emit(links, as_json, print_links, on_one_line=True, made_up=made_up),
    )
    emit(collected, as_json, print_collected, on_one_line=True, made_up=made_up)


labels_app = typer.Typer()


@labels_app.command()
def agreement(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders or folders of human labels; all are combined. Or a table with ratings of "
            "single answers, such as stars, and a column for each rater.",
            metavar="RUN|DIR|FILE",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            help="Also write each comparison that people judged, with their votes and the probability that "
            "they make together, to this file (.jsonl or .csv); or all of this as a page for others (.html "
            "or .md), which begins with who won.",
            metavar="FILE",
        ),
    ] = None,
    aggregation: Annotated[
        str,
        typer.Option(
            help="How --to puts votes together, as label.aggregation does: graded (by reliability), majority "
            "(their mean) or dawid-skene.",
            metavar="NAME",
        ),
    ] = "graded",
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out this annotator, as the table names them, here and from --to; may be repeated.",
            metavar="NAME",
        ),
    ] = None,
    aspect: Annotated[
        list[str] | None,
        typer.Option(
            help="Count people's labels of this aspect alone, such as honesty, here and in --to; may be "
            "repeated.",
            metavar="NAME",
        ),
    ] = None,
    constitution: Annotated[
        str | None,
        typer.Option(
            help="With a table of ratings: compare them with the machine checks of this constitution. Votes "
            "on pairs are compared with a run among the folders.",
            metavar="FILE",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="With a table of ratings: its columns, as in "
            "prompt=ASKED,answer=REPLY,case=TICKET,rating=ANNA,rating=BEN.",
            metavar="OURS=THEIRS,...",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well annotators agree.

    Begins with who won: how often they prefer the answers of each column or model. Also estimates the
    accuracy of each annotator and of the AI labeler. Of ratings of single answers, it measures how far
    raters differ.
    """
    if len(folders) == 1 and folders[0].is_file():
        from publius.labels.ratings.report import read_ratings_report
        from publius.views.looking.ratings import print_ratings

        if to is not None:
            raise typer.BadParameter("--to is for votes on comparisons, not for a table of ratings")
        if without or aspect:
            given = "--without" if without else "--aspect"
            raise typer.BadParameter(f"{given} is for votes on comparisons, not for a table of ratings")
        emit(read_ratings_report(folders[0], constitution, columns or ()), as_json, print_ratings)
        return
    if constitution is not None:
        from publius.labels.ratings.report import constitution_beside_folders

        raise constitution_beside_folders(folders, constitution)
    if columns:
        raise typer.BadParameter("--columns is for one table of ratings")
    from labelers.crowd.which import WhichVotes
    from publius.labels.agreement import read_report
    from publius.runs.exporting.together import aggregation_named, require_gold_name, write_gold
    from publius.runs.pairs.caveats import made_up_in
    from publius.views.agreement import print_gold, print_report
    from publius.views.replies.page import is_page, require_new_page

    method = aggregation_named(aggregation)
    if to is not None:
        (require_new_page if is_page(to) else require_gold_name)(to)
    which = WhichVotes(tuple(without or ()), tuple(aspect or ()))
    report = read_report(folders, which)
    emit(report, as_json, print_report, made_up=made_up_in(*folders))
    if to is not None and is_page(to):
        from publius.views.votes.page import write_votes_page

        write_votes_page(report, folders, to, made_up_in(*folders))
        rules = ", and the rules beside their votes" if report.rules else ""
        note(f"wrote {to}: who won, how people agree{rules}")
    elif to is not None:
        print_gold(write_gold(folders, to, method, report.names, which))


@labels_app.command()
def select(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    budget: Annotated[int, typer.Option(min=1, help="Number of comparisons to select.", metavar="N")],
    to: Annotated[
        Path | None,
        typer.Option(help="Write them to this .jsonl file instead of standard output.", metavar="FILE"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write them as a blind sheet to fill in with a spreadsheet; import labels reads it back.",
            metavar="FILE.csv",
        ),
    ] = None,
    control: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of the budget drawn at random, for unbiased estimates."),
    ] = 0.1,
    diversity: Annotated[
        float, typer.Option(min=0.0, help="Penalty for similarity to prompts already selected; 0 for none.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for --control.")] = 0,
) -> None:
    """Select comparisons for annotation.

    Most have uncertain labels; the rest, a control sample, is drawn at random.
    """
    from core.store.files import write_atomic
    from labelers.selection import Selection
    from publius.labels.selecting import select_questions
    from publius.labels.sheet import require_sheet_name, write_sheet
    from publius.runs.pairs.caveats import made_up_in
    from publius.views.annotation import print_selected, print_sheet

    if sheet is not None:
        require_sheet_name(sheet)
    selected = select_questions(folder, Selection(budget, control, diversity, seed))
    if to is not None:
        write_atomic(to, selected.lines())
    note_made_up(made_up_in(folder))
    print_selected(selected, is_written=to is not None or sheet is not None)
    if sheet is not None:
        print_sheet(write_sheet(folder, selected.questions, sheet))
