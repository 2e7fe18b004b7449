"""Files are saved only on top of the version that was read, in the form that they had."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from core.errors import ConfigError, DataError, Problem
from publius.runs.project import OwnFiles, init_project
from publius.studio.files import FileVersion, NotSavedError, ProjectFiles, UnsavedText
from publius.studio.project import StudioProject, file_kind
from tests.publius.projects import CONSTITUTION, write_project


@pytest.fixture
def files(tmp_path: Path) -> ProjectFiles:
    write_project(tmp_path)
    return ProjectFiles(StudioProject.of(tmp_path))


def test_saved_text_is_the_file(files: ProjectFiles):
    before = files.read("constitution.yaml")
    after = files.save("constitution.yaml", before.text + "# kept\n", before.digest, "tab")
    path = files.project.constitution
    assert path.read_text() == CONSTITUTION + "# kept\n"
    assert files.read("constitution.yaml") == after != before


def test_save_on_another_version_writes_nothing(files: ProjectFiles):
    before = files.read("constitution.yaml")
    files.project.constitution.write_text("name: other\nprinciples: [The reply is short.]\n")
    with pytest.raises(NotSavedError) as refused:
        files.save("constitution.yaml", "mine", before.digest, "tab")
    assert refused.value.current.text == files.project.constitution.read_text()
    assert "other" in refused.value.current.text


def test_replaced_version_is_kept(files: ProjectFiles):
    before = files.read("run.yaml")
    files.save("run.yaml", "name: new\n", before.digest, "tab")
    kept = list((files.project.folder / ".publius" / "studio" / "versions").iterdir())
    assert [path.read_text() for path in kept] == [before.text]


def test_line_breaks_and_byte_order_mark_stay(files: ProjectFiles):
    path = files.project.constitution
    path.write_bytes(b"\xef\xbb\xbf" + CONSTITUTION.replace("\n", "\r\n").encode())
    read = files.read("constitution.yaml")
    assert read.text == CONSTITUTION
    files.save("constitution.yaml", read.text.replace("twelve", "ten"), read.digest, "tab")
    assert (
        path.read_bytes()
        == b"\xef\xbb\xbf" + CONSTITUTION.replace("twelve", "ten").replace("\n", "\r\n").encode()
    )


def test_permissions_and_links_stay(files: ProjectFiles, tmp_path: Path):
    path = files.project.constitution
    target = tmp_path / "elsewhere.yaml"
    path.rename(target)
    target.chmod(0o640)
    path.symlink_to(target)
    read = files.read("constitution.yaml")
    files.save("constitution.yaml", read.text + "#\n", read.digest, "tab")
    assert path.is_symlink()
    assert target.read_text().endswith("#\n")
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "name", ["../run.yaml", "/etc/passwd", ".publius/studio/access.json", "", "new.yaml"]
)
def test_only_listed_files_can_be_opened(files: ProjectFiles, name: str):
    with pytest.raises(DataError, match="no file"):
        files.read(name)
    with pytest.raises(DataError, match="no file"):
        files.save(name, "text", "", "tab")


def test_removed_constitution_can_be_saved_again(files: ProjectFiles):
    files.project.constitution.unlink()
    gone = files.read("constitution.yaml")
    assert (gone.text, gone.digest) == ("", "")
    files.save("constitution.yaml", CONSTITUTION, gone.digest, "tab")
    assert files.project.constitution.read_text() == CONSTITUTION


def test_draft_survives_until_it_is_saved(files: ProjectFiles):
    before = files.read("constitution.yaml")
    files.keep_draft(UnsavedText("constitution.yaml", "one", before.digest, "mine", "2026-01-01T00:00:00"))
    files.keep_draft(UnsavedText("constitution.yaml", "two", before.digest, "other", "2026-01-02T00:00:00"))
    again = ProjectFiles(files.project)
    assert [draft.text for draft in again.drafts("constitution.yaml")] == ["other", "mine"]
    again.save("constitution.yaml", "mine", before.digest, "one")
    assert [draft.tab for draft in again.drafts("constitution.yaml")] == ["two"]


def test_watch_reports_each_change(files: ProjectFiles):
    seen: list[FileVersion] = []
    arrived, stopped = threading.Event(), threading.Event()

    def changed(version: FileVersion) -> None:
        seen.append(version)
        arrived.set()

    watching = threading.Thread(target=files.watch, args=(changed, stopped))
    watching.start()
    try:
        for text in ("name: a\n", "name: b\n"):
            arrived.clear()
            while not arrived.wait(0.05):  # until it has taken its first look, a change may be part of that
                (files.project.folder / "new.yaml").write_text(text + "#" * len(seen))
    finally:
        stopped.set()
        watching.join()
    assert {version.name for version in seen} == {"new.yaml"}


def test_project_without_constitution_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(ConfigError, match="no constitution to edit"):
        StudioProject.of(tmp_path)
    with pytest.raises(ConfigError, match="no such file or folder"):
        StudioProject.of(tmp_path / "missing")


@pytest.mark.parametrize(
    "settings",
    ["", "engine: {kind: scripted, max_btch: 4}\n", "models: {policy: [\n"],
    ids=["valid", "misspelt", "no YAML"],
)
def test_constitution_outside_of_the_folder_is_edited_in_place(tmp_path: Path, settings: str):
    rules, desk = tmp_path / "letters.yaml", tmp_path / "desk"
    rules.write_text(CONSTITUTION)
    (tmp_path / "other.yaml").write_text(CONSTITUTION)
    init_project(desk, own=OwnFiles(constitution=rules))
    with (desk / "run.yaml").open("a") as file:
        file.write(settings)
    for given in (desk, desk / "run.yaml"):
        project = StudioProject.of(given)
        assert project.constitution == rules.resolve()
        assert "other.yaml" not in project.paths()
    files = ProjectFiles(project)
    before = files.read("letters.yaml")
    files.save("letters.yaml", before.text + "# edited\n", before.digest, "tab")
    assert rules.read_text().endswith("# edited\n")
    for name in ("other.yaml", "../other.yaml", str(tmp_path / "other.yaml")):
        with pytest.raises(DataError, match="no file"):
            files.read(name)


def test_what_to_do_without_a_constitution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def problem(given: str) -> Problem:
        with pytest.raises(ConfigError) as caught:
            StudioProject.of(Path(given))
        return caught.value.problems[0]

    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk").mkdir()
    assert problem("desk").run == "publius init desk"
    assert problem("new/run.yaml").run == "publius init new"
    (tmp_path / "letters.yaml").write_text(CONSTITUTION)
    (tmp_path / "desk" / "eval.yaml").write_text("constitution: ../letters.yaml\nprompts: p\n")
    assert problem("desk").run == "publius studio desk/eval.yaml"
    assert StudioProject.of(Path("desk/eval.yaml")).constitution == tmp_path / "letters.yaml"
    run_file = tmp_path / "desk" / "run.yaml"
    run_file.write_text("constitution: gone.yaml\nprompts: p\n")
    assert "names a constitution that is not there" in problem("desk").what
    assert problem("desk/misnamed.yaml").run is None
    run_file.write_text("constitution: harmless\nprompts: p\nmodels: {policy: m}\n")
    assert "names a preset" in problem("desk").what


def test_constitution_alone_is_a_project(tmp_path: Path):
    (tmp_path / "rules.yaml").write_text(CONSTITUTION)
    project = StudioProject.of(tmp_path / "rules.yaml")
    assert project.run_file is None
    assert project.config().models.policy.id == "smollm2-135m-instruct"
    assert list(project.paths()) == ["rules.yaml"]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.yaml", "name: x\nprinciples: []\n", "constitution"),
        ("a.yaml", "name: x\nconstitution: b.yaml\nprompts: p\n", "run"),
        ("a.yaml", "- The reply is short.\n", "constitution"),
        ("a.jsonl", "{}", "prompts"),
        ("a.md", "# A", "text"),
    ],
)
def test_kind_of_file(name: str, text: str, kind: str):
    assert file_kind(Path(name), text) == kind
