"""A user's own columns go from any file of prompts to the exported data set."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from publius.runs.dataset import OWN_COLUMNS, export_run
from publius.runs.manifest import read_manifest
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.projects import RUN, Recorder, record_lines, write_project


def run(folder: Path, rows: list[dict[str, Any]], prompts: str = "prompts.jsonl", **settings: str) -> Path:
    """Run a project with these prompts; return the run folder."""
    run_file = write_project(folder, run=RUN.replace("prompts.jsonl", prompts))
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    overrides = tuple(f"{key}={value}" for key, value in settings.items())
    return execute(RunRequest(run_file, overrides), Recorder()).folder


def exported(folder: Path, to: Path, config: str = "soft") -> list[dict[str, Any]]:
    export_run(folder, to)
    return [
        json.loads(line) for path in (to / config).glob("*.jsonl") for line in path.read_text().splitlines()
    ]


ROWS = [
    {"prompt": f"Question {n} of {n * 7}?", "split": "train", "ticket": f"T-{n}", "created": n, "vip": n > 3}
    for n in range(8)
]


def test_own_columns_of_a_csv_file_stand_in_every_configuration(tmp_path: Path):
    run_file = write_project(tmp_path, run=RUN.replace("prompts.jsonl", "tickets.csv"))
    with (tmp_path / "tickets.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Ticket", "Question", "Tags", "created"])
        writer.writerows([f"T-{n}", f"What is {n} and {n * 7}?", "calm; red-team", "now"] for n in range(8))
    folder = execute(RunRequest(run_file, ("split={train: 1, preference: 0, test: 0}",)), Recorder()).folder
    own = {row["id"]: row["columns"] for row in map(json.loads, record_lines(folder)["prompt_columns.jsonl"])}
    prompts = [json.loads(line) for line in record_lines(folder)["prompts.jsonl"]]
    assert [own[prompt["id"]]["Ticket"] for prompt in prompts] == [f"T-{n}" for n in range(8)]
    assert {tuple(prompt["tags"]) for prompt in prompts} == {("calm", "red-team")}
    for config in ("sft", "preference", "kto", "soft", "judgments"):
        rows = exported(folder, tmp_path / config, config)
        assert rows
        for row in rows:
            number = row[OWN_COLUMNS]["Ticket"].removeprefix("T-")
            asked = row["prompt"][0]["content"]
            assert asked.startswith(f"What is {number} and")
    assert "`Ticket`, `created`" in (tmp_path / "soft" / "README.md").read_text()


def test_a_card_with_own_columns_does_not_say_that_nobody_is_named(tmp_path: Path):
    folder = run(tmp_path, [row | {"maria": "a"} for row in ROWS], split="{train: 0, preference: 1, test: 0}")
    done = here("export", folder, "--to", tmp_path / "named")
    assert "prompt_columns: ticket, created, vip, maria; prompts.keep" in " ".join(done.stderr.split())
    card = (tmp_path / "named" / "README.md").read_text()
    assert "Names of annotators are not in the data set." not in card
    assert "The columns in `prompt_columns` (listed above) are as they were" in card
    none = run(tmp_path, ROWS, split="{train: 0, preference: 1, test: 0}", **{"prompts.keep": "[]"})
    assert "prompt_columns" not in here("export", none, "--to", tmp_path / "none").stderr
    assert "Names of annotators are not in the data set." in (tmp_path / "none" / "README.md").read_text()


def test_only_named_columns_are_carried_and_none_if_none_is_named(tmp_path: Path):
    folder = run(tmp_path, ROWS, **{"prompts.keep": "[ticket]"})
    assert {tuple(row[OWN_COLUMNS]) for row in exported(folder, tmp_path / "one")} == {("ticket",)}
    again = execute(RunRequest(tmp_path / "run.yaml", ("prompts.keep=[]",)), Recorder()).folder
    assert again == folder  # another choice of columns is the same run
    assert all(OWN_COLUMNS not in row for row in exported(folder, tmp_path / "none"))
    assert read_manifest(folder)["prompts"]["ignored"] == ["ticket", "created", "vip"]


def test_records_do_not_depend_on_own_columns(tmp_path: Path):
    with_columns = run(tmp_path / "a", ROWS)
    bare = [{"prompt": row["prompt"], "split": "train"} for row in ROWS]
    without = run(tmp_path / "b", bare)
    first, second = record_lines(with_columns), record_lines(without)
    assert first.pop("prompt_columns.jsonl")
    assert {name: sorted(lines) for name, lines in first.items()} == {
        name: sorted(lines) for name, lines in second.items()
    }


@pytest.mark.parametrize("rare", range(0, 8, 3))
def test_columns_of_mixed_types_load_with_datasets(tmp_path: Path, rare: int):
    datasets = pytest.importorskip("datasets")
    odd: list[Any] = [None, 1, "two", [3], {"four": 4}, 5.5, True, None]
    rows = [
        {**row, "odd": odd[n], "rare": "x" if n == rare else None, "count": n if n % 2 else n + 0.5}
        for n, row in enumerate(ROWS)
    ]
    keep = "[odd, rare, count, ticket]"
    folder = run(tmp_path, rows, **{"prompts.keep": keep})
    exported(folder, tmp_path / "to")
    loaded = datasets.load_dataset(str(tmp_path / "to"), "soft", cache_dir=str(tmp_path / "cache"))
    found = {row[OWN_COLUMNS]["ticket"]: row[OWN_COLUMNS] for split in loaded.values() for row in split}
    texts = [None, "1", "two", "[3]", '{"four": 4}', "5.5", "true", None]
    assert {ticket: own["odd"] for ticket, own in found.items()} == {
        f"T-{n}": texts[n] for n in range(8) if f"T-{n}" in found
    }
    assert {own["count"] for own in found.values()} <= {0.5, 1.0, 2.5, 3.0, 4.5, 5.0, 6.5, 7.0}


def test_long_columns_are_carried_only_if_they_are_named(tmp_path: Path):
    rows: list[dict[str, Any]] = [
        {**row, "body": "x" * 2000, "answers": ["a", "b"] * 200, "few": [n]} for n, row in enumerate(ROWS)
    ]
    folder = run(tmp_path, rows)
    summary = read_manifest(folder)["prompts"]
    assert summary["carried"] == {"ticket": "string", "created": "int64", "vip": "bool", "few": "string"}
    assert summary["ignored"] == ["body", "answers"]


@pytest.mark.parametrize("written", ["2026-09-05", "2026-09-05T10:00:00", "2026-09-05 10:00:00Z"])
def test_a_date_is_loaded_as_it_is_written(tmp_path: Path, written: str, monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = run(tmp_path, [row | {"opened": written} for row in ROWS])
    export_run(folder, tmp_path / "data")
    loaded = datasets.load_dataset(
        str(tmp_path / "data"), "soft", split="train", cache_dir=str(tmp_path / "c")
    )
    assert {row[OWN_COLUMNS]["opened"] for row in loaded} == {written}
    assert {row[OWN_COLUMNS]["ticket"] for row in loaded} <= {row["ticket"] for row in ROWS}


def test_a_row_that_where_leaves_out_names_the_users_columns(tmp_path: Path):
    folder = run(
        tmp_path,
        [*ROWS, ROWS[2] | {"ticket": "T-99", "vip": None}],
        **{"prompts.where": "{vip: [true, false]}"},
    )
    every = map(json.loads, record_lines(folder)["exclusions.jsonl"])
    (excluded,) = [one for one in every if one["reason"].startswith("left out by prompts.where")]
    assert (excluded["record_id"], excluded["detail"]) == ("prompts.jsonl:9", "ticket T-99, created 2")


def test_a_duplicate_names_both_rows_with_the_users_columns(tmp_path: Path):
    folder = run(tmp_path, [*ROWS, ROWS[2] | {"ticket": "T-99"}])
    every = map(json.loads, record_lines(folder)["exclusions.jsonl"])
    (excluded,) = [one for one in every if one["reason"] == "duplicate prompt"]
    assert excluded["detail"] == (
        "prompts.jsonl:9 (ticket T-99, created 2, vip False) repeats "
        "prompts.jsonl:3 (ticket T-2, created 2, vip False)"
    )


def test_kept_duplicates_have_their_own_columns(tmp_path: Path):
    rows = [*ROWS, ROWS[2] | {"ticket": "T-99", "tags": ["pro"]}, ROWS[2] | {"ticket": "T-100"}]
    folder = run(tmp_path, rows, **{"prompts.duplicates": "keep"})
    own = {row["id"]: row["columns"] for row in map(json.loads, record_lines(folder)["prompt_columns.jsonl"])}
    prompts = [json.loads(line) for line in record_lines(folder)["prompts.jsonl"]]
    same = [one["id"] for one in prompts if one["messages"][0]["content"] == ROWS[2]["prompt"]]
    assert [own[one]["ticket"] for one in same] == ["T-2", "T-99", "T-100"]


def test_skipped_near_duplicates_are_shown_with_both_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    asked = "How do I deal with a smoke alarm that beeps all night long in the hall"
    rows = [{"prompt": f"{asked}{end}"} for end in ("?", " now?", " ok?", ", eh?")]
    with caplog.at_level("INFO"):
        folder = run(tmp_path, [*ROWS, *rows], **{"prompts.duplicates": "near"})
    shown = [record.getMessage() for record in caplog.records if "nearly repeats" in record.getMessage()]
    assert shown == [
        f'prompts: prompts.jsonl:{n} nearly repeats prompts.jsonl:9: "{asked}{end}", "{asked}?"'
        for n, end in ((10, " now?"), (11, " ok?"))
    ]
    details = [json.loads(line)["detail"] for line in record_lines(folder)["exclusions.jsonl"]]
    assert sum(f'"{asked}?"' in detail for detail in details) == 3


def test_prompts_of_the_same_words_are_not_called_near_duplicates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    asked = "How do I deal with a smoke alarm that beeps all night long in the hall?"
    rows = [{"prompt": asked, "tags": [tag]} for tag in ("home", "safety")]
    with caplog.at_level("INFO"):
        run(tmp_path, [{"prompt": "What is rain?"}, *rows, {"prompt": f"{asked[:-1]}, please?"}])
    said = [record.getMessage() for record in caplog.records]
    (words,) = (line for line in said if "the words of an earlier one" in line)
    assert words == (
        "prompts: 1 prompt with the words of an earlier one (other tags, case or punctuation), asked again "
        "and used in its split; to skip them: --set prompts.duplicates=normalised"
    )
    assert any("1 near-duplicate of other prompts, used in the split of those, or" in line for line in said)
