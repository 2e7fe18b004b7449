"""Gates of a run: outcome, exit code, report, and what they do to an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.publius.invoking import here
from tests.publius.projects import RUN, write_project

EVAL = "eval: {models: [base, prompted], kl: false, quality: false}\n"


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled run with two variants to evaluate, and no gates."""
    folder = tmp_path_factory.mktemp("project")
    path = write_project(folder, 20, RUN + EVAL)
    rows = (folder / "prompts.jsonl").read_text().splitlines(keepends=True)
    test = [row.replace('"train"', '"test"') for row in rows[8:]]
    (folder / "prompts.jsonl").write_text("".join([*rows[:8], *test]))
    assert here("run", path).returncode == 0
    assert here("eval", path).returncode == 0
    return path


def folder_of(run_file: Path) -> Path:
    (folder,) = (run_file.parent / "runs").iterdir()
    return folder


def evaluation(run_file: Path) -> dict[str, Any]:
    return json.loads((folder_of(run_file) / "eval" / "metrics.json").read_text())  # type: ignore[no-any-return]


def gated(run_file: Path, limit: str, *more: str) -> tuple[int, str, dict[str, Any]]:
    """Evaluate with one gate on the words of `prompted`; return exit code, errors and the outcome."""
    done = here("eval", run_file, "--set", f"gates.prompted.words={limit}", *more)
    return done.returncode, done.stderr, evaluation(run_file)["gates"][0]


def exported(run_file: Path, to: Path, *more: str) -> tuple[int, str]:
    done = here("export", folder_of(run_file), "--to", to, *more)
    return done.returncode, done.stderr


def words(run_file: Path) -> dict[str, float]:
    (found,) = [m for m in evaluation(run_file)["metrics"] if m["name"] == "prompted.words"]
    return found  # type: ignore[no-any-return]


def test_passing_gate(run_file: Path, tmp_path: Path):
    code, _, gate = gated(run_file, f"<= {words(run_file)['high'] + 1}")
    assert (code, gate["outcome"], gate["blocks"]) == (0, "pass", False)
    assert exported(run_file, tmp_path / "data")[0] == 0
    assert "failed" not in (tmp_path / "data" / "README.md").read_text()


def test_failing_gate_ends_eval_with_1_and_stops_the_export(run_file: Path, tmp_path: Path):
    code, errors, gate = gated(run_file, f"<= {words(run_file)['low'] - 1}")
    assert (code, gate["outcome"]) == (1, "fail")
    assert "error: gate failed: prompted.words\n" in errors
    assert "limit <= " in errors
    report = (folder_of(run_file) / "eval" / "report.md").read_text()
    assert "| **fail** | prompted.words" in report
    code, errors = exported(run_file, tmp_path / "data")
    assert code == 2
    assert "failed 1 gate: prompted.words" in errors
    assert "--force" in errors
    assert not (tmp_path / "data").exists()
    assert exported(run_file, tmp_path / "data", "--force")[0] == 0
    card = (tmp_path / "data" / "README.md").read_text()
    assert "**The run failed a gate**, and was exported with --force" in card
    assert "prompted.words" in card


def test_inconclusive_gate_says_how_many_prompts_lack(run_file: Path, tmp_path: Path):
    found = words(run_file)
    limit = f"<= {(found['value'] + found['high']) / 2}"
    code, errors, gate = gated(run_file, limit)
    assert (code, gate["outcome"]) == (0, "inconclusive")
    assert gate["more_prompts"] == 36  # twelve prompts, half the half-width: four times as many
    assert "36 more prompts would decide" in errors.replace("\n", " ")
    assert exported(run_file, tmp_path / "data")[0] == 0
    code, errors, gate = gated(run_file, limit, "--strict")
    assert (code, gate["outcome"], gate["blocks"]) == (1, "inconclusive", True)
    assert exported(run_file, tmp_path / "more")[0] == 2


def test_gates_are_no_part_of_a_run_s_identity(run_file: Path):
    before = folder_of(run_file).name
    gated(run_file, "<= 1000")
    assert folder_of(run_file).name == before


def test_gate_on_an_unknown_metric_is_an_error_after_the_report_is_written(run_file: Path, tmp_path: Path):
    done = here("eval", run_file, "--set", "gates.prompted.word=<= 9")
    assert done.returncode == 2
    assert "did you mean prompted.words?" in done.stderr.replace("\n", " ")
    assert "without and with the rules" in done.stdout.lower()  # the results come before the error
    assert done.stderr.index("report: ") < done.stderr.index("error: ")
    assert "cannot be checked" not in done.stderr  # its variant is there
    assert evaluation(run_file)["gates"] == []
    assert exported(run_file, tmp_path / "data")[0] == 2  # it was not checked
    assert here("eval", run_file).returncode == 0
    assert exported(run_file, tmp_path / "data")[0] == 0


def test_gate_on_a_variant_that_is_not_trained_is_named_before_the_evaluation(run_file: Path):
    gates = ("gates.sft.words=<= 9", "gates.dpo.words.delta={at_most: 9, against: prompted}")
    done = here("eval", run_file, *(word for gate in gates for word in ("--set", gate)))
    errors = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert errors.index("sft will not be evaluated") < errors.index("report: ") < errors.index("error: ")
    assert "accepted: ," not in errors
    assert here("eval", run_file).returncode == 0


def test_wrong_limit_names_its_place(tmp_path: Path):
    path = write_project(tmp_path, 2, RUN + EVAL + "gates:\n  prompted.words: about nine\n")
    done = here("eval", path)
    assert done.returncode == 2
    assert "run.yaml:10" in done.stderr.replace("\n", "")
    assert "is not a limit" in done.stderr.replace("\n", " ")


def test_gates_of_a_run_file_are_decided_by_run_itself_and_again_by_the_next(run_file: Path):
    gate = ("--set", "gates.prompted.words=<= 0")
    for _ in range(2):  # the second time nothing is computed
        done = here("run", run_file, *gate)
        assert done.returncode == 1, done.stderr
        assert "gate failed: prompted.words" in done.stderr
    named = here("label", run_file, *gate)
    assert named.returncode == 0, named.stderr


def test_a_run_without_training_and_gates_is_not_evaluated(tmp_path: Path):
    run_file = write_project(tmp_path, 4, RUN + EVAL)
    assert here("run", run_file).returncode == 0
    assert not (folder_of(run_file) / "eval").exists()
