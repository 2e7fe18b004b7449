"""The commands about a constitution: `try`, `check`, `test`, `schema`, `prompts`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core.notices import note, warn
from engines.embedded import EMBEDDED_NAME
from publius.commands.options import (
    AsJson,
    EngineOption,
    HtmlOption,
    PromptFileColumns,
    QuotesOption,
    refuse_readings,
)
from publius.console import emit, print_json
from publius.runs.project import DEFAULT_PROMPT

if TYPE_CHECKING:
    from publius.authoring.replies.checking import RepliesRequest
    from publius.authoring.reply import ReplyRequest

constitution_app = typer.Typer()

ConstitutionSource = Annotated[
    str, typer.Argument(help="A constitution file or the name of a preset.", metavar="CONSTITUTION")
]
_MOOD = "prompt=question,tags=mood"
_REPLY = "prompt=question,reply=answer"
Labeler = Annotated[
    str, typer.Option(help="The labeler: a Hugging Face id, a folder, or the embedded model.")
]


def try_(
    constitution: Annotated[str, typer.Argument(help="A constitution file or the name of a preset.")],
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="The prompt to answer; may be repeated. [default: a question of ours]"),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="A file of prompts, in any form that a run reads.", metavar="FILE"),
    ] = None,
    columns: PromptFileColumns = None,
    html: HtmlOption = None,
    quotes: QuotesOption = None,
    limit: Annotated[
        int, typer.Option(min=1, help="With --prompts: number of prompts to take.", metavar="N")
    ] = 5,
    principle: Annotated[
        list[str] | None,
        typer.Option(
            help="Criticise and judge under this principle in place of drawn ones; may be repeated.",
            metavar="ID",
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="Give the prompts this tag, which principles may be limited to; may be repeated.",
            metavar="TAG",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another constitution to run on the same draft.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A Hugging Face id, a folder, the embedded model, or a server's model.")
    ] = EMBEDDED_NAME,
    engine: EngineOption = "transformers",
    rounds: Annotated[
        int,
        typer.Option(
            min=1,
            max=8,
            help="Rounds of critique and revision, each under a rule that is drawn by weight; with models "
            "below 300 million parameters also if the draft keeps it (runs: critique.principles, "
            "critique.early_stop). --principle and --worst choose otherwise.",
        ),
    ] = 1,
    worst: Annotated[
        bool,
        typer.Option(
            "--worst",
            help="Criticise under the rule whose check the answer fails most (of equals under a hard rule, "
            "then under the weightiest), without one under a rule "
            "without a check, and under none that it keeps (runs: critique.principles=worst with "
            "critique.early_stop=checks).",
        ),
    ] = False,
    max_new_tokens: Annotated[
        int,
        typer.Option(min=1, help="Longest draft and revision; those that end there are named.", metavar="N"),
    ] = 112,
    seed: Annotated[int, typer.Option(min=0, help="Random seed that draws principles and answers.")] = 0,
    show_all: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Show every prompt with its answers; of more than three, only what failed or changed "
            "is shown.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a draft, its critique, revision and label. Takes seconds and creates no run."""
    from publius.authoring.trial import Trial, run_trial
    from publius.sources.column_names import parse_columns
    from publius.sources.texts.reading import TextReading
    from publius.views.trial import print_trial

    given = tuple(prompt or ()) or (() if prompts else (DEFAULT_PROMPT,))
    chosen, tags = tuple(principle or ()), tuple(tag or ())
    theirs = parse_columns(columns or [], _MOOD)
    if theirs and prompts is None:
        raise typer.BadParameter("--columns requires --prompts")
    refuse_readings(html, quotes, prompts, "--prompts")
    trial = Trial(
        constitution,
        given,
        model,
        against,
        prompts,
        limit,
        tags,
        chosen,
        rounds,
        seed,
        engine,
        theirs,
        TextReading(html, quotes),
        max_new_tokens,
        worst,
    )
    emit(run_trial(trial), as_json, partial(print_trial, show_all=show_all))


@constitution_app.command()
def check(
    constitution: Annotated[
        str | None,
        typer.Argument(help="A constitution file or the name of a preset.", metavar="CONSTITUTION"),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Also run the checks that need prompts (L5xx) on this file. With --replies: take tags and "
            "columns from the rows of this file with the same prompts.",
            metavar="FILE",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS,...",
            help="Map our columns to the file's: prompt=question,tags=mood with --prompts, or "
            "prompt=question,reply=answer with --replies; tags may be given for several columns.",
        ),
    ] = None,
    html: HtmlOption = None,
    quotes: QuotesOption = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="As --prompts, for the prompts of this run file, and its templates; without CONSTITUTION, "
            "its own is checked.",
            metavar="RUN.yaml",
        ),
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(help="Also check the request templates in this folder.", metavar="DIR"),
    ] = None,
    reply: Annotated[
        str | None,
        typer.Option(
            help="Check this reply of yours against the constitution: a file, or - for standard input. "
            "The exit code is 1 if a machine check fails.",
            metavar="FILE|-",
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="With --reply: the message that it answers.", metavar="TEXT")
    ] = None,
    replies: Annotated[
        Path | None,
        typer.Option(
            help="Check several replies: a table with a column reply (or response, answer, ...) and one with "
            "its prompt, or conversations, in any form that prompts are read from. The exit code is as with "
            "--reply.",
            metavar="FILE",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="With --replies: also write a .csv file, a row for each reply and a column for each rule; "
            "or FILE.html or FILE.md, one page for people: which rule is broken how often, by which words.",
            metavar="FILE",
        ),
    ] = None,
    long: Annotated[
        bool, typer.Option("--long", help="With --to: a row for each reply and rule instead.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(
            help="With --replies: also print the share of replies that keep each rule, by the values of this "
            "column of the file, or of that of --prompts, such as thumbs, stars, agent or category; tag for "
            "the tags of the prompts.",
            metavar="COLUMN",
        ),
    ] = None,
    refusals: Annotated[
        bool,
        typer.Option(
            "--refusals",
            help="With --replies: also measure full and partial refusals, told by prompt and reply, apart "
            "for prompts with the label safe or unsafe (a column label, also of --prompts, or a tag); with "
            "--by, for each value, and their differences on the same prompts.",
        ),
    ] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="With --reply or --replies: a tag of the messages; may be repeated.", metavar="TAG"
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    judged: Annotated[
        bool,
        typer.Option(
            "--judged", help="Also ask --model which principles conflict; weak models are unreliable."
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model of --judged, the embedded one by default; with --reply and --prompt, or with "
            "--replies, it judges the principles without a check.",
        ),
    ] = None,
    engine: EngineOption = "transformers",
    budget: Annotated[
        int,
        typer.Option(min=1, help="With --judged: maximum number of principle pairs, most similar first."),
    ] = 200,
    explain: Annotated[
        str | None,
        typer.Option(
            help="Explain a lint code; `all` lists every code, and hedging, flattery, moralising or "
            "boilerplate the phrases of that list.",
            metavar="CODE",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check a constitution for mistakes, or replies against it.

    Findings name line and column; the exit code is 2 on errors.
    """
    from core.errors import ConfigError
    from publius.authoring.check import CheckRequest, JudgedRequest, check_constitution, explained
    from publius.authoring.replies.checking import RepliesRequest
    from publius.authoring.reply import ReplyRequest
    from publius.config.run_file import load_run_config
    from publius.sources.column_names import parse_columns
    from publius.sources.texts.reading import TextReading
    from publius.views.check import print_check, print_explained

    if explain is not None:
        emit(explained(explain), as_json, print_explained)
        return 0
    _refuse_beside_replies(replies, reply, prompt)
    _refuse_without_file(columns, to, prompts, replies, by, long=long, refusals=refusals)
    refuse_readings(html, quotes, replies, "--replies; a run file has prompts.NAME")
    if prompts is not None and run is not None:
        raise typer.BadParameter("give --prompts or --run, not both")
    if constitution is None:
        if run is None:
            raise typer.BadParameter("give a CONSTITUTION, --run RUN.yaml or --explain CODE")
        constitution = load_run_config(run).constitution
    if reply is not None:
        return _check_reply(
            ReplyRequest(constitution, reply, prompt, tuple(tag or ()), model, engine), as_json
        )
    if replies is not None:
        theirs = parse_columns(columns or [], _REPLY)
        reading = TextReading(html, quotes)
        asked = RepliesRequest(
            constitution,
            replies,
            theirs,
            tuple(tag or ()),
            model,
            engine,
            to,
            long,
            reading,
            by,
            prompts,
            refusals,
        )
        return _check_replies(asked, as_json)
    if prompt is not None or tag:
        raise typer.BadParameter("--prompt and --tag require --reply")
    theirs = parse_columns(columns or [], _MOOD)
    judging = JudgedRequest(model or EMBEDDED_NAME, budget, engine) if judged else None
    try:
        result = check_constitution(CheckRequest(constitution, prompts, run, judging, templates, theirs))
    except ConfigError as error:
        if not as_json:
            raise
        print_json(error)
        return 2
    emit(result, as_json, print_check)
    return 2 if result.fails(strict=strict) else 0


def _check_reply(request: ReplyRequest, as_json: bool) -> int:
    from publius.authoring.reply import check_reply
    from publius.views.reply import print_reply

    result = check_reply(request)
    emit(result, as_json, print_reply)
    return 1 if result.fails else 0


def _refuse_beside_replies(replies: Path | None, reply: str | None, prompt: str | None) -> None:
    given = {"--reply": reply, "--prompt": prompt}
    others = [option for option, value in given.items() if value is not None]
    if replies is not None and others:
        raise typer.BadParameter(f"--replies has prompts and replies in its file: leave {others[0]} out")


def _refuse_without_file(
    columns: list[str] | None,
    to: Path | None,
    prompts: Path | None,
    replies: Path | None,
    by: str | None,
    *,
    long: bool,
    refusals: bool,
) -> None:
    if columns and prompts is None and replies is None:
        what = "--columns requires --prompts or --replies; a run file has prompts.columns"
        raise typer.BadParameter(what)
    if to is not None and replies is None:
        raise typer.BadParameter("--to requires --replies")
    if by is not None and replies is None:
        raise typer.BadParameter("--by requires --replies FILE, which has the column")
    if long and to is None:
        raise typer.BadParameter("--long requires --to FILE.csv")
    if refusals and replies is None:
        raise typer.BadParameter("--refusals requires --replies FILE")


def _check_replies(request: RepliesRequest, as_json: bool) -> int:
    from publius.authoring.replies.checking import check_replies
    from publius.views.replies.checked import print_checked_replies
    from publius.views.replies.page import is_page, require_new_page, write_page

    if request.to is not None and is_page(request.to):
        if request.long:
            raise typer.BadParameter("--long requires --to FILE.csv")
        require_new_page(request.to)
        result = check_replies(replace(request, to=None))
        write_page(result, request.to)
    else:
        result = check_replies(request)
    emit(result, as_json, print_checked_replies)
    if request.to is not None:
        note(f"wrote {request.to}")
    return 1 if result.fails else 0


@constitution_app.command("test")
def exam(
    constitution: ConstitutionSource,
    model: Labeler = EMBEDDED_NAME,
    engine: EngineOption = "transformers",
    checks_only: Annotated[
        bool, typer.Option("--checks-only", help="Skip the examples that need a model.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Test only this principle; may be repeated.", metavar="ID")
    ] = None,
    min_p: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="A judged example passes if P(good is better) exceeds this."),
    ] = 0.5,
    junit: Annotated[
        Path | None, typer.Option(help="Also write the results as JUnit XML.", metavar="FILE")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every example.")] = False,
    as_json: AsJson = False,
) -> int:
    """Test a constitution on its own examples: good must beat bad.

    The exit code is 1 if an example fails or the labeler gives no valid answer.
    """
    from publius.authoring.examples import ExamRequest, run_exams
    from publius.views.examples import print_exams, write_junit

    report = run_exams(ExamRequest(constitution, model, tuple(only or ()), checks_only, min_p, engine))
    if junit is not None:
        write_junit(report, junit)
    emit(report, as_json, partial(print_exams, verbose=verbose))
    return 1 if report.failed else 0


@constitution_app.command()
def schema(
    what: Annotated[
        Literal["constitution", "run"], typer.Argument(help="Kind of file.", metavar="constitution|run")
    ] = "constitution",
    to: Annotated[Path | None, typer.Option(help="Write it to this file instead.", metavar="FILE")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="With run: a reference page of all settings instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of constitutions or run files."""
    from constitution.file_schema import json_schema_text
    from core.store.files import os_errors, write_atomic
    from publius.config.run_schema import run_schema_text
    from publius.config.settings_page import settings_page
    from publius.views.check import print_schema

    if markdown and what != "run":
        raise typer.BadParameter("--markdown requires: publius schema run")
    text = settings_page() if markdown else run_schema_text() if what == "run" else json_schema_text()
    if to is None:
        print_schema(text)
        return
    with os_errors(to):
        write_atomic(to, text)
    note(f"wrote {to}")


@constitution_app.command()
def prompts(
    constitution: ConstitutionSource,
    count: Annotated[int, typer.Option("-n", "--count", help="Number of prompts in total.")],
    to: Annotated[Path, typer.Option(help="The .jsonl file to create.", metavar="FILE")],
    model: Annotated[
        str, typer.Option(help="A Hugging Face id, a folder, or the embedded model.")
    ] = EMBEDDED_NAME,
    engine: EngineOption = "transformers",
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed; a different seed gives different prompts.")
    ] = 0,
    only: Annotated[
        list[str] | None, typer.Option(help="Only for this principle; may be repeated.", metavar="ID")
    ] = None,
    seeds_from: Annotated[
        Path | None,
        typer.Option(
            help="Seed prompts, in any form that a run reads; they set topic and tone, and are not repeated.",
            metavar="FILE",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have a model write prompts for a constitution.

    There are three kinds: tempting, borderline and everyday prompts.
    """
    from publius.authoring.prompts import PromptsRequest, synthesise
    from publius.views.trial import print_prompts

    request = PromptsRequest(constitution, count, to, model, seed, tuple(only or ()), seeds_from, engine)
    result = synthesise(request)
    for warning in result.warnings:
        warn(warning)
    emit(result, as_json, print_prompts)
