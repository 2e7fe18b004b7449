"""The commands about runs: `run`, its single stages, `show`, and `runs`, which lists them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publius.commands.options import (
    Against,
    AsJson,
    MaybeRun,
    MinP,
    Overrides,
    PrincipleFilter,
    PromptFileColumns,
    Resume,
    RunFile,
    SourceFilter,
    TagFilter,
    TrainedModelFolder,
    Vary,
    exit_on_failed_gates,
    results_before_error,
    run_stages,
    run_varied_stages,
)
from publius.console import emit
from publius.runs.project import DEFAULT_PRESET

if TYPE_CHECKING:
    from publius.audit.trained import TrainedEvaluation
    from publius.authoring.estimating.estimate import EstimateRequest
    from publius.stages.base import Stage

EstimateRate = Annotated[
    float | None,
    typer.Option(
        help="With --estimate: generated tokens per second; the speed of earlier runs if not given.",
        metavar="TOKENS_PER_S",
    ),
]
EstimatePrices = Annotated[
    Path | None,
    typer.Option(
        help="With --estimate: table of prices; prices.yaml beside the run file if not given.",
        metavar="FILE",
    ),
]


def run(
    run_file: RunFile,
    overrides: Overrides = None,
    vary: Vary = None,
    only: Annotated[
        str | None, typer.Option(help="Run only this stage, such as critique.", metavar="STAGE")
    ] = None,
    resume: Resume = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Only estimate requests, tokens, time and price; run nothing."),
    ] = False,
    estimate_for: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Estimate for a file of N rows like those of the prompts, skipped ones included; implies "
            "--estimate.",
            metavar="N",
        ),
    ] = None,
    rate: EstimateRate = None,
    prices: EstimatePrices = None,
    preview: Annotated[
        int | None,
        typer.Option(
            help="Only show what the first N prompts of each stage before training lead to; the run reuses "
            "their answers.",
            metavar="N",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Do only the k-th of K parts, in a folder of its own; publius runs merge unites them.",
            metavar="k/K",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run every stage of the run file. To resume after an interruption, run the same command again."""
    from publius.stages.base import parse_stage

    stages = () if only is None else (parse_stage(only),)
    estimate = estimate or estimate_for is not None
    if (rate, prices) != (None, None) and not estimate:
        raise typer.BadParameter("--rate and --prices require --estimate")
    if vary and (resume is not None or preview is not None):
        raise typer.BadParameter("--vary excludes --preview, and resumes automatically without --resume")
    if shard is not None and (vary or estimate or preview is not None):
        raise typer.BadParameter("--shard excludes --vary, --estimate and --preview")
    if not estimate and preview is None:
        if vary:
            run_varied_stages(run_file, vary, overrides, stages, as_json)
        else:
            run_stages(run_file, overrides, stages, resume, as_json, shard=shard)
        return
    if resume is not None or (estimate and preview is not None):
        raise typer.BadParameter("give one of --estimate, --preview and --resume")
    if preview is not None:
        _preview(run_file, overrides, stages[0] if stages else None, preview, as_json)
        return
    from publius.authoring.estimating.estimate import EstimateRequest

    request = EstimateRequest(run_file, tuple(overrides or ()), stages, rate, prices, estimate_for)
    _estimate(request, vary, as_json)


def _estimate(request: EstimateRequest, vary: list[str] | None, as_json: bool) -> None:
    from publius.authoring.estimating.estimate import estimate_run
    from publius.views.costs.estimate import print_estimate

    if vary:
        _estimate_varied(request, vary, as_json)
    else:
        emit(estimate_run(request), as_json, print_estimate)


def _estimate_varied(request: EstimateRequest, vary: list[str], as_json: bool) -> None:
    from publius.authoring.estimating.varied import estimate_varied
    from publius.config.variations import read_variations
    from publius.stages.varied import VariedRequest, planned_runs
    from publius.views.costs.varied import print_varied_estimate

    variations = read_variations(vary, request.overrides)
    planned = planned_runs(VariedRequest(request.run_file, variations, request.overrides, request.stages))
    emit(estimate_varied(planned, request), as_json, print_varied_estimate)


def _preview(
    run_file: Path, overrides: list[str] | None, until: Stage | None, prompts: int, as_json: bool
) -> None:
    from publius.authoring.preview import PreviewRequest, preview_run
    from publius.config.run_file import load_run_config
    from publius.config.stand_ins import made_up, stand_in_roles
    from publius.views.costs.preview import print_preview

    request = PreviewRequest(run_file, prompts, tuple(overrides or ()), until)
    roles = stand_in_roles(load_run_config(run_file, request.overrides))
    emit(preview_run(request), as_json, print_preview, made_up=made_up(roles))


def critique(
    run_file: RunFile, overrides: Overrides = None, resume: Resume = None, as_json: AsJson = False
) -> None:
    """Run only the critique-and-revise loop."""
    run_stages(run_file, overrides, ("critique",), resume, as_json)


def sample_(
    run_file: RunFile, overrides: Overrides = None, resume: Resume = None, as_json: AsJson = False
) -> None:
    """Run only the stage that samples answers and scores them."""
    run_stages(run_file, overrides, ("sample",), resume, as_json)


def compare(
    run_file: RunFile, overrides: Overrides = None, resume: Resume = None, as_json: AsJson = False
) -> None:
    """Run only the stage that pairs answers for comparison."""
    run_stages(run_file, overrides, ("compare",), resume, as_json)


def label(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    resume: Resume = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Label the pairs of answers of this file, data set folder, Hugging Face id or run folder; "
            "with a RUN.yaml, under its constitution and settings.",
            metavar="SOURCE",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS,...",
            help="With --pairs: map our columns to the file's, as in "
            "prompt=question,response_a=old,response_b=new; may be repeated.",
        ),
    ] = None,
    constitution: Annotated[
        str | None,
        typer.Option(
            help=f"With --pairs: the constitution; if not given, that of RUN.yaml or of the run folder, as "
            f"its file is now, or {DEFAULT_PRESET}."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="With --pairs: the labeler; if not given, that of RUN.yaml or of the run folder, or the "
            "embedded model."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="With --pairs: folder for the run; if not given, that of RUN.yaml, the project of the run "
            "folder, or the current one.",
            metavar="DIR",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="With --pairs: transformers, vllm, the address of a server (its key in PUBLIUS_API_KEY), or "
            "scripted, which makes labels up.",
            metavar="KIND|URL",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Label the comparisons of a run, or pairs of a file or run."""
    from publius.runs.one_model import engine_overrides
    from publius.sources.column_names import parse_columns
    from publius.stages.label_pairs import PairsRequest, label_pairs
    from publius.views.run_summary import print_summary

    if pairs is None and run_file is None:
        raise typer.BadParameter(
            "give a RUN.yaml for the pairs of its run, --pairs FILE for those of a file, or both for those "
            "of the file under the settings of the run file"
        )
    if run_file is not None and pairs is None:
        if (constitution, model, to, columns, engine) != (None,) * 5:
            raise typer.BadParameter(
                "--constitution, --model, --engine, --to and --columns require --pairs; "
                "RUN.yaml names its own"
            )
        run_stages(run_file, overrides, ("label",), resume, as_json)
    elif pairs is not None:
        if resume is not None:
            raise typer.BadParameter("--resume is for a RUN.yaml alone; --pairs resumes automatically")
        names = parse_columns(columns or (), "prompt=question,response_a=old,response_b=new")
        settings = (*engine_overrides(engine), *(overrides or ()))
        request = PairsRequest(pairs, constitution, model, to, settings, names, run_file)
        emit(label_pairs(request), as_json, print_summary)


def eval_(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    vary: Vary = None,
    resume: Resume = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 also if a gate of the run file is inconclusive.")
    ] = False,
    model: TrainedModelFolder = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            help="With --model: the prompts to answer, in any form that a run reads.", metavar="SOURCE"
        ),
    ] = None,
    constitution: Annotated[
        str | None,
        typer.Option(
            help="With --model: principles to measure, and the base model with them in its prompt beside it.",
            metavar="FILE",
        ),
    ] = None,
    against: Against = None,
    to: Annotated[
        Path | None,
        typer.Option(help="With --model: folder for runs/; the current folder if not given.", metavar="DIR"),
    ] = None,
    columns: PromptFileColumns = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Only estimate requests, tokens, time and price; measure nothing."),
    ] = False,
    rate: EstimateRate = None,
    prices: EstimatePrices = None,
    as_json: AsJson = False,
) -> None:
    """Measure what training changed, on the held-out prompts. The exit code is 1 if a gate failed.

    With --model, measure a trained model against the one before, without a run file.
    """
    if (model is None) == (run_file is None):
        raise typer.BadParameter("give either a RUN.yaml or --model DIR --prompts SOURCE")
    if estimate and (model is not None or resume is not None):
        raise typer.BadParameter("--estimate requires a RUN.yaml, and excludes --resume")
    if (rate, prices) != (None, None) and not estimate:
        raise typer.BadParameter("--rate and --prices require --estimate")
    if model is not None:
        if prompts is None or vary or resume is not None:
            raise typer.BadParameter("--model requires --prompts, and takes neither --vary nor --resume")
        from publius.audit.trained import TrainedEvaluation
        from publius.sources.column_names import parse_columns

        names = parse_columns(columns or (), "prompt=question")
        request = TrainedEvaluation(
            model, prompts, constitution, against, to or Path(), tuple(overrides or ()), strict, names
        )
        _eval_trained(request, as_json)
        return
    assert run_file is not None
    if columns or (prompts, constitution, against, to) != (None, None, None, None):
        raise typer.BadParameter("--prompts, --columns, --constitution, --against and --to require --model")
    if vary and resume is not None:
        raise typer.BadParameter("--vary resumes automatically; drop --resume")
    if estimate:
        from publius.authoring.estimating.estimate import EstimateRequest

        _estimate(EstimateRequest(run_file, tuple(overrides or ()), ("eval",), rate, prices), vary, as_json)
    elif vary:
        run_varied_stages(run_file, vary, overrides, ("eval",), as_json, strict=strict)
    else:
        run_stages(run_file, overrides, ("eval",), resume, as_json, strict=strict)


def _eval_trained(request: TrainedEvaluation, as_json: bool) -> None:
    from publius.audit.trained import evaluate_trained
    from publius.views.run_summary import print_summary

    with results_before_error(as_json):
        outcome = evaluate_trained(request)
    emit(outcome, as_json, print_summary)
    exit_on_failed_gates(outcome)


def show(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    record: Annotated[
        str | None,
        typer.Argument(help="Id of a record, or a unique beginning of it.", metavar="ID"),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, max=1000, help="Number of rows to show.", metavar="N")] = 10,
    min_p: MinP = None,
    tag: TagFilter = None,
    principle: PrincipleFilter = None,
    source: SourceFilter = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Write all preferences that pass to this new .csv or .parquet file, one row for each; of a "
            "run that was only evaluated, the answers.",
            metavar="FILE",
        ),
    ] = None,
    answers: Annotated[
        bool,
        typer.Option(
            "--answers",
            help="With --to: write the answers of the evaluation, with the checks that each passes or fails.",
        ),
    ] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="With --to: columns to write, or all; if not given, plain ones in .csv and all in .parquet.",
            metavar="NAME,...",
        ),
    ] = None,
    summary_to: Annotated[
        Path | None,
        typer.Option(
            help="Write the figures by certainty, principle, tag, source and length to this new .csv or "
            ".parquet file, one row for each number.",
            metavar="FILE",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: ten of its rows, figures, costs. With an ID, one record and all around it.

    The filters select preferences; what they leave out is counted.
    """
    from publius.runs.pairs.filters import PreferenceFilter

    conditions = PreferenceFilter.of(min_p, tag, principle, source)
    if columns and to is None:
        raise typer.BadParameter("--columns requires --to FILE")
    if answers and (to is None or record is not None):
        raise typer.BadParameter("--answers requires --to FILE, and no ID")
    if summary_to is not None and (to is not None or record is not None):
        raise typer.BadParameter("--summary-to excludes --to and an ID")
    if summary_to is not None:
        from publius.views.looking.table import print_table
        from publius.views.looking.tidy import write_summary_table

        emit(write_summary_table(folder, summary_to, conditions), as_json, print_table)
        return
    if record is None and to is not None:
        from publius.views.looking.reading import write_run_table
        from publius.views.looking.table import print_table

        wanted = [name.strip() for part in columns for name in part.split(",")] if columns else None
        written = write_run_table(folder, to, conditions, wanted, answers=answers)
        emit(written, as_json, print_table)
        return
    if record is None:
        from publius.views.looking.overview import print_overview
        from publius.views.looking.reading import read_overview

        emit(read_overview(folder, conditions, rows), as_json, print_overview)
        return
    if conditions or to is not None:
        raise typer.BadParameter("--to and the filters are about all rows; drop them, or the ID")
    from publius.runs.pairs.caveats import made_up_in
    from publius.runs.reader import show_record
    from publius.views.looking.record import print_record

    emit(show_record(folder, record), as_json, print_record, made_up=made_up_in(folder))
