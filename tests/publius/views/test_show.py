"""`publius show`: a run as a whole, filters, tables, and one record."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Constitution, Principle
from core.records import Judgment, Preference
from labelers.crowd.aggregate import aggregate
from publius.config.stand_ins import stand_ins_described
from publius.console import out
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import caveats, check_caveats
from publius.runs.pairs.filters import PreferenceFilter
from publius.runs.pairs.label_metrics import judgment_metrics
from publius.stages.runner import RunRequest, execute
from publius.views.looking.advice import next_commands
from publius.views.looking.cells import told_apart
from publius.views.looking.figures import PreferenceFigures
from publius.views.looking.judged import JudgmentFigures
from publius.views.looking.overview import print_overview
from publius.views.looking.reading import read_overview
from publius.views.report.writing import ReportRequest, write_report
from tests.publius.invoking import here
from tests.publius.people import pair, person
from tests.publius.projects import RUN, Recorder, write_project
from tests.publius.test_cli import mistakes

TAGS = ("calm", "angry", "calm")
SHORT = Principle(id="short", text="The reply is short.", check={"kind": "max_words", "value": 9})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of eighteen prompts with tags and a column of their own."""
    project = tmp_path_factory.mktemp("show")
    run_file = write_project(project, run=RUN)
    rows = [
        {
            "prompt": f"Number {n}: what is {n} times {n}?",
            "split": "train",
            "tags": [TAGS[n % 3]],
            "ticket": n,
        }
        for n in range(18)
    ]
    (project / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return execute(RunRequest(run_file), Recorder()).folder


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def shown(*arguments: object) -> dict[str, Any]:
    done = here("show", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_figures_are_those_of_the_records(folder: Path, capsys: pytest.CaptureFixture[str]):
    preferences = lines(folder, "preferences.jsonl")
    found = shown(folder)
    figures = found["figures"]
    number = figures["all"]["pairs"]
    assert number == len(preferences) > 10
    mean = sum(p["p_chosen"] for p in preferences) / number
    assert figures["all"]["mean_p"] == pytest.approx(mean, abs=1e-4)
    assert sum(figures["certainty"].values()) == number
    assert figures["certainty"]["tie"] == sum(p["p_chosen"] == 0.5 for p in preferences)
    tags = Counter(tag for p in preferences for tag in p["tags"])
    assert {name: one["pairs"] for name, one in figures["by_tag"].items()} == dict(tags)
    for name, one in figures["by_principle"].items():
        judged = [p for p in preferences if name in p["by_principle"]]
        decided = [p for p in judged if p["p_chosen"] > 0.5]
        assert one["pairs"] == len(judged)
        assert one.get("agrees", 0) == sum(p["by_principle"][name] > 0.5 for p in decided)
        assert one.get("against", 0) == sum(p["by_principle"][name] < 0.5 for p in decided)
    judgments = lines(folder, "judgments.jsonl")
    own = [j for j in judgments if j["labeler"] == "check"]
    said = Counter(j["comment"] for j in own)
    assert figures["by_check"] == {
        "short": {"both_pass": said["a passes, b passes"], "both_fail": said["a fails, b fails"]}
    }
    assert sum(said.values()) == number
    decided_by_check = {j["comparison_id"] for j in own if j["p_a"] != 0.5}
    assert figures["by_source"]["check"]["decided_pairs"] == len(decided_by_check) < number
    assert figures["by_source"]["check"]["pairs"] == number
    comparisons = {c["id"]: c for c in lines(folder, "comparisons.jsonl")}
    chosen = {p["comparison_id"]: p["chosen"][0]["content"] for p in preferences if p["p_chosen"] > 0.5}
    p_of_chosen = [
        j["p_a"]
        if comparisons[j["comparison_id"]]["response_a"] == chosen[j["comparison_id"]]
        else 1 - j["p_a"]
        for j in judgments
        if j["labeler"] == "ai" and j["p_a"] not in (None, 0.5) and j["comparison_id"] in chosen
    ]
    print_overview(read_overview(folder, PreferenceFilter(), 1))
    printed = capsys.readouterr().out.partition("By source")[2].splitlines()
    assert printed[1].split("  ")[-1] == "mean p"
    assert "prefers one" in printed[1]  # "decided" would read as what decides the label
    assert "decided" not in printed[1]
    by_ai = figures["by_source"]["ai"]
    assert (by_ai["agrees"], by_ai["against"]) == (
        sum(p > 0.5 for p in p_of_chosen),
        sum(p < 0.5 for p in p_of_chosen),
    )
    assert by_ai["mean_p"] == pytest.approx(sum(p_of_chosen) / len(p_of_chosen), abs=1e-4)
    assert list(figures["by_principle"]) == [
        "plain",
        "honest",
        "kind",
        "short",
    ]  # as the constitution has them
    decided = [p for p in preferences if p["p_chosen"] > 0.5]
    words = [len(p["chosen"][0]["content"].split()) for p in decided]
    assert figures["lengths"]["chosen_words"] == pytest.approx(sum(words) / len(decided), abs=0.05)
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    assert found["total"]["completion_tokens"] == sum(
        s["requests"]["completion_tokens"] for s in stages.values()
    )


def test_rows_are_ten_at_most_and_the_same_each_time(folder: Path):
    found = shown(folder)["rows"]
    ids = sorted(p["id"] for p in lines(folder, "preferences.jsonl"))
    assert [row["id"] for row in found] == ids[:10]
    assert [row["id"] for row in shown(folder, "--rows", 3)["rows"]] == ids[:3]


def test_what_the_scripted_engine_wrote_is_said_first(folder: Path):
    said = f"No model wrote this: {stand_ins_described(('policy', 'critic', 'labeler'))}."
    assert said in here("show", folder).stdout.partition("10 of ")[0]


def test_a_check_that_labels_go_against_is_named_alike_by_show_the_summary_and_the_page(
    folder: Path, tmp_path: Path
):
    copy = shutil.copytree(folder, tmp_path / folder.name)
    outcome = {"comment": "a passes, b fails"}
    judged = [j | outcome if j["labeler"] == "check" else j for j in lines(copy, "judgments.jsonl")]
    (copy / "judgments.jsonl").write_text("".join(json.dumps(judgment) + "\n" for judgment in judged))
    against = [
        p | {"p_chosen": 0.6, "by_principle": {"short": 0.05}} for p in lines(copy, "preferences.jsonl")
    ]
    (copy / "preferences.jsonl").write_text("".join(json.dumps(preference) + "\n" for preference in against))
    overview, manifest = read_overview(copy, PreferenceFilter(), 3), read_manifest(copy)
    (said,) = check_caveats(copy)
    number = len(against)
    assert said.startswith(f"In {number} of {number} pairs in which one answer keeps `short`, the one that")
    assert said in overview.small_print
    assert said in caveats(copy, manifest, {})
    (shown,) = (meaning for command, meaning in overview.next if "--principle short" in command)
    assert shown == f"an answer that breaks it was chosen in {number} of {number} pairs"
    page = write_report(ReportRequest((copy,), tmp_path / "page.html")).contents
    assert [alarm.text for alarm in page.alarms if alarm.where == "checks"] == [said]


def test_a_filtered_view_keeps_what_speaks_against_the_labeler(folder: Path, tmp_path: Path):
    copy = shutil.copytree(folder, tmp_path / folder.name)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["audit"] = {"problems": ["worse than chance"]}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    turned = [
        j | {"orders": {"a_first": 1.0, "b_first": -1.0}} if j["labeler"] == "ai" else j
        for j in lines(copy, "judgments.jsonl")
    ]
    (copy / "judgments.jsonl").write_text("".join(json.dumps(judgment) + "\n" for judgment in turned))
    against = [
        "The audit of the labeler found a problem: worse than chance.",
        "Position decided 100% of the AI labeler's judgments: hardly better than chance.",
    ]
    for conditions in ((), ("--min-p", 0.51), ("--tag", "calm")):
        assert [line for line in shown(copy, *conditions)["small_print"] if line in against] == against


def test_a_record_is_shown_with_its_prompt_and_own_columns_and_the_reason_of_its_exclusion(tmp_path: Path):
    rules = tmp_path / "rules.yaml"
    hard = "{id: no-refund, text: No refunds., hard: true, check: {kind: contains_none, value: [refund]}}"
    rules.write_text(f"name: desk\nprinciples:\n  - {hard}\n")
    rows = [
        {
            "prompt": f"Where is bike {n}?",
            "response_a": f"A refund {n}.",
            "response_b": said,
            "Ticket": f"T-7{n}",
        }
        for n, said in enumerate(("Go to the app.", "We refund it."))
    ]
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--to", tmp_path, "--set", "engine.kind=scripted")
    assert here("label", "--pairs", tmp_path / "two.jsonl", "--constitution", rules, *options).returncode == 0
    (folder,) = (tmp_path / "runs").iterdir()
    (excluded,), (label,) = lines(folder, "exclusions.jsonl"), lines(folder, "preferences.jsonl")
    for identity in (excluded["record_id"], excluded["id"]):
        said = here("show", folder, identity).stdout
        for part in ("[user] Where is bike 1?", "Ticket: T-71", "excluded by aggregate: both answers break"):
            assert part in said
        assert "split None" not in said
    said = here("show", folder, label["id"]).stdout
    assert "[user] Where is bike 0?" in said
    assert "Ticket: T-70" in said


def test_the_own_columns_of_a_prompt_are_below_it(folder: Path):
    (preference, *_) = lines(folder, "preferences.jsonl")
    said = here("show", folder, preference["id"]).stdout
    assert re.search(r"\[user\] Number (\d+): .*\n.*tags .*\nticket: \1\n", said)


def test_filters_count_what_they_leave_out_with_the_reason(folder: Path):
    preferences = lines(folder, "preferences.jsonl")
    certain = sorted(p["p_chosen"] for p in preferences)[len(preferences) // 3]
    found = shown(folder, "--min-p", certain, "--tag", "calm")
    below = sum(p["p_chosen"] < certain for p in preferences)
    passing = sum(p["p_chosen"] >= certain and "calm" in p["tags"] for p in preferences)
    assert found["figures"]["all"]["pairs"] == passing
    assert sum(found["left_out"].values()) == len(preferences) - passing
    assert found["left_out"][f"with p of the chosen answer below {certain:g}"] == below
    assert found["filter"] == {"min_p": certain, "tag": ["calm"]}
    under = shown(folder, "--principle", "honest", "--principle", "kind", "--source", "check")
    wanted = [
        p for p in preferences if {"honest", "kind"} & p["by_principle"].keys() and "check" in p["sources"]
    ]
    assert under["figures"]["all"]["pairs"] == len(wanted)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        (
            "--tag",
            "rude",
            "without the tag rude; accepted: other conditions; tags angry, calm",
        ),
        ("--source", "anna", "not judged by anna; accepted: other conditions; sources ai, check"),
        ("--principle", "brief", "unknown principle 'brief'; accepted: one of plain, honest, kind, short"),
    ],
)
def test_filters_that_nothing_passes_name_what_is_there(folder: Path, option: str, value: str, expected: str):
    done = here("show", folder, option, value)
    assert done.returncode == 2
    assert expected in " ".join(done.stderr.split())


def test_tables_fit_in_80_columns(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(out, "_width", 80)
    monkeypatch.setattr(out, "soft_wrap", True)
    print_overview(read_overview(folder, PreferenceFilter(), 10))
    text, _, further = capsys.readouterr().out.partition("Look further")
    assert further
    sentences = caveats(folder, read_manifest(folder), judgment_metrics(folder))  # a terminal wraps them
    assert max(len(line) for line in text.splitlines() if line not in sentences) <= 80


def test_answers_that_begin_alike_are_shown_from_where_they_differ():
    same = "word " * 30
    first, second = told_apart(f"{same}left end", f"{same}right end", 60)
    assert first.startswith("... word")
    assert first.endswith("word left end")
    assert second.endswith("word right end")
    assert len(first) <= 60
    assert told_apart("Yes, it does.", "Yes, it  may.", 60) == ("Yes, it does.", "Yes, it may.")
    assert told_apart("x" * 90 + "1", "x" * 90 + "2", 40) == ("x" * 90 + "1", "x" * 90 + "2")


def test_a_row_has_its_tags_and_a_line_for_each_text(folder: Path):
    assert "No preferences" not in here("show", folder, "--rows", 0).stdout
    said = here("show", folder, "--rows", 1).stdout.splitlines()
    start = next(number for number, line in enumerate(said) if line.startswith("id, p of the chosen answer"))
    (row,) = shown(folder, "--rows", 1)["rows"]
    head, chosen, rejected = said[start + 1 : start + 4]
    assert head.split()[:3] == [row["id"][:8], f"{row['p_chosen']:.2f}", f"[{row['tags'][0]}]"]
    assert chosen.split()[0] == "chosen"
    assert rejected.split()[0] == "rejected"


def test_a_run_without_preferences_shows_drafts(tmp_path: Path):
    run_file = write_project(tmp_path)
    folder = execute(RunRequest(run_file, (), ("critique",)), Recorder()).folder
    found = shown(folder)
    assert found["figures"] == {}
    traces = {trace["id"]: trace for trace in lines(folder, "traces.jsonl")}
    assert [row["id"] for row in found["rows"]] == sorted(traces)
    for row in found["rows"]:
        assert row["draft"] == traces[row["id"]]["initial"]["text"]
    assert "All 8 drafts and last revisions" in here("show", folder).stdout


def test_a_pair_is_a_table_of_the_principles_with_p_of_the_chosen_answer(folder: Path):
    comparisons = {c["id"]: c for c in lines(folder, "comparisons.jsonl")}
    sides = set()
    for preference in lines(folder, "preferences.jsonl"):
        told = here("show", folder, preference["id"]).stdout
        first = comparisons[preference["comparison_id"]]["response_a"]
        sides.add(preference["chosen"][0]["content"] == first)
        told_lines = told.splitlines()
        start = next(n for n, line in enumerate(told_lines) if line.startswith("principle "))
        table = [line.split() for line in told_lines[start + 1 :] if line[:1].strip()]
        assert f"> pair {preference['comparison_id']}, preference {preference['id']}" in told
        names = [cells[0] for cells in table]
        known = ["plain", "honest", "kind", "short"]
        assert names == [name for name in known if name in preference["by_principle"]]
        for name, _, p, *_ in table:
            assert p == f"{preference['by_principle'][name]:.2f}"
        assert "The reply has at most twelve words." in told
        assert "critiquetrace" not in told.lower()
    assert sides == {True, False}  # whichever answer is `a`


def test_the_id_that_is_asked_for_is_shown(folder: Path):
    for name in ("prompts", "traces", "comparisons", "judgments", "preferences"):
        identity = lines(folder, f"{name}.jsonl")[0]["id"]
        assert identity in here("show", folder, identity).stdout, name


@pytest.mark.parametrize("command", ["show", "chat", "annotate", "export", "push", "eval", "select", "serve"])
def test_several_runs_for_a_command_of_one_are_one_clear_line(command: str, folder: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text("{}")
    done = here(command, folder, other)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"2 runs are given ({folder}, {other}), and publius {command} takes one" in line
    assert f"run: publius report {folder} {other}" in line


def test_pairs_that_people_judged_as_a_whole_are_counted_and_what_they_took_back_is_not():
    figures, judged = PreferenceFigures(0), JudgmentFigures()
    voted, checked = pair("How?"), pair("Why?")
    said = [person(voted.id, "a"), person(voted.id, "b", who="ben")]
    said.append(person(voted.id, "b", supersedes=said[0].id))
    checks = [
        Judgment(
            id="c", comparison_id=checked.id, labeler="check", verdict="a", p_a=0.95, principle_id="short"
        )
    ]
    for comparison, judgments in ((voted, said), (checked, checks)):
        preference = aggregate(comparison, judgments, Constitution(name="x", principles=(SHORT,)))
        assert isinstance(preference, Preference)
        figures.add(preference)
        judged.expect(preference)
        for judgment in judgments:
            judged.add(judgment)
    judged.settle()
    assert (figures.all.pairs, figures.unprincipled) == (2, 1)
    votes = judged.sources["crowd"]
    assert (votes.judgments, votes.agrees, votes.against, votes.mean_p) == (2, 2, 0, 1.0)
    assert (judged.sources["check"].mean_p, len(judged.sources["check"].decided)) == (0.95, 1)


def test_pairs_to_ask_people_about_are_those_that_no_person_judged():
    figures, tied, unsure = PreferenceFigures(0), pair("How?"), pair("Why?")
    constitution = Constitution(name="x", principles=(Principle(id="kind", text="The reply is kind."),))
    ai = Judgment(id="ai", comparison_id=unsure.id, labeler="ai", verdict="a", p_a=0.55, principle_id="kind")
    for comparison, judgment in ((tied, person(tied.id, "tie")), (unsure, ai)):
        preference = aggregate(comparison, [judgment], constitution)
        assert isinstance(preference, Preference)
        figures.add(preference)
    assert (sum(figures.certainty[:2]), figures.unasked) == (2, 1)
    said = dict(next_commands(Path("RUN"), figures, None, {"stages": {}}))
    assert said["publius select RUN --budget 1 --to ask.jsonl"].startswith("1 pair with p of at most 0.6")


def test_a_filter_with_an_id_is_refused(folder: Path):
    done = here("show", folder, "abc", "--tag", "calm")
    assert done.returncode == 2
    assert "drop them, or the ID" in done.stderr


def test_a_table_has_one_row_for_each_pair_and_the_own_columns(folder: Path, tmp_path: Path):
    preferences = {p["id"]: p for p in lines(folder, "preferences.jsonl")}
    done = here("show", folder, "--to", tmp_path / "all.csv", "--columns", "all")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == preferences.keys()
    assert [name for name in rows[0] if name.startswith("p:")] == ["p:plain", "p:honest", "p:kind", "p:short"]
    for row in rows:
        preference = preferences[row["id"]]
        assert float(row["p_chosen"]) == preference["p_chosen"]
        assert row["chosen"] == preference["chosen"][0]["content"]
        assert row["prompt"].startswith(f"Number {row['ticket']}:")
        for name in ("plain", "honest", "kind", "short"):
            p = preference["by_principle"].get(name)
            assert row[f"p:{name}"] == ("" if p is None else str(p))


def test_a_csv_file_for_readers_has_plain_columns_without_ids(folder: Path, tmp_path: Path):
    done = here("show", folder, "--to", tmp_path / "manager.csv")
    assert done.returncode == 0, done.stderr
    assert "--columns all has ids" in " ".join(done.stderr.split())
    with (tmp_path / "manager.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("prompt", "chosen answer", "rejected answer", "probability chosen is better"),
        *("by plain", "by honest", "by kind", "by short"),
        *("labelled by", "words chosen", "words rejected", "tags", "ticket"),
    ]
    numbers = [
        cell for row in rows for name, cell in row.items() if name.startswith(("prob", "by ")) and cell
    ]
    assert numbers
    assert all(len(cell) <= len("0.99") for cell in numbers)
    (line,) = mistakes(here("import", "labels", tmp_path / "manager.csv", "--to", tmp_path / "people"))
    assert "its labels are the machines'" in line
    assert "--columns all" in line


def test_columns_of_a_table_are_chosen_by_name(folder: Path, tmp_path: Path):
    chosen = ("--columns", "ticket,p_chosen", "--columns", "p:kind")
    assert shown(folder, "--to", tmp_path / "some.csv", *chosen)["columns"] == [
        "ticket",
        "p_chosen",
        "p:kind",
    ]
    (line,) = mistakes(here("show", folder, "--to", tmp_path / "x.csv", "--columns", "p_choosen"))
    assert "no column 'p_choosen'" in line
    assert "p_chosen" in line.partition("accepted:")[2]
    assert not (tmp_path / "x.csv").exists()


def test_a_parquet_file_has_the_same_rows_with_types(folder: Path, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    found = shown(folder, "--tag", "angry", "--to", tmp_path / "angry.parquet")
    table = parquet.read_table(tmp_path / "angry.parquet").to_pylist()
    preferences = lines(folder, "preferences.jsonl")
    wanted = {p["id"]: p for p in preferences if p["tags"] == ["angry"]}
    assert found["rows"] == len(wanted)
    assert found["left_out"] == {"without the tag angry": len(preferences) - len(wanted)}
    assert {row["id"]: row["p_chosen"] for row in table} == {i: p["p_chosen"] for i, p in wanted.items()}
    assert all(isinstance(row["ticket"], int) for row in table)


def test_no_text_becomes_a_formula_of_a_spreadsheet(folder: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("manifest.json", "constitution.yaml", "prompt_columns.jsonl", "prompts.jsonl"):
        (copy / name).write_bytes((folder / name).read_bytes())
    preference = lines(folder, "preferences.jsonl")[0]
    preference["chosen"][0]["content"] = '=HYPERLINK("http://example.com")'
    (copy / "preferences.jsonl").write_text(json.dumps(preference) + "\n")
    found = shown(copy, "--to", tmp_path / "one.csv")
    assert found["quoted"] == 1
    assert "\"'=HYPERLINK" in (tmp_path / "one.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("name", "expected"), [("t.xlsx", "a name that ends in .csv or .parquet"), ("t.csv", "a new file")]
)
def test_a_table_that_cannot_be_written_is_refused(folder: Path, tmp_path: Path, name: str, expected: str):
    (tmp_path / "t.csv").write_text("mine")
    done = here("show", folder, "--to", tmp_path / name)
    assert done.returncode == 2
    assert expected in " ".join(done.stderr.split())
    assert (tmp_path / "t.csv").read_text() == "mine"


def test_the_figures_are_one_table_with_a_row_for_each_number(folder: Path, tmp_path: Path):
    file = tmp_path / "figures.csv"
    told = here("show", folder, "--summary-to", file)
    assert told.returncode == 0, told.stderr
    with file.open(newline="", encoding="utf-8-sig") as opened:
        rows = list(csv.DictReader(opened))
    assert list(rows[0]) == ["group", "name", "measure", "value", "low", "high", "n"]
    values = {(row["group"], row["name"], row["measure"]): row for row in rows}
    assert len(values) == len(rows)
    found = shown(folder)["figures"]
    for name, count in found["certainty"].items():
        assert float(values["certainty", name, "pairs"]["value"]) == count
    for group in ("by_principle", "by_tag", "by_source"):
        for name, tally in found[group].items():
            own = values[group.removeprefix("by_"), name, "pairs"]
            assert float(own["value"]) == tally["pairs"]
    chosen = values["length", "chosen", "mean_words"]
    assert round(float(chosen["value"]), 1) == found["lengths"]["chosen_words"]
    share = values["length", "chosen", "longer_share"]
    assert float(share["low"]) <= float(share["value"]) <= float(share["high"])
    assert int(share["n"]) == found["lengths"]["pairs"]


def test_a_table_of_figures_is_refused_like_one_of_rows(folder: Path, tmp_path: Path):
    (tmp_path / "there.csv").write_text("")
    for name, said in (("there.csv", "path already exists"), ("figures.txt", "ends in .csv or .parquet")):
        told = here("show", folder, "--summary-to", tmp_path / name)
        assert (told.returncode, said in told.stderr) == (2, True)
        assert "--summary-to" in told.stderr
    assert here("show", folder, "--summary-to", "a.csv", "--to", "b.csv").returncode == 2


def test_a_report_of_a_run_that_only_labels_has_its_figures_as_tables(folder: Path, tmp_path: Path):
    told = here("report", folder, "--to", tmp_path / "r.html", "--figures", tmp_path / "paper", "--json")
    saved = {Path(name).name for name in json.loads(told.stdout)["saved"]}
    assert {"labels.md", "labels.csv"} <= saved
    assert "measures.csv" not in saved
    assert "**certainty**" in (tmp_path / "paper" / "labels.md").read_text()
