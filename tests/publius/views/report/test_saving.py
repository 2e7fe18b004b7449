"""Plots and tables of a report as files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from publius.stages.outcome import evaluation_caveats
from publius.views import varied
from publius.views.report.comparing.groups import group_runs
from publius.views.report.comparing.seeds import measured_over_seeds
from publius.views.report.plots.paper import plots_saved_to
from publius.views.report.plots.results import lengths_plot
from publius.views.report.reading.sources import open_sources
from publius.views.report.saving.tables import MeasuresTable, seeds_table
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
    names = ["measures", "A-measures", "B-measures"]
    assert [file.name for file in written.figures] == [
        f"{n}.{end}" for n in names for end in ("md", "csv", "tex")
    ]
    text = (tmp_path / "paper" / "measures.md").read_text()
    assert "| measure | A | B | B − A |" in text
    assert "No model wrote this" in text
    page = written.contents
    assert all(f"**{alarm.where}**: {alarm.text}" in text for alarm in page.alarms)
    own = (tmp_path / "paper" / "B-measures.md").read_text()
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
def test_seeds_of_a_group_have_one_table_with_differences_from_base(wordings: list[Path], tmp_path: Path):
    with open_sources(wordings[:2]) as sources:
        (group,) = group_runs(sources.runs)
        measured = measured_over_seeds(group.runs)
        table, single = (
            seeds_table(group, {"words"}),
            seeds_table(replace(group, runs=group.runs[:1]), {"words"}),
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
    assert heading.endswith(" − prompted |")
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
