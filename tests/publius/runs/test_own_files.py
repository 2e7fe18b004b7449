"""`publius init` with a constitution and prompts of one's own: the run file names them where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from publius.config.run_file import load_run_config
from tests.publius.invoking import here

RULES = """\
name: desk
principles:
  - The reply is kind.
  - {id: brief, text: At most 60 words., check: {kind: max_words, value: 60}}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A constitution, and questions as a spreadsheet saves them."""
    rules, questions = tmp_path / "rules.yaml", tmp_path / "our questions.csv"
    rules.write_text(RULES)
    lines = "".join(f"{n};How do I renew book {n}?;{'angry' if n % 2 else 'calm'}\n" for n in range(40))
    questions.write_text(f"No.;Wanted;Mood\n{lines}", encoding="utf-8-sig")
    return rules, questions


def test_a_project_of_own_files_runs(files: tuple[Path, Path], tmp_path: Path):
    rules, questions = files
    desk = tmp_path / "desk"
    mapped = ("--columns", "prompt=Wanted,tags=Mood")
    done = here("init", desk, "--constitution", rules, "--prompts", questions, *mapped)
    assert done.returncode == 0, done.stderr
    assert f"publius try {rules}" in done.stdout
    assert "40 prompts of 40 rows" in done.stderr
    assert "our questions.csv: columns carried to the export: No." in done.stderr
    assert "under prompts in run.yaml, keep: [No.] carries only what it names" in done.stderr
    assert not (desk / "constitution.yaml").exists()
    assert not (desk / "prompts.jsonl").exists()
    config = load_run_config(desk / "run.yaml")
    assert (config.constitution, config.prompts.path) == (str(rules), questions)
    assert config.prompts.columns == {"prompt": "Wanted", "tags": "Mood"}
    ran = here("run", desk / "run.yaml", "--set", "engine.kind=scripted", "--set", "train=[]")
    assert ran.returncode == 0, ran.stderr
    assert rules.read_text() == RULES


def test_prompts_that_cannot_be_read_are_an_error_before_anything_is_written(
    files: tuple[Path, Path], tmp_path: Path
):
    done = here("init", tmp_path / "desk", "--prompts", files[1])
    assert done.returncode == 2
    assert "Wanted" in done.stderr
    assert not (tmp_path / "desk").exists()


def test_one_file_of_ones_own_beside_a_preset(files: tuple[Path, Path], tmp_path: Path):
    assert here("init", tmp_path / "desk", "--constitution", files[0]).returncode == 0
    assert (tmp_path / "desk" / "prompts.jsonl").exists()
    assert load_run_config(tmp_path / "desk" / "run.yaml").constitution == str(files[0])


def test_runs_are_named_after_the_folder_with_a_preset_too(tmp_path: Path):
    assert here("init", tmp_path / "tutor", "--preset", "plain-and-brief").returncode == 0
    assert load_run_config(tmp_path / "tutor" / "run.yaml").name == "tutor"
