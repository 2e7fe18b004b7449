from __future__ import annotations

import copy
import pickle

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
    type_and_first_line,
)

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
