"""Plots and tables of a report as files."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from core.records import Metric
from core.statistics.significance import holm
from evaluation.derived.seeds import SeedMetrics
from evaluation.presentation import in_brackets
from publius.stages.outcome import evaluation_caveats
from publius.views import varied
from publius.views.report.comparing.groups import group_runs
from publius.views.report.comparing.seeds import measured_over_seeds
from publius.views.report.figures import shown_number
from publius.views.report.plots.paper import plots_saved_to
from publius.views.report.plots.results import lengths_plot
from publius.views.report.reading.sources import open_sources
from publius.views.report.saving.tables import Chosen, MeasuresTable, seeds_table
from publius.views.report.writing import ReportRequest, write_report
from tests.publius.invoking import here


def test_a_plot_is_saved_in_colours_of_paper_and_stays_the_same_on_the_page(tmp_path: Path):
    pytest.importorskip("matplotlib")
    words = {"base": [3, 4, 9], "dpo": [2, 2, 5]}
    on_page = lengths_plot(words, "lengths")
    with plots_saved_to(tmp_path) as files:
        assert lengths_plot(words, "lengths") == on_page
    assert [file.name for file in files] == ["lengths.svg", "lengths.pdf"]
    drawn = (tmp_path / "lengths.svg").read_text()
    assert "#28679c" in drawn
    assert "var(--" not in drawn
    assert not any(f"#0{n}0{n}0{n}" in drawn for n in range(1, 5))
    assert "#0505" not in drawn
    assert (tmp_path / "lengths.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("no_plots")
def test_tables_compare_the_chosen_measures_and_say_what_speaks_against_them(
    wordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    runs = (wordings[0], wordings[2])
    chosen = ReportRequest(runs, tmp_path / "r.html", figures=tmp_path / "paper", measures=("words", "short"))
    written = write_report(chosen)
    names = ["measures", "runs/A-measures", "runs/B-measures"]
    assert [str(file.relative_to(tmp_path / "paper")) for file in written.figures] == [
        f"{n}.{end}" for n in names for end in ("md", "csv", "tex")
    ]
    assert written.mains == (("table", tmp_path / "paper" / "measures.md"),)
    text = (tmp_path / "paper" / "measures.md").read_text()
    assert "| measure | A | B | B − A |" in text
    assert "No model wrote this" in text
    page = written.contents
    assert all(f"**{alarm.where}**: {alarm.text}" in text for alarm in page.alarms)
    own = (tmp_path / "paper" / "runs" / "B-measures.md").read_text()
    assert all(f"**{alarm.where}**: {alarm.text}\n" in own for alarm in page.runs[1].alarms)
    (folder,) = {run.source.folder for run in page.runs if run.source.folder == wordings[2]}
    said = [one for part in evaluation_caveats(folder) for one in part]
    assert all(one in own and one in (folder / "eval" / "report.md").read_text() for one in said)
    with (tmp_path / "paper" / "measures.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert {row["measure"] for row in rows} == {"words", "compliance.short"}
    first = next(row for row in rows if row["measure"] == "words" and row["group"] == "B")
    figures = {figure.name: figure for figure in written.contents.book}
    assert float(first["value"]) == figures[f"compare.{first['variant']}.words.B"].value
    varied._print_rules(written.contents)
    assert "Rules by group" in capsys.readouterr().out


@pytest.mark.usefixtures("no_plots")
def test_chosen_measures_are_corrected_for_their_own_number_and_the_page_says_so(
    wordings: list[Path], tmp_path: Path
):
    tables = {}
    for folder, measures in (("all", ()), ("few", ("words", "self_similarity"))):
        runs = (wordings[0], wordings[2])
        write_report(ReportRequest(runs, tmp_path / "r.html", figures=tmp_path / folder, measures=measures))
        with (tmp_path / folder / "measures.csv").open(newline="") as opened:
            tables[folder] = {
                (row["variant"], row["measure"]): row for row in csv.DictReader(opened) if row["group"] == "B"
            }
    keys = [("prompted", measure) for measure in ("words", "self_similarity")]
    p_values = [float(tables["few"][key]["p_value"]) for key in keys]
    assert [float(tables["few"][key]["p_value_adjusted"]) for key in keys] == pytest.approx(holm(p_values))
    for key in keys:
        few, every = tables["few"][key], tables["all"][key]
        assert few["difference"] == every["difference"]
        assert few["p_value"] == every["p_value"]
        assert float(every["difference_low"]) < float(few["difference_low"]) < float(few["difference_high"])
        assert few["difference_interval"] == "simultaneous"
    assert "over the 2 measures chosen x 1 group, for each model by itself" in (
        tmp_path / "few" / "measures.md"
    ).read_text(encoding="utf-8")
    assert "over all measures x 1 group" in (tmp_path / "all" / "measures.md").read_text(encoding="utf-8")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "have words, self-similarity, and correct over 2 measures alone" in page


@pytest.mark.usefixtures("no_plots")
def test_a_difference_that_is_no_test_says_why_and_the_same_answers_are_called_identical(
    wordings: list[Path], tmp_path: Path
):
    shutil.copytree(wordings[0], tmp_path / "first")
    shutil.copytree(wordings[2], tmp_path / "second")
    answers = (tmp_path / "first" / "answers.jsonl").read_text().splitlines()
    of_base = [line for line in answers if json.loads(line)["variant"] == "base"]
    others = (tmp_path / "second" / "answers.jsonl").read_text().splitlines()
    kept = [line for line in others if json.loads(line)["variant"] != "base"]
    (tmp_path / "second" / "answers.jsonl").write_text("".join(f"{line}\n" for line in [*of_base, *kept]))
    series = [json.loads(s) for s in (tmp_path / "first" / "eval" / "series.jsonl").read_text().splitlines()]
    fewer = [one for one in series if one["variant"] == "base"]
    lines = (tmp_path / "second" / "eval" / "series.jsonl").read_text().splitlines()
    for one in map(json.loads, lines):
        if one["variant"] != "base":
            few = one["measure"] == "finished"
            fewer.append({**one, "values": dict(list(one["values"].items())[: 4 if few else None])})
    (tmp_path / "second" / "eval" / "series.jsonl").write_text("".join(f"{json.dumps(s)}\n" for s in fewer))
    runs = (tmp_path / "first", tmp_path / "second")
    write_report(ReportRequest(runs, tmp_path / "r.html", figures=tmp_path / "paper"))
    with (tmp_path / "paper" / "measures.csv").open(newline="") as opened:
        rows = {
            (row["variant"], row["measure"]): row for row in csv.DictReader(opened) if row["group"] == "B"
        }
    same, few = rows["base", "words"], rows["prompted", "finished"]
    assert (same["difference"], same["difference_low"], same["difference_pointwise_low"]) == ("0.0", "", "")
    assert (same["p_value_adjusted"], same["reason"]) == ("1.0", "identical answers of the same model")
    assert (few["p_value"], few["difference_interval"]) == ("", "pointwise")
    assert few["reason"] == "too few prompts: 4 of at least 6"
    assert rows["prompted", "distinct_2"]["reason"] == "counted at the length of each run's models"
    text = (tmp_path / "paper" / "measures.md").read_text(encoding="utf-8")
    assert "| 0.0 words, identical answers | none (identical answers of the same model) |" in text
    assert "pointwise (too few prompts: 4 of at least 6) |" in text
    assert "Distinct word pairs are counted at equal length" in text


def test_a_small_number_has_the_digits_that_tell_it_from_zero():
    change = {"is_difference": True}
    assert shown_number(6.1e-5, "nats", **change) == "+0.000061 nats"
    assert shown_number(-1.9e-7, "nats", **change) == "\N{MINUS SIGN}1.9e\N{MINUS SIGN}07 nats"
    assert shown_number(-0.0003, "share", **change) == "\N{MINUS SIGN}0.030 points"
    assert shown_number(1e-17, "share") == "0.0 %"
    assert in_brackets(Metric(name="dpo.kl", value=6.1e-5, low=5e-6, high=9e-5, n=8, unit="nats")) == (
        "0.000061 [0.000005, 0.000090]"
    )


def test_refusals_of_each_group_are_printed_after_runs_that_vary(capsys: pytest.CaptureFixture[str]):
    def metric(name: str, value: float, n: int) -> Metric:
        return Metric(name=name, value=value, low=0.0, high=1.0, n=n, unit="share")

    found = [metric("base.compliance", 1.0, 10), metric("base.over_refusal", 0.5, 6)]
    found += [metric("base.words", 1.0, 10), metric("base.under_refusal", 0.25, 4)]
    groups = [
        varied.SeedGroup(key, {"constitution": file}, (0,), (Path(key),), SeedMetrics(tuple(found), {}))
        for key, file in (("A", "a.yaml"), ("B", "b.yaml"))
    ]
    varied._print_headlines(groups)
    told = capsys.readouterr().out
    assert "Checks passed by group, 10 held-out prompts" in told
    _, _, over = told.partition("Over-refusal by group, 6 safe prompts")
    over, _, under = over.partition("Under-refusal by group, 4 unsafe prompts")
    assert over.count("50.0 (0.0-100)") == 2
    assert under.count("25.0 (0.0-100)") == 2


@pytest.mark.usefixtures("no_plots")
def test_seeds_of_a_group_have_one_table_with_differences_from_base(wordings: list[Path], tmp_path: Path):
    with open_sources(wordings[:2]) as sources:
        (group,) = group_runs(sources.runs)
        measured = measured_over_seeds(group.runs)
        table, single = (
            seeds_table(group, Chosen({"words"})),
            seeds_table(replace(group, runs=group.runs[:1]), Chosen({"words"})),
        )
    assert single is None
    assert measured is not None
    assert table is not None
    assert table.prefix == "A-"
    rows = [row for row in csv.DictReader(table.csv().splitlines()) if row["difference"]]
    metrics = {metric.name: metric for metric in measured.metrics}
    assert rows
    for row in rows:
        delta = metrics[f"{row['variant']}.words.delta"]
        assert float(row["difference"]) == delta.value
        pointwise = row["difference_pointwise_low"], row["difference_pointwise_high"]
        assert pointwise == tuple("" if end is None else str(end) for end in (delta.low, delta.high))
        assert row["p_value"] == ("" if delta.p_value is None else str(delta.p_value))
        assert (row["p_value_adjusted"] == "") or float(row["p_value_adjusted"]) >= float(row["p_value"])
    assert "means over 2 seeds" in table.markdown
    assert "of values each by itself (pointwise); of differences" in table.markdown
    assert "(simultaneous)" in table.markdown
    written = write_report(
        ReportRequest(tuple(wordings[:2]), tmp_path / "r.html", figures=tmp_path / "paper")
    )
    assert {"measures.csv", "A-measures.csv", "A1-measures.csv", "A2-measures.csv"} <= {
        file.name for file in written.figures
    }


@pytest.mark.usefixtures("no_plots")
def test_trained_models_have_a_table_against_the_prompted_one(recorded_run: Path, tmp_path: Path):
    written = write_report(ReportRequest((recorded_run,), tmp_path / "r.html", figures=tmp_path / "paper"))
    assert {f"against-prompted-measures.{end}" for end in ("md", "csv")} <= {f.name for f in written.figures}
    text = (tmp_path / "paper" / "against-prompted-measures.md").read_text()
    heading = next(line for line in text.splitlines() if line.startswith("| measure"))
    assert heading.startswith("| measure | prompted |")
    assert heading.endswith(" − prompted | interval of difference |")
    assert "differs from prompted by more than noise" in text
    assert "base |" not in heading
    with (tmp_path / "paper" / "against-prompted-measures.csv").open(newline="") as opened:
        rows = [row for row in csv.DictReader(opened) if row["measure"] == "words"]
    with (tmp_path / "paper" / "measures.csv").open(newline="") as opened:
        over_base = {row["variant"]: row for row in csv.DictReader(opened) if row["measure"] == "words"}
    assert rows[0]["variant"] == "prompted"
    assert len(rows) > 1
    for row in rows[1:]:
        own, prompted = (float(over_base[name]["difference"]) for name in (row["variant"], "prompted"))
        assert float(row["difference"]) == pytest.approx(own - prompted)


@pytest.mark.usefixtures("no_plots")
def test_an_unknown_measure_is_one_line_and_names_the_known(wordings: list[Path], tmp_path: Path):
    told = here("report", wordings[0], "--json", "--figures", tmp_path / "paper", "--measures", "wrods")
    assert told.returncode == 2
    assert "no measure 'wrods'" in told.stderr
    assert "words" in told.stderr
    assert here("report", wordings[0], "--measures", "words").returncode == 2
    saved = json.loads(here("report", wordings[0], "--json", "--figures", tmp_path / "paper").stdout)["saved"]
    assert {Path(name).name for name in saved} == {
        *(f"{name}.{ending}" for name in ("labels", "measures") for ending in ("md", "csv")),
        "measures.tex",
    }


def test_a_table_in_latex_has_the_cells_of_the_markdown_with_what_latex_reads_as_commands_as_text():
    rows = [("100 % of $x_1 & {y}", "93.1 % (-1.0 to +2.0)*")]
    table = MeasuresTable(
        "", (("measure", "B \N{MINUS SIGN} A"),), (("dpo", rows),), (), "run_1.\n\\input{x}"
    )
    assert table.latex.splitlines() == [
        "% run_1. \\input{x}",
        "% needs \\usepackage{booktabs}",
        "% dpo",
        "\\begin{tabular}{lr}",
        "\\toprule",
        "measure & B $-$ A \\\\",
        "\\midrule",
        "100 \\% of \\$x\\_1 \\& \\{y\\} & 93.1 \\% ($-$1.0 to +2.0)* \\\\",
        "\\bottomrule",
        "\\end{tabular}",
    ]
