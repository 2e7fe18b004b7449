"""Mistakes of an unsaved text have their places in it."""

from __future__ import annotations

from pathlib import Path

from publius.studio.linting import as_loaded, linted, principle_at
from tests.publius.projects import CONSTITUTION, write_project


def test_mistake_has_its_line_and_column(tmp_path: Path):
    path = tmp_path / "constitution.yaml"
    found = linted(path, "constitution", CONSTITUTION.replace("max_words", "max_word"))
    assert found.loaded is None
    assert [(d.line, d.severity) for d in found.diagnostics] == [(6, "error")]
    assert "max_words" in found.diagnostics[0].hint


def test_finding_has_its_code(tmp_path: Path):
    found = linted(
        tmp_path / "constitution.yaml", "constitution", CONSTITUTION.replace("value: 12", "value: 3")
    )
    assert [(d.code, d.line, d.severity) for d in found.diagnostics] == [("L305", 6, "warning")]
    assert found.loaded is not None


def test_run_file_is_linted_as_one(tmp_path: Path):
    run_file = write_project(tmp_path)
    found = linted(run_file, "run", run_file.read_text().replace("rounds: 2", "rounds: many"))
    assert [(d.line, d.severity) for d in found.diagnostics] == [(6, "error")]
    assert linted(run_file, "run", run_file.read_text()).diagnostics == ()


def test_text_that_is_no_yaml_is_one_error(tmp_path: Path):
    found = linted(tmp_path / "constitution.yaml", "constitution", "name: [\n")
    assert [d.severity for d in found.diagnostics] == ["error"]


def test_unsaved_base_counts_for_the_file_that_extends_it(tmp_path: Path):
    base, main = tmp_path / "base.yaml", tmp_path / "main.yaml"
    base.write_text(CONSTITUTION)
    main.write_text("extends: base.yaml\nname: main\n")
    loaded = as_loaded(main, base, CONSTITUTION.replace("twelve", "eleven").replace("12", "11"))
    assert loaded is not None
    assert loaded.constitution.principle("short").text == "The reply has at most eleven words."
    assert base.read_text() == CONSTITUTION


def test_mistake_in_another_file_names_it(tmp_path: Path):
    base, main = tmp_path / "base.yaml", tmp_path / "main.yaml"
    base.write_text("name: base\nprinciples: [{id: a, text: The reply is short., weight: none}]\n")
    found = linted(main, "constitution", "extends: base.yaml\nname: main\n")
    assert found.diagnostics[0].line == 1
    assert "base.yaml" in found.diagnostics[0].what


def test_line_belongs_to_the_principle_that_is_written_on_it(tmp_path: Path):
    text = (
        "name: two\nprinciples:\n  - id: plain\n    text: The reply uses plain words.\n  - The reply is kin\n"
    )
    path = tmp_path / "constitution.yaml"
    loaded = linted(path, "constitution", text).loaded
    assert loaded is not None
    plain, kind = (principle.id for principle in loaded.constitution.principles)
    found = [principle_at(loaded, path, line) for line in range(1, 6)]
    assert found == [None, None, plain, plain, kind]
    assert principle_at(loaded, tmp_path / "other.yaml", 4) is None


def test_line_of_a_base_file_belongs_to_its_principle(tmp_path: Path):
    base, main = tmp_path / "base.yaml", tmp_path / "main.yaml"
    base.write_text(CONSTITUTION)
    main.write_text("extends: base.yaml\nname: main\nprinciples:\n  - The reply is calm.\n")
    loaded = as_loaded(main, base, CONSTITUTION)
    assert loaded is not None
    assert principle_at(loaded, base, 5) == "kind"
    assert principle_at(loaded, main, 5) != "kind"
