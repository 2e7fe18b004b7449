"""`publius import labels`: any file becomes a folder of comparisons and judgments, whole or not at all."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, RunStateError
from core.records import Comparison, Judgment
from core.store.record_store import RecordStore
from core.terminal.interrupts import caught, interruption_message
from labelers.formats.people_columns import PEOPLE
from labelers.formats.source import Row
from labelers.importing import LabelImport
from publius.labels.importing import LabelsRequest, import_labels
from publius.sources.column_names import ColumnNames
from publius.sources.pairs import read_pair_rows
from publius.sources.prompts import PromptFile
from publius.sources.rows import DataSource
from tests.labelers.formats.reading import FIXTURES
from tests.publius.invoking import files_of, here
from tests.publius.test_cli import REPOSITORY, mistakes

HH_RLHF = Path(os.environ.get("PUBLIUS_HH_RLHF", "hh-rlhf is not here"))
"""The `harmless` test split of hh-rlhf, which is not part of the project."""
COLUMNS = "prompt=question,response_a=left_text,response_b=right_text,verdict=label,annotator=who"


def row(number: int = 0, **columns: Any) -> dict[str, Any]:
    return {"prompt": f"Question {number}?", "chosen": "Yes.", "rejected": "No.", **columns}


# Without the time of compression: it would be part of the test's name, which differs between processes then.
CUT_GZIP = gzip.compress(json.dumps(row()).encode() + b"\n" * 999, mtime=0)[:-9]


@pytest.fixture(autouse=True)
def _own_data_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def written(path: Path, *rows: Any) -> Path:
    lines = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines)
    return path


def summary_of(*arguments: object) -> dict[str, Any]:
    done = here("import", "labels", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def records(folder: Path) -> tuple[list[Comparison], list[Judgment]]:
    with RecordStore(folder, writable=False) as store:
        pairs = list(store.open("comparisons.jsonl", Comparison, "prompt.id"))
        return pairs, list(store.open("judgments.jsonl", Judgment, "comparison_id"))


def rated(number: int, *scores: float | None) -> dict[str, Any]:
    answers = [{"model": f"m{n}", "response": f"Answer {n}.", "score": s} for n, s in enumerate(scores)]
    return {"instruction": f"Question {number}?", "completions": answers}


# What is said


def test_the_summary_says_what_was_recognised_kept_and_dropped(tmp_path: Path):
    done = here("import", "labels", FIXTURES / "hh_rlhf.jsonl", "--to", tmp_path / "labels")
    assert done.returncode == 0
    assert "format hh-rlhf: chosen and rejected are transcripts of Human and Assistant" in done.stdout
    assert "1  an answer is empty (row 7: in chosen)" in done.stdout
    assert "1 judgment against an earlier one of the same annotator, all kept (row 16)" in done.stdout
    assert "1  two consecutive turns have the same role (row 9)" in done.stdout


def test_pairs_with_close_scores_are_excluded_and_counted(tmp_path: Path):
    file = written(tmp_path / "rated.jsonl", rated(0, 1, 2, 4, 4), rated(1, 3, 3, 4))
    labels = tmp_path / "labels"
    done = here("import", "labels", file, "--to", labels, "--min-margin", "2")
    assert done.returncode == 0, done.stderr
    assert "5 a score difference below 2 (rows 1, 2" in " ".join(done.stdout.split())
    assert "1  no pair with a score difference of at least 2 (row 2)" in done.stdout
    comparisons, judgments = records(labels)
    assert sorted(abs(one.margin or 0) for one in judgments) == [2, 2, 3, 3]
    # The ranking is still one decision.
    assert {one.weight for one in judgments} == {one.weight for one in comparisons} == {0.25}
    with pytest.raises(RunStateError, match="another import"):
        import_labels(LabelsRequest(DataSource(str(file)), labels))


def test_html_in_labelled_pairs_is_warned_of_and_read_as_text_if_asked_for(tmp_path: Path):
    file = tmp_path / "votes.csv"
    file.write_text(
        "prompt,response_a,response_b,verdict\nHow<br>now?,<p>No</p>,Yes &amp; no,a\nWhy?,So,No,b\n"
    )
    done = here("import", "labels", file, "--to", tmp_path / "kept")
    assert "1 of 2 pairs has HTML (<br>, <p>, &amp;)" in " ".join(done.stderr.split())
    assert "--html text; --html keep leaves this warning out" in " ".join(done.stderr.split())
    done = here("import", "labels", file, "--to", tmp_path / "read", "--html", "text")
    assert (done.returncode, "HTML" in done.stderr) == (0, False)
    answers = {text for one in records(tmp_path / "read")[0] for text in (one.response_a, one.response_b)}
    assert answers == {"No", "Yes & no", "So"}
    done = here("import", "labels", file, "--to", tmp_path / "kept", "--html", "text")
    assert "another import" in done.stderr


def test_quoted_mail_in_labelled_pairs_is_warned_of_and_left_out_if_asked_for(tmp_path: Path):
    mail = "No.\n\nOn 3 Nov 2026 at 10:12, Lee wrote:\n> Why?"
    answers = ({"response_a": mail, "response_b": "Yes"}, {"response_a": "So", "response_b": "No"})
    file = written(tmp_path / "v.jsonl", *({"prompt": "How?", "verdict": "a"} | one for one in answers))
    mapped = ("import", "labels", file)
    done = here(*mapped, "--to", tmp_path / "kept")
    warned = (
        '1 of 2 pairs has quoted mail ("On ... wrote:"), which checks and models take for the writer\'s; '
    )
    assert f"{warned}to leave it out: --quotes drop; --quotes keep" in " ".join(done.stderr.split())
    assert any(mail in (one.response_a, one.response_b) for one in records(tmp_path / "kept")[0])
    done = here(*mapped, "--to", tmp_path / "read", "--quotes", "drop")
    assert '1 of 2 pairs has quoted mail ("On ... wrote:"), which is left out' in " ".join(
        done.stderr.split()
    )
    assert any("No." in (one.response_a, one.response_b) for one in records(tmp_path / "read")[0])
    assert "another import" in here(*mapped, "--to", tmp_path / "kept", "--quotes", "drop").stderr


@pytest.mark.parametrize(
    ("rows", "least", "expected"),
    [
        ([rated(0, 1, 2)], "2", "no pair with a score difference of at least 2"),
        ([row()], "1", "no score difference"),
        ([row()], "0", "--min-margin: found 0; accepted: a number above 0"),
        ([row()], "nan", "--min-margin: found nan"),
    ],
)
def test_a_smallest_difference_that_leaves_nothing_is_refused(
    rows: list[Any], least: str, expected: str, tmp_path: Path
):
    file = written(tmp_path / "rated.jsonl", *rows)
    done = here("import", "labels", file, "--to", tmp_path / "labels", "--min-margin", least)
    assert done.returncode == 2
    assert expected in " ".join(done.stderr.split())
    assert not (tmp_path / "labels").exists()


def test_json_has_every_count(tmp_path: Path):
    found = summary_of(FIXTURES / "label_studio.json", "--to", tmp_path / "labels")
    assert found["rows"] == found["kept"] + found["dropped"] == 17
    assert found["format"] == "label-studio"
    assert found["duplicates"] == 2
    assert found["conflicts"] == {"count": 1, "rows": [15], "detail": found["conflicts"]["detail"]}
    assert sum(entry["count"] for entry in found["dropped_for"]) == found["dropped"]
    pairs, judgments = records(tmp_path / "labels")
    assert (len(pairs), len(judgments)) == (found["comparisons"], found["judgments"])
    assert sum(found["verdicts"].values()) == found["judgments"]


def test_columns_that_nothing_reads_are_named(tmp_path: Path):
    found = summary_of(FIXTURES / "helpsteer2.jsonl", "--to", tmp_path / "labels")
    assert found["passed_over"] == ["complexity", "verbosity"]


@pytest.mark.parametrize("column", ["rater", "Grader", "user_id", "worker id"])
def test_annotators_are_read_from_columns_of_other_names(column: str, tmp_path: Path):
    votes = [row(n, **{column: name}) for n in range(2) for name in ("ada", "bo")]
    file = written(tmp_path / "votes.jsonl", *votes)
    shown = here("import", "labels", file, "--to", tmp_path / "labels")
    assert shown.returncode == 0, shown.stderr
    assert f"annotators are read from the column {column!r}" in shown.stdout
    assert {judgment.annotator for judgment in records(tmp_path / "labels")[1]} == {"ada", "bo"}


def test_a_column_annotator_and_the_users_own_names_come_first(tmp_path: Path):
    file = written(
        tmp_path / "votes.jsonl", *(row(n, rater="ada", annotator="bo", who="cy") for n in range(2))
    )
    assert "annotators_in" not in summary_of(file, "--to", tmp_path / "one")
    assert {judgment.annotator for judgment in records(tmp_path / "one")[1]} == {"bo"}
    summary_of(file, "--to", tmp_path / "two", "--columns", "annotator=who")
    assert {judgment.annotator for judgment in records(tmp_path / "two")[1]} == {"cy"}


def test_a_column_that_repeats_names_is_hinted_at_if_nobody_is_named(tmp_path: Path):
    votes = [row(n, person=name, note=f"Note {n} of {name}") for n in range(3) for name in ("ada", "bo")]
    file = written(tmp_path / "votes.jsonl", *votes)
    shown = here("import", "labels", file, "--to", tmp_path / "labels")
    assert "if the column 'person' says who judged: --columns annotator=person" in shown.stderr
    assert "column 'note'" not in shown.stderr


def test_the_labeler_is_the_format_or_what_the_user_says(tmp_path: Path):
    file = written(tmp_path / "pairs.jsonl", row())
    summary_of(file, "--to", tmp_path / "one")
    summary_of(file, "--to", tmp_path / "two", "--labeler", "our people")
    assert [records(tmp_path / name)[1][0].labeler for name in ("one", "two")] == ["trl", "our people"]


# Files


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.jsonl.gz", "pairs.ndjson"])
def test_lines_are_read_plain_or_compressed(name: str, tmp_path: Path):
    file = written(tmp_path / name, row(1), "", '{"prompt": ', row(2))
    found = summary_of(file, "--to", tmp_path / "labels")
    assert (found["rows"], found["kept"]) == (3, 2)
    assert found["dropped_for"][0]["rows"] == [3]  # the line's number, the empty one counted


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz"])
def test_tables_are_read_with_their_columns_mapped(ending: str, tmp_path: Path):
    separator = "\t" if ending == ".tsv" else ","
    lines = [
        ["question", "left_text", "right_text", "label", "who"],
        ["Why?", '"So, ""then""\nand there."', "No.", "1", "ann"],
        ["Why?", "A.", "B.", "0", "ann"],
        ["Why?", "C.", "D.", "1", "ann", "surplus"],
    ]
    text = "\ufeff" + "\n".join(separator.join(cells) for cells in lines) + "\n"
    file = tmp_path / f"pairs{ending}"
    file.write_bytes(gzip.compress(text.encode()) if ending.endswith(".gz") else text.encode())
    found = summary_of(file, "--to", tmp_path / "labels", "--columns", COLUMNS, "--verdicts", "a=1,b=0")
    assert (found["format"], found["rows"], found["kept"]) == ("columns", 3, 2)
    assert found["dropped_for"][0]["detail"] == "1 more cell than columns"
    pairs, judgments = records(tmp_path / "labels")
    by_id = {pair.id: pair for pair in pairs}
    winners = {
        by_id[j.comparison_id].response_a if j.verdict == "a" else by_id[j.comparison_id].response_b
        for j in judgments
    }
    assert winners == {'So, "then"\nand there.', "B."}
    assert {judgment.labeler for judgment in judgments} == {"pairs"}  # as the file is called


LETTERS = (
    "no;old letter;new letter;Okafor;van Dyk\n"
    "1;The bag is in the box, kind regards;Dear family, the bag is in room 12;new;New\n"
    "2;We can not say anything on that;Dear family, please ask your doctor;new;old\n"
    "3;The fee is due on the first;Dear family, the fee pays for the carer;equal;\n"
)
MAPPED = "prompt=no,response_a=old letter,response_b=new letter"


@pytest.mark.parametrize("columns", ["prompt=no", f"{MAPPED},verdict=Okafor,verdict=van Dyk"])
def test_a_column_of_verdicts_for_each_person_is_read(columns: str, tmp_path: Path):
    (tmp_path / "letters.csv").write_text(LETTERS)
    found = summary_of(tmp_path / "letters.csv", "--to", tmp_path / "out", "--columns", columns)
    assert (found["rows"], found["kept"], found["judgments"], found["annotators"]) == (3, 3, 5, 2)
    assert (found["format"], found["passed_over"]) == ("columns", [])
    (left_out,) = found["left_out"]
    assert (left_out["reason"], left_out["detail"]) == ("a person gave no verdict", "van Dyk")
    comparisons, judgments = records(tmp_path / "out")
    origins = {c.id: {"a": c.origin_a, "b": c.origin_b, "tie": "tie"} for c in comparisons}
    asked = {c.id: c.prompt.messages[-1].content for c in comparisons}
    said = {(asked[j.comparison_id], j.annotator): origins[j.comparison_id][j.verdict] for j in judgments}
    assert said == {
        ("1", "Okafor"): "new letter",
        ("1", "van Dyk"): "new letter",
        ("2", "Okafor"): "new letter",
        ("2", "van Dyk"): "old letter",
        ("3", "Okafor"): "tie",
    }


def test_words_of_people_may_be_mapped_and_one_column_alone_knows_the_names_of_answers(tmp_path: Path):
    (tmp_path / "letters.csv").write_text(LETTERS.replace("new;New", "+;+"))
    arguments = (tmp_path / "letters.csv", "--columns", f"{MAPPED},verdict=Okafor,verdict=van Dyk")
    found = summary_of(*arguments, "--verdicts", "b=+", "--to", tmp_path / "out")
    assert found["judgments"] == 5
    found = summary_of(*arguments, "--to", tmp_path / "without")
    assert (found["judgments"], found["dropped"]) == (3, 1)
    assert found["dropped_for"][0]["detail"] == "Okafor: '+'"
    one = (tmp_path / "letters.csv", "--columns", f"{MAPPED},verdict=Okafor", "--to", tmp_path / "one")
    assert summary_of(*one)["judgments"] == 2


def test_people_are_recognised_beside_columns_of_ours_and_in_votes_without_texts(tmp_path: Path):
    (tmp_path / "votes.csv").write_text("case,Anna,Ben\nx,a,b\ny,tie,b\n")
    (tmp_path / "pairs.csv").write_text("case,prompt,response_a,response_b\nx,Q?,Yes.,No.\ny,R?,Si.,Ne.\n")
    joined = ("--pairs", tmp_path / "pairs.csv", "--to", tmp_path / "joined")
    assert summary_of(tmp_path / "votes.csv", *joined)["judgments"] == 4
    (tmp_path / "all.csv").write_text("prompt,response_a,response_b,Anna,Ben\nQ?,Yes.,No.,a,b\n")
    found = summary_of(tmp_path / "all.csv", "--to", tmp_path / "all")
    assert (found["judgments"], found["annotators"]) == (2, 2)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("numbers", "verdicts"),
    [((1, 2, 0), "a=1,b=2,tie=0"), ((0, 1, 1), "a=0,b=1"), ((-1, 0, 1), "a=-1,b=1,tie=0")],
)
def test_verdicts_of_people_as_numbers_are_read_once_it_is_told_what_they_mean(
    numbers: tuple[int, ...], verdicts: str, ending: str, tmp_path: Path
):
    asked = [
        {
            "question": f"Why {n}?",
            "resp_1": "So it is, then.",
            "resp_2": "No, it is not.",
            "Anna": number,
            "Ben": number,
        }
        for n, number in enumerate(numbers)
    ]
    file = tmp_path / f"votes.{ending}"
    if ending == "jsonl":
        written(file, *asked)
    else:
        table = [",".join(asked[0]), *(",".join(f'"{cell}"' for cell in one.values()) for one in asked)]
        file.write_text("\n".join(table))
    done = here("import", "labels", file, "--to", tmp_path / "out")
    assert done.returncode == 2
    words = " ".join(done.stderr.split())
    assert "Anna, Ben seem to be columns of verdicts as numbers" in words
    assert words.endswith(f"--verdicts {verdicts}")
    found = summary_of(file, "--verdicts", verdicts, "--to", tmp_path / "labels")
    assert (found["judgments"], found["annotators"]) == (6, 2)


def test_numbers_that_are_no_verdicts_are_not_taken_for_people(tmp_path: Path):
    written(
        tmp_path / "t.jsonl",
        {"q": "Why is it so?", "x": "So it is.", "y": "It is not so.", "id": 1, "turns": 2},
    )
    done = here("import", "labels", tmp_path / "t.jsonl", "--to", tmp_path / "out")
    assert "cannot recognise the format" in done.stderr


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (None, f"--columns '{MAPPED},verdict=Okafor,verdict=van Dyk'"),
        ("prompt=no,prompt=Okafor", "prompt is mapped to no and Okafor"),
        ("verdict=Okafor,verdict=van Dyk,annotator=no", "annotator is mapped beside 2 columns of verdicts"),
        (f"{MAPPED},verdict=Okafor,verdict=Stein", "no column 'Stein'"),
    ],
)
def test_columns_of_people_that_are_not_clear_are_told_in_one_line(
    columns: str | None, told: str, tmp_path: Path
):
    (tmp_path / "letters.csv").write_text(LETTERS)
    options = () if columns is None else ("--columns", columns)
    done = here("import", "labels", tmp_path / "letters.csv", "--to", tmp_path / "out", *options)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


def test_bytes_that_are_not_utf_8_spoil_their_row_alone(tmp_path: Path):
    (tmp_path / "pairs.csv").write_bytes(b"prompt,response_a,response_b,verdict\nq,\x81,no,a\nq,yes,no,a\n")
    found = summary_of(tmp_path / "pairs.csv", "--to", tmp_path / "labels")
    (dropped,) = found["dropped_for"]
    assert (found["kept"], dropped["reason"]) == (1, "the row cannot be read")
    assert dropped["detail"] == "not UTF-8 text"


def test_a_file_saved_as_windows_1252_is_read_with_one_note(tmp_path: Path):
    file = tmp_path / "pairs.csv"
    file.write_bytes("prompt,response_a,response_b,verdict\nq,Straße,no,a\n".encode("cp1252"))
    done = here("import", "labels", file, "--to", tmp_path / "labels")
    assert done.returncode == 0
    assert done.stderr.count("read as Windows-1252") == 1
    ((pair,), _) = records(tmp_path / "labels")
    assert "Straße" in (pair.response_a, pair.response_b)


def test_parquet_and_folders_are_read_by_datasets(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list([row(1), row(2)])
    table.to_parquet(tmp_path / "pairs.parquet")
    (tmp_path / "hub").mkdir()
    written(tmp_path / "hub" / "train.jsonl", row(1))
    written(tmp_path / "hub" / "test.jsonl", row(2), row(3))
    assert summary_of(tmp_path / "pairs.parquet", "--to", tmp_path / "one")["kept"] == 2
    assert summary_of(tmp_path / "hub", "--to", tmp_path / "two")["kept"] == 1
    assert summary_of(tmp_path / "hub", "--split", "test", "--to", tmp_path / "three")["kept"] == 2


def test_one_json_document_is_its_rows(tmp_path: Path):
    (tmp_path / "list.json").write_text(json.dumps([row(1), row(2)], indent=2))
    (tmp_path / "one.json").write_text(json.dumps(row(1), indent=2))
    written(tmp_path / "lines.json", row(1), row(2), row(3))
    kept = [
        summary_of(tmp_path / f"{name}.json", "--to", tmp_path / name)["kept"]
        for name in ("list", "one", "lines")
    ]
    assert kept == [2, 1, 3]


def test_columns_may_lie_inside_others(tmp_path: Path):
    inner = {"q": "Why?", "texts": {"x": "Yes.", "y": "No."}}
    file = written(tmp_path / "pairs.jsonl", {"item": inner, "verdict": "a"})
    mapped = "prompt=item.q,response_a=item.texts.x,response_b=item.texts.y"
    assert summary_of(file, "--to", tmp_path / "labels", "--columns", mapped)["kept"] == 1


def test_fields_of_a_tool_may_be_mapped_too(tmp_path: Path):
    result = {"to_name": "p,q", "from_name": "x", "type": "pairwise", "value": {"selected": "right"}}
    task = {
        "data": {"topic": "Why?", "p": "Yes.", "q": "No."},
        "annotations": [{"completed_by": 1, "result": [result]}],
    }
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    mapped = ("--columns", "prompt=data.topic")
    found = summary_of(tmp_path / "tasks.json", "--to", tmp_path / "labels", *mapped)
    assert (found["format"], found["kept"]) == ("label-studio", 1)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "hh"], "unknown format 'hh'"),
        (["--format", "hh-rlhf", "--columns", "prompt=q"], "the format hh-rlhf has no column 'prompt'"),
        (["--columns", "prompt=nothing"], "no column 'nothing'"),
        (["--columns", "prompt"], "found 'prompt'"),
        (["--verdicts", "better=1"], "unknown verdict 'better'"),
        (["--labeler", "ai"], "'ai' is reserved for automatic labels"),
        (["--split", "test"], "a file has no subsets or splits"),
        (["--format", "no_such_module:make"], "cannot be loaded (ModuleNotFoundError"),
        (["--format", "json:loads"], "cannot be loaded (TypeError"),
        (["--format", "collections:OrderedDict"], "which is not a label source"),
        (["--format", "arena"], "the only row cannot be used (1 excluded: the row does not have"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(arguments: list[str], told: str, tmp_path: Path):
    file = written(tmp_path / "pairs.jsonl", row())
    (line,) = mistakes(here("import", "labels", file, "--to", tmp_path / "labels", *arguments))
    assert told in line
    assert not (tmp_path / "labels").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("pairs.jsonl", b"", "no rows found"),
        ("pairs.jsonl", b'{"x": 1}\n', "cannot recognise the format from the columns (x)"),
        ("pairs.jsonl", b"\xff\xfe\n", "not utf-16 text"),
        ("pairs.jsonl.gz", b"no gzip", "cannot be read"),
        ("pairs.jsonl.gz", CUT_GZIP, "cannot be read"),
        ("pairs.txt", b"x", "unsupported file type: .txt"),
        ("pairs.parquet", b"x", "cannot be loaded"),
    ],
)
def test_a_file_that_holds_no_labels_is_told_in_one_line(
    name: str, content: bytes, told: str, tmp_path: Path
):
    (tmp_path / name).write_bytes(content)
    (line,) = mistakes(here("import", "labels", tmp_path / name, "--to", tmp_path / "labels"))
    assert told in line
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == [name]


def test_no_such_file_is_told_in_one_line(tmp_path: Path):
    (line,) = mistakes(here("import", "labels", tmp_path / "none.jsonl", "--to", tmp_path / "labels"))
    assert "no such file or folder" in line


def test_strict_refuses_with_every_reason_and_writes_nothing(tmp_path: Path):
    lines = mistakes(
        here("import", "labels", FIXTURES / "arena.jsonl", "--to", tmp_path / "labels", "--strict")
    )
    assert any("arena.jsonl:10: winner is not recognised ('nobody'), once" in line for line in lines)
    assert len(lines) == 8
    assert not (tmp_path / "labels").exists()
    clean = written(tmp_path / "pairs.jsonl", row(1), row(2))
    assert summary_of(clean, "--to", tmp_path / "clean", "--strict")["kept"] == 2


# Whole or not at all


def test_the_same_import_again_does_nothing(tmp_path: Path):
    file = FIXTURES / "trl.jsonl"
    first = summary_of(file, "--to", tmp_path / "labels")
    before = files_of(tmp_path / "labels")
    again = summary_of(file, "--to", tmp_path / "labels")
    assert again == first | {"already": True}
    assert files_of(tmp_path / "labels") == before
    assert "nothing was done" in here("import", "labels", file, "--to", tmp_path / "labels").stdout
    assert mistakes(here("import", "labels", file, "--to", tmp_path / "labels", "--strict"))


def test_a_table_that_was_imported_under_its_former_name_is_not_imported_again(tmp_path: Path):
    file = tmp_path / "votes.csv"
    file.write_text("prompt,response_a,response_b,verdict\nWhy?,So.,No.,a\n")
    first = ("--to", tmp_path / "labels")
    summary_of(file, *first, "--labeler", "columns")
    assert summary_of(file, *first)["already"]
    assert records(tmp_path / "labels")[1][0].labeler == "columns"


@pytest.mark.parametrize("change", ["content", "labeler", "format"])
def test_another_import_into_the_same_folder_is_refused(change: str, tmp_path: Path):
    file = written(tmp_path / "pairs.jsonl", row(1))
    summary_of(file, "--to", tmp_path / "labels")
    before = files_of(tmp_path / "labels")
    more = {"content": [], "labeler": ["--labeler", "x"], "format": ["--format", "arena"]}[change]
    if change == "content":
        written(file, row(2))
    (line,) = mistakes(here("import", "labels", file, "--to", tmp_path / "labels", *more))
    assert "the folder holds another import" in line
    assert files_of(tmp_path / "labels") == before


def test_a_folder_with_something_else_is_refused_and_an_empty_one_is_not(tmp_path: Path):
    file = written(tmp_path / "pairs.jsonl", row(1))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (line,) = mistakes(here("import", "labels", file, "--to", tmp_path / "full"))
    assert "the folder is not empty" in line
    (line,) = mistakes(here("import", "labels", file, "--to", file))
    assert "this is a file" in line
    (tmp_path / "new").mkdir()
    assert summary_of(file, "--to", tmp_path / "new")["kept"] == 1


def test_an_interrupted_import_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("publius.labels.importing._summary", interrupt)
    file = written(tmp_path / "pairs.jsonl", row(1))
    with pytest.raises(KeyboardInterrupt):
        import_labels(LabelsRequest(DataSource(str(file)), tmp_path / "labels"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl"]
    assert "nothing was written" in interruption_message()
    with caught(exits=False):
        assert "completed work is saved" in interruption_message()


class Killed(BaseException):
    """Ends an import as a signal would: nothing is tidied up after it."""


def test_a_killed_import_leaves_no_folder_and_the_next_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = written(tmp_path / "pairs.jsonl", *(row(n) for n in range(500)))
    aside = tmp_path / ".labels.importing"
    busy: list[str] = []

    def dies(run: LabelImport) -> None:
        busy.extend(mistakes(here("import", "labels", file, "--to", tmp_path / "labels")))
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(LabelImport, "sync", dies)
        patch.setattr("publius.labels.importing.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            import_labels(LabelsRequest(DataSource(str(file)), tmp_path / "labels"))
    assert "another process" in busy[0]
    assert (aside / "judgments.jsonl").stat().st_size > 50_000
    assert not (tmp_path / "labels").exists()
    written(file, row(1), row(2))
    assert summary_of(file, "--to", tmp_path / "labels")["kept"] == 2
    assert len(records(tmp_path / "labels")[0]) == 2
    assert not aside.exists()


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path):
    file = written(tmp_path / "pairs.jsonl", row(1))
    (line,) = mistakes(here("import", "labels", file, "--to", file / "below"))
    assert "not a folder" in line


@pytest.mark.parametrize("rows", [5_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_rows_are_not_held_in_memory(rows: int, tmp_path: Path):
    # Twenty thousand rows of 5 kB would be 100 MB; what the process grows by stays below 2 kB a row.
    text = "word " * 500
    with (tmp_path / "pairs.jsonl").open("w") as file:
        for n in range(rows):
            file.write(json.dumps(row(n, chosen=f"Yes. {text}", rejected=f"No. {text}")) + "\n")
    program = (
        "import sys, resource; from pathlib import Path; from publius.sources.rows import DataSource;"
        "from publius.labels.importing import LabelsRequest, import_labels;"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "import_labels(LabelsRequest(DataSource(sys.argv[1]), Path(sys.argv[2])));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "pairs.jsonl"), str(tmp_path / "labels")],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(child.stdout) < 2 * rows  # kilobytes


# Real data


@pytest.mark.skipif(not HH_RLHF.exists(), reason="set PUBLIUS_HH_RLHF to hh-rlhf's harmless test split")
def test_of_the_real_hh_rlhf_nearly_all_is_kept_with_all_turns(tmp_path: Path):
    found = summary_of(HH_RLHF, "--to", tmp_path / "labels")
    assert found["rows"] == 1800
    assert found["kept"] >= 0.995 * found["rows"]
    assert sum(entry["count"] for entry in found["dropped_for"]) == found["dropped"]
    with gzip.open(HH_RLHF, "rt") if HH_RLHF.suffix == ".gz" else HH_RLHF.open() as file:
        turns = sum(json.loads(line)["chosen"].count("\n\nHuman: ") for line in file)
    kept = sum(m.role == "user" for pair in records(tmp_path / "labels")[0] for m in pair.prompt.messages)
    lost = sum(entry["count"] for entry in found["dropped_for"])
    assert turns - 20 * lost <= kept <= turns
    assert max(len(pair.prompt.messages) for pair in records(tmp_path / "labels")[0]) > 9


def test_errors_are_of_the_family(tmp_path: Path):
    file = written(tmp_path / "pairs.jsonl", row(1))
    import_labels(LabelsRequest(DataSource(str(file)), tmp_path / "labels"))
    with pytest.raises(RunStateError):
        import_labels(LabelsRequest(DataSource(str(file)), tmp_path / "labels", labeler="x"))
    with pytest.raises(DataError):
        import_labels(LabelsRequest(DataSource(str(tmp_path / "none.csv")), tmp_path / "other"))


def graded(number: int, *picks: tuple[str | None, Any]) -> dict[str, Any]:
    graders = [{"pick": pick, **({"who": who} if who else {})} for who, pick in picks]
    answers = {"old": f"Answer {number}.", "new": f"Other {number}."}
    return {"question": f"Question {number}?", **answers, "graders": graders}


GRADED = ("prompt=question,response_a=old,response_b=new", "verdict=graders.pick,annotator=graders.who")


@pytest.mark.parametrize("name", ["graded.jsonl", "graded.csv"])
def test_every_element_of_a_list_is_a_vote_of_its_annotator(name: str, tmp_path: Path):
    rows = [
        graded(1, ("r1", 2), ("r2", 1)),
        graded(2, ("r1", 0), ("r2", None)),
        graded(3, (None, 1), (None, 2)),
    ]
    file = tmp_path / name
    if name.endswith(".csv"):
        cells = [{**row, "graders": json.dumps(row["graders"])} for row in rows]
        with file.open("w", newline="") as out:
            table = csv.DictWriter(out, list(cells[0]))
            table.writeheader()
            table.writerows(cells)
    else:
        written(file, *rows)
    mapped = ("--columns", ",".join(GRADED), "--verdicts", "a=1,b=2,tie=0")
    found = summary_of(file, "--to", tmp_path / "labels", *mapped)
    assert (found["kept"], found["judgments"]) == (3, 5)
    assert sum(entry["count"] for entry in found["left_out"]) == 1  # r2 on the second pair
    pairs, judgments = records(tmp_path / "labels")
    assert sorted(j.annotator for j in judgments if j.annotator in ("r1", "r2")) == ["r1", "r1", "r2"]
    first = next(pair for pair in pairs if "Question 1?" in pair.prompt.messages[0].content)
    said = {j.annotator: j.verdict for j in judgments if j.comparison_id == first.id}
    a_is_old = first.response_a == "Answer 1."
    assert said == {"r1": "b" if a_is_old else "a", "r2": "a" if a_is_old else "b"}


def test_a_path_that_a_list_does_not_have_is_refused_with_those_it_has(tmp_path: Path):
    file = written(tmp_path / "graded.jsonl", graded(1, ("r1", 2)))
    (line,) = mistakes(
        here(
            "import", "labels", file, "--to", tmp_path / "l", "--columns", f"{GRADED[0]},verdict=graders.pik"
        )
    )
    assert "no column 'graders.pik'" in line
    assert "graders.pick" in line
    (line,) = mistakes(
        here("import", "labels", file, "--to", tmp_path / "l", "--columns", "prompt=graders.pick")
    )
    assert "graders[0].pick" in line


def test_answers_that_the_user_maps_are_not_a_preference_by_their_names(tmp_path: Path):
    rows = [{"q": "Why?", "chosen": "So.", "rejected": "No.", "said": "b"}]
    file = written(tmp_path / "t.jsonl", *rows)
    mapped = {"prompt": "q", "response_a": "chosen", "response_b": "rejected"}
    (read,) = read_pair_rows(PromptFile(file, columns=mapped), verdicts=True)
    assert [(pair.better, pair.comparison.prompt.messages[0].content) for pair in read.pairs] == [
        (None, "Why?")
    ]
    names = ColumnNames(mapped | {"verdict": "said"}, people=("Anna",))
    (applied,) = names.applied([Row(1, rows[0] | {"Anna": "a", "note": "x"})])
    assert applied.values.keys() == {
        "prompt",
        "response_a",
        "response_b",
        "verdict",
        "note",
        "origin_a",
        "origin_b",
        PEOPLE,
    }
    swapped = ColumnNames({"response_a": "response_b", "response_b": "response_a"})
    (turned,) = swapped.applied([Row(1, {"response_a": "x", "response_b": "y"})])
    origins = {"origin_a": "response_b", "origin_b": "response_a"}
    assert turned.values == {"response_a": "y", "response_b": "x", **origins}


def test_tags_of_judged_prompts_are_joined_from_a_file_of_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    rows = ["prompt,response_a,response_b,verdict", "Why?,So.,Because.,a", "How?,Thus.,By lift.,b"]
    Path("votes.csv").write_text("\n".join(rows) + "\n")
    Path("prompts.csv").write_text("prompt,label\nWHY,safe\n")
    join = ("import", "labels", "votes.csv", "--prompts", "prompts.csv", "--to")
    done = here(*join, "labels", "--columns", "tags=label")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "prompts.csv: tags for 1 of 2 pairs, from 1 of its 1 prompt" in said
    assert (
        "1 of 2 pairs have no prompt with the same words in prompts.csv, and get no tags from it (row 2)"
        in said
    )
    lines = [json.loads(line) for line in Path("labels/comparisons.jsonl").read_text().splitlines()]
    assert [line["prompt"]["tags"] for line in lines] == [["safe"], []]
    again = here(*join, "labels", "--columns", "tags=label")
    assert "already holds this import" in again.stdout
    assert "none of its 1 prompts has a tag" in here(*join, "other").stderr
