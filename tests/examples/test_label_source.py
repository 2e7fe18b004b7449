"""The example of a source of labels: as an installed package, and as a module beside the user's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.records import Comparison, Judgment
from core.store.record_store import RecordStore
from tests.publius.test_cli import PROGRAM, REPOSITORY, mistakes

EXAMPLE = REPOSITORY / "examples" / "label-source"
VOTES = EXAMPLE / "votes.jsonl"


def publius(
    *arguments: object, path: Path | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(p) for p in (REPOSITORY, path) if p)
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("setuptools")
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    for file in EXAMPLE.iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return target


def check(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["format"], summary["rows"], summary["kept"]) == ("duel", 5, 4)
    assert summary["dropped_for"][0]["reason"] == "the vote is not red, blue, draw or boo"
    with RecordStore(folder, writable=False) as store:
        pairs = {c.id: c for c in store.open("comparisons.jsonl", Comparison, "prompt.id")}
        judgments = list(store.open("judgments.jsonl", Judgment, "comparison_id"))
    won = [(pairs[j.comparison_id], j) for j in judgments if j.verdict in ("a", "b")]
    answers = {c.response_a if j.verdict == "a" else c.response_b for c, j in won}
    assert answers == {"The swift.", "The alder."}
    assert {j.annotator for j in judgments} == {"ada", "ben"}
    assert {j.verdict for j in judgments} >= {"tie", "both_bad"}


def test_an_installed_source_is_found_by_its_name(installed: Path, tmp_path: Path):
    to = tmp_path / "labels"
    check(to, publius("import", "labels", VOTES, "--format", "duel", "--to", to, "--json", path=installed))


def test_an_installed_source_recognises_its_files(installed: Path, tmp_path: Path):
    to = tmp_path / "labels"
    check(to, publius("import", "labels", VOTES, "--to", to, "--json", path=installed))


def test_a_source_that_is_not_installed_is_named_by_module_and_function(tmp_path: Path):
    to = tmp_path / "labels"
    check(
        to,
        publius(
            "import", "labels", VOTES, "--format", "duel_labels:Duels", "--to", to, "--json", cwd=EXAMPLE
        ),
    )


def test_without_it_the_file_is_refused_in_one_line(tmp_path: Path):
    (line,) = mistakes(publius("import", "labels", VOTES, "--to", tmp_path / "labels"))
    assert "cannot recognise the format from the columns (ask, red, blue, vote, stars, voter)" in line


def test_a_source_that_breaks_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "broken.py").write_text(
        "from duel_labels import Duels\n"
        "class Broken(Duels):\n"
        "    def labels_of(self, values, number):\n"
        "        return 1 / 0\n"
    )
    done = publius(
        "import",
        "labels",
        VOTES,
        "--format",
        "broken:Broken",
        "--to",
        tmp_path / "labels",
        path=EXAMPLE,
        cwd=tmp_path,
    )
    (line,) = mistakes(done)
    assert "none of the 5 rows can be used" in line
    assert "the label source failed" in line
    assert "ZeroDivisionError" in line
    assert not (tmp_path / "labels").exists()


def test_an_installed_source_that_cannot_look_at_a_row_is_told_in_one_line(tmp_path: Path):
    package = tmp_path / "broken-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[publius.label_sources]\nbroken = broken_source:Broken\n")
    (tmp_path / "broken_source.py").write_text(
        "from labelers.formats.source import RowSource\n"
        "class Broken(RowSource):\n"
        "    name = 'broken'\n"
        "    def recognises(self, row):\n"
        "        return row['no such column']\n"
    )
    (line,) = mistakes(publius("import", "labels", VOTES, "--to", tmp_path / "labels", path=tmp_path))
    assert "recognises() of the source 'broken' failed (KeyError" in line
