"""The page of a run whose judge rated the answers: numbers, their correction by people, and alarms."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import fmean

import pytest

from publius.stages.runner import RunRequest, execute
from tests.publius.projects import write_project
from tests.publius.views.report import recompute
from tests.publius.views.report.projects import ReadPage, page_of

CONSTITUTION = """\
name: small
principles:
  - {id: kind, text: The reply is kind to the person who asks.}
  - {id: short, text: At most 14 words., check: {kind: max_words, value: 14}}
"""
RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model, labeler: judge-model, judge: judge-model}
engine: {kind: scripted, concurrency: 4}
label: {principles: 1}
eval: {models: [base, prompted], kl: false, quality: false}
"""


@pytest.fixture(scope="module")
def rated_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with labels of people on twelve of its sixteen prompts; the scripted judge has no information."""
    folder = tmp_path_factory.mktemp("rated")
    path = write_project(folder, 16, RUN, CONSTITUTION)
    prompts = folder / "prompts.jsonl"
    prompts.write_text(prompts.read_text().replace('"train"', '"test"'))
    run = execute(RunRequest(path, ("eval.sheet=12",), ("eval",))).folder
    rows = list(csv.DictReader((run / "eval" / "sheet.csv").open()))
    for number, row in enumerate(rows):
        row["violates"] = "yes" if number % 3 else "no"
    with (run / "eval" / "sheet.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    execute(RunRequest(path, ("eval.sheet=12",), ("eval",)))
    return run


@pytest.fixture(scope="module")
def rated_page(rated_run: Path, tmp_path_factory: pytest.TempPathFactory) -> ReadPage:
    return page_of([rated_run], tmp_path_factory.mktemp("page") / "rated.html")


def test_rates_of_the_judge_follow_from_its_ratings(rated_run: Path, rated_page: ReadPage):
    prefix = f"{rated_run.name}.eval."
    values = recompute.judged_by_prompt(rated_run)
    assert set(values) == {(v, m) for v in ("base", "prompted") for m in ("judged", "judged.kind")}
    for (variant, measure), row in values.items():
        figure = rated_page.figures[f"{prefix}{variant}.{measure}"]
        expected = recompute.metric([row[p] for p in sorted(row)], "share")
        assert {key: figure[key] for key in expected} == pytest.approx(expected)
        if variant == "prompted":
            base = values["base", measure]
            change = [row[p] - base[p] for p in sorted(row)]
            delta = rated_page.figures[f"{prefix}{variant}.{measure}.delta"]
            low, high = recompute.interval(change, "difference")
            assert (delta["value"], delta["low"], delta["high"]) == pytest.approx((fmean(change), low, high))


def test_rates_corrected_by_people_follow_from_the_sheet(rated_run: Path, rated_page: ReadPage):
    sheet = csv.DictReader((rated_run / "eval" / "sheet.csv").open())
    labels = {row["id"]: float(row["violates"] == "no") for row in sheet}
    ratings = recompute.rows_of(rated_run / "eval" / "ratings.jsonl")
    for variant in ("base", "prompted"):
        asked = [one["question"] for one in ratings if one["variant"] == variant]
        own = [labels[question] for question in asked if question in labels]
        assert len(own) == 12
        # The judge is refused, so that people count alone.
        figure = rated_page.figures[f"{rated_run.name}.eval.{variant}.judged.kind.corrected"]
        assert (figure["value"], figure["n"]) == (pytest.approx(fmean(own)), 12)


def test_page_says_what_speaks_against_the_judge(rated_run: Path, rated_page: ReadPage):
    prose = " ".join(rated_page.prose)
    assert "the judge labeled the training data" in prose
    assert "prompted.judged.kind.corrected: the judge carries no information" in prose
    assert "kind, by the judge" in prose
    assert "kind, corrected" in prose
    content = json.loads((rated_run / "eval" / "metrics.json").read_text())
    assert all("no information" in one["refused"] for one in content["judged"]["corrected"])
