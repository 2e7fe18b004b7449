"""Compliance by the judge in a run's evaluation: metrics, labels of people, gates, and the estimate."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from core.records import Metric
from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine, lean
from evaluation.judges.certificate import CERTIFICATE, read_certificate
from evaluation.report import summary_rows
from publius.audit.labeler import run_audit
from publius.audit.settings import AuditRequest
from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import CONSTITUTION, Recorder, write_project

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model, judge: judge-model}
engine: {kind: scripted, concurrency: 4}
label: {principles: 1}
eval: {models: [base, prompted], kl: false, quality: false}
"""
PROMPTS, PRINCIPLES = 32, ("plain", "honest", "kind")
KIND = "The reply is kind"


def is_prompted(request: GenerationRequest) -> bool:
    return request.turns[0].role == "system"


def answer(request: GenerationRequest) -> str:
    """Say a number; every fourth answer of base is kind, and three of four with the constitution."""
    number = int(request.turns[-1].text.split()[2].rstrip(":"))
    kind = number % 4 != 0 if is_prompted(request) else number % 4 == 0
    return f"{'Dear friend' if kind else 'No'}, it is {number * number}."


def choose(request: ChoiceRequest) -> tuple[float, ...]:
    """Find 'Dear friend' kind, with some doubt; lean at random under the other principles."""
    if request.judged is None or KIND not in request.turns[-1].text:
        return lean(request)
    p = 0.8 if "Dear friend" in request.judged else 0.3
    return math.log(p), math.log(1 - p)


class Maker(Recorder):
    def __call__(self, model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        self.engines.append(ScriptedEngine(model=model.id, answerer=answer, chooser=choose))
        return self.engines[-1]

    def asked(self, purpose: str) -> int:
        return sum(request.purpose == purpose for request in self.requests)


def project(folder: Path, run: str = RUN) -> Path:
    path = write_project(folder, PROMPTS, run, CONSTITUTION)
    rows = (folder / "prompts.jsonl").read_text().replace('"train"', '"test"')
    (folder / "prompts.jsonl").write_text(rows)
    return path


def evaluated(path: Path, *overrides: str, make: Maker | None = None) -> Path:
    return execute(RunRequest(path, overrides, ("eval",)), make or Maker()).folder / "eval"


def metrics_of(folder: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((folder / "metrics.json").read_text())
    return {metric["name"]: metric for metric in content["metrics"]}


def fill_in(sheet: Path, wrong: int = 8) -> int:
    """Label a sheet: kind is what begins with 'Dear friend', but for every eighth row; return the labels."""
    rows = list(csv.DictReader(sheet.open()))
    labelled = 0
    for number, row in enumerate(row for row in rows if row["tenet"] == "kind"):
        kind = ("assistant: Dear friend" in row["conversation"]) != (number % wrong == wrong - 1)
        row["violates"] = "no" if kind else "yes"
        labelled += 1
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return labelled


def test_every_answer_is_rated_under_every_principle_without_a_check(tmp_path: Path):
    make = Maker()
    folder = evaluated(project(tmp_path), make=make)
    found = metrics_of(folder)
    assert make.asked("reward") == 2 * PROMPTS * len(PRINCIPLES)
    for name in PRINCIPLES:
        assert {f"{v}.judged.{name}" for v in ("base", "prompted")} <= found.keys()
        assert f"prompted.judged.{name}.delta" in found
    # A quarter of the answers of base are kind, and three quarters with the constitution in the prompt.
    assert found["base.judged.kind"]["value"] == pytest.approx(0.25 * 0.8 + 0.75 * 0.3)
    delta = found["prompted.judged.kind.delta"]
    assert delta["value"] == pytest.approx(0.5 * (0.8 - 0.3))
    assert delta["changed"] == PROMPTS
    assert {"p_value", "simultaneous_low", "simultaneous_high"} <= delta.keys()
    ratings = [json.loads(line) for line in (folder / "ratings.jsonl").read_text().splitlines()]
    assert Counter(one["principle_id"] for one in ratings) == dict.fromkeys(PRINCIPLES, 2 * PROMPTS)
    content = json.loads((folder / "metrics.json").read_text())
    assert content["judged"] == {
        "judge": "judge-model",
        "judge_is_labeler": False,
        "unrated": [],
        "corrected": [],
        "audit": {},
    }
    table = {row[0]: row for row in summary_rows(map(Metric.model_validate, content["metrics"]))}
    assert table["kind, by the judge, %"][2].endswith("*")
    report = (folder / "report.md").read_text()
    assert "| kind, by the judge, % |" in report
    assert "No rate is corrected by people" in report


def test_without_a_judge_or_if_switched_off_nothing_is_asked(tmp_path: Path):
    make = Maker()
    path = project(tmp_path)
    found = metrics_of(evaluated(path, "eval.judged=false", make=make))
    assert make.asked("reward") == 0
    assert not [name for name in found if ".judged" in name]
    # The setting is no part of the identity: the same run can be rated later.
    assert "prompted.judged.kind" in metrics_of(evaluated(path, make=make))
    assert len(list((tmp_path / "runs").iterdir())) == 1
    other = project(tmp_path / "other", RUN.replace(", judge: judge-model", ""))
    make = Maker()
    assert not [name for name in metrics_of(evaluated(other, make=make)) if ".judged" in name]
    assert make.asked("reward") == 0


def test_order_of_prompts_and_principles_changes_nothing(tmp_path: Path):
    one = metrics_of(evaluated(project(tmp_path / "one")))
    path = project(tmp_path / "two", RUN.replace("concurrency: 4", "concurrency: 1"))
    for name, header in (("prompts.jsonl", 0), ("constitution.yaml", 2)):
        lines = (tmp_path / "two" / name).read_text().splitlines(keepends=True)
        (tmp_path / "two" / name).write_text("".join([*lines[:header], *reversed(lines[header:])]))
    two = metrics_of(evaluated(path))
    judged = [name for name in one if ".judged" in name]
    assert judged
    assert {name: one[name] for name in judged} == {name: two[name] for name in judged}


def test_labels_on_the_sheet_correct_the_judge(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = project(tmp_path)
    caplog.set_level(logging.INFO)
    folder = evaluated(path)
    assert any("to correct the judge, fill in" in record.getMessage() for record in caplog.records)
    before = metrics_of(folder)
    labels = fill_in(folder / "sheet.csv")
    assert labels == 40  # twenty prompts, two variants
    sheet, make = (folder / "sheet.csv").read_text(), Maker()
    evaluated(path, make=make)
    assert make.requests == []  # all answers are in the cache
    assert (folder / "sheet.csv").read_text() == sheet
    after = metrics_of(folder)
    rate, delta = after["prompted.judged.kind.corrected"], after["prompted.judged.kind.corrected.delta"]
    judged = after["prompted.judged.kind"]
    assert judged["value"] == before["prompted.judged.kind"]["value"]
    assert delta["low"] > 0
    assert delta["p_value"] < 0.05
    assert "base.judged.plain.corrected" not in after
    content = json.loads((folder / "metrics.json").read_text())
    corrected = {one["name"]: one for one in content["judged"]["corrected"]}
    assert corrected["base.judged.kind.corrected"]["labels"] == 20
    one = corrected["prompted.judged.kind.corrected"]
    assert one["refused"] == one["refused_delta"] == ""
    assert one["corrected"]["value"] == rate["value"]
    assert one["judge"] == pytest.approx(judged["value"])
    # The judge's probabilities are too close to one half: people say what is nearer to 0 or 1.
    assert abs(rate["value"] - one["people"]["value"]) < 0.1
    assert "- prompted, kind: " in (folder / "report.md").read_text()


def test_labels_of_a_file_correct_the_judge_too(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = project(tmp_path)
    folder = evaluated(path)
    answers = [json.loads(line) for line in (folder.parent / "answers.jsonl").read_text().splitlines()]
    rows = [
        {
            "prompt": one["prompt"]["messages"][0]["content"],
            "completion": one["generation"]["text"],
            "principle": "kind" if number else "gone",
            "label": one["generation"]["text"].startswith("Dear"),
        }
        for number, one in enumerate(sorted(answers, key=lambda one: one["prompt"]["id"])[:30])
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluated(path, "eval.gold=[labels.jsonl]")
    content = json.loads((folder / "metrics.json").read_text())
    assert sum(one["labels"] for one in content["judged"]["corrected"]) == 29
    assert any("1 row without a principle" in record.getMessage() for record in caplog.records)
    for row in rows:
        row.pop("principle")
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="no row names a principle"):
        evaluated(path, "eval.gold=[labels.jsonl]")
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        evaluated(path, "eval.gold=[nowhere.csv]")


def test_gates_on_judged_principles(tmp_path: Path):
    path = project(tmp_path)
    folder = evaluated(path)
    fill_in(folder / "sheet.csv")
    gates = {
        "prompted.judged.kind": "<= 0.9",
        "prompted.judged.kind.delta.low": ">= 0.02",
        "prompted.judged.kind.corrected": ">= 0.95",
        "prompted.judged": ">= 0.99",
        "base.judged.kind.delta against prompted": "<= 0.1",
    }
    overrides = [f"gates={json.dumps(gates)}"]
    evaluated(path, *overrides)
    found = {gate["gate"]: gate for gate in json.loads((folder / "metrics.json").read_text())["gates"]}
    assert [found[name]["outcome"] for name in gates] == ["pass", "pass", "fail", "fail", "pass"]


def test_judge_that_labeled_the_training_data_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = project(tmp_path, RUN.replace("judge: judge-model", "labeler: judge-model, judge: judge-model"))
    folder = evaluated(path)
    assert any("the judge is the labeler" in record.getMessage() for record in caplog.records)
    assert json.loads((folder / "metrics.json").read_text())["judged"]["judge_is_labeler"] is True
    assert "so it rates what it taught" in (folder / "report.md").read_text()


def purposes(path: Path, *overrides: str, stages: Sequence[Any] = ("eval",)) -> dict[str, dict[str, int]]:
    found = estimate_run(EstimateRequest(path, overrides, stages), Maker()).as_json()
    return {row["purpose"]: row["calls"] for row in found["requests"]}


def test_estimate_has_the_questions_to_the_judge(tmp_path: Path):
    path = project(tmp_path)
    expected = 2 * PROMPTS * len(PRINCIPLES)
    assert purposes(path)["reward"] == {"lower": 0, "expected": expected, "upper": expected}
    assert "reward" not in purposes(path, "eval.judged=false")
    make = Maker()
    evaluated(path, make=make)
    assert make.asked("reward") == expected


@pytest.mark.parametrize("mode", ["choice", "pointwise", "pointwise, polarity: both"])
def test_actual_requests_are_within_the_estimate(tmp_path: Path, mode: str):
    path = project(tmp_path)
    make, overrides = Maker(), (f"label={{mode: {mode}, principles: all}}",)
    found = purposes(path, *overrides)
    evaluated(path, *overrides, make=make)
    for purpose, calls in found.items():
        assert calls["lower"] <= make.asked(purpose) <= calls["upper"], purpose


def test_audit_of_the_judge_stands_beside_its_rates(tmp_path: Path):
    path = project(tmp_path)
    folder = evaluated(path)
    report = (folder / "report.md").read_text()
    assert "The judge was not audited, so how often it is right is not known" in report
    assert json.loads((folder / "metrics.json").read_text())["judged"]["audit"] == {}
    audited = AuditRequest(str(path), model="judge-model", overrides=("label.mode=pointwise",), compare=False)
    certificate = read_certificate(run_audit(audited, Maker()).folder / CERTIFICATE)
    evaluated(path)
    recorded = json.loads((folder / "metrics.json").read_text())["judged"]["audit"]
    assert certificate is not None
    assert recorded["labeler"] == certificate.audited[0].labeler.digest
    assert recorded["metrics"]
    report = (folder / "report.md").read_text()
    assert "The judge `judge-model` was audited on" in report
    assert "| measure of the judge | value | n |" in report
