"""The commands that measure and try models: `eval-reward`, `audit labeler` and `chat`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import typer

from publius.commands.options import (
    Against,
    AsJson,
    DataColumns,
    EngineOption,
    Overrides,
    SplitOption,
    Subset,
    TrainedModelFolder,
)
from publius.console import emit
from publius.runs.project import DEFAULT_PRESET

if TYPE_CHECKING:
    from labelers.config import LabelMode


def eval_reward(
    folder: Annotated[
        Path, typer.Argument(help="A reward model: a folder, or a Hugging Face id.", metavar="MODEL")
    ],
    data: Annotated[
        str, typer.Option(help="Preference pairs: a file, folder or Hugging Face id.", metavar="SOURCE")
    ],
    to: Annotated[Path, typer.Option(help="Folder for the report.", metavar="DIR")],
    subset: Subset = None,
    split: SplitOption = None,
    columns: DataColumns = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Device to run the model on.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Evaluate a reward model on preference pairs.

    The report has accuracy, calibration and length bias, overall and by subset.
    """
    from publius.models.eval_reward import EvalRewardRequest
    from publius.models.eval_reward import measure_reward_model as measure
    from publius.sources.column_names import ColumnNames, parse_columns
    from publius.sources.examples import DataSource
    from publius.views.training import print_measured_reward

    names = ColumnNames(parse_columns(columns or [], example="prompt=question,chosen=responses[0]"))
    source = DataSource(data, subset, split)
    measured = measure(EvalRewardRequest(folder, source, to, device, names))
    emit(measured, as_json, print_measured_reward)


def chat(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A run folder, or a folder as --model takes it.", metavar="RUN|DIR"),
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="VARIANT",
            help="A variant that answers: base, prompted, sft, dpo, ppo, rloo, grpo, distill or steered; may "
            "be repeated. If not given: base and the chosen checkpoint, or else the variant trained last.",
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Ask this once and exit.", metavar="TEXT")] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            help="Ask each of these once and exit: prompts in any form that a run reads.", metavar="SOURCE"
        ),
    ] = None,
    model: TrainedModelFolder = None,
    constitution: Annotated[
        str | None,
        typer.Option(
            help="With a folder of `publius train`: the base model answers with it in its prompt, too.",
            metavar="FILE",
        ),
    ] = None,
    against: Against = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Sampling temperature; 0 is greedy. If not given, as in the run's evaluation."),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            help="The longest answer, in tokens. If not given, as in the run's evaluation.", metavar="N"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Chat with the policy before and after training, side by side."""
    from publius.serving.chat import ChatRequest
    from publius.views.chat import chat_with

    if (folder is None) == (model is None):
        raise typer.BadParameter("give either a RUN folder or --model DIR")
    if prompt is not None and prompts is not None:
        raise typer.BadParameter("give only one of --prompt and --prompts")
    asked = folder or model
    assert asked is not None
    request = ChatRequest(
        asked,
        tuple(variants or ()),
        prompt,
        temperature,
        max_new_tokens,
        as_json,
        prompts,
        constitution,
        against,
    )
    chat_with(request)


def benchmark(
    name: Annotated[
        str,
        typer.Argument(
            help="hhh, harmful-or-ethical, kind-of-harm, xstest, rewardbench, rewardbench-2 or judgebench.",
            metavar="NAME",
        ),
    ],
    data: Annotated[
        str, typer.Option(help="Its data, as published: a file, folder or Hugging Face id.", metavar="SOURCE")
    ],
    model: Annotated[
        str | None, typer.Option(help="A language model, for hhh, harmful-or-ethical, kind-of-harm, xstest.")
    ] = None,
    reward: Annotated[
        Path | None,
        typer.Option(help="A reward model, for rewardbench, rewardbench-2, judgebench.", metavar="MODEL"),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="A judge, also one that `publius train judge` made, for rewardbench, judgebench."),
    ] = None,
    constitution: Annotated[
        str, typer.Option(help="With --judge: the principles that it judges by.")
    ] = DEFAULT_PRESET,
    rows: Annotated[int | None, typer.Option(min=1, help="Use the first N rows only.", metavar="N")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="With xstest: the longest answer (512).", metavar="N")
    ] = None,
    subset: Subset = None,
    split: SplitOption = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder for benchmark.json, with every item.", metavar="DIR")
    ] = None,
    engine: EngineOption = "transformers",
    as_json: AsJson = False,
) -> None:
    """Run a published evaluation, on your copy of its data."""
    from publius.audit.published import BenchmarkRequest, run_benchmark
    from publius.sources.examples import DataSource
    from publius.views.training import print_benchmark

    source = DataSource(data, subset, split, "evaluate")
    request = BenchmarkRequest(
        name, source, model, reward, judge, constitution, rows, to, engine, max_new_tokens
    )
    emit(run_benchmark(request), as_json, print_benchmark)


GoldAggregation = Annotated[
    str | None,
    typer.Option(
        help="How people's votes on a gold comparison are put together: graded (by reliability), majority or "
        "dawid-skene; label.aggregation if not given.",
        metavar="NAME",
    ),
]

audit_app = typer.Typer(
    help="Audit a labeler, or a model against a constitution.",
    no_args_is_help=True,
)


@audit_app.callback()
def _commands() -> None:
    """Audit a labeler, or a model against a constitution."""


@audit_app.command()
def labeler(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A run file, a constitution or the name of a preset; run.yaml if not given.",
            metavar="RUN.yaml|CONSTITUTION",
        ),
    ] = None,
    gold: Annotated[
        list[str] | None,
        typer.Option(
            help="Labels of people or of a benchmark: any file that `publius import labels` recognises, or a "
            "folder that it wrote; may be repeated. Without gold labels, planted violations, the "
            "principles' examples and machine checks are used.",
            metavar="FILE|DIR",
        ),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Judge at most N gold comparisons, drawn by hash.", metavar="N"),
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Exit with 1 if the labeler's accuracy is below this."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for audit.json and audit.md; audits/... in the project.", metavar="DIR"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The labeler; the run file's, or the embedded model with a constitution."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Engine of the labeler with a constitution: transformers, vllm, scripted (made "
            "up), or a server's address.",
            metavar="KIND|URL",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare/--no-compare", help="Compare modes and templates on a tuning slice first."),
    ] = True,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="Compare this label.mode; may be repeated.", metavar="MODE"),
    ] = None,
    templates: Annotated[
        list[Path] | None,
        typer.Option(help="Also compare the templates of this folder; may be repeated.", metavar="DIR"),
    ] = None,
    injections: Annotated[
        bool,
        typer.Option(
            "--injections",
            help="Also measure how far texts in a reply that speak to the labeler move its labels.",
        ),
    ] = False,
    injections_from: Annotated[
        Path | None,
        typer.Option(
            help="The same, with further texts of your own: rows with `text` and `neutral`.", metavar="FILE"
        ),
    ] = None,
    aggregation: GoldAggregation = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> int:
    """Measure how often a labeler is right, what it likes, and how sure it may be; write a certificate.

    The exit code is 1 if its accuracy is below --min-accuracy.
    """
    from publius.audit.labeler import run_audit
    from publius.audit.settings import AuditRequest
    from publius.config.stand_ins import made_up
    from publius.runs.exporting.together import aggregation_named
    from publius.views.audits.labeler import print_audit

    request = AuditRequest(
        source=source,
        gold=tuple(gold or ()),
        aggregation=None if aggregation is None else aggregation_named(aggregation),
        rows=rows,
        to=to,
        model=model,
        engine=engine,
        overrides=tuple(overrides or ()),
        compare=compare,
        modes=tuple(_mode(name) for name in mode or ()),
        templates=tuple(templates or ()),
        min_accuracy=min_accuracy,
        injections=injections,
        injections_from=injections_from,
    )
    result = run_audit(request)
    scripted = any(one.labeler.model.startswith("scripted:") for one in result.certificate.audited)
    emit(result, as_json, print_audit, made_up=made_up(("labeler",)) if scripted else "")
    return 1 if result.failed else 0


@audit_app.command()
def correction(
    gold: Annotated[
        list[str],
        typer.Option(
            help="Gold labels: any file that `publius import labels` recognises, or a folder that it wrote; "
            "may be repeated.",
            metavar="FILE|DIR",
        ),
    ],
    to: Annotated[Path, typer.Option(help="File to write, for label.correction.", metavar="FILE")],
    source: Annotated[
        str | None,
        typer.Argument(
            help="A run file, a constitution or the name of a preset; run.yaml if not given.",
            metavar="RUN.yaml|CONSTITUTION",
        ),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Judge at most N gold comparisons, drawn by hash.", metavar="N"),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=0.499,
            help="Let the labeler abstain, so that at most this share of its labels is wrong.",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Probability that --max-error holds.")
    ] = 0.95,
    model: Annotated[
        str | None,
        typer.Option(help="The labeler; the run file's, or the embedded model with a constitution."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Engine of the labeler with a constitution: transformers, vllm, scripted (made "
            "up), or a server's address.",
            metavar="KIND|URL",
        ),
    ] = None,
    aggregation: GoldAggregation = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Fit a correction of a labeler on gold labels: temperature, liking for length, abstention.

    `label: {correction: FILE}` in a run file applies it.
    """
    from publius.audit.correcting import CorrectionRequest, run_correction
    from publius.audit.settings import AuditRequest
    from publius.runs.exporting.together import aggregation_named
    from publius.views.audits.labeler import print_correction

    audit = AuditRequest(
        source=source,
        gold=tuple(gold),
        aggregation=None if aggregation is None else aggregation_named(aggregation),
        rows=rows,
        model=model,
        engine=engine,
        overrides=tuple(overrides or ()),
        compare=False,
    )
    emit(run_correction(CorrectionRequest(audit, to, max_error, confidence)), as_json, print_correction)


def _mode(name: str) -> LabelMode:
    from labelers.config import LabelMode

    modes = get_args(LabelMode)
    if name not in modes:
        raise typer.BadParameter(f"unknown mode {name!r}; accepted: {', '.join(modes)}")
    return cast(LabelMode, name)
