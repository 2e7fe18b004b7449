"""Gates of a run folder: what a failed one prevents, and what a card says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import RunStateError
from core.records import Metric
from evaluation.gates.config import Gate
from evaluation.gates.decide import decide_gates
from evaluation.gates.recorded import require_gates
from publius.models.card import gates_section

METRIC = Metric(name="sft.words", value=9, low=8, high=10, n=12, unit="words")


def run(folder: Path, gate: Gate, **further: object) -> Path:
    (folder / "eval").mkdir()
    results = decide_gates({"sft.words": gate}, [METRIC])
    content = {"gates": [result.as_json() for result in results], **further}
    (folder / "eval" / "metrics.json").write_text(json.dumps(content))
    return folder


def test_failed_gate_stops_the_export_of_the_run_and_of_its_trainings(tmp_path: Path):
    folder = run(tmp_path, Gate(at_most=7))
    (folder / "sft").mkdir()
    for place in (folder, folder / "sft"):
        with pytest.raises(RunStateError, match=r"failed 1 gate: sft\.words 9 \[8, 10\], limit <= 7"):
            require_gates(place, force=False)
        assert require_gates(place, force=True) == ("sft.words 9 [8, 10], limit <= 7",)


@pytest.mark.parametrize("gate", [Gate(at_most=11), Gate(at_most=9.5), Gate(at_most=7, level="warn")])
def test_other_outcomes_stop_nothing(tmp_path: Path, gate: Gate):
    assert require_gates(run(tmp_path, gate), force=False) == ()


def test_run_without_gates_or_evaluation_is_exported(tmp_path: Path):
    assert require_gates(tmp_path, force=False) == ()
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.json").write_text('{"metrics": []}')  # of an older version
    assert require_gates(tmp_path, force=False) == ()


def test_gates_that_could_not_be_checked_stop_the_export(tmp_path: Path):
    folder = run(
        tmp_path, Gate(at_most=11), gates_not_checked=["gates.sft.word: the evaluation has no metric"]
    )
    with pytest.raises(RunStateError, match="no metric"):
        require_gates(folder, force=False)


def test_card_names_the_failed_gates_and_renders_no_markdown_of_them():
    assert gates_section(()) == ""
    text = gates_section(["sft.compliance.a*b* 10 %, limit >= 50 %"])
    assert text.startswith("**The run failed a gate**")
    assert "a*b*" not in text
