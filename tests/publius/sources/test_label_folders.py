"""Folders of people's labels as data sets: a pair for each comparison, with the mean of the votes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import DataError
from publius.labels.importing import LabelsRequest, import_labels
from publius.sources.examples import read_preferences
from publius.sources.pairs import read_pair_rows
from publius.sources.prompts import PromptFile
from publius.sources.rows import DataSource, read_rows
from tests.publius.people import pair, person, write_people

BIRD, FISH, TREE = pair("Name a bird."), pair("Name a fish."), pair("Name a tree.")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    judgments = [
        person(BIRD.id, "a"),
        person(BIRD.id, "b", occasion=2),
        person(BIRD.id, "a", "ben"),
        person(FISH.id, "both_bad"),
        person(TREE.id, "b", labeler="ai"),
    ]
    return write_people(tmp_path / "people", judgments, [BIRD, FISH, TREE])


def test_preferences_are_the_mean_of_people_with_one_vote_each(people: Path):
    found = read_preferences(DataSource(str(people)))
    assert [(one.chosen, one.p_chosen) for one in found.rows] == [(BIRD.response_a, 0.75)]
    assert len(found.excluded) == 2
    assert found.origin.digest is not None


def test_pairs_to_judge_are_all_comparisons(people: Path):
    rows = read_pair_rows(PromptFile(people))
    assert {pair.comparison.id for row in rows for pair in row.pairs} == {BIRD.id, FISH.id, TREE.id}


def test_a_run_is_no_folder_of_labels(people: Path):
    (people / "manifest.json").write_text("{}")
    with pytest.raises(DataError):
        list(read_rows(DataSource(str(people))))


def test_a_folder_of_labels_is_not_imported_again(people: Path, tmp_path: Path):
    with pytest.raises(DataError, match="a folder of labels already"):
        import_labels(LabelsRequest(DataSource(str(people)), tmp_path / "again"))


def test_votes_in_rows_are_one_pair_as_in_the_folder_of_their_import(tmp_path: Path):
    cells = {"prompt": "Name a bird.", "response_a": "Owl.", "response_b": "Eel."}
    votes = [("ann", "a", 1), ("ann", "b", 2), ("ben", "a", 1), ("Ben", "a", 2), ("kim", "tie", 1)]
    rows = [{**cells, "annotator": who, "verdict": said, "item_id": item} for who, said, item in votes]
    file = tmp_path / "votes.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_preferences(DataSource(str(file)))
    assert [(one.chosen, one.p_chosen) for one in found.rows] == [("Owl.", pytest.approx(2 / 3))]
    assert "5 votes on 1 pair averaged, one label for each" in found.notes
    import_labels(LabelsRequest(DataSource(str(file)), tmp_path / "labels"))
    again = read_preferences(DataSource(str(tmp_path / "labels")))
    assert [(one.chosen, one.p_chosen) for one in again.rows] == [("Owl.", pytest.approx(2 / 3))]
