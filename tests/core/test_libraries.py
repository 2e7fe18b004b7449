"""Errors of the libraries that load and write models become one line of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import EngineError, RunStateError
from core.libraries import (
    load_errors,
    memory_errors,
    quiet_datasets,
    quiet_transformers,
    write_errors,
)

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


CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
)
GPU = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB of which 3.00 "
    "MiB is free.\nIncluding non-PyTorch memory, this process has 79.09 GiB memory in use."
)


def test_no_memory_on_a_cpu_is_one_line_with_the_size_and_the_settings():
    with pytest.raises(EngineError) as caught, memory_errors("training", FOLDER, "a smaller batch"):
        raise RuntimeError(CPU)
    expected = (
        "models/tiny: out of memory in training (tried to allocate 8.00 GiB); accepted: a smaller batch"
    )
    assert str(caught.value) == expected


def test_torch_itself_raises_what_is_recognised_as_no_memory():
    torch = pytest.importorskip("torch")
    with pytest.raises(EngineError, match="tried to allocate 37252902"), memory_errors("", FOLDER, ""):
        torch.empty(10**16)


def test_no_memory_on_a_gpu_is_one_line_with_the_peak(monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: int(78.5 * 2**30))
    with pytest.raises(EngineError) as caught, memory_errors("training", FOLDER, "a smaller batch"):
        raise torch.OutOfMemoryError(GPU)
    assert caught.value.problems[0].what == (
        "out of memory in training (tried to allocate 20.00 MiB; peak 78.50 GiB)"
    )


def test_other_failures_pass_where_memory_is_watched():
    for error in (RuntimeError("out of order"), EngineError(GPU), ValueError(CPU)):
        with pytest.raises(type(error)) as caught, memory_errors("training", FOLDER, "a smaller batch"):
            raise error
        assert caught.value is error


def test_no_memory_to_load_a_model_names_a_smaller_one():
    with pytest.raises(EngineError) as caught, load_errors("model", FOLDER, "another folder"):
        raise RuntimeError(CPU)
    (problem,) = caught.value.problems
    assert problem.what == "out of memory in loading the model (tried to allocate 8.00 GiB)"
    assert problem.accepted is not None
    assert problem.accepted.startswith("a smaller model, narrower weights (dtype: bfloat16)")
