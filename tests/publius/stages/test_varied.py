"""Runs that vary settings: one command for all combinations, what they share, and what if one fails."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from core.errors import ConfigError
from publius.authoring.estimating.estimate import EstimateRequest
from publius.authoring.estimating.varied import VariedEstimate, estimate_varied
from publius.config.variations import read_variations
from publius.stages.varied import VariedOutcome, VariedRequest, planned_runs, run_varied
from publius.views import varied as views
from publius.views.report import contents
from tests.publius.invoking import here
from tests.publius.projects import RUN, Recorder, write_project

EVAL = """\
eval: {models: [base, prompted], kl: false, quality: false, sampling: {temperature: 1.0, max_new_tokens: 64}}
"""
WORDINGS = ("terse", "brief")


def write_varied(folder: Path) -> Path:
    """Write a project with two more wordings of the constitution's last principle; return its run file."""
    run_file = write_project(folder, 14, RUN + EVAL)
    rows = (folder / "prompts.jsonl").read_text().splitlines(keepends=True)
    test = [row.replace('"train"', '"test"') for row in rows[6:]]
    (folder / "prompts.jsonl").write_text("".join([*rows[:6], *test]))
    for word in WORDINGS:
        principle = f"{{id: short, text: The reply is {word}.}}"
        text = f"name: {word}\nextends: constitution.yaml\nprinciples:\n  - {principle}\n"
        (folder / f"{word}.yaml").write_text(text)
    return run_file


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots out, which take most of the time of a page."""
    monkeypatch.setattr(contents, "missing_plots", lambda: "pip install matplotlib")


def varied(run_file: Path, vary: Sequence[str], recorder: Recorder, **options: Any) -> VariedOutcome:
    return run_varied(VariedRequest(run_file, read_variations(vary), **options), recorder)


def test_wordings_and_seeds_with_one_command(tmp_path: Path):
    run_file = write_varied(tmp_path)
    vary = ["--vary", "constitution=terse.yaml,brief.yaml", "--vary", "seed=0,1"]
    done = here("eval", run_file, *vary, "--json")
    assert done.returncode == 0, done.stderr
    assert "self-labelled" not in done.stderr  # nothing is labelled
    found = json.loads(done.stdout)
    names = [Path(run["outcome"]["run"]).name.rpartition("-")[0] for run in found["runs"]]
    assert names == ["small-terse-seed0", "small-terse-seed1", "small-brief-seed0", "small-brief-seed1"]
    assert [(group["settings"], group["seeds"]) for group in found["groups"]] == [
        ({"constitution": "terse.yaml"}, [0, 1]),
        ({"constitution": "brief.yaml"}, [0, 1]),
    ]
    page = Path(found["report"])
    assert page.parent == tmp_path
    assert "4 runs compared" in page.read_text()
    for group in found["groups"]:
        by_seed = [recorded(folder) for folder in group["runs"]]
        for metric in group["metrics"]:
            if metric["name"] in ("prompted.compliance", "base.words", "prompted.length_ratio"):
                own = [values[metric["name"]] for values in by_seed]
                assert metric["by_seed"] == pytest.approx(own)
                assert metric["value"] == pytest.approx(fmean(own))


def test_judges_are_compared_in_folders_and_groups_of_their_own(tmp_path: Path):
    done = here("eval", write_varied(tmp_path), "--vary", "models.judge=one-judge,another-judge", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len({run["outcome"]["run"] for run in found["runs"]}) == 2
    assert [group["settings"]["models.judge"] for group in found["groups"]] == ["one-judge", "another-judge"]


def test_seeds_alone_are_one_row_for_each_measure(tmp_path: Path):
    done = here("eval", write_varied(tmp_path), "--vary", "seed=0,1")
    assert "Without and with the rules as system prompt, seeds 0, 1, 8 held-out prompts" in done.stdout
    rows = done.stdout.splitlines()
    words = next(place for place, row in enumerate(rows) if row.startswith("words "))
    assert rows[words + 1].split()[:2] == ["by", "seed"]
    assert "means over seeds with intervals over prompts" in done.stdout


def test_wordings_are_rows_of_the_table(tmp_path: Path):
    done = here("eval", write_varied(tmp_path), "--vary", "constitution=terse.yaml,brief.yaml")
    assert "Checks passed by group, 8 held-out prompts" in done.stdout
    rows = [row.split() for row in done.stdout.splitlines()]
    assert [row[:3] for row in rows if row[:1] in (["A"], ["B"]) and row[2:3] == ["0"]] == [
        ["A", "terse.yaml", "0"],
        ["B", "brief.yaml", "0"],
    ]


def test_serious_alarms_of_single_runs_are_on_top_of_page_and_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    command = "eval", write_varied(tmp_path), "--vary", "eval.sampling.max_new_tokens=3,256"
    done = here(*command)
    assert done.returncode == 0, done.stderr
    said = done.stdout.partition("\nRuns\n")[0]
    text = " ".join(said.split())
    assert "No model wrote this" in text
    assert "8 held-out prompts: intervals are wide" in text
    assert re.search(r"cut off at eval.sampling.max_new_tokens \(3\): raise it\.? \(A\)", text), text
    assert "on the page" not in text
    (page,) = tmp_path.glob("compared-*.html")
    top = page.read_text().partition("Before you rely on this")[2].partition("</section>")[0]
    for alarm in ("No model wrote this", "intervals are wide", "are cut off at eval.sampling.max_new_tokens"):
        assert alarm in top
    assert top.count("(A)") == 1
    monkeypatch.setattr(views, "_CAVEATS_LISTED", 1)
    assert f"\nand {top.count('<li') - 1} more on the page\n" in here(*command).stdout


def test_rules_are_printed_for_base_and_the_variant_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(views.out, "width", 80)
    command = "eval", write_varied(tmp_path), "--vary", "eval.sampling.temperature=0,0.2,0.5"
    for bases in (3, 1):
        monkeypatch.setattr(views, "_BASE_OF_EACH", bases)
        done = here(*command)
        table = done.stdout.partition("\nRules by group, base and prompted\n")[2].partition("\n* ")[0]
        groups, variants, *rows = table.splitlines()
        assert (groups.split().count("A"), groups.split().count("C")) == (2, 2 if bases == 3 else 1)
        assert (variants.split().count("base"), variants.split().count("prompted")) == (bases, 3)
        assert rows
        assert all(len(row) <= 80 for row in rows)
        assert "intervals of base are on the page" in done.stdout


def test_flips_and_what_measures_an_edit_are_printed_without_an_evaluation(tmp_path: Path):
    done = here("run", write_varied(tmp_path), "--vary", "constitution=terse.yaml,brief.yaml")
    assert done.stderr.count("self-labelled") == 1
    assert "of later runs, the same as those above, not repeated" in done.stderr
    text = " ".join(done.stdout.split())
    assert "no run was evaluated: publius eval in place of publius run" in text
    assert "B: short: not measured: no run was evaluated (publius eval)" in text
    assert text.startswith("No model wrote this: ")
    assert "A: constitution=terse.yaml, seed 0 B: constitution=brief.yaml, seed 0" in text
    assert "Preferences flipped, of the same pairs of answers" in text
    (row,) = [row.split() for row in done.stdout.splitlines() if row.split()[:2] == ["A", "B"]]
    assert int(row[2]) > 0
    assert 0 <= int(row[3]) <= int(row[2])


def recorded(folder: str) -> dict[str, float]:
    content = json.loads((Path(folder) / "eval" / "metrics.json").read_text())
    return {metric["name"]: metric["value"] for metric in content["metrics"]}


def test_what_combinations_share_is_asked_once_and_a_second_command_asks_nothing(tmp_path: Path):
    run_file, recorder = write_varied(tmp_path), Recorder()
    vary = ["constitution=terse.yaml,brief.yaml", "seed=0,1"]
    varied(run_file, vary, recorder)
    drafts = [request for request in recorder.requests if request.purpose == "draft"]
    assert len(drafts) == 12  # for six prompts and two seeds, not for two wordings
    asked = len(recorder.requests)
    again = varied(run_file, vary, recorder)
    assert len(recorder.requests) == asked
    assert not again.failed
    assert len(list((tmp_path / "runs").iterdir())) == 4


def test_a_failed_run_does_not_stop_the_others_and_is_named(tmp_path: Path):
    run_file = write_varied(tmp_path)
    rows = (tmp_path / "prompts.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "untested.jsonl").write_text("".join(rows[:6]))
    vary = ["--vary", "prompts=untested.jsonl,prompts.jsonl"]
    done = here("eval", run_file, *vary)
    assert done.returncode == 2
    assert "run 1 of 2: prompts=untested.jsonl failed" in done.stderr
    assert "run 2 of 2" in done.stderr
    assert "error: prompts=untested.jsonl: " in done.stderr
    assert "no held-out prompts to evaluate on" in done.stderr
    assert "--set split.train=0 --set split.preference=0 --set split.test=1" in done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines() if "untested" in line] == ["failed"]
    assert "report: " in done.stdout  # of the run that did not fail


def test_a_failed_gate_ends_with_1_and_names_its_run(tmp_path: Path):
    run_file = write_varied(tmp_path)
    gate = ("--set", "gates.prompted.words=<= 0.5")
    done = here("eval", run_file, "--vary", "seed=0,1", *gate)
    assert done.returncode == 1
    assert "error: seed=1: gate failed: prompted.words" in done.stderr


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("seed=0,-1", "--vary seed=-1: seed is -1"),
        ("sed=0,1", "--vary sed=0: unknown key 'sed'"),
        ("constitution=terse.yaml,missing.yaml", "missing.yaml: no such file"),
        ("seed=1,1", "seed=1 and seed=1 are the same run"),
        ("eval.samples_shown=1,2", "are the same run: nothing that they differ in changes its results"),
    ],
)
def test_mistakes_are_reported_before_the_first_run(tmp_path: Path, vary: str, message: str):
    run_file = write_varied(tmp_path)
    with pytest.raises(ConfigError) as raised:
        varied(run_file, [vary], Recorder())
    assert message in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_options_that_exclude_each_other(tmp_path: Path):
    run_file = write_varied(tmp_path)
    for more in (["--preview", "2"], ["--resume", "runs/x"]):
        done = here("run", run_file, "--vary", "seed=0,1", *more)
        assert done.returncode == 2
        assert "--vary excludes --preview" in done.stderr


def test_estimate_counts_shared_requests_once(tmp_path: Path):
    run_file, recorder = write_varied(tmp_path), Recorder()
    found = estimated(run_file, ["constitution=terse.yaml,brief.yaml", "seed=0,1"], recorder)
    each = [one.as_json()["total"] for one in found.estimates]
    total = found.as_json()["total"]
    assert recorder.requests == []
    sums = sum(one["calls"]["expected"] for one in each)
    # At least the drafts of six prompts, for each of two seeds.
    assert 12 <= total["shared_calls"] == sums - total["calls"]["expected"]
    assert total["calls"]["upper"] == sum(one["calls"]["upper"] for one in each)
    assert total["prompt_tokens"] < sum(one["prompt_tokens"] for one in each)
    alone = estimated(run_file, ["seed=0"], recorder).as_json()["total"]
    assert alone["shared_calls"] == 0


def test_estimate_of_combinations_is_what_they_ask(tmp_path: Path):
    """Drafts do not depend on answers, so their number is exact."""
    run_file, recorder = write_varied(tmp_path), Recorder()
    vary = ["constitution=terse.yaml,brief.yaml", "seed=0,1"]
    options: dict[str, Any] = {"overrides": ["critique.rounds=1", "label.principles=0"]}
    found = estimated(run_file, vary, recorder, **options)
    total = found.as_json()["total"]["calls"]
    varied(run_file, vary, recorder, **options)
    assert total["lower"] <= len(recorder.requests) <= total["upper"]
    assert abs(len(recorder.requests) - total["expected"]) <= 0.2 * total["expected"]


def estimated(run_file: Path, vary: Sequence[str], recorder: Recorder, **options: Any) -> VariedEstimate:
    planned = planned_runs(VariedRequest(run_file, read_variations(vary), **options))
    return estimate_varied(planned, EstimateRequest(run_file), recorder)


def test_estimate_is_printed_with_a_row_for_each_run(tmp_path: Path):
    run_file = write_varied(tmp_path)
    done = here("run", run_file, "--vary", "seed=0,1", "--estimate")
    assert done.returncode == 0, done.stderr
    assert "together" in done.stdout
    assert "expected (fewest-most)" in done.stdout
    assert "estimating run 2 of 2, seed=1: critique" in done.stderr
    assert "USD" not in done.stdout  # no prices: no empty column
    assert not (tmp_path / "runs").exists()


def test_time_counts_requests_in_common_once(tmp_path: Path):
    run_file, recorder = write_varied(tmp_path), Recorder()
    planned = planned_runs(VariedRequest(run_file, read_variations(["dpo.beta=0.1,0.2"])))
    found = estimate_varied(planned, EstimateRequest(run_file, rate=10.0), recorder)
    seconds = [one.total_seconds for one in found.estimates]
    assert seconds[0]
    total = found.as_json()["total"]
    assert total["shared_calls"] > 0
    assert total["seconds"] < sum(filter(None, seconds))
    assert total["seconds"] == pytest.approx(sum(filter(None, seconds)) - total["seconds_shared"], abs=0.2)
    unknown = estimate_varied(planned, EstimateRequest(run_file), recorder).as_json()["total"]
    assert (unknown["seconds"], unknown["seconds_shared"]) == (None, None)


def test_rules_with_different_checks_are_not_compared(tmp_path: Path):
    run_file = write_varied(tmp_path)
    for word, most in (("terse", 70), ("brief", 1)):
        principle = f"{{id: short, text: The reply is short., check: {{kind: max_words, value: {most}}}}}"
        text = f"name: same\nextends: constitution.yaml\nprinciples:\n  - {principle}\n"
        (tmp_path / f"{word}.yaml").write_text(text)
    vary = ("--vary", "constitution=terse.yaml,brief.yaml")
    found = json.loads(here("eval", run_file, *vary, "--json").stdout)
    reason = "A and B measure this rule differently (max_words 70 against 1): not compared"
    first, second = found["groups"]
    assert "not_compared" not in first
    assert second["not_compared"]["compliance.short"] == reason
    page = Path(found["report"]).read_text()
    assert f"short: {reason}" in page
    comparison = page[page.index('id="comparison"') :]
    assert "not compared</span>" in comparison
    assert ".compliance.short.B.delta" not in page  # no difference anywhere on the page
    printed = " ".join(here("eval", run_file, *vary).stdout.split())
    values = r"A [\d.]+ %( \([^)]+\))? against B [\d.]+ %( \([^)]+\))?; words: A [^;]+ against B [^;]+"
    said = rf"B: short: measured by its machine check; prompted, by different checks: {values}; "
    assert re.search(said + re.escape(reason), printed)
    reason = "without a check and without a judge (set models.judge"
    assert f"3 rules not measured, {reason}): plain, honest, kind" in printed
    assert "3 rules were not measured, without a check and without a judge." in text_of(page)
    assert "of the 1 rule that code checks" in text_of(page)
    assert f"Not measured, {reason}, or give a rule a check): plain, honest, kind." in text_of(page)
    for file in ("terse.yaml", "brief.yaml"):  # both have one name
        assert f"same ({file})" in page


def text_of(page: str) -> str:
    """Return the text of a page without its tags."""
    return " ".join(re.sub("<[^>]+>", "", page).split())
