"""`publius audit correction`, and runs whose labels it corrects."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from core.digests import derive_uniform
from core.errors import ConfigError, DataError
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from labelers.correction.correction import CorrectionThreshold, read_correction
from labelers.selection import Selection
from publius.audit.correcting import CorrectionRequest, CorrectionResult, run_correction
from publius.audit.settings import AuditRequest
from publius.labels.selecting import select_questions
from publius.runs.dataset import export_run
from publius.stages.runner import RunRequest, execute
from publius.views.audits.labeler import correction_lines
from tests.publius.audit.test_labeler import CONSTITUTION, Maker, judge, log, texts
from tests.publius.invoking import here
from tests.publius.projects import record_lines, write_project


def gold_file(folder: Path, flipped: int) -> Path:
    """Write 100 gold labels about answers of the same length, of which some prefer the poor answer."""
    path = folder / "gold.jsonl"
    pairs = [(f"good answer {n}", f"poor answer {n}")[:: -1 if n < flipped else 1] for n in range(100)]
    rows = [{"prompt": f"Question {n}?", "chosen": a, "rejected": b} for n, (a, b) in enumerate(pairs)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def corrected(
    folder: Path, make: Maker, flipped: int, source: str | None = None, **request: Any
) -> CorrectionResult:
    """Fit a correction on 100 gold labels, of which the labeler is wrong about `flipped`."""
    (folder / "c.yaml").write_text(CONSTITUTION)
    audit = AuditRequest(
        source=source or str(folder / "c.yaml"),
        model=None if source else "scripted",
        gold=[str(gold_file(folder, flipped))],
        compare=False,
    )
    return run_correction(CorrectionRequest(audit, folder / "correction.json", **request), make)


def test_correction_is_fitted_on_gold_labels_and_written(tmp_path: Path):
    result = corrected(tmp_path, judge(4.0), flipped=20)
    found = result.correction
    # The labeler prefers `good` by 4 nats, and is right in 80 %: ln 4 = 1.39 nats, less the prior.
    assert found.scale * 4 == pytest.approx(1.39, abs=0.1)
    assert found.before.accuracy == found.after.accuracy == pytest.approx(0.8)
    assert found.after.nll < 0.55 < found.before.nll
    assert list(found.sources) == ["gold.jsonl"]
    assert read_correction(result.path) == found
    assert sum(result.outcomes.values()) == 100


def test_lines_name_what_it_does_and_gains(tmp_path: Path):
    lines = correction_lines(corrected(tmp_path, judge(4.0), flipped=20, max_error=0.4).correction)
    assert lines[0].endswith("(choice): fitted on 100 judgments of 100 comparisons, 100 prompts")
    assert any("before: accuracy 80.0%, log-loss" in line for line in lines)
    assert "at most 40% with 95% confidence" in lines[-1]


def test_labeler_without_information_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no information beyond noise"):
        corrected(tmp_path, judge(1.0), flipped=50)


def test_command_refuses_a_labeler_that_draws_its_answers(tmp_path: Path):
    gold = gold_file(tmp_path, 20)
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    command = ["audit", "correction", str(tmp_path / "c.yaml"), "--model", "scripted", "--gold", str(gold)]
    done = here(*command, "--to", str(tmp_path / "f.json"))
    assert done.returncode == 2
    assert "no information beyond noise" in done.stderr
    assert not (tmp_path / "f.json").exists()


def uneven(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
    """Return an engine that prefers `good` by 4 nats and other answers by up to 3 nats."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        one, two = texts(request)[-2:]
        sign = ("good" in one) - ("good" in two)
        return log(4.0 * sign if sign else 6 * (derive_uniform(one) - derive_uniform(two)) / 2)

    return ScriptedEngine(chooser=choose, model=model.id)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path / "project", prompts=12)
    return tmp_path / "project"


def run(project: Path, *overrides: str) -> Path:
    request = RunRequest(project / "run.yaml", overrides=overrides)
    return execute(request, uneven).folder


def with_threshold(path: Path, log_odds: float) -> Path:
    """Let the labeler of a correction abstain below some log-odds."""
    threshold = CorrectionThreshold(
        log_odds=log_odds, max_error=0.2, confidence=0.95, abstained=0.3, error=0.1
    )
    written = path.with_name("abstaining.json")
    written.write_text(read_correction(path).model_copy(update={"threshold": threshold}).to_line())
    return written


def test_run_aggregates_corrected_labels_and_keeps_the_raw_ones(
    project: Path, caplog: pytest.LogCaptureFixture
):
    plain = record_lines(run(project))
    result = corrected(project, uneven, 20, str(project / "run.yaml"))
    caplog.set_level(logging.INFO)
    folder = run(project, f"label.correction={result.path}")
    found = record_lines(folder)
    assert sorted(found["judgments.jsonl"]) == sorted(plain["judgments.jsonl"])
    before, after = (
        {row["comparison_id"]: row for row in map(json.loads, lines["preferences.jsonl"])}
        for lines in (plain, found)
    )
    assert before.keys() == after.keys()
    # 4 nats are worth 1.39: opinions are nearer to one half. Without a length term, none is turned.
    assert result.correction.length == 0
    for name, row in before.items():
        for principle in row["by_principle"].keys() - {"short"}:
            old, new = (abs(one["by_principle"][principle] - 0.5) for one in (row, after[name]))
            assert new < old
    counts = json.loads((folder / "manifest.json").read_text())["stages"]["aggregate"]["correction"]
    ai = sum(json.loads(line)["labeler"] == "ai" for line in plain["judgments.jsonl"])
    assert counts == {"corrected": ai, "turned": 0, "abstained": 0}
    export_run(folder, project / "data")
    card = (project / "data" / "README.md").read_text()
    assert f"corrected on gold labels: {ai} judgments, 0 of them turned" in card
    assert any("labels corrected on 200 gold judgments" in record.getMessage() for record in caplog.records)


def test_run_has_its_own_copy_and_is_another_run_with_another_correction(project: Path):
    path = corrected(project, uneven, 20, str(project / "run.yaml")).path
    folder = run(project, f"label.correction={path}")
    assert read_correction(folder / "correction.json") == read_correction(path)
    moved = path.rename(path.with_name("moved.json"))
    assert run(project, f"label.correction={moved}") == folder
    assert run(project, f"label.correction={with_threshold(moved, 0.1)}") != folder
    assert run(project) != folder


def test_comparisons_that_the_labeler_abstains_on_are_excluded_and_selected_first(project: Path):
    path = corrected(project, uneven, 20, str(project / "run.yaml")).path
    constitution = project / "constitution.yaml"
    constitution.write_text(constitution.read_text().replace("  - {id: short", "  # - {id: short"))
    folder = run(project, f"label.correction={with_threshold(path, 0.3)}")
    records = record_lines(folder)
    reasons = [json.loads(line) for line in records["exclusions.jsonl"]]
    abstained = {row["record_id"] for row in reasons if "abstains" in row["reason"]}
    assert abstained
    assert len(abstained) < len(records["comparisons.jsonl"])
    preferred = {json.loads(line)["comparison_id"] for line in records["preferences.jsonl"]}
    assert not abstained & preferred
    selected = select_questions(folder, Selection(len(records["comparisons.jsonl"]), control=0.0)).questions
    first = selected[: len(abstained)]
    assert {question.comparison_id for question in first} == abstained
    assert {question.reason for question in first} == {"the labeler abstains"}


@pytest.mark.parametrize(
    "override", ["label.mode=pointwise", "models.labeler=other-model", "label.min_answer_mass=0.1"]
)
def test_correction_of_another_labeler_is_refused(project: Path, override: str):
    path = corrected(project, uneven, 20, str(project / "run.yaml")).path
    with pytest.raises(ConfigError, match="the correction was fitted on another labeler"):
        run(project, f"label.correction={path}", override)


def test_missing_correction_is_refused(project: Path):
    with pytest.raises(DataError, match=r"none\.json"):
        run(project, f"label.correction={project / 'none.json'}")
