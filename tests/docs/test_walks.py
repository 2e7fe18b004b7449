"""Whoever follows the tutorial or a guide to the letter gets to its end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engines.loading import ModelFiles
from publius.config.run_file import load_run_config
from tests.docs.blocks import blocks_of
from tests.docs.walks import Done, walk
from tests.publius.test_cli import REPOSITORY

DOCS = REPOSITORY / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failed(steps: list[Done]) -> list[Done]:
    return [step for step in steps if step.code not in (0, 1)]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda page: page.stem)
def test_the_run_files_of_a_guide_are_valid(guide: Path, folder: Path):
    for block in blocks_of(guide):
        if block.name in ("rules.yaml", "run.yaml"):
            (folder / block.name).write_text(block.text, encoding="utf-8")
        if block.name == "run.yaml":
            trains = bool(load_run_config(folder / "run.yaml").train)
            assert trains is (guide.stem != "rules-without-training")


@pytest.mark.long
@pytest.mark.parametrize("name", ["data-set", "rules-without-training", "without-annotators"])
def test_a_guide_is_followed_with_made_up_texts(name: str, embedded_files: ModelFiles, folder: Path):
    steps = list(walk(DOCS / "guides" / f"{name}.md"))
    assert failed(steps) == []
    assert any((folder / place).exists() for place in ("data/README.md", "runs"))


@pytest.mark.long
def test_the_guide_to_steering_begins_with_a_question_answered(embedded_files: ModelFiles, folder: Path):
    steps = list(walk(DOCS / "guides" / "steer.md"))
    assert failed(steps) == []
    assert "Checks of the draft" in steps[-1].printed


def made_smaller(command: str) -> None:
    """Change the run file that `init` wrote, so that a run takes a minute: few prompts, short answers."""
    run_file = Path("tutor/run.yaml")
    if not run_file.exists():
        return
    text = run_file.read_text(encoding="utf-8")
    smaller = {"limit": 3, "rounds": 1, "max_new_tokens": 32, "epochs": 1, "prompts": 2, "texts": 2}
    for key, value in smaller.items():
        text = re.sub(rf"\b{key}: \d+", f"{key}: {value}", text)
    run_file.write_text(text, encoding="utf-8")
    prompts = Path("tutor/prompts.jsonl")
    rows = prompts.read_text(encoding="utf-8").splitlines(keepends=True)
    held_out = [row for row in rows if json.loads(row)["split"] == "test"]
    prompts.write_text("".join(row for row in rows if row not in held_out[2:]), encoding="utf-8")


@pytest.mark.long
def test_the_tutorial_ends_with_both_runs_on_one_page(embedded_files: ModelFiles, folder: Path):
    steps = list(walk(DOCS / "tutorial.md", made_smaller))
    assert failed(steps) == []
    runs = sorted((folder / "tutor" / "runs").iterdir())
    assert [run.name.rpartition("-")[0] for run in runs] == ["tutor", "without"]
    # So few answers may all be cut off, so that there is nothing to learn; they are evaluated all the same.
    reports = [(run / "eval" / "report.md").read_text(encoding="utf-8") for run in runs]
    assert ["at-most-60-words" in report for report in reports] == [True, False]
    assert (folder / "tutor" / "report.html").is_file()
