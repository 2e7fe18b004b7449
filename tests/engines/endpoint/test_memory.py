"""A model that a server describes in another way than before."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.endpoint.memory import report_change

URL = "http://host/v1"


def reported(path: Path, caplog: pytest.LogCaptureFixture, *descriptions: dict[str, object]) -> list[str]:
    for facts in descriptions:
        report_change(path, "m", URL, facts)
    return [record.getMessage() for record in caplog.records]


def test_the_first_description_and_the_same_again_are_no_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    assert reported(tmp_path / "servers.json", caplog, {"root": "one"}, {"root": "one"}) == []


def test_another_root_is_reported_with_what_was_before(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (line,) = reported(tmp_path / "servers.json", caplog, {"root": "one"}, {"root": "two"}, {"root": "two"})
    assert (
        line == f"{URL}: the model behind m has changed since it was last asked: root is 'two', before 'one'"
    )


def test_a_model_that_was_fetched_anew_is_reported_by_its_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "servers.json"
    (line,) = reported(path, caplog, {"created": 1}, {}, {"created": 2}, {"created": 3})
    assert "created is 3, before 2" in line  # of a model that was just fetched the time is not known


def test_models_and_servers_are_told_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "servers.json"
    report_change(path, "m", URL, {"root": "one"})
    report_change(path, "n", URL, {"root": "two"})
    report_change(path, "m", "http://other/v1", {"root": "three"})
    report_change(path, "m", URL, {"root": "one"})
    assert not caplog.records


@pytest.mark.parametrize("content", ["", "[]", '{"m at http://host/v1": 7}', "{", "\x00"])
def test_a_damaged_file_is_written_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str):
    path = tmp_path / "servers.json"
    path.write_text(content)
    assert len(reported(path, caplog, {"root": "one"}, {"root": "two"})) == 1
