"""Votes without texts are joined with a file of pairs, and none that matches nothing is lost silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.records import Comparison, Judgment
from core.store.record_store import RecordStore
from publius.sources.pairs import read_pair_rows
from publius.sources.prompts import PromptFile
from tests.publius.invoking import here
from tests.publius.test_cli import mistakes

COLUMNS = "prompt=question,response_a=left,response_b=right,verdict=pick,annotator=person"
VOTES = "case\tperson\tpick\n1\tana\t1\n2\tana\tsame\n2\tbo\t2\n9\tbo\t1\n\tbo\t1\n3\tbo\t1\n4\tbo\t1\n"
PAIRS = [
    {"case": 1, "question": "Hay fever?", "left": "Rest.", "right": "Ask a pharmacist."},
    {"case": 2, "question": "A burnt pan?", "left": "Soak it.", "right": "Bin it."},
    {"case": 3, "question": "Ants?", "left": "Wait.", "right": ""},
    {"case": 4, "question": "Moths?", "left": "Wait.", "right": "Air the room."},
    {"case": 4, "question": "Mould?", "left": "Wait.", "right": "Air the room."},
]


def files(folder: Path, pairs: list[dict[str, Any]], votes: str = VOTES) -> tuple[Path, Path]:
    (folder / "votes.tsv").write_text(votes)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return folder / "votes.tsv", folder / "pairs.jsonl"


def imported(folder: Path, *arguments: object) -> tuple[dict[str, Any], list[Comparison], list[Judgment]]:
    done = here("import", "labels", *arguments, "--to", folder / "labels", "--json")
    assert done.returncode == 0, done.stderr
    with RecordStore(folder / "labels", writable=False) as store:
        pairs = list(store.open("comparisons.jsonl", Comparison, "prompt.id"))
        found = list(store.open("judgments.jsonl", Judgment, "comparison_id"))
    return json.loads(done.stdout), pairs, found


def winners(pairs: list[Comparison], judgments: list[Judgment]) -> dict[tuple[str, str], str]:
    """Return the preferred answer, or `tie`, by the first word of the prompt and the annotator."""
    by_id = {pair.id: pair for pair in pairs}
    found = {}
    for judgment in judgments:
        pair = by_id[judgment.comparison_id]
        answers = {"a": pair.response_a, "b": pair.response_b}
        prompt = pair.prompt.messages[-1].content
        found[prompt, str(judgment.annotator)] = answers.get(judgment.verdict, judgment.verdict)
    return found


def test_votes_are_joined_and_each_without_a_usable_pair_is_counted_with_its_row(tmp_path: Path):
    votes, pairs = files(tmp_path, PAIRS)
    verdicts = ("--verdicts", "a=1,b=2,tie=same")
    summary, comparisons, judgments = imported(
        tmp_path, votes, "--pairs", pairs, "--on", "case", "--columns", COLUMNS, *verdicts
    )
    assert (summary["rows"], summary["kept"], summary["labeler"]) == (7, 3, "votes")
    assert {(str(j.annotator), j.place) for j in judgments} == {
        ("ana", "votes.tsv row 1"),
        ("ana", "votes.tsv row 2"),
        ("bo", "votes.tsv row 3"),
    }
    assert winners(comparisons, judgments) == {
        ("Hay fever?", "ana"): "Rest.",
        ("A burnt pan?", "ana"): "tie",
        ("A burnt pan?", "bo"): "Bin it.",
    }
    assert {entry["reason"]: (entry["rows"], entry["detail"]) for entry in summary["dropped_for"]} == {
        "no pair has the key of the vote": ([4], "case '9'"),
        "the vote has no key of a pair": ([5], "in case"),
        "the pair of the vote cannot be used": ([6], "case '3' at pairs.jsonl:3: an answer is empty"),
        "several pairs have the key of the vote": ([7], "case '4' at pairs.jsonl:5"),
    }
    columns = {"prompt": "question", "response_a": "left", "response_b": "right"}
    labelled = [
        pair.comparison.id for row in read_pair_rows(PromptFile(pairs, columns=columns)) for pair in row.pairs
    ]
    assert {pair.id for pair in comparisons} <= set(labelled)


def test_keys_may_have_two_names_and_a_path_and_pairs_may_be_chosen_and_rejected(tmp_path: Path):
    given = [{"meta": {"id": "x"}, "prompt": "Ants?", "chosen": "Clean.", "rejected": "Wait."}]
    votes, pairs = files(tmp_path, given, "ticket\tverdict\nx\ta\nx\tb\n")
    _, comparisons, judgments = imported(tmp_path, votes, "--pairs", pairs, "--on", "ticket=meta.id")
    (pair,) = comparisons
    preferred = {pair.response_a if found.verdict == "a" else pair.response_b for found in judgments}
    assert preferred == {"Clean.", "Wait."}


@pytest.mark.parametrize("format", ["auto", "columns"])
def test_a_file_without_texts_says_so_and_names_the_command_that_joins(format: str, tmp_path: Path):
    votes, _ = files(tmp_path, PAIRS)
    (line,) = mistakes(here("import", "labels", votes, "--to", tmp_path / "labels", "--format", format))
    assert "the file has no texts (columns case, person, pick)" in line
    assert "--to DIR --pairs PAIRS --on case" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--on", "cases"], "no column 'cases' in"),
        (["--on", "case=number"], "no column 'number' in"),
        (["--columns", "prompt=question"], "no column of the votes (columns case, person, pick)"),
        (["--format", "argilla"], "a plain table, not 'argilla'"),
    ],
)
def test_a_mistake_in_joining_is_told_in_one_line(arguments: list[str], told: str, tmp_path: Path):
    votes, pairs = files(tmp_path, PAIRS)
    names = "prompt=question,response_a=left,response_b=right"
    given = ["--columns", f"{names},verdict=pick"] if "--columns" not in arguments else ["--columns", names]
    command = ("import", "labels", votes, "--to", tmp_path / "labels", "--pairs", pairs, *given, *arguments)
    (line,) = mistakes(here(*command))
    assert told in line
    assert not (tmp_path / "labels").exists()
