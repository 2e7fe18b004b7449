"""The report: what a reader sees at once, honest words on few prompts, and text that cannot break out."""

from __future__ import annotations

import json
import re

import pytest
from rich.console import Console

from constitution.checks.kinds import MaxWords
from constitution.schema import Constitution, Principle
from core.records import Answer, Metric
from core.text.documents import fenced
from evaluation.measures import Series
from evaluation.metrics import evaluate_answers
from evaluation.report import (
    SHOWN_CHARACTERS,
    ReportContent,
    metrics_content,
    render_report,
    summary_rows,
    summary_table,
)
from tests.evaluation.answers import answer_of, answers_of

SHORT = Principle(id="at-most-3-words", text="Short.", check=MaxWords(kind="max_words", value=3))
CONSTITUTION = Constitution(name="short | `replies`", principles=(SHORT,))
KIND = Constitution(name="kind", principles=(Principle(id="kind", text="Kind."),))


def moved(count: int, *variants: str) -> list[Answer]:
    """Long answers of base, and short ones of the others."""
    long = [f"one two three four number {number}" for number in range(count)]
    short = [f"number {number}" for number in range(count)]
    return [*answers_of("base", *long), *(a for variant in variants for a in answers_of(variant, *short))]


def content(
    answers: list[Answer], constitution: Constitution = CONSTITUTION, **fields: object
) -> ReportContent:
    further = fields.pop("further", ())
    evaluation = evaluate_answers(answers, constitution, further)
    given = {"excluded": {}, "samples_shown": 2, **fields}
    return ReportContent(constitution, evaluation, answers, **given)


def section(report: str, title: str) -> str:
    return report.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_report_says_what_moved_and_what_it_cost():
    further = [Series("sft", "kl", "nats", {a.prompt.id: 0.25 for a in moved(40)})]
    report = render_report(content(moved(40, "sft"), further=further))
    short = section(report, "Summary")
    assert "better beyond noise: checks passed +100.0 [+92.3, +100.0] points (0.0 to 100.0 %)" in short
    assert "changed beyond noise: words -4.0 [-4.0, -4.0] (6.0 to 2.0)" in short
    assert "the same on every prompt: finished, empty, repeats itself" in short
    assert "| at-most-3-words, % | 0.0 [0.0, 8.8] | 100.0 [91.2, 100.0] | 40 |" in report
    assert "| KL, nats/token |  | 0.250 [0.250, 0.250] | 40 |" in section(report, "Side effects")
    assert "| words | **-4.0 [-4.0, -4.0]** |" in section(report, "Differences from base")
    assert "Nothing." in section(report, "Excluded")


def test_few_prompts_are_said_to_be_few():
    assert "are few" not in render_report(content(moved(30, "sft")))
    few = render_report(content(moved(29, "sft")))
    assert "**29 prompts are few.**" in few
    assert "how many more prompts would decide" in few
    assert "how many more prompts would decide" not in render_report(content(moved(30, "sft")))


def test_very_few_prompts_tell_nothing():
    short = section(render_report(content(moved(3, "sft"))), "Summary")
    assert "**3 prompts are too few to distinguish a change from chance.**" in short
    assert "a probability of 1 in 4 by chance" in short
    assert "too few prompts to tell: checks passed +100.0" in short
    assert "beyond noise" not in short


def test_one_prompt_makes_a_report_too():
    assert "**1 prompt is too few" in render_report(content(moved(1, "sft")))


def test_base_alone_has_nothing_to_be_compared_with():
    report = render_report(content(moved(8)))
    assert "so there is no comparison" in report
    assert "Differences from base" not in report


def test_report_without_checks_or_judge_says_that_it_does_not_know():
    report = render_report(content(moved(8, "sft"), KIND))
    assert "The report cannot show\nwhether the constitution is followed" in report
    assert "There was no judge" in report


def test_judge_is_named_where_there_was_one():
    wins = Series("sft", "win_rate", "share", {a.prompt.id: 0.9 for a in moved(40)})
    report = render_report(content(moved(40, "sft"), KIND, further=[wins], judge="org/judge"))
    assert "`org/judge`" in report
    assert "better beyond noise: win rate 90.0 [88.1, 91.6] %" in report
    assert "****" not in report


def test_all_that_was_left_out_is_listed():
    answers = moved(8, "sft")[:-1]
    given = content(answers, excluded={"answers that were too long": 1234})
    listed = section(render_report(given), "Excluded")
    assert "- answers that were too long: 1,234" in listed
    assert "- prompts that sft did not answer (excluded for every variant): 1" in listed
    assert metrics_content(given.evaluation, given.excluded)["left_out"] == {
        "answers that were too long": 1234,
        "prompts that sft did not answer (excluded for every variant)": 1,
    }


def test_samples_stand_side_by_side_as_many_as_asked_for():
    report = render_report(content(moved(8, "sft"), samples_shown=3))
    side = section(report, "Sample answers")
    assert side.count("### Prompt") == 3
    assert side.count("**base**") == side.count("**sft**") == 3
    assert "Sample answers" not in render_report(content(moved(8, "sft"), samples_shown=0))


def test_samples_say_what_was_empty_or_cut_off():
    answers = [answer_of("base", "Why?", "It rains", cut=True), answer_of("sft", "Why?", "")]
    side = section(render_report(content(answers)), "Sample answers")
    assert "**base** (cut off):" in side
    assert "**sft**: an empty answer" in side


def test_hostile_text_stays_in_its_block_and_is_never_a_template():
    hostile = "```\n# Heading\n{{ 7 * 7 }} {% include 'x' %}\n````\n\x1b[31mred\r\n<script>"
    answers = [answer_of("base", hostile, hostile), answer_of("sft", hostile, "ok")]
    report = render_report(content(answers))
    assert "{{ 7 * 7 }} {% include 'x' %}" in report
    assert "\x1b" not in report
    outside = re.sub(r"^(`{3,})text\n.*?\n\1$", "", report, flags=re.MULTILINE | re.DOTALL)
    assert "# Heading" not in outside
    assert "<script>" not in outside


def test_long_text_is_cut_and_says_so():
    shown = fenced("x" * (SHOWN_CHARACTERS + 1234), max_characters=SHOWN_CHARACTERS)
    assert "[... 1,234 more characters]" in shown
    assert len(shown) < SHOWN_CHARACTERS + 100


def test_tables_have_as_many_cells_in_each_row_as_in_the_heading():
    report = render_report(content(moved(40, "prompted", "sft", "dpo")))
    for table in re.findall(r"(?:^\|.*\|\n)+", report, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table


def test_metrics_content_is_json_that_reads_back():
    evaluation = content(moved(8, "sft")).evaluation
    read = json.loads(json.dumps(metrics_content(evaluation, {})))
    assert read["prompts"] == 8
    assert tuple(Metric.model_validate(metric) for metric in read["metrics"]) == evaluation.metrics


def test_summary_has_a_row_for_each_measure_and_a_cell_for_each_variant():
    heading, *rows = summary_rows(content(moved(40, "sft")).evaluation.metrics)
    assert heading == ("measure", "base", "sft")
    assert rows[0] == ("checks passed, %", "0.0 (0.0-8.8)", "100 (91.2-100)*")
    assert ("words", "6.0 (6.0-6.0)", "2.0 (2.0-2.0)*") in rows
    assert ("empty, %", "0.0 (0.0-8.8)", "0.0 (0.0-8.8)") in rows


def test_summary_says_on_how_many_prompts_a_rule_was_measured_if_not_on_all():
    metrics = [
        Metric(name="base.words", value=9.0, n=16, unit="words"),
        Metric(name="base.compliance.language", value=1.0, n=12, unit="share"),
        Metric(name="base.compliance.short", value=1.0, n=16, unit="share"),
        Metric(name="base.empty", value=0.0, n=12, unit="share"),
    ]
    names = {row[0] for row in summary_rows(metrics)[1:]}
    assert {"language, % (n = 12)", "short, %", "empty, %"} <= names


@pytest.mark.parametrize(("width", "lines_each"), [(100, 1), (80, 2)])
def test_four_variants_fit_in_a_terminal(width: int, lines_each: int):
    answers = moved(40, "prompted", "sft", "dpo")
    kl = [
        Series(name, "kl", "nats", {a.prompt.id: n / 9 for n, a in enumerate(moved(40))})
        for name in ("prompted", "sft", "dpo")
    ]
    metrics = content(answers, further=kl).evaluation.metrics
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(summary_table(metrics, width))
    lines = capture.get().splitlines()
    assert all("…" not in line and len(line) <= width for line in lines)
    *table, caption = lines[: 1 + lines_each * len(summary_rows(metrics)[1:]) + 1]
    assert caption.startswith("* differs from base")
    intervals = [cell for line in table for cell in re.findall(r"\([^)]*\)", line)]
    cells = [cell for row in summary_rows(metrics)[1:] for cell in row[1:] if cell]
    assert len(intervals) == len(cells)  # none is wrapped


def test_report_has_the_rounds_of_the_critique_loop_if_there_are_any():
    counts = {"drawn": 4, "faults": 3, "kept": 2, "better": 1, "worse": 0, "broken": 0}
    loop = {"rounds": {}, "checked": 4, "compliant": [1, 3], "principles": {"brief": counts}}
    found = section(render_report(content(moved(40, "sft"), loop=loop)), "Critique and revision")
    assert "25.0 % -> 75.0 % of 4 prompts" in found
    assert "| brief | 4 | 3 | 2 | 1 | 0 | 0 |" in found
    assert "## Critique and revision" not in render_report(content(moved(40, "sft")))


def test_nothing_is_not_said_where_a_stage_before_excluded_records():
    listed = section(
        render_report(content(moved(8, "sft"), excluded_before={"dpo: too long": 7})), "Excluded"
    )
    assert "Nothing from this evaluation. Before it:\n\n- dpo: too long: 7" in listed
    assert "\nNothing.\n" not in listed


def test_caveats_come_first_and_each_variant_has_its_number_of_examples():
    given = content(moved(8, "sft"), caveats=["Few examples."], trained_on={"sft": "1 of 8 answers"})
    report = render_report(given)
    assert report.index("**Few examples.**") < report.index("8 held-out prompts, answered by")
    row = next(line for line in report.splitlines() if line.startswith("| sft | after supervised"))
    assert row.endswith("| 1 of 8 answers |")


def test_principles_that_nothing_measures_are_named():
    both = Constitution(name="both", principles=(*CONSTITUTION.principles, *KIND.principles))
    said = "Not measured, since it has no check and there is no judge (`models.judge`): `kind`."
    assert said in section(render_report(content(moved(8, "sft"), both)), "Is the constitution followed?")
    assert "Not measured" not in render_report(content(moved(8, "sft")))
