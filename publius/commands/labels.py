"""The command `publius annotate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publius.commands.options import AsJson


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
    from publius.labels.annotating import Address, Collection
    from publius.labels.annotating import annotate as serve_page

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
    serve_page(collection, Address(host, port, tuple(allow_host or ()), token), as_json=as_json)
