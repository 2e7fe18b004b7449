"""What is made from texts and labels of the scripted engine says so, whichever command makes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.publius.invoking import here
from tests.publius.projects import CONSTITUTION, RUN, write_project

SETTINGS = "train: []\neval: {models: [base, prompted], kl: false, quality: false}\n"
GOLD = "prompt,chosen,rejected\n" + "".join(f"What is {n} and 1?,It is {n + 1}.,No idea.\n" for n in range(4))
SAID = ("scripted engine", "made up")
REPORT = pytest.param("report RUN", marks=pytest.mark.long)
AS_JSON = [
    REPORT,
    *("agreement RUN", "agreement people RUN", "diff stricter.yaml --run RUN", "show RUN", "show RUN ID"),
    *("diff stricter.yaml --run RUN --estimate", "show RUN --to OUT/pairs.csv", "runs list"),
    *("show RUN --answers --to OUT/answers.csv", "export RUN --to OUT", "run run.yaml", "eval run.yaml"),
    *("export RUN --labels icai --to OUT/labels.json", "run run.yaml --preview 1"),
    "audit labeler run.yaml --gold gold.csv --to OUT",
    "label --pairs gold.csv --engine scripted --constitution constitution.yaml --to OUT",
]
AS_TEXT = [*AS_JSON, "select RUN --budget 2", "select RUN --budget 2 --to OUT/ask.jsonl"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a scripted run that was evaluated, gold pairs, votes of people and stricter rules."""
    folder = tmp_path_factory.mktemp("made-up")
    run_file = write_project(folder, 6, RUN + SETTINGS)
    rows = [{"prompt": f"What is {n} times 2?", "split": "test" if n > 3 else "train"} for n in range(6)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "stricter.yaml").write_text(CONSTITUTION.replace("twelve", "nine").replace("12", "9"))
    (folder / "gold.csv").write_text(GOLD)
    for command in (("run", run_file), ("eval", run_file)):
        assert here(*command).returncode == 0
    assert here("import", "labels", folder / "gold.csv", "--to", folder / "people").returncode == 0
    return folder


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    (found,) = Path("runs").iterdir()
    return found


def words_of(command: str, run: Path, to: Path) -> list[str]:
    first = json.loads((run / "preferences.jsonl").read_text().splitlines()[0])
    to.mkdir()
    named = command.replace("RUN", str(run)).replace("OUT", str(to))
    return [first["id"] if word == "ID" else word for word in named.split()]


@pytest.mark.parametrize("command", AS_TEXT)
def test_text_says_what_is_made_up(run: Path, tmp_path: Path, command: str):
    done = here(*words_of(command, run, tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert any(said in done.stdout + done.stderr for said in SAID)


@pytest.mark.parametrize("command", AS_JSON)
def test_json_says_what_is_made_up(run: Path, tmp_path: Path, command: str):
    done = here(*words_of(command, run, tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.dumps(json.loads(done.stdout))
    assert any(said in found for said in (*SAID, '"scripted": ["'))


@pytest.mark.long
def test_tables_say_what_is_made_up(run: Path, tmp_path: Path):
    for name, more in {"plain": (), "all": ("--columns", "all"), "answers": ("--answers",)}.items():
        assert here("show", run, "--to", tmp_path / f"{name}.csv", *more).returncode == 0
    assert here("report", run, "--to", tmp_path / "r.html", "--figures", tmp_path).returncode == 0
    for name in ("plain.csv", "all.csv", "answers.csv", "measures.csv", "measures.md", "r.html"):
        text = (tmp_path / name).read_text()
        assert any(said in text for said in SAID), name


def test_labels_of_people_are_not_called_made_up(project: Path):
    done = here("agreement", project / "people", "--json")
    assert "made_up" not in json.loads(done.stdout)
