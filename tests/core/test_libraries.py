"""Errors of the libraries that load and write models become one line of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import EngineError, RunStateError
from core.libraries import load_errors, quiet_datasets, quiet_transformers, write_errors

safetensors = pytest.importorskip("safetensors")
FOLDER = Path("models/tiny")


@pytest.mark.parametrize("kind", [OSError, ValueError, RuntimeError, KeyError])
def test_failure_to_load_is_one_line_with_type_and_reason(kind: type[Exception]):
    with pytest.raises(EngineError) as caught, load_errors("adapter", FOLDER, "another"):
        raise kind("\nno weights\nat all")
    (problem,) = caught.value.problems
    assert problem.what.startswith(f"the adapter cannot be loaded ({kind.__name__}: ")
    assert "no weights" in problem.what
    assert (problem.where, problem.accepted) == (str(FOLDER), "another")
    assert "\n" not in str(caught.value) or kind is KeyError


def test_failure_of_safetensors_is_caught_too():
    with pytest.raises(EngineError, match="SafetensorError: header"), load_errors("model", FOLDER):
        raise safetensors.SafetensorError("header")
    with pytest.raises(RunStateError, match="header"), write_errors("model", FOLDER, FOLDER):
        raise safetensors.SafetensorError("header")


def test_other_errors_are_mistakes_of_ours_and_stay():
    with pytest.raises(TypeError), load_errors("model", FOLDER):
        raise TypeError("ours")


def test_failure_to_write_says_what_is_left_and_where_to_look():
    with (
        pytest.raises(RunStateError) as caught,
        write_errors("checkpoint", FOLDER, FOLDER.parent, after="; the old one stands"),
    ):
        raise RuntimeError("disk\nfull")
    (problem,) = caught.value.problems
    assert problem.what == "the checkpoint cannot be written (disk); the old one stands"
    assert problem.run == "df -h models"


def test_failure_while_nothing_is_written_stays():
    block = write_errors("checkpoint", FOLDER, FOLDER, is_writing=lambda: False)
    with pytest.raises(RuntimeError, match="a loss") as caught, block:
        raise RuntimeError("a loss")
    assert not isinstance(caught.value, RunStateError)


def test_error_of_ours_is_not_wrapped():
    ours = RunStateError("the disk is full")
    with pytest.raises(RunStateError) as caught, write_errors("model", FOLDER, FOLDER):
        raise ours
    assert caught.value is ours


def test_value_error_is_a_failure_to_write_only_where_asked_for():
    with pytest.raises(ValueError, match="odd") as caught, write_errors("model", FOLDER, FOLDER):
        raise ValueError("odd")
    assert not isinstance(caught.value, RunStateError)
    with pytest.raises(RunStateError, match="odd"), write_errors("model", FOLDER, FOLDER, also=(ValueError,)):
        raise ValueError("odd")


def test_libraries_are_as_loud_after_the_block_as_before():
    logging = pytest.importorskip("transformers").utils.logging
    datasets = pytest.importorskip("datasets")
    before = (logging.get_verbosity(), datasets.logging.get_verbosity())
    with quiet_transformers("transformers"), quiet_datasets("train"):
        assert logging.get_verbosity() == logging.ERROR
        assert datasets.logging.get_verbosity() == datasets.logging.CRITICAL
    assert (logging.get_verbosity(), datasets.logging.get_verbosity()) == before
