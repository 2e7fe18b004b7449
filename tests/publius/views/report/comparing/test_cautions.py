"""What a comparison of runs says before its numbers: made-up texts, few prompts, runs of different kinds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from publius.views.report.writing import ReportRequest, write_report
from publius.views.varied import ComparedRuns, VariedOutcome
from tests.publius.invoking import here
from tests.publius.views.report.projects import page_of

MADE_UP = "No model wrote this: the texts of policy, critic, labeler are from the scripted engine"
FEW = (
    "16 held-out prompts: intervals are wide, and a small effect cannot be seen "
    "(gates say how many more prompts would decide: docs/proof.md)"
)


def prose(folders: list[Path], to: Path) -> str:
    return " ".join(" ".join(page_of(folders, to).prose).split())


@pytest.mark.usefixtures("no_plots")
def test_made_up_texts_and_few_prompts_are_said_on_top_and_beside_the_measures(
    wordings: list[Path], tmp_path: Path
):
    text = prose([wordings[0], wordings[2]], tmp_path / "report.html")
    top, moved = text.index("2 settings, 2 runs"), text.index("Each value is the mean over a group")
    for said in (MADE_UP, FEW.removeprefix("16 ")):
        assert text.index(said) < top < text.index(said, top) < moved
    assert "do not compare" not in text


@pytest.mark.usefixtures("no_plots")
def test_runs_with_and_without_a_model_are_said_first_not_to_belong_together(
    wordings: list[Path], tmp_path: Path
):
    real = tmp_path / "real"
    shutil.copytree(wordings[2], real)
    resolved = real / "resolved.yaml"
    resolved.write_text(resolved.read_text().replace("kind: scripted", "kind: transformers"))
    told = here("report", wordings[0], real, "--to", tmp_path / "report.html")
    lines = " ".join(told.stdout.split()).split("! ")
    assert "B is of some-model: do not compare them" in lines[1]
    assert MADE_UP in lines[2]
    listed = json.loads(here("report", wordings[0], real, "--to", tmp_path / "report.html", "--json").stdout)
    first = listed["alarms"][0]
    assert first["text"] == "A is made up (scripted engine); B is of some-model: do not compare them"
    assert [alarm["text"] for alarm in listed["alarms"]].count(listed["alarms"][1]["text"]) == 1


@pytest.mark.usefixtures("no_plots")
def test_the_terminal_of_varied_runs_says_the_same(wordings: list[Path], tmp_path: Path):
    written = write_report(ReportRequest((wordings[0], wordings[2]), tmp_path / "report.html"))
    caveats = ComparedRuns(VariedOutcome(()), (), written.file, contents=written.contents).caveats
    assert caveats[0].startswith(MADE_UP)
    assert FEW in caveats  # after what is serious


@pytest.mark.usefixtures("no_plots")
def test_numbers_of_several_runs_are_printed_without_a_page_that_nobody_asked_for(
    wordings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    told = here("report", wordings[0], wordings[2], "--json")
    assert json.loads(told.stdout)["file"] is None
    assert "no page is written" in told.stderr
    assert not list(tmp_path.iterdir())
