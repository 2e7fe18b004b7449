"""The commands about human labels: `annotate`, `select`, `agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson
from publius.console import emit


def annotate(
    folder: Annotated[
        Path, typer.Argument(help="A run folder, or a folder with comparisons.jsonl.", metavar="RUN|DIR")
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="Where the labels go; human/ in the folder if not given.", metavar="DIR"),
    ] = None,
    annotators_per: Annotated[int, typer.Option(min=1, help="How many people judge each comparison.")] = 1,
    select: Annotated[
        Path | None,
        typer.Option(help="Ask what this file of `publius select` names, in its order.", metavar="FILE"),
    ] = None,
    rank: Annotated[
        bool, typer.Option("--rank", help="Rank the three or four answers of a group at once.")
    ] = False,
    principle: Annotated[
        str | None, typer.Option(help="Ask about this principle of the run's constitution.", metavar="ID")
    ] = None,
    dimension: Annotated[
        str | None, typer.Option(help="Ask about this respect, such as helpfulness.", metavar="NAME")
    ] = None,
    gold: Annotated[
        int | None,
        typer.Option(min=1, help="Ask N comparisons drawn at random; end with the AI labeler's accuracy."),
    ] = None,
    gold_questions: Annotated[
        Path | None,
        typer.Option(help="Mix in these pairs, whose better answer is known.", metavar="FILE"),
    ] = None,
    gold_share: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Share of such pairs among what a person sees.")
    ] = 0.1,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8321,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name by which browsers call the page; may be repeated.", metavar="NAME"),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="The secret in people's link; one is made and kept if not given.",
            envvar="PUBLIUS_ANNOTATE_TOKEN",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let people compare answers on a local page. Each decision is on disk before the next is shown."""
    from publius.labels.annotating import Address, Collection, serve_page
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
    )
    address = Address(host, port, tuple(allow_host or ()), token)
    collected = serve_page(
        collection, address, lambda links: emit(links, as_json, print_links, on_one_line=True)
    )
    emit(collected, as_json, print_collected, on_one_line=True)


labels_app = typer.Typer()


@labels_app.command()
def agreement(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Runs, or folders of people's judgments; all are read together.", metavar="RUN|DIR"
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Say how far annotators agree. People and machines, each with an estimate of who is right how often."""
    from publius.labels.agreement import read_report
    from publius.views.agreement import print_report

    emit(read_report(folders), as_json, print_report)


@labels_app.command()
def select(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    budget: Annotated[int, typer.Option(min=1, help="How many comparisons people can judge.", metavar="N")],
    to: Annotated[
        Path | None,
        typer.Option(help="Write them to this .jsonl file, and not to the output.", metavar="FILE"),
    ] = None,
    control: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share drawn at random, for honest estimates.")
    ] = 0.1,
    diversity: Annotated[
        float, typer.Option(min=0.0, help="What likeness to a prompt that was picked costs; 0 is nothing.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of the random share.")] = 0,
) -> None:
    """Pick comparisons for people. They are those whose label is most in doubt, and a random control."""
    from core.store.files import write_atomic
    from labelers.selection import Selection
    from publius.labels.selecting import select_questions
    from publius.views.annotation import print_selected

    selected = select_questions(folder, Selection(budget, control, diversity, seed))
    if to is not None:
        write_atomic(to, selected.lines())
    print_selected(selected, to)
