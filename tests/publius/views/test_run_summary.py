"""The end of a run: caveats first, prompts by split, and commands that work."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from core.errors import PubliusError
from publius.config.run_file import load_run_config
from publius.config.stand_ins import stand_ins_described
from tests.publius.invoking import here, options
from tests.publius.projects import write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of twelve prompts, of which the shares decide the split."""
    folder = tmp_path_factory.mktemp("summary")
    write_project(folder)
    questions = "".join(json.dumps({"prompt": f"Question {n}: why {n}?"}) + "\n" for n in range(12))
    (folder / "prompts.jsonl").write_text(questions)
    return folder


@pytest.fixture(scope="module")
def done(project: Path) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return here("run", "run.yaml", *options("split.train=0.5", "split.preference=0", "split.test=0.5"))


def test_what_speaks_against_the_numbers_comes_before_them(done: subprocess.CompletedProcess[str]):
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\nStages\n")
    assert rest
    assert "Read this first" in first
    assert f"No model wrote this: {stand_ins_described(('policy', 'critic', 'labeler'))}." in first


def test_prompts_that_are_held_out_are_counted(project: Path, done: subprocess.CompletedProcess[str]):
    (folder,) = (project / "runs").iterdir()
    records = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    test = sum(record["split"] == "test" for record in records)
    assert 0 < test < 12
    said = f"12 used: {12 - test} train, 0 preference, {test} test (only for the evaluation"
    assert said in done.stdout
    assert f"prompts: {said}" in done.stderr


def test_the_commands_at_the_end_work(
    project: Path,
    done: subprocess.CompletedProcess[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(project)
    last = done.stderr.partition("\nNext\n")[2].splitlines()
    commands = [shlex.split(line) for line in last if line.startswith("publius ")]
    assert [command[1] for command in commands] == ["show", "report", "export"]
    for _, *command in commands:
        told = here(*(str(tmp_path / "data") if part == "DIR" else part for part in command))
        assert told.returncode == 0, told.stderr


def test_shares_that_do_not_sum_to_one_name_the_setting_that_makes_them(project: Path):
    with pytest.raises(PubliusError, match=r"must sum to 1; .* --set split.preference=0.55"):
        load_run_config(project / "run.yaml", ["split.test=0"])
    again = load_run_config(project / "run.yaml", ["split.test=0", "split.preference=0.55"])
    assert again.split.test == 0


def test_a_rule_that_no_evaluation_prompt_is_in_the_scope_of_is_named_with_the_reason(tmp_path: Path):
    rules = """\
name: small
principles:
  - {id: short, text: At most twelve words., check: {kind: max_words, value: 12}}
  - {id: brakes-first, text: Stop., applies_to: {pattern: brake}, check: {kind: contains, value: stop}}
"""
    write_project(tmp_path, constitution=rules)
    questions = "".join(
        json.dumps({"prompt": f"Question {n}: why {n}?", "split": "test"}) + "\n" for n in range(8)
    )
    (tmp_path / "prompts.jsonl").write_text(questions)
    vary = ("--vary", "seed=0", "--vary", "eval.sampling.max_new_tokens=30,40")
    done = here("eval", tmp_path / "run.yaml", *options("eval.models=[base]"))
    assert done.returncode == 0, done.stderr
    said = "1 rule not measured, as no prompt is in its scope: brakes-first"
    assert said in done.stdout
    (run,) = (tmp_path / "runs").iterdir()
    line = "Not measured, since no prompt is in its scope (`applies_to`, `except`): `brakes-first`."
    assert line in (run / "eval" / "report.md").read_text()
    assert here("report", run, "--to", tmp_path / "page.html").returncode == 0
    page = (tmp_path / "page.html").read_text()
    assert "no prompt is in its scope (<code>applies_to</code>" in page
    varied = here("eval", tmp_path / "run.yaml", *options("eval.models=[base]"), *vary)
    _, _, below = varied.stdout.partition("Rules by group")
    assert said in below, varied.stdout + varied.stderr
