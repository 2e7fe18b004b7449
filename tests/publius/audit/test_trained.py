"""A model that `publius train --data` made is measured and talked to, without a run file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.records import Message
from publius.models.examples_used import prompt_key
from publius.serving.chat import ChatRequest
from publius.views.chat import chat_with
from tests.publius.invoking import here, options
from tests.publius.serving.test_chat import Speakers
from tests.publius.test_cli import mistakes

pytest.importorskip("peft")

SMALL = options("optim.batch_size=4", "lora.r=4", "lora.alpha=8", "optim.max_length=400", "engine.device=cpu")
RULES = "name: quiet\nprinciples: [{text: The reply has no x., check: {kind: not_regex, value: x}}]\n"
SHORT = options("eval.sampling.max_new_tokens=8", "eval.quality=false", "engine.device=cpu")


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DPO adapter on a tiny model."""
    project = tmp_path_factory.mktemp("trained")
    rows = [{"prompt": f"Question {n}?", "chosen": f"Yes, {n}.", "rejected": f"No, {n}!"} for n in range(8)]
    (project / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("train", "dpo", "--data", project / "pairs.jsonl", "--model", tiny_folder)
    done = here(*command, "--to", project / "dpo 1", *SMALL)
    assert done.returncode == 0, done.stderr
    return project / "dpo 1"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "asked.csv"
    path.write_text("question,topic\nWhat is this?,a\nAnd what is that?,b\n")
    return path


def measured(*arguments: object) -> dict[str, Any]:
    done = here("eval", *arguments, *SHORT, "--json")
    assert done.returncode in (0, 1), done.stderr  # a gate may fail on so few answers of random weights
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_is_measured_against_the_model_before(trained: Path, prompts: Path, tmp_path: Path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    prompts.write_text(prompts.read_text() + "question 1,c\n")
    command = ("--model", trained, "--prompts", prompts, "--constitution", rules, "--to", tmp_path)
    found = measured(*command)
    folder = Path(found["run"])
    assert folder.parent == tmp_path / "runs"
    assert folder.name.startswith("eval-dpo-1-")
    assert found["evaluation"]["prompts"] == 3
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert {one["variant"] for one in answers} == {"base", "prompted", "dpo"}
    names = {metric["name"] for metric in found["evaluation"]["metrics"]}
    assert {"dpo.compliance", "base.compliance", "dpo.kl"} <= names
    assert (folder / "dpo").resolve() == trained.resolve()
    learned = (
        prompt_key([Message(role="user", content="Question 1?")]) in (trained / "prompts.txt").read_text()
    )
    assert found["evaluation"]["prompts_trained_on"] == {"dpo": int(learned)}
    again = measured(*command)
    assert again["run"] == str(folder)
    assert sum(again["stages"]["eval"]["asked"].values()) == 0


def test_without_a_constitution_only_the_two_models_answer(trained: Path, prompts: Path, tmp_path: Path):
    found = measured("--model", trained, "--prompts", prompts, "--to", tmp_path)
    lines = (Path(found["run"]) / "answers.jsonl").read_text().splitlines()
    assert {json.loads(line)["variant"] for line in lines} == {"base", "dpo"}


def test_the_held_out_split_of_a_data_set_is_answered(trained: Path, tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    rows = {"train": ["Learned?", "This too?"], "heldout": ["Asked?"]}
    named = {name: datasets.Dataset.from_list([{"q": q} for q in texts]) for name, texts in rows.items()}
    datasets.DatasetDict(named).save_to_disk(str(tmp_path / "asked"))
    command = ("--model", trained, "--prompts", tmp_path / "asked", "--columns", "prompt=q", "--to", tmp_path)
    done = here("eval", *command, *SHORT, "--json")
    assert done.returncode in (0, 1), done.stderr
    assert "asked: the split heldout is answered; others: train (2 rows)" in " ".join(done.stderr.split())
    assert json.loads(done.stdout)["evaluation"]["prompts"] == 1


@pytest.mark.long
def test_prompts_of_the_training_are_counted_and_said(trained: Path, tmp_path: Path):
    asked = [{"prompt": f"question {n}"} for n in range(8)] + [{"prompt": "What is new?"}]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    learned = len((trained / "prompts.txt").read_text().splitlines())
    assert 0 < learned <= 8
    command = ("eval", "--model", trained, "--prompts", tmp_path / "asked.jsonl", "--to", tmp_path, *SHORT)
    done = here(*command)
    assert f"dpo was trained on {learned} of the 9 prompts: these are not held out" in " ".join(
        done.stderr.split()
    )
    assert f"9 prompts: dpo was trained on {learned} of them" in " ".join(done.stdout.split())
    assert "held-out" not in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    found = json.loads((folder / "eval" / "metrics.json").read_text())
    assert found["prompts_trained_on"] == {"dpo": learned}
    assert f"**dpo was trained on {learned} of the 9 prompts" in (folder / "eval" / "report.md").read_text()
    page = tmp_path / "page.html"
    assert here("report", folder, "--to", page).returncode == 0
    before = page.read_text().partition("Before you rely on this")[2].partition("</section>")[0]
    assert "dpo was trained on" in before


def test_it_answers_in_a_chat_and_a_file_of_prompts(
    trained: Path,
    prompts: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    make = Speakers()
    chat_with(ChatRequest(trained, prompt="What is this?", as_json=True), make)
    assert set(json.loads(capsys.readouterr().out)["answers"]) == {"base", "dpo"}
    assert {name for name, _ in make.asked} == {"base", "dpo 1"}  # the adapter is on one of them
    chat_with(ChatRequest(trained, as_json=True, prompts=str(prompts)), make)
    asked = [json.loads(line)["prompt"] for line in capsys.readouterr().out.splitlines()]
    assert asked == ["What is this?", "And what is that?"]
    assert make.conversations("dpo 1")[-1] == ["And what is that?"]  # each is a conversation of its own


def test_what_is_no_trained_policy_is_one_line(trained: Path, prompts: Path, tmp_path: Path):
    (line,) = mistakes(here("eval", "--model", tmp_path, "--prompts", prompts))
    assert "no training of a policy finished here; accepted: a folder of publius train sft|dpo" in line
    (line,) = mistakes(here("chat", trained, "--with", "ppo", "--prompt", "x"))
    assert "no variant 'ppo' here; accepted: base, dpo" in line
    (line,) = mistakes(here("eval", "--model", trained))
    assert "--model requires --prompts" in line
    (line,) = mistakes(here("eval", "run.yaml", "--against", "x"))
    assert "--against and --to require --model" in line
