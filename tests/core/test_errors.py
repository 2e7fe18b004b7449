from __future__ import annotations

import ast
import copy
import pickle
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import (
    ConfigError,
    DataError,
    EngineError,
    MissingExtraError,
    Problem,
    PubliusError,
    RunStateError,
    first_line,
    on_one_line,
    shell_command,
    type_and_first_line,
)
from core.store.files import os_errors

FAMILY = [
    (ConfigError, ValueError),
    (DataError, ValueError),
    (EngineError, RuntimeError),
    (MissingExtraError, ImportError),
    (RunStateError, RuntimeError),
]
TWO_PROBLEMS = (
    Problem("unknown field 'wieght'", "c.yaml:3:5", "weight", "publius schema"),
    Problem("no principles", "c.yaml"),
)


def test_line_says_where_what_accepted_and_run():
    error = ConfigError("found 'x'", where="c.yaml:1:1", accepted="a or b", run="publius check c.yaml")
    assert str(error) == "c.yaml:1:1: found 'x'; accepted: a or b; run: publius check c.yaml"
    assert str(ConfigError("found 'x'")) == "found 'x'"


def test_several_problems_give_a_line_each():
    lines = str(ConfigError.of(TWO_PROBLEMS)).split("\n")
    assert lines == [
        "c.yaml:3:5: unknown field 'wieght'; accepted: weight; run: publius schema",
        "c.yaml: no principles",
    ]


@pytest.mark.parametrize(("kind", "builtin"), FAMILY)
def test_each_kind_is_also_the_builtin_one(kind: type[PubliusError], builtin: type[Exception]):
    assert issubclass(kind, PubliusError)
    assert issubclass(kind, builtin)


@pytest.mark.parametrize(("kind", "builtin"), FAMILY)
@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_errors_cross_process_borders_whole(kind: type[PubliusError], builtin: type[Exception], through):
    error = through(kind.of(TWO_PROBLEMS))
    assert type(error) is kind
    assert error.problems == TWO_PROBLEMS
    assert str(error) == str(kind.of(TWO_PROBLEMS))


@pytest.mark.parametrize(
    ("message", "first", "typed", "whole"),
    [
        ("one", "one", "OSError: one", "one"),
        ("\n one  two \r\nthree", "one  two ", "OSError: one  two ", "one two three"),
        ("", "OSError", "OSError", ""),
    ],
)
def test_exceptions_of_others_become_one_line(message: str, first: str, typed: str, whole: str):
    error = OSError(message)
    assert (first_line(error), type_and_first_line(error), on_one_line(error)) == (first, typed, whole)


@pytest.mark.parametrize(
    "name",
    ["plain", "a b; echo PWN", "$(echo PWN)", "it's", "`x`", "two\nlines", "tab\tand\\", "\x9b2J\u202e", "é"],
)
def test_advice_is_one_line_that_a_shell_reads_as_the_same_words(name: str):
    command = shell_command("printf", "%s", name)
    assert command.isprintable()
    ran = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert ran.stdout.decode() == name


def formatted_advice(path: Path) -> Iterator[str]:
    """Yield each value that a module formats into the `run` of an error or finding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "run":
            for part in ast.walk(node.value):
                if isinstance(part, ast.FormattedValue):
                    yield ast.unparse(part.value)


def test_no_advice_puts_a_value_into_a_command_unquoted():
    repository = Path(__file__).parents[2]
    rooms = ("core", "constitution", "prompts", "engines", "labelers", "critique", "training", "publius")
    quoted = re.compile(r"shell_command\(|install_command\(|COMMANDS\[|number$|port$")  # or a number
    unquoted = [
        f"{path.relative_to(repository)}: {value}"
        for room in rooms
        for path in (repository / room).rglob("*.py")
        for value in formatted_advice(path)
        if not quoted.match(value)
    ]
    assert unquoted == []


def test_the_advice_of_a_project_whose_folder_is_a_command_harms_nobody(tmp_path):
    folder = tmp_path / "a b; echo PWN"
    error = os_errors(folder / "x")
    with pytest.raises(RunStateError) as caught, error:
        (folder / "x").read_bytes()
    advice = caught.value.problems[0].run or ""
    assert shlex.split(advice) == ["ls", "-ld", str(folder)]
