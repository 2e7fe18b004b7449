"""People's votes written together, and read back as gold by an audit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from core.errors import ConfigError, DataError
from core.records import Comparison
from labelers.crowd.methods import Aggregation
from publius.audit.gold import read_gold
from publius.labels.agreement import read_report
from publius.runs.exporting.together import aggregation_named, require_gold_name, write_gold
from tests.publius.people import pair, person, write_people

PAIRS = [pair(f"Name a bird that begins with {letter}.") for letter in "abcdefgh"]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people who agree, and one who says otherwise: alone with one of the two on the seventh pair."""
    judgments = [person(one.id, "a", who) for one in PAIRS[:6] for who in ("ann", "ben")]
    judgments += [person(one.id, "b", "kim") for one in PAIRS[:6]]
    judgments += [person(PAIRS[6].id, "b", "ann"), person(PAIRS[6].id, "a", "kim")]
    judgments += [person(PAIRS[7].id, "both_bad", "ann"), person(PAIRS[7].id, "a", labeler="ai")]
    return write_people(tmp_path / "people", judgments, PAIRS)


def test_each_comparison_has_its_votes_and_their_probability(people: Path, tmp_path: Path):
    file = tmp_path / "gold.jsonl"
    written = write_gold([people, people], file, "majority", {"crowd/ann": "Ann"})
    rows = {row["id"]: row for row in map(json.loads, file.read_text().splitlines())}
    assert (written.rows, written.undecided) == (8, 1)
    first = rows[PAIRS[0].id]
    assert (first["p_a"], first["votes"]) == (pytest.approx(2 / 3), 3)
    assert first["voted"] == {"Ann": "a", "crowd/ben": "a", "crowd/kim": "b"}
    assert (rows[PAIRS[6].id]["p_a"], rows[PAIRS[7].id]["p_a"]) == (0.5, None)


@pytest.mark.parametrize(("method", "pairs"), [("graded", 7), ("majority", 6)])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_an_audit_reads_the_same_gold_from_the_folder_and_the_file(
    people: Path, tmp_path: Path, method: Aggregation, pairs: int, ending: str
):
    file = tmp_path / f"gold.{ending}"
    write_gold([people], file, method, {})
    found = [read_gold([str(source)], method)[0] for source in (people, file)]
    better = [{one.comparison.prompt.messages[-1].content: one.good for one in gold} for gold in found]
    assert better[0] == better[1]
    assert len(found[0]) == pairs


def test_a_table_names_who_voted(people: Path, tmp_path: Path):
    write_gold([people], tmp_path / "gold.csv", "graded", {"crowd/ann": "Ann"})
    with (tmp_path / "gold.csv").open(encoding="utf-8-sig", newline="") as lines:
        rows = {row["id"]: row for row in csv.DictReader(lines)}
    a, b = PAIRS[6].origin_a, PAIRS[6].origin_b
    assert {a, b} == {"x", "y"}
    assert rows[PAIRS[6].id]["voted"] == f"Ann: b ({b}); crowd/kim: a ({a})"
    assert rows[PAIRS[7].id]["p_a"] == ""


def renamed(one: Comparison, names: dict[str, str]) -> Comparison:
    origins = {"origin_a": names[one.origin_a], "origin_b": names[one.origin_b]}
    return one.model_copy(update=origins)


@pytest.mark.parametrize("names_last", [True, False])
def test_names_of_answers_stay_whatever_other_folder_has_the_comparison(
    people: Path, tmp_path: Path, *, names_last: bool
):
    unnamed = [renamed(one, {"x": "response_a", "y": "response_b"}) for one in PAIRS]
    other = write_people(tmp_path / "other", [person(one.id, "tie", "zoe") for one in PAIRS], unnamed)
    folders = [other, people] if names_last else [people, other]
    write_gold(folders, tmp_path / "gold.jsonl", "majority", {})
    rows = list(map(json.loads, (tmp_path / "gold.jsonl").read_text().splitlines()))
    assert {(row["origin_a"], row["origin_b"]) for row in rows} <= {("x", "y"), ("y", "x")}
    for one in read_report(folders).disagreements:
        assert set(one.answers.values()) == {"x", "y"}


def test_answers_named_by_our_columns_are_in_these_columns(people: Path, tmp_path: Path):
    unnamed = [renamed(one, {"x": "response_a", "y": "response_b"}) for one in PAIRS]
    folder = write_people(tmp_path / "other", [person(one.id, "a") for one in PAIRS], unnamed)
    assert len({one.origin_a for one in PAIRS}) == 2  # of some, `a` is the file's response_b
    write_gold([folder], tmp_path / "gold.jsonl", "majority", {})
    for row in map(json.loads, (tmp_path / "gold.jsonl").read_text().splitlines()):
        is_first = next(one for one in PAIRS if one.id == row["id"]).origin_a == "x"
        assert (row["response_a"], row["origin_a"]) == ("Yes, gladly.", "response_a")
        choice, p_a = ("a", 1.0) if is_first else ("b", 0.0)
        assert (row["p_a"], row["voted"]) == (p_a, {"crowd/anna": choice})


def test_names_that_mean_nothing_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="graded, majority, dawid-skene"):
        aggregation_named("mean")
    with pytest.raises(ConfigError, match=r"\.jsonl or \.csv"):
        require_gold_name(tmp_path / "gold.xlsx")
    empty = write_people(tmp_path / "people", [person(PAIRS[0].id, "a", labeler="ai")], PAIRS)
    with pytest.raises(DataError, match="no person judged"):
        write_gold([empty], tmp_path / "gold.jsonl", "graded", {})


def test_our_own_table_is_gold_where_its_labels_are_peoples(tmp_path: Path):
    common = {"rejected": "No.", "p_chosen": 0.8, "origin_chosen": "x", "origin_rejected": "y"}
    rows = [
        {"comparison_id": str(n), "prompt": f"Question {n}?", "chosen": "Yes.", "sources": sources, **common}
        for n, sources in enumerate([["crowd"], {"crowd": 2, "ai": 0}, ["crowd", "ai"], ["ai"]])
    ]
    file = tmp_path / "soft.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    gold, (source,) = read_gold([str(file)])
    assert [one.good for one in gold] == ["Yes.", "Yes."]
    assert source.excluded == {"the label is not people's alone": 2}
    file.write_text(json.dumps(rows[3]) + "\n")
    with pytest.raises(DataError, match="machines'"):
        read_gold([str(file)])
