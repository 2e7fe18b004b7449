"""The command-line interface. Errors that a user can fix are printed on one line each; the exit code is 2."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from core.code import ALLOW_OPTION, allow_code
from core.errors import PubliusError
from core.progress import show_progress
from publius.commands.constitution import constitution_app, try_
from publius.commands.diff import diff
from publius.commands.exports import export
from publius.commands.imports import import_app
from publius.commands.labels import annotate, labels_app
from publius.commands.models import chat, eval_reward
from publius.commands.runs import compare, critique, eval_, label, run, show
from publius.commands.setup import doctor, init, models_app
from publius.commands.train import train_app
from publius.console import attach_notices, be_silent, err, fail

app = typer.Typer(
    name="publius",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    if os.environ.get("RANK", "0") != "0":  # `accelerate launch` started several; rank 0 prints for all
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
    if code == _INTERRUPTED:  # typer may return it instead of raising
        err.print("interrupted; completed work is saved. Run the same command to resume")
    sys.exit(code or 0)


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
    code: Annotated[
        bool,
        typer.Option(
            ALLOW_OPTION, help="Allow the Python checks of a constitution to run the functions they name."
        ),
    ] = False,
) -> None:
    """Steer a language model by editing a constitution."""
    if code:
        allow_code()


# `publius --help` lists them in this order: commands first, then groups.
app.command()(init)
app.command()(doctor)
app.command("try")(try_)
app.command()(run)
app.command()(critique)
app.command()(compare)
app.command()(label)
app.command("eval-reward")(eval_reward)
app.command("eval")(eval_)
app.command()(show)
app.command()(chat)
app.command()(export)
app.command()(diff)
app.command()(annotate)
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")
app.add_typer(import_app, name="import")
app.add_typer(constitution_app)
app.add_typer(labels_app)
