"""`publius show`: a run as a whole, filters, tables, and one record."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from publius.config.stand_ins import stand_ins_described
from publius.console import out
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import caveats
from publius.runs.pairs.filters import PreferenceFilter
from publius.runs.pairs.label_metrics import judgment_metrics
from publius.stages.runner import RunRequest, execute
from publius.views.looking.overview import print_overview
from publius.views.looking.reading import read_overview
from tests.publius.invoking import here
from tests.publius.projects import RUN, Recorder, write_project

TAGS = ("calm", "angry", "calm")


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


def test_figures_are_those_of_the_records(folder: Path):
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
        assert "> pair" in told
        names = [cells[0] for cells in table]
        known = ["plain", "honest", "kind", "short"]
        assert names == [name for name in known if name in preference["by_principle"]]
        for name, _, p, *_ in table:
            assert p == f"{preference['by_principle'][name]:.2f}"
        assert "The reply has at most twelve words." in told
        assert "critiquetrace" not in told.lower()
    assert sides == {True, False}  # whichever answer is `a`


def test_a_filter_with_an_id_is_refused(folder: Path):
    done = here("show", folder, "abc", "--tag", "calm")
    assert done.returncode == 2
    assert "drop them, or the ID" in done.stderr


def test_a_table_has_one_row_for_each_pair_and_the_own_columns(folder: Path, tmp_path: Path):
    preferences = {p["id"]: p for p in lines(folder, "preferences.jsonl")}
    done = here("show", folder, "--to", tmp_path / "all.csv")
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
