"""The command line as a user meets it: exit codes, one clear line per mistake, nothing overwritten."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from publius.config.run_file import load_run_config
from tests.publius.invoking import here
from tests.publius.projects import RUN, write_project

REPOSITORY = Path(__file__).parents[2]
PROGRAM = "import sys; sys.argv[0] = 'publius'; from publius.cli import main; main()"


def publius(
    *arguments: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)


def mistakes(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the error lines of a command that must have failed as a user's mistake."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def test_run_ends_in_a_table_and_shows_progress(tmp_path):
    done = publius("run", write_project(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "preferences" in done.stdout
    assert "critique  8/8  100%" in done.stderr


def test_json_output_is_json_alone(tmp_path):
    done = publius("run", write_project(tmp_path), "--json")
    summary = json.loads(done.stdout)
    assert summary["stages"]["critique"]["records"] == 8
    assert Path(summary["run"]).is_dir()


def test_single_stages_add_up_to_a_run(tmp_path):
    run_file = write_project(tmp_path)
    for stage in ("critique", "compare", "label"):
        assert here(stage, run_file).returncode == 0
    done = here("run", run_file, "--json")
    assert all(not stage["asked"] for stage in json.loads(done.stdout)["stages"].values())


def test_init_writes_a_project_once(tmp_path):
    assert here("init", tmp_path / "new").returncode == 0
    (tmp_path / "new" / "constitution.yaml").write_text("mine")
    (line,) = mistakes(here("init", tmp_path / "new"))
    assert "nothing was written" in line
    assert (tmp_path / "new" / "constitution.yaml").read_text() == "mine"


def test_init_quotes_the_folder_in_the_commands_that_it_shows(tmp_path):
    done = here("init", tmp_path / "my desk")
    assert f"publius try '{tmp_path / 'my desk' / 'constitution.yaml'}'" in done.stdout


def test_init_with_own_files_names_them_and_says_how_the_prompts_are_split(tmp_path):
    (tmp_path / "house.yaml").write_text("name: house\nprinciples: [The reply is kind.]\n")
    (tmp_path / "mails.txt").write_text("May I come on Sunday?\nWhere is the lift?\n")
    own = ("--constitution", tmp_path / "house.yaml", "--prompts", tmp_path / "mails.txt")
    done = here("init", tmp_path / "desk 1", *own)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "desk 1" / "run.yaml").read_text()
    assert "# Edit house.yaml and run again" in text
    assert 'name: "desk-1"' in text
    said = " ".join(done.stderr.split())
    assert "2 used: " in said
    assert ("no prompt is held out for publius eval: add split: {train: 0.4" in said) is ("0 test" in said)


def test_init_writes_conditions_on_the_rows_of_own_prompts(tmp_path):
    rows = [{"prompt": f"Question {n}?", "consent": n > 0, "market": "NO"} for n in range(3)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    conditions = ("--where", "consent=true", "--where", "market=[DE, NO]")
    done = here("init", tmp_path / "desk", "--prompts", tmp_path / "own.jsonl", *conditions)
    assert "2 prompts of 3 rows; 1 skipped: left out by prompts.where consent = true" in done.stderr
    settings = load_run_config(tmp_path / "desk" / "run.yaml").prompts
    assert settings.where == {"consent": True, "market": ("DE", "NO")}
    (line,) = mistakes(here("init", tmp_path / "other", "--where", "consent=true"))
    assert "--where requires --prompts" in line


def test_init_project_checks_and_runs_dry(tmp_path):
    here("init", tmp_path / "new")
    assert here("check", tmp_path / "new" / "constitution.yaml").returncode == 0
    dry = ("--set", "engine.kind=scripted", "--set", "train=[]")
    done = here("run", tmp_path / "new" / "run.yaml", *dry)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("preset", "held_out", "tokens"), [("plain-and-brief", 48, 112), ("customer-support", 16, 160)]
)
def test_init_sizes_the_evaluation_for_two_cores_and_the_word_limits_of_the_preset(
    tmp_path, preset, held_out, tokens
):
    here("init", tmp_path, "--preset", preset)
    found = load_run_config(tmp_path / "run.yaml")
    assert found.eval.sampling.max_new_tokens == tokens
    assert (found.eval.prompts, found.eval.texts) == (20, 8)
    assert f"# On the {held_out} test prompts" in (tmp_path / "run.yaml").read_text()


def test_init_writes_the_schema_to_which_the_constitution_points(tmp_path):
    here("init", tmp_path / "new")
    first = (tmp_path / "new" / "constitution.yaml").read_text().split("\n")[0]
    assert first == "# yaml-language-server: $schema=./constitution.schema.json"
    written = (tmp_path / "new" / "constitution.schema.json").read_text()
    assert here("schema").stdout == written
    assert here("schema", "--to", tmp_path / "s.json").returncode == 0
    assert (tmp_path / "s.json").read_text() == written


def test_several_mistakes_in_a_constitution_are_told_at_once(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nprincples: []\nprinciples:\n  - {id: a, text: One.}\n  - {id: a, text: ''}\n")
    lines = mistakes(here("check", bad))
    assert len(lines) >= 3
    assert any("bad.yaml:2:1" in line and "principles" in line for line in lines)
    assert any("bad.yaml:5:" in line for line in lines)


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("engine.kind=vlm", "--set engine.kind=vlm"),
        ("critique.rounds=many", "--set critique.rounds=many"),
        ("critique.round=1", "--set critique.round=1"),
        ("nonsense", "--set"),
        ("label.min_answer_mass=7", "--set label.min_answer_mass=7"),
    ],
)
def test_a_wrong_override_is_blamed_on_the_option(tmp_path, override, where):
    lines = mistakes(here("run", write_project(tmp_path), "--set", override))
    assert where in lines[0]
    assert "accepted" in lines[0]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (RUN + "nonsense: 1\n", "run.yaml:8:1"),
        (RUN.replace("scripted", "warp"), "run.yaml:5:"),
        (RUN.replace("prompts.jsonl", "absent.jsonl"), "absent.jsonl"),
        (RUN.replace("constitution.yaml", "absent.yaml"), "absent.yaml"),
        (RUN.replace("models: {policy: some-model}\n", ""), "models"),
        (
            RUN.replace("{principles: 2}", "{humans: [people], aggregation: noisy-bradley-terry}"),
            "aggregation is 'noisy-bradley-terry'; accepted: one of: graded, majority, dawid-skene",
        ),
        ("", "run.yaml"),
    ],
)
def test_a_wrong_run_file_is_one_line_with_its_place(tmp_path, run, expected):
    lines = mistakes(here("run", write_project(tmp_path, run=run)))
    assert expected in lines[0]
    assert "accepted" in lines[0]
    assert not (tmp_path / "runs").exists()


def test_a_missing_model_folder_is_one_line(tmp_path):
    run = RUN.replace("some-model", "./no-such-folder").replace("scripted", "transformers")
    (line,) = mistakes(here("run", write_project(tmp_path, run=run)))
    assert "no-such-folder" in line
    assert "accepted" in line


def test_a_missing_run_file_and_a_missing_run_folder_are_one_line(tmp_path):
    (line,) = mistakes(here("run", tmp_path / "absent.yaml"))
    assert "absent.yaml" in line
    (line,) = mistakes(here("show", tmp_path, "abc"))
    assert "not a run folder" in line
    (line,) = mistakes(here("export", tmp_path, "--to", tmp_path / "out"))
    assert "not a run folder" in line


def test_a_missing_extra_names_the_install_command(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'tokenizers', 'huggingface_hub'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
    )
    run = RUN.replace("some-model", "org/model").replace("scripted", "transformers")
    path = f"{blocked}{os.pathsep}{REPOSITORY}"
    (line,) = mistakes(publius("run", write_project(tmp_path / "p", run=run), PYTHONPATH=path))
    assert line.endswith("[transformers]'")
    assert "pip install 'publius" not in line


def test_resume_of_another_run_is_one_line(tmp_path):
    run_file = write_project(tmp_path)
    folder = json.loads(here("run", run_file, "--json").stdout)["run"]
    (line,) = mistakes(here("run", run_file, "--resume", folder, "--set", "seed=3"))
    assert "configuration (seed)" in line


def test_a_read_only_project_is_one_line(tmp_path):
    run_file = write_project(tmp_path)
    (tmp_path / "runs").write_text("a file where the folder should be")
    (line,) = mistakes(here("run", run_file))
    assert "runs" in line


def test_a_full_disk_stops_with_one_line_and_keeps_what_was_written(tmp_path):
    run_file = write_project(tmp_path, prompts=60)
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000)); " + PROGRAM
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    command = [sys.executable, "-c", limited, "run", str(run_file)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    lines = mistakes(done)
    assert "disk" in lines[0] or "full" in lines[0]
    finished = here("run", run_file, "--json")
    assert json.loads(finished.stdout)["stages"]["critique"]["records"] == 60


def test_an_unknown_stage_and_an_unknown_option_are_one_line(tmp_path):
    run_file = write_project(tmp_path)
    (line,) = mistakes(here("run", run_file, "--only", "judge"))
    assert (
        "critique, sample, sft, compare, label, reward, dpo, ppo, rloo, grpo, distill, choose, eval" in line
    )
    assert len(mistakes(here("run", run_file, "--nonsense"))) == 1


def test_show_takes_a_prefix_of_any_id_and_tells_the_history(tmp_path):
    folder = Path(json.loads(here("run", write_project(tmp_path), "--json").stdout)["run"])
    preference = json.loads((folder / "preferences.jsonl").read_text().splitlines()[0])
    done = here("show", folder, preference["id"][:10])
    for part in (
        "prompt ",
        "critique and revision ",
        "> pair ",
        "p of the chosen answer",
        "The reply uses plain words.",
    ):
        assert part in done.stdout
    one = here("show", folder, preference["id"], "--json")
    assert json.loads(one.stdout)["id"] == preference["id"]
    (line,) = mistakes(here("show", folder, "zzz"))
    assert "no record has an id" in line


def test_pairs_of_a_file_are_labelled_without_a_run_file(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [
        {
            "prompt": "Name a fruit.",
            "chosen": "An apple.",
            "rejected": "I would rather not say, sorry.",
            "ticket": 7,
        },
        {
            "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
            "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "What?"}],
        },
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("label", "--pairs", pairs, "--constitution", "plain-and-brief", "--to", tmp_path)
    done = here(*arguments, "--set", "engine.kind=scripted", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["figures"]["preferences"] == 2
    assert found["caveats"][0].startswith("No model judged this: ")  # the answers are the user's own
    assert "pairs: columns carried to the export: ticket" in done.stderr
    pairs.write_text('{"prompt": "x", "chosen": "y"}\n')
    (line,) = mistakes(here(*arguments, "--set", "engine.kind=scripted"))
    assert "pairs.jsonl:1" in line
    assert "rejected" in line


def test_try_compares_two_constitutions_over_one_draft(tmp_path, monkeypatch):
    other = tmp_path / "other.yaml"
    other.write_text("name: other\nprinciples: [The reply rhymes.]\n")
    monkeypatch.chdir(tmp_path)
    done = here("try", "plain-and-brief", "--against", other, "--model", "scripted")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nDraft\n") == 1
    assert done.stdout.count("Is the revision better than the draft?") == 2


def test_doctor_names_what_is_there(tmp_path):
    done = publius("doctor", "--json", PUBLIUS_CACHE=str(tmp_path))
    names = {finding["name"] for finding in json.loads(done.stdout)}
    assert {"publius", "engine scripted", "embedded model"} <= names
    assert done.returncode == 2  # no model is converted in an empty cache
