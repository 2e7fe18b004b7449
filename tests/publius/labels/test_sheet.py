"""Comparisons go to a person as a sheet and come back as that person's judgments, never as the machines'."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from core.records import Comparison, Judgment, Message, Prompt
from labelers.formats.tools.sheets import SHEET_VERDICTS, BlindSheet
from labelers.formats.tools.sheets import _outcome as sheet_outcome
from publius.runs.pairs.tables import TableCounts, conversation_text, csv_parts
from publius.stages.runner import RunRequest, execute
from tests.labelers.formats.reading import given, imported
from tests.publius.invoking import files_of, here
from tests.publius.people import person, write_people
from tests.publius.projects import Recorder, write_project
from tests.publius.test_cli import mistakes

WORDS = ["1", "2.0", "Answer 1", "tie", "neither", "?", "", "perhaps"]
SAID = ["first", "second", "first", "tie", "both_bad", "skip"]
"""What the first six words mean; a blank cell and an unknown word drop their rows."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of eight comparisons without people."""
    return execute(RunRequest(write_project(tmp_path_factory.mktemp("project"), 8)), Recorder()).folder


@pytest.fixture(scope="module")
def own(run: Path) -> dict[str, Comparison]:
    found = map(Comparison.model_validate_json, (run / "comparisons.jsonl").read_text().splitlines())
    return {comparison.id: comparison for comparison in found}


@pytest.fixture
def sheet(run: Path, tmp_path: Path) -> Path:
    done = here("select", run, "--budget", 8, "--sheet", tmp_path / "ask.csv")
    assert (done.returncode, done.stdout.count("wrote ")) == (0, 1), done.stderr
    assert "import labels" in done.stderr
    return tmp_path / "ask.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def saved(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A table as a German Excel saves it."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return path


def judgments(folder: Path) -> list[Judgment]:
    return list(map(Judgment.model_validate_json, (folder / "judgments.jsonl").read_text().splitlines()))


def summary_of(*arguments: object) -> dict[str, Any]:
    done = here("import", "labels", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_a_sheet_shows_neither_the_machines_labels_nor_where_answers_come_from(
    sheet: Path, own: dict[str, Comparison]
):
    rows = rows_of(sheet)
    assert list(rows[0]) == ["id", "prompt", "answer_1", "answer_2", "better", "who", "comment"]
    for row in rows:
        comparison = own[row["id"]]
        assert {row["answer_1"], row["answer_2"]} == {comparison.response_a, comparison.response_b}
        assert (row["better"], row["who"], row["comment"]) == ("", "", "")
    assert sheet.read_bytes().startswith(b"\xef\xbb\xbf")


def test_the_order_is_shuffled_and_the_same_each_time(
    run: Path, own: dict[str, Comparison], sheet: Path, tmp_path: Path
):
    here("select", run, "--budget", 8, "--sheet", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == sheet.read_bytes()
    first = {row["answer_1"] == own[row["id"]].response_a for row in rows_of(sheet)}
    assert first == {True, False}


def test_decisions_come_back_on_the_answers_that_were_meant(
    sheet: Path, own: dict[str, Comparison], tmp_path: Path
):
    rows = [row | {"better": word, "who": "Marta"} for row, word in zip(rows_of(sheet), WORDS, strict=True)]
    summary = summary_of(saved(tmp_path / "back.csv", rows), "--to", tmp_path / "people")
    assert (summary["format"], summary["labeler"], summary["annotators"]) == ("sheet", "human", 1)
    assert (summary["kept"], summary["dropped"]) == (6, 2)
    reasons = {entry["reason"] for entry in summary["dropped_for"]}
    assert reasons == {"not answered: the column better is empty", "the verdict is not recognised"}
    found = {judgment.comparison_id: judgment for judgment in judgments(tmp_path / "people")}
    for row, said in zip(rows, SAID, strict=False):
        sides = {"first": row["answer_1"], "second": row["answer_2"]}
        a_is = "first" if own[row["id"]].response_a == sides["first"] else "second"
        expected = {"first": "a" if a_is == "first" else "b", "second": "a" if a_is == "second" else "b"}
        assert found[row["id"]].verdict == expected.get(said, said)
        assert found[row["id"]].shown_first == expected["first"]


def test_a_row_whose_text_was_changed_is_not_used(sheet: Path, tmp_path: Path):
    rows = [row | {"better": "1", "who": "m"} for row in rows_of(sheet)]
    rows[0]["answer_2"] += " and more"
    rows[1]["prompt"] = rows[2]["prompt"]
    summary = summary_of(saved(tmp_path / "back.csv", rows), "--to", tmp_path / "people")
    (entry,) = summary["dropped_for"]
    assert entry["rows"] == [1, 2]
    assert entry["reason"] == "the prompt or an answer is not the text that was written"


@pytest.mark.parametrize(
    "messages",
    [
        (("user", "=1+1 is what?"),),
        (("system", "Be brief."), ("user", "Hello,\r\nyou.")),
        (("user", "A?"), ("assistant", "B.\n\nReally: B."), ("user", "Why?")),
    ],
)
def test_any_conversation_survives_the_table(messages: tuple[tuple[str, str], ...], tmp_path: Path):
    prompt = Prompt.of(tuple(Message.model_validate({"role": r, "content": c}) for r, c in messages))
    comparison = Comparison.of(prompt, ("-1, since it is.", "x"), ("'=so\nsaid", "y"))
    cells = {"prompt": conversation_text(prompt.messages), "better": "1"}
    cells |= {"id": comparison.id, "answer_1": comparison.response_b, "answer_2": comparison.response_a}
    written = b"".join(csv_parts([cells], dict.fromkeys([*cells, "who"], "string"), TableCounts()))
    (tmp_path / "s.csv").write_bytes(written)
    back = imported(given(*rows_of(tmp_path / "s.csv")), tmp_path / "people")
    assert isinstance(back.source, BlindSheet)
    assert [(j.comparison_id, j.verdict) for j in back.judgments] == [(comparison.id, "b")]
    assert back.comparisons[comparison.id].prompt.messages == prompt.messages


def test_one_person_on_sheet_and_page_is_one_annotator(
    sheet: Path, own: dict[str, Comparison], tmp_path: Path
):
    rows = [row | {"better": "1", "who": " MARTA"} for row in rows_of(sheet)]
    summary_of(saved(tmp_path / "back.csv", rows), "--to", tmp_path / "people")
    page = [person(id, "a", "marta", labeler="human") for id in own]
    write_people(tmp_path / "page", page)
    done = here("agreement", tmp_path / "people", tmp_path / "page", "--json")
    assert [one["annotator"] for one in json.loads(done.stdout)["annotators"]] == ["human/marta"]


def test_one_name_in_two_cases_is_one_person_who_repeats_herself(sheet: Path, tmp_path: Path):
    row = rows_of(sheet)[0] | {"better": "1"}
    rows = [row | {"who": "Marta"}, row | {"who": "marta"}, row | {"who": "MARTA", "better": "2"}]
    summary = summary_of(saved(tmp_path / "back.csv", rows), "--to", tmp_path / "people")
    assert (summary["annotators"], summary["judgments"]) == (1, 2)
    assert (summary["duplicates"], summary["conflicts"]["count"]) == (1, 1)


def test_a_sheet_is_a_new_csv_file(run: Path, sheet: Path, tmp_path: Path):
    (line,) = mistakes(here("select", run, "--budget", 2, "--sheet", sheet))
    assert "path already exists" in line
    (line,) = mistakes(here("select", run, "--budget", 2, "--sheet", tmp_path / "s.xlsx"))
    assert "accepted: a name that ends in .csv" in line
    (line,) = mistakes(here("export", run, "--labels", "csv", "--to", tmp_path / "x"))
    assert "run: publius select RUN --budget N --sheet FILE.csv" in line


# The table of publius show --to, which has the machines' labels


@pytest.fixture
def table(run: Path, tmp_path: Path) -> Path:
    assert here("show", run, "--to", tmp_path / "pairs.csv", "--columns", "all").returncode == 0
    return tmp_path / "pairs.csv"


def test_the_machines_labels_are_not_imported_as_a_persons(run: Path, table: Path, tmp_path: Path):
    for file in (table, run / "preferences.jsonl"):
        (line,) = mistakes(here("import", "labels", file, "--to", tmp_path / "people"))
        assert "the labels in this table are the machines'" in line
        assert "--format trl" in line
        assert "--sheet FILE.csv" in line
    assert not (tmp_path / "people").exists()
    assert summary_of(table, "--to", tmp_path / "people", "--format", "trl")["labeler"] == "trl"


def test_the_column_that_a_person_added_is_what_counts(table: Path, tmp_path: Path):
    words = ["rejected", "chosen", "tie"]
    rows = [row | {"better": word, "who": "Ann"} for row, word in zip(rows_of(table), words, strict=False)]
    summary = summary_of(saved(tmp_path / "back.csv", rows), "--to", tmp_path / "people")
    assert (summary["format"], summary["labeler"], summary["kept"]) == ("pairs", "human", len(rows))
    found = {judgment.comparison_id: judgment for judgment in judgments(tmp_path / "people")}
    lines = (tmp_path / "people" / "comparisons.jsonl").read_text().splitlines()
    for comparison in map(Comparison.model_validate_json, lines):
        (row,) = [row for row in rows if row["comparison_id"] == comparison.id]
        liked = {"a": comparison.response_a, "b": comparison.response_b}.get(found[comparison.id].verdict)
        assert liked == {"rejected": row["rejected"], "chosen": row["chosen"]}.get(row["better"])
        assert found[comparison.id].p_a in (0.0, 0.5, 1.0)


def test_a_column_of_another_name_is_mapped(table: Path, tmp_path: Path):
    rows = [row | {"Urteil": "oben"} for row in rows_of(table)]
    mapped = ("--columns", "better=Urteil", "--verdicts", "b=oben")
    summary = summary_of(saved(tmp_path / "back.csv", rows), "--to", tmp_path / "people", *mapped)
    assert (summary["format"], summary["kept"]) == ("pairs", len(rows))


# Other tables


def test_columns_for_both_answers_read_any_table(table: Path, tmp_path: Path):
    rows = [row | {"better": "chosen"} for row in rows_of(table)]
    file = saved(tmp_path / "back.csv", rows)
    mapped = ("--columns", "response_a=chosen,response_b=rejected,verdict=better")
    words = ("--verdicts", "a=chosen,b=rejected")
    summary = summary_of(file, "--to", tmp_path / "people", *mapped, *words)
    assert (summary["format"], summary["kept"]) == ("columns", len(rows))
    (line,) = mistakes(here("import", "labels", file, "--to", tmp_path / "x", "--format", "trl", *mapped))
    assert "or --format columns, which reads any table" in line
    other = saved(tmp_path / "other.csv", [row | {"better": "mine"} for row in rows])
    (line,) = mistakes(here("import", "labels", other, "--to", tmp_path / "x", *mapped))
    assert "the verdict is not recognised" in line
    assert "accepted: a, first, left, one; b, second, right, two; tie, " in line
    assert "--verdicts a=THEIRS" in line
    assert not (tmp_path / "x").exists()


def test_force_replaces_an_import_and_nothing_else(tmp_path: Path):
    file, to = tmp_path / "votes.csv", tmp_path / "people"
    file.write_text("prompt,response_a,response_b,verdict\nWhy?,So.,No.,a\nHow?,So.,No.,chosen\n")
    done = here("import", "labels", file, "--to", to)
    assert "accepted: a, first, left, one; b, second, right, two; tie, " in " ".join(done.stdout.split())
    again = ("--verdicts", "b=chosen")
    (line,) = mistakes(here("import", "labels", file, "--to", to, *again))
    assert "or --force to replace it" in line
    assert summary_of(file, "--to", to, *again, "--force")["kept"] == 2
    assert len(judgments(to)) == 2
    (to / "notes.txt").write_text("mine")
    before = files_of(to)
    (line,) = mistakes(here("import", "labels", file, "--to", to, "--force"))
    assert "the folder holds another import" in line
    assert files_of(to) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["people", "votes.csv"]


def test_every_word_that_the_message_lists_is_accepted():
    listed = SHEET_VERDICTS.partition("; other words")[0]
    words = [word for group in listed.split("; ") for word in group.split(", ")]
    assert {"1", "2", "=", "?", "left", "chosen", "neither"} <= set(words)
    for word in words:
        sheet_outcome(word)
