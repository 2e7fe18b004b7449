"""Folders of records opened for reading: runs, and folders that are none."""

from pathlib import Path

import pytest

from core.errors import DataError, RunStateError
from publius.runs.reader import RecordsReader, RunReader, open_judgments, open_labelled, show_record
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import Recorder, write_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_file = write_project(tmp_path_factory.mktemp("reader"), prompts=3)
    return execute(RunRequest(run_file), Recorder()).folder


def test_run_is_read_with_all_that_it_was_made_from(folder: Path):
    with open_labelled(folder) as run:
        assert run.identity.digest == run.manifest["digest"]
        assert run.identity.constitution == run.constitution.digest
        assert run.config.name == "small"
        assert len(run.preferences) > 0


def test_record_comes_with_its_history_and_is_json_alone(folder: Path):
    with RunReader(folder) as run:
        judgment = next(iter(run.judgments))
    found = show_record(folder, judgment.id)
    kinds = {type(record).__name__ for record in found.history}
    assert {"Prompt", "CritiqueTrace", "Comparison", "Judgment"} <= kinds
    assert (found.record, found.as_json()["id"]) == (judgment, judgment.id)


def test_folder_that_is_no_run_is_read_as_records_alone(folder: Path, tmp_path: Path):
    (tmp_path / "comparisons.jsonl").write_bytes((folder / "comparisons.jsonl").read_bytes())
    with RecordsReader(tmp_path) as records:
        assert len(records.comparisons) > 0
    for opening, refusal in ((RunReader, RunStateError), (open_labelled, RunStateError)):
        with pytest.raises(refusal, match="not a run folder"):
            opening(tmp_path)
    with pytest.raises(DataError, match=r"has no judgments\.jsonl"):
        open_judgments(tmp_path)


def test_run_with_another_constitution_than_its_own_is_refused(tmp_path: Path):
    run = execute(RunRequest(write_project(tmp_path, prompts=2)), Recorder()).folder
    path = run / "constitution.yaml"
    path.write_text(path.read_text().replace("plain words", "simple words"))
    with pytest.raises(RunStateError, match=r"constitution.yaml was changed after the run was labelled"):
        open_labelled(run)
