"""The demo in a small form: every command of it, and what the benchmark says about them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "demo.py"))
SMALL = (
    "prompts.limit=6",
    "sft.epochs=1",
    "dpo.epochs=1",
    "eval.prompts=3",
    "eval.texts=2",
    "eval.sampling.max_new_tokens=24",
)


@pytest.mark.slow
@pytest.mark.long  # four commands, each a process that imports and loads
def test_the_demo_ends_in_a_report_whose_path_is_printed_and_its_steps_are_measured(
    tmp_path: Path, embedded_files: object, capsys: pytest.CaptureFixture[str]
):
    folder, watch = tmp_path / "demo", SCRIPT["Watch"]()
    codes: dict[str, int] = {}
    SCRIPT["run_demo"](folder, "plain-and-brief", SMALL, watch, codes)
    shown = capsys.readouterr().out
    assert list(codes) == ["init", "try", "run", "report"]
    assert (folder / "report.html").is_file()
    assert str(folder / "report.html") in shown
    assert "Overall: " in shown  # what `try` found
    found = SCRIPT["summary"](folder, watch)
    assert list(found["stages"])[-1] == "eval"
    assert {"critique", "compare", "label", "sft", "dpo"} < set(found["stages"])
    assert all(found["stages"][stage]["completion_tokens"] > 0 for stage in ("critique", "eval"))
    assert {"try", "run: critique", "run: eval kl"} < set(found["steps"])
    assert 0 < found["first_result_s"] < found["seconds"]
    assert 0 < found["peak_pss_gb"] <= found["peak_rss_gb"] * 1.5
