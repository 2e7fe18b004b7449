"""Files of a run that were emptied, torn, removed or edited: a resume restores them, or refuses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import DataError, PubliusError, RunStateError
from engines.scripted import ScriptedEngine
from publius.runs.dataset import export_run
from publius.runs.reader import RunReader, show_record
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.projects import record_lines, write_project

INPUTS = ("prompts.jsonl", "constitution.yaml", "resolved.yaml", "manifest.json")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def removed(path: Path) -> None:
    path.unlink()


def binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00" * 20)


LONG = pytest.mark.long
Damage = Callable[[Path], None]
DAMAGES: tuple[Damage, ...] = (emptied, halved, removed, binary)


def run(run_file: Path, resume: Path | None = None) -> Path:
    request = RunRequest(run_file, resume=resume)
    return execute(request, lambda model, engine: ScriptedEngine(model=model.id)).folder


def records(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(lines) for name, lines in record_lines(folder).items() if lines}


def half_done(folder: Path) -> None:
    """Cut a finished run back to the middle of its critique stage."""
    for name in ("comparisons.jsonl", "judgments.jsonl", "preferences.jsonl", "index.sqlite"):
        (folder / name).unlink()
    lines = (folder / "traces.jsonl").read_text().splitlines(keepends=True)
    (folder / "traces.jsonl").write_text("".join(lines[: len(lines) // 2]))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["stages"] = {"prompts": manifest["stages"]["prompts"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run file of a project with one finished run; it is copied, never changed."""
    run_file = write_project(tmp_path_factory.mktemp("finished") / "project", 6)
    run(run_file)
    return run_file


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished.parent, tmp_path / "project", dirs_exist_ok=True)
    return tmp_path / "project" / "run.yaml"


def folder_of(run_file: Path) -> Path:
    (folder,) = (run_file.parent / "runs").iterdir()
    return folder


@pytest.mark.parametrize("damage", [halved, *(pytest.param(d, marks=LONG) for d in DAMAGES if d != halved)])
@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_was_damaged_is_written_again(project: Path, name: str, damage: Damage):
    folder = folder_of(project)
    expected, content = records(folder), (folder / name).read_text()
    half_done(folder)
    damage(folder / name)
    assert run(project, resume=folder) == folder
    assert records(folder) == expected
    if name in ("prompts.jsonl", "constitution.yaml"):
        assert (folder / name).read_text() == content
    with RunReader(folder) as reader:
        assert reader.constitution.digest == reader.identity.constitution
        assert reader.config.name == "small"


def test_a_prompt_that_was_edited_comes_back(project: Path):
    folder = folder_of(project)
    expected = records(folder)
    path = folder / "prompts.jsonl"
    path.write_text(path.read_text().replace('"split":"train"', '"split":"test"', 1))
    run(project)
    assert records(folder) == expected


def test_a_run_made_before_lines_had_a_digest_resumes_as_it_is(project: Path):
    folder = folder_of(project)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["stages"]["prompts"]["lines"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    expected = records(folder)
    run(project)
    assert records(folder) == expected
    emptied(folder / "prompts.jsonl")
    run(project)
    assert records(folder) == expected


@pytest.mark.parametrize("field", ["response_a", "response_b"])
def test_a_comparison_edited_under_its_id_is_refused_until_its_line_is_deleted(project: Path, field: str):
    folder = folder_of(project)
    expected = records(folder)
    path = folder / "comparisons.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    edited = json.loads(lines[2]) | {field: "Another answer."}
    path.write_text("".join([*lines[:2], json.dumps(edited) + "\n", *lines[3:]]))
    with pytest.raises(DataError) as caught:
        run(project)
    assert f"{path}:3: the content of record '{edited['id']}' is not that of its id" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="is not that of its id"):
        export_run(folder, folder.parent / "exported")
    assert not (folder.parent / "exported").exists()
    path.write_text("".join([*lines[:2], *lines[3:]]))
    run(project)
    assert records(folder) == expected


def test_the_manifest_of_another_run_is_refused_with_advice_that_works(project: Path):
    folder = folder_of(project)
    expected = records(folder)
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["digest"], "0" * 64))
    with pytest.raises(RunStateError, match=f"run: rm {re.escape(str(path))}"):
        run(project)
    path.unlink()
    run(project)
    assert records(folder) == expected


def test_a_damaged_manifest_in_a_renamed_folder_is_refused(project: Path):
    folder = folder_of(project).rename(project.parent / "elsewhere")
    emptied(folder / "manifest.json")
    with pytest.raises(RunStateError, match="without --resume"):
        run(project, resume=folder)
    assert (folder / "manifest.json").read_bytes() == b""


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"digest": 5, "identity": {}, "stages": {}}',
        '{"digest": "d", "identity": {"configuration": 5}, "stages": {}}',
        '{"digest": "d", "identity": {}, "stages": {"aggregate": 5}}',
        '{"digest": "d", "identity": {}, "stages": {"aggregate": {"left_out": [1]}}}',
        '{"digest": "d", "identity": {}, "stages": {"aggregate": {}}, "versions": [1]}',
        '{"digest": "d", "identity": {}, "stages": {}, "prompts": []}',
        '{"digest": "d", "identity": {}, "stages": {}, "prompts": {"carried": ["a"]}}',
    ],
)
def test_a_manifest_of_wrong_types_is_one_line_for_readers(project: Path, content: str):
    folder = folder_of(project)
    (folder / "manifest.json").write_text(content)
    for read in (lambda: show_record(folder, "a"), lambda: export_run(folder, folder.parent / "out")):
        with pytest.raises(RunStateError, match=r"manifest is damaged; run: publius run") as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "trouble",
    [
        "empty manifest",
        *(pytest.param(name, marks=LONG) for name in ("no constitution", "binary constitution", "long path")),
    ],
)
def test_every_command_on_a_broken_run_folder_ends_in_one_line(project: Path, trouble: str):
    folder, out = folder_of(project), project.parent / "out"
    match trouble:
        case "empty manifest":
            emptied(folder / "manifest.json")
        case "no constitution":
            removed(folder / "constitution.yaml")
        case "binary constitution":
            binary(folder / "constitution.yaml")
        case "long path":
            folder = project.parent / ("long" * 70)
    for command in (
        ("show", folder, "zz"),
        ("export", folder, "--to", out),
        ("export", folder, "--model", "sft", "--to", out),
        ("export", folder, "--constitution", "anthropic", "--to", out),
        ("select", folder, "--budget", "0", "--to", out),
        ("diff", project.parent / "constitution.yaml", folder / "constitution.yaml", "--run", folder),
        ("chat", folder),
        ("train", "sft", project, "--set", "models.policy=none", "--resume", folder),
    ):
        done = here(*command)
        assert done.returncode == 2, command
        assert done.stderr.splitlines()[-1].startswith("error: "), command
        assert "Traceback" not in done.stderr, command
    assert not out.exists()


def test_leftovers_of_a_killed_write_are_removed(project: Path):
    folder = folder_of(project)
    left = folder / ".manifest.json.4711.0a1b2c3d.tmp"
    left.write_text("{")
    (folder / ".mine.tmp").write_text("kept")
    run(project)
    assert not left.exists()
    assert (folder / ".mine.tmp").exists()


def test_an_export_that_fails_leaves_nothing_and_can_be_repeated(project: Path):
    folder, to = folder_of(project), project.parent / "data"
    constitution = (folder / "constitution.yaml").read_bytes()
    binary(folder / "constitution.yaml")
    with pytest.raises(RunStateError, match="the file is not UTF-8 text; run: publius run"):
        export_run(folder, to)
    (folder / "constitution.yaml").write_bytes(constitution)
    lines = (folder / "traces.jsonl").read_text().splitlines(keepends=True)
    (folder / "traces.jsonl").write_text("".join(["{broken\n", *lines]))
    with pytest.raises(DataError):
        export_run(folder, to)
    assert sorted(path.name for path in project.parent.iterdir() if "data" in path.name) == []
    (folder / "traces.jsonl").write_text("".join(lines))
    assert export_run(folder, to).rows["soft"] == 6
    assert {path.name for path in to.iterdir()} >= {"README.md", "constitution.yaml", "soft"}


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("state", ["half done", "finished"])
def test_every_file_of_a_run_damaged_one_by_one_ends_in_the_same_records(
    finished: Path, tmp_path: Path, damage: Damage, state: str
):
    names = [path.name for path in folder_of(finished).iterdir() if path.is_file()]
    assert set(INPUTS) < set(names)
    expected = records(folder_of(finished))
    for number, name in enumerate(names):
        run_file = shutil.copytree(finished.parent, tmp_path / str(number)) / "run.yaml"
        folder = folder_of(run_file)
        if state == "half done":
            half_done(folder)
        if (folder / name).exists():
            damage(folder / name)
        with advice_followed():
            run(run_file)
        run(run_file)
        assert records(folder) == expected, (name, state)


@contextlib.contextmanager
def advice_followed() -> Iterator[None]:
    """Do what an error in the block says: remove the file, or delete the line that it names."""
    try:
        yield
    except PubliusError as error:
        follow(error)


def follow(error: PubliusError) -> None:
    (problem,) = error.problems
    if "\n" in str(error):
        pytest.fail(f"more than one line: {error}")
    if problem.run is not None and problem.run.startswith("rm "):
        os.remove(problem.run.removeprefix("rm "))
        return
    found = re.fullmatch(r"(.*):(\d+)", problem.where or "")
    assert found, f"no advice to follow: {error}"
    path, number = Path(found[1]), int(found[2])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: number - 1] + lines[number:]))
