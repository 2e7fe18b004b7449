"""The command-line interface. Errors that a user can fix are printed on one line each; the exit code is 2."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from core.code import ALLOW_OPTION, allow_code
from core.errors import SAME_COMMAND, Problem, PubliusError, shell_command
from core.notices import warn
from core.progress import show_progress
from core.terminal.interrupts import caught, end_interrupted, interruption_message, say_nothing
from core.terminal.streams import lost, make_steady
from publius.commands.audits.tenets import audit_model_, audit_scenarios
from publius.commands.constitution import constitution_app, try_
from publius.commands.diff import diff
from publius.commands.exports import export, push_, report_
from publius.commands.imports import import_app
from publius.commands.labels import annotate, labels_app
from publius.commands.models import audit_app, benchmark, chat, eval_reward
from publius.commands.projects import cache_app, runs_app
from publius.commands.runs import compare, critique, eval_, label, run, sample_, show
from publius.commands.serving import serve_, studio_
from publius.commands.settings_help import SettingsCommand
from publius.commands.setup import doctor, init, models_app
from publius.commands.steering import steer_
from publius.commands.train import train_app
from publius.commands.tree.groups import CommandTree
from publius.commands.tree.one_run import several_runs
from publius.console import attach_notices, be_silent, err, fail
from training.launch.worker import end_with_launcher, is_supervised, report_failure

app = typer.Typer(
    name="publius",
    cls=CommandTree,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
)
_NAME, _USAGE = "publius", "Usage: "
_TYPER_INTERRUPTED = 130
_ONLY_PRINT = frozenset(
    {
        *("agreement", "benchmark", "check", "diff", "doctor", "eval-reward"),
        *("runs", "schema", "select", "show", "test", "try"),
    }
)
"""Commands whose result is what they print; the others leave files behind."""


def main() -> None:
    """Run the command line and exit with its code."""
    make_steady()
    # peft imports it, and it warns of faster 4-bit kernels whether or not weights have 4 bits.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with caught():
        code = _run_command(sys.argv[1:])
        if code == _TYPER_INTERRUPTED:
            if not is_supervised():
                err.print(interruption_message())
            say_nothing()
            code = end_interrupted()
    sys.exit(code)


def _run_command(arguments: list[str]) -> int:
    """Run a command and return its exit code, with every error that a user can fix printed on a line."""
    if is_supervised():  # by `--launch`
        end_with_launcher()
        say_nothing()
    if os.environ.get("RANK", "0") != "0":  # `accelerate launch` started several; rank 0 prints for all
        be_silent()
        say_nothing()
    else:
        attach_notices()
        show_progress()
    try:
        # Typer may return the code of an interruption instead of raising.
        given = _with_root_option_first(_with_help_as_option(arguments))
        if problem := several_runs(arguments):
            _fail([str(problem)])
            return 2
        return _checked(app(args=given, prog_name=_NAME, standalone_mode=False) or 0, arguments)
    except PubliusError as error:
        _fail(str(_with_own_command(problem, arguments)) for problem in error.problems)
        return 2
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith(_USAGE):  # a group without a command: its help, which is no error
            err.print(message)
        else:
            _fail([message])
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return _TYPER_INTERRUPTED


def _fail(lines: Iterable[str]) -> None:
    """Print errors, or leave them to the launcher of this process."""
    if is_supervised():
        report_failure(lines)
    else:
        fail(lines)


def _with_own_command(problem: Problem, arguments: list[str]) -> Problem:
    """Return a problem whose advice names this command, or its run file and its `--set`, not RUN.yaml."""
    if problem.run is not None and problem.run.startswith(SAME_COMMAND):
        command = shell_command(_NAME, *arguments)
        return replace(problem, run=command + problem.run.removeprefix(SAME_COMMAND))
    pairs = list(pairwise(["", *arguments]))
    files = [
        given
        for before, given in pairs
        if given.endswith((".yaml", ".yml")) and not before.startswith("--") and not _has_principles(given)
    ]
    if problem.run is None or len(files) != 1:
        return problem
    values = [given for before, given in pairs if before == "--set"]
    values += [given.removeprefix("--set=") for given in arguments if given.startswith("--set=")]
    own = shell_command(files[0], *(part for value in values for part in ("--set", value)))
    return replace(problem, run=problem.run.replace("RUN.yaml", own))


def _has_principles(path: str) -> bool:
    """Return True if a file is a constitution, by its list of principles, and so no run file."""
    try:
        if not Path(path).is_file():  # a named pipe would be waited for
            return False
        return any(line.startswith("principles:") for line in Path(path).read_text("utf-8").splitlines())
    except (OSError, ValueError):
        return False


def _checked(code: int, arguments: list[str]) -> int:
    """Return the exit code of a command that ended, after a look at whether its output was written."""
    sys.stdout.flush()
    failure = lost()
    if failure is None or code != 0:
        return code
    what = f"standard output: cannot be written ({failure.strerror})"
    if _ONLY_PRINT.intersection(arguments[:2]):
        fail([f"{what}; accepted: a disk with free space"])
        return 2
    warn(f"{what}; the files that the command wrote are complete")
    return 0


def _with_help_as_option(arguments: list[str]) -> list[str]:
    """Return the arguments with `help COMMAND` as `COMMAND --help`."""
    return [*arguments[1:], "--help"] if arguments[:1] == ["help"] else arguments


def _with_root_option_first(arguments: list[str]) -> list[str]:
    """Return the arguments with `--allow-code` moved to the front from anywhere before a `--`.

    Typer accepts an option of the root only before the name of the command.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if ALLOW_OPTION not in arguments[:end]:
        return arguments
    return [ALLOW_OPTION, *(a for a in arguments[:end] if a != ALLOW_OPTION), *arguments[end:]]


@app.callback()
def root(
    ctx: typer.Context,
    code: Annotated[
        bool,
        typer.Option(
            ALLOW_OPTION, help="Allow the Python checks of a constitution to run the functions they name."
        ),
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version, and exit.")] = False,
) -> None:
    """Steer a language model by editing a constitution: a YAML file of rules in plain words.

    Without a command, the first steps are shown; `publius COMMAND -h` shows the options of a command.
    """
    from publius.views.setup import print_first_steps, print_version

    if code:
        allow_code()
    if version:
        print_version()
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print_first_steps()


# publius/commands/tree/groups.py has the order of `publius --help`.
app.command()(init)
app.command()(doctor)
app.command("try")(try_)
app.command("steer")(steer_)
app.command(cls=SettingsCommand)(run)
app.command(cls=SettingsCommand, hidden=True)(critique)
app.command("sample", cls=SettingsCommand, hidden=True)(sample_)
app.command(cls=SettingsCommand, hidden=True)(compare)
app.command(cls=SettingsCommand)(label)
app.command("eval-reward")(eval_reward)
app.command()(benchmark)
app.command("eval", cls=SettingsCommand)(eval_)
app.command("report")(report_)
app.command()(show)
app.command()(chat)
app.command("serve")(serve_)
app.command("studio")(studio_)
app.command()(export)
app.command("push")(push_)
app.command()(diff)
app.command()(annotate)
audit_app.command("model")(audit_model_)
audit_app.command("scenarios")(audit_scenarios)
app.add_typer(audit_app, name="audit")
app.add_typer(cache_app, name="cache")
app.add_typer(models_app, name="models")
app.add_typer(runs_app, name="runs")
app.add_typer(train_app, name="train")
app.add_typer(import_app, name="import")
app.add_typer(constitution_app)
app.add_typer(labels_app)
