"""`publius train ... --data`: what is written, told, left out and refused, on a tiny model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.lazy import pip_command
from publius.runs.dataset import export_run
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import files_of, here, options
from tests.publius.projects import Recorder, write_project
from tests.publius.test_cli import mistakes, publius

pytest.importorskip("peft")

ROWS = 24
SMALL = options("optim.batch_size=8", "lora.r=4", "lora.alpha=8", "optim.max_length=400", "engine.device=cpu")
WEIGHTS = "adapter_model.safetensors"
Done = subprocess.CompletedProcess[str]


def pair(number: int, **columns: Any) -> dict[str, Any]:
    """A pair of which the better answer says yes."""
    answers = {"chosen": f"Yes, {number}." + "." * (number % 5), "rejected": f"No, not {number}!"}
    return {"prompt": f"Question number {number}?", **answers, **columns}


def answered(number: int, **columns: Any) -> dict[str, Any]:
    return {"prompt": f"Question number {number}?", "completion": f"Yes, {number}.", **columns}


def written(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four pairs that can be used, and three that cannot."""
    rows = [
        pair(number, p_chosen=0.9, source="ai" if number % 3 else "human", tags=["x"])
        for number in range(ROWS)
    ]
    spoiled = [pair(98, p_chosen=float("nan")), pair(99, rejected=" "), pair(100, chosen="")]
    return written(tmp_path_factory.mktemp("data") / "pairs.jsonl", [*rows, *spoiled])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four answers that can be learned, and one that cannot."""
    rows = [*(answered(number, tags=["x"]) for number in range(ROWS)), answered(99, completion=" ")]
    return written(tmp_path_factory.mktemp("data") / "answers.jsonl", rows)


@dataclass(frozen=True)
class Trained:
    """A training that was called twice."""

    method: str
    data: Path
    folder: Path
    told: Done
    """By the first call, to people."""
    files: dict[str, tuple[bytes, int]]
    """After it."""
    again: dict[str, Any]
    """What the second call told to programs."""
    after: dict[str, tuple[bytes, int]]


@pytest.fixture(scope="module", params=["sft", "reward", "dpo"])
def trained(
    request: pytest.FixtureRequest,
    tiny_folder: Path,
    pairs: Path,
    answers: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    method: str = request.param
    data = answers if method == "sft" else pairs
    folder = tmp_path_factory.mktemp("trained") / f"my-{method}"
    command = ("train", method, "--data", data, "--model", tiny_folder, "--to", folder, *SMALL)
    told = here(*command)
    assert told.returncode == 0, told.stderr
    files = files_of(folder)
    again = here(*command, "--json")
    return Trained(method, data, folder, told, files, json.loads(again.stdout), files_of(folder))


def test_training_leaves_adapter_card_and_metrics(trained: Trained):
    expected = {WEIGHTS, "adapter_config.json", "job.json", "training.json", "metrics.jsonl", "README.md"}
    expected.add("prompts.txt")  # digests, by which an evaluation finds prompts of the training
    expected |= {"card.json", "exclusions.jsonl"}
    if trained.method == "reward":
        expected |= {"reward.json", "reward_metrics.json", "reward_report.md"}
    assert set(trained.files) == expected
    rows = [json.loads(line) for line in trained.files["metrics.jsonl"][0].splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3]
    # A tenth of the pairs is held out from a reward model, and from the others nothing.
    assert [row["step"] for row in rows if "eval_loss" in row] == ([3] if trained.method == "reward" else [])


def test_length_that_may_be_learned_is_said_and_the_card_lists_the_settings(trained: Trained):
    card = trained.files["README.md"][0].decode()
    said = "chosen answers are shorter than rejected ones in 100 % of"
    assert (said in trained.told.stderr) == (said in card) == (trained.method != "sft")
    defaults = {"sft": "held_out` | `0`", "reward": "center` | `0.01`", "dpo": "beta` | `0.1`"}
    assert f"| `{trained.method}.{defaults[trained.method]}" in card
    assert "| `optim.schedule` | `cosine` |" in card
    assert "what training minimises" in trained.told.stdout


def test_second_call_trains_nothing_and_tells_the_same(trained: Trained):
    assert trained.after == trained.files
    assert trained.again["seconds"] == 0
    for name, value in trained.again["metrics"].items():
        if name not in ("step", "epoch"):
            assert f"{name:<32}{value:>12.4g}" in trained.told.stdout


def test_json_tells_what_the_files_hold(trained: Trained):
    result = json.loads(trained.files["training.json"][0])
    assert {key: trained.again[key] for key in ("steps", "metrics", "best_step")} == {
        key: result[key] for key in ("steps", "metrics", "best_step")
    }
    assert trained.again["folder"] == str(trained.folder)
    assert trained.again["examples"] + trained.again["held_out"] == ROWS
    if trained.method == "reward":
        assert trained.again["evaluation"] == json.loads(trained.files["reward_metrics.json"][0])
        assert trained.again["evaluation"]["n"] == trained.again["held_out"] > 0
    else:
        assert trained.again["evaluation"] is None


def test_rows_that_cannot_be_used_are_counted_by_reason(trained: Trained):
    reasons = {"an answer is empty": 1}
    if trained.method != "sft":
        reasons = {"an answer is empty": 2, "p_chosen is not a number from 0 to 1": 1}
    assert trained.again["left_out"] == reasons
    card = trained.files["README.md"][0].decode()
    for reason, count in reasons.items():
        assert f"{count:>6,}  {reason}" in trained.told.stdout
        assert f"- {reason}: {count}\n" in card


def exclusions_of(folder: Path) -> list[tuple[str, str, str]]:
    """Stage, place and reason of each row that was left out."""
    lines = (folder / "exclusions.jsonl").read_text().splitlines()
    return [(row["stage"], row["record_id"], row["reason"]) for row in map(json.loads, lines)]


def test_rows_that_cannot_be_used_are_listed_in_a_file_that_is_named(trained: Trained):
    empty = "an answer is empty"
    expected = [("sft", "answers.jsonl:25", empty)]
    if trained.method != "sft":
        bad = (trained.method, "pairs.jsonl:25", "p_chosen is not a number from 0 to 1")
        expected = [bad, *((trained.method, f"pairs.jsonl:{line}", empty) for line in (26, 27))]
    assert exclusions_of(trained.folder) == expected
    assert f"excluded rows: {trained.folder / 'exclusions.jsonl'}\n" in trained.told.stderr
    assert trained.again["exclusions"] == str(trained.folder / "exclusions.jsonl")


def test_list_of_rows_left_out_is_that_of_the_last_training(tiny_folder: Path, tmp_path: Path):
    fine = [pair(number) for number in range(4)]
    long, empty = pair(5, id="\ud800", prompt="word " * 20_000), pair(6, chosen="")
    data = written(tmp_path / "train.jsonl", [*fine, long, empty])
    unseen = written(tmp_path / "test.jsonl", [pair(9), pair(10, chosen=3)])
    command = [*base("dpo", data, tiny_folder, tmp_path / "to"), "--eval-data", unseen]
    outcome(*command)
    assert exclusions_of(tmp_path / "to") == [
        ("dpo", "train.jsonl:6", "an answer is empty"),
        ("dpo", "\\ud800", "longer than optim.max_length"),
        ("evaluation data", "test.jsonl:2", "chosen is neither text nor a list of messages"),
    ]
    shutil.rmtree(tmp_path / "to")
    written(data, [*fine, empty])
    outcome(*command)
    written(data, fine)
    written(unseen, [pair(9)])
    assert outcome(*command)["exclusions"] is None
    assert not (tmp_path / "to" / "exclusions.jsonl").exists()


def test_columns_that_are_not_used_are_told_in_one_line(trained: Trained):
    (line,) = (line for line in trained.told.stderr.splitlines() if "tags" in line)
    assert line == "ignored columns: tags"
    assert "Ignored columns: `tags`" in trained.files["README.md"][0].decode()


def test_card_names_folder_model_data_and_digest(trained: Trained, tiny_folder: Path):
    card = trained.files["README.md"][0].decode()
    assert f"# my-{trained.method}\n" in card
    assert f"base_model: {tiny_folder}" in card
    assert trained.data.name in card
    assert hashlib.sha256(trained.data.read_bytes()).hexdigest() in card
    assert f"| examples | {trained.again['examples']} |" in card


def test_reward_model_is_reported_by_source_and_scaled(tiny_folder: Path, pairs: Path, tmp_path: Path):
    done = here(*base("reward", pairs, tiny_folder, tmp_path / "to"), "--set", "reward.held_out=0.5")
    content = json.loads((tmp_path / "to" / "reward_metrics.json").read_text())
    assert {one["value"] for one in content["groups"]["source"]} == {"ai", "human"}
    settings = json.loads((tmp_path / "to" / "reward.json").read_text())
    assert settings["std"] > 0
    assert settings["mean"] != 0
    assert f"{content['n']} held-out pairs" in done.stdout
    assert str(tmp_path / "to" / "reward_report.md") in done.stderr
    assert all(f"warning: reward: {text}" in done.stderr for text in content["warnings"])


def test_temperature_is_kept_where_enough_pairs_are_held_out(tiny_folder: Path, tmp_path: Path):
    rows = [pair(number, p_chosen=0.8) for number in range(80)]
    for name, count in (("few", 9), ("many", 60)):
        data, unseen = (
            written(tmp_path / f"{name}-{side}.jsonl", rows[:count]) for side in ("train", "test")
        )
        done = here(*base("reward", data, tiny_folder, tmp_path / name), "--eval-data", unseen)
        assert done.returncode == 0, done.stderr
        settings = json.loads((tmp_path / name / "reward.json").read_text())
        fitted = json.loads((tmp_path / name / "reward_metrics.json").read_text())["calibration"]
        assert fitted["temperature"] != 1
        assert settings["temperature"] == (fitted["temperature"] if name == "many" else 1)
        told = "reward: the temperature stays 1: 9 pairs are too few to fit a temperature"
        assert (told in done.stderr) == (name == "few")


def test_finished_model_is_not_overwritten(tiny_folder: Path, tmp_path: Path):
    # Not a member of an ensemble, whatever its name: advice never names the folder above it.
    to, data = tmp_path / "member-a model", written(tmp_path / "one.jsonl", [pair(n) for n in range(4)])
    command = base("dpo", data, tiny_folder, to)
    assert here(*command).returncode == 0
    files = files_of(to)
    other = written(tmp_path / "two.jsonl", [pair(number) for number in range(4, 8)])
    for changed in (base("dpo", other, tiny_folder, to), [*command, "--set", "dpo.learning_rate=1e-3"]):
        (line,) = mistakes(here(*changed))
        assert "member-a model: the folder holds a finished model of other data, other settings" in line
        assert f"run: rm -r '{to}'" in line
        assert files_of(to) == files
    assert outcome(*command)["seconds"] == 0


def test_columns_are_mapped_and_said(tiny_folder: Path, tmp_path: Path):
    rows = [{"ask": f"Q{n}?", "replies": [f"Yes, {n}.", "No."], "extra": 1} for n in range(4)]
    data = written(tmp_path / "rows.jsonl", rows)
    (line,) = mistakes(here(*base("dpo", data, tiny_folder, tmp_path / "to")))
    assert "found columns: ask, replies, extra" in line
    columns = ("--columns", "prompt=ask,chosen=replies[0]", "--columns", "rejected=replies[1]")
    done = here(*base("dpo", data, tiny_folder, tmp_path / "to"), *columns)
    assert done.returncode == 0, done.stderr
    assert "ignored columns: extra\n" in done.stderr
    assert "4 examples" in done.stdout
    with_run = here("train", "dpo", "run.yaml", *columns)
    assert "--columns" in with_run.stderr
    assert with_run.returncode == 2


def base(method: str, data: Path, model: Path, to: Path) -> list[object]:
    return ["train", method, "--data", data, "--model", model, "--to", to, *SMALL]


def outcome(*command: object) -> dict[str, Any]:
    """What a training tells to programs."""
    done = here(*command, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Data to evaluate on


@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_evaluation_data_are_evaluated_on_and_never_trained_on(
    method: str, tiny_folder: Path, tmp_path: Path
):
    row = answered if method == "sft" else pair
    data = written(tmp_path / "train.jsonl", [row(number) for number in range(12)])
    spoiled = {"completion": 3} if method == "sft" else {"chosen": 3}
    unseen = written(
        tmp_path / "test.jsonl", [*(row(number) for number in range(50, 55)), row(60, **spoiled)]
    )
    command = [*base(method, data, tiny_folder, tmp_path / "to"), "--eval-data", unseen]
    done = here(*command, "--set", "optim.eval_every=1", "--json")
    found = json.loads(done.stdout)
    assert (found["examples"], found["held_out"]) == (12, 5)
    reason = f"{'completion' if method == 'sft' else 'chosen'} is neither text nor a list of messages"
    assert f"warning: evaluation data: 1 row excluded: {reason}\n" in done.stderr
    assert "evaluation data: test.jsonl (6 rows)\n" in done.stderr
    assert "evaluation data and training data overlap" not in done.stderr
    metrics = [json.loads(line) for line in (tmp_path / "to" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in metrics if "eval_loss" in row] == [1, 2]
    assert found["metrics"]["eval_loss"] == metrics[-1]["eval_loss"]


@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_evaluation_data_are_looked_at_once_without_eval_every(
    method: str, tiny_folder: Path, tmp_path: Path
):
    row = answered if method == "sft" else pair
    data, unseen = (written(tmp_path / name, [row(1), row(2)]) for name in ("train.jsonl", "test.jsonl"))
    found = outcome(*base(method, data, tiny_folder, tmp_path / "to"), "--eval-data", unseen)
    metrics = [json.loads(line) for line in (tmp_path / "to" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in metrics if "eval_loss" in row] == [found["steps"]]
    assert found["metrics"]["eval_loss"] == metrics[-1]["eval_loss"]


@pytest.fixture
def data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two subsets that have a split to train on and one to test on."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    card = "---\nconfigs:\n"
    for subset, first in (("one", 0), ("two", 50)):
        for split, count in (("train", 6), ("test", 3)):
            rows = [pair(number) for number in range(first, first + count)]
            written(folder / f"{subset}-{split}.jsonl", rows)
        files = ", ".join(f"{{split: {split}, path: {subset}-{split}.jsonl}}" for split in ("train", "test"))
        card += f"  - {{config_name: {subset}, data_files: [{files}]}}\n"
    (folder / "README.md").write_text(card + "---\n")
    return folder


def test_evaluation_data_of_the_same_data_set_are_its_split_test(
    data_set: Path, tiny_folder: Path, tmp_path: Path
):
    command = [*base("dpo", data_set, tiny_folder, tmp_path / "to"), "--subset", "two", "--json"]
    done = here(*command, "--eval-data", data_set)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["examples"], found["held_out"]) == (6, 3)
    assert "\nevaluation data: set, subset two, split test (3 rows)\n" in f"\n{done.stderr}"
    assert "\ndata: set, subset two, split train (6 rows)\n" in f"\n{done.stderr}"
    shutil.rmtree(tmp_path / "to")
    done = here(*command, "--eval-data", data_set, "--eval-split", "train[:2]")
    assert json.loads(done.stdout)["held_out"] == 2
    assert "warning: evaluation data and training data overlap" in done.stderr
    (line,) = mistakes(here(*command, "--eval-data", data_set, "--eval-split", "dev"))
    assert "no split 'dev'; accepted: --eval-split train or test" in line


def test_evaluation_data_of_several_subsets_are_one_line(data_set: Path, tiny_folder: Path, tmp_path: Path):
    data = written(tmp_path / "train.jsonl", [pair(1)])
    (line,) = mistakes(here(*base("dpo", data, tiny_folder, tmp_path / "to"), "--eval-data", data_set))
    assert "several subsets, and none was given; accepted: a file, or the data set of --data" in line


def test_evaluation_without_held_out_examples_is_one_line(tiny_folder: Path, pairs: Path, tmp_path: Path):
    command = base("dpo", pairs, tiny_folder, tmp_path / "to")
    (line,) = mistakes(here(*command, "--set", "optim.eval_every=1"))
    assert "dpo.held_out above 0" in line
    assert "--eval-data" in line


def test_best_weights_are_told_with_their_step(tiny_folder: Path, tmp_path: Path):
    data = written(tmp_path / "train.jsonl", [pair(number) for number in range(12)])
    contrary = [pair(number, chosen="No, not 1!", rejected="Yes, 1.") for number in range(50, 54)]
    unseen = written(tmp_path / "test.jsonl", contrary)
    command = [*base("dpo", data, tiny_folder, tmp_path / "to"), "--eval-data", unseen]
    keep = options("optim.eval_every=1", "optim.keep=best", "optim.epochs=3", "dpo.learning_rate=1e-2")
    done = here(*command, *keep, "--json")
    assert json.loads(done.stdout)["best_step"] == 1
    assert "dpo: saved the weights of step 1 of 6" in done.stderr


# Ensembles and losses


@pytest.fixture(scope="module")
def ensemble(tiny_folder: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    to = tmp_path_factory.mktemp("ensemble") / "two"
    return to, here(*base("reward", pairs, tiny_folder, to), *options("reward.members=2"))


def test_ensemble_has_a_folder_for_each_member(ensemble: tuple[Path, Done]):
    folder, done = ensemble
    assert done.returncode == 0, done.stderr
    assert "for each of 2 members" in done.stdout
    settings = json.loads((folder / "reward.json").read_text())
    assert settings["members"] == ["member-0", "member-1"]
    weights = [(folder / member / WEIGHTS).read_bytes() for member in settings["members"]]
    assert weights[0] != weights[1]
    assert not (folder / WEIGHTS).exists()
    card = (folder / "README.md").read_text()
    assert "ensemble of the adapters in `member-0`, `member-1`" in card
    assert (folder / "reward_report.md").read_text().startswith("# Reward model `two`")


def test_ensemble_is_combined_anew_without_training(
    ensemble: tuple[Path, Done], tiny_folder: Path, pairs: Path
):
    folder, _ = ensemble
    weights = {name: held for name, held in files_of(folder).items() if name.endswith(WEIGHTS)}
    before = json.loads((folder / "reward_metrics.json").read_text())
    command = base("reward", pairs, tiny_folder, folder)
    found = outcome(*command, *options("reward.members=2", "reward.combine=min"))
    assert found["seconds"] == 0
    assert {name: held for name, held in files_of(folder).items() if name.endswith(WEIGHTS)} == weights
    assert json.loads((folder / "reward.json").read_text())["combine"] == "min"
    assert found["evaluation"]["nll"] != before["nll"]
    assert "its score is the lowest of the members' scores" in (folder / "README.md").read_text()


def test_report_and_card_that_are_older_than_the_weights_are_made_anew(
    tiny_folder: Path, pairs: Path, tmp_path: Path
):
    """As where a training replaced another one, and was killed before it was reported."""
    to = tmp_path / "to"
    command = base("reward", pairs, tiny_folder, to)
    whole = outcome(*command)
    written = ("README.md", "reward.json", "reward_metrics.json", "reward_report.md")
    expected = {name: (to / name).read_text() for name in written}
    before = (to / "training.json").stat().st_mtime - 60
    for name in written:
        (to / name).write_text("{}")
        os.utime(to / name, (before, before))
    assert outcome(*command) == whole | {"seconds": 0}
    assert {name: (to / name).read_text() for name in written} == expected


def test_without_held_out_pairs_there_is_a_scale_and_no_report(
    tiny_folder: Path, pairs: Path, tmp_path: Path
):
    to = tmp_path / "to"
    command = base("reward", pairs, tiny_folder, to)
    found = outcome(*command, *options("reward.held_out=0"))
    assert (found["held_out"], found["evaluation"]) == (0, None)
    assert not {"reward_metrics.json", "reward_report.md"} & files_of(to).keys()
    settings = json.loads((to / "reward.json").read_text())
    assert settings["temperature"] == 1
    assert settings["mean"] != 0
    assert "reward: no pairs were held out" in here(*command, *options("reward.held_out=0")).stderr
    assert "(the temperature was not fitted)" in (to / "README.md").read_text()
    files = files_of(to)
    assert outcome(*command, *options("reward.held_out=0"))["seconds"] == 0
    assert files_of(to) == files


LOSSES = {
    "sigmoid": (),
    "ipo": ("dpo.loss=ipo",),
    "robust": ("dpo.loss=robust", "dpo.flipped=0.2"),
    "with sft": ("dpo.sft_coef=0.5",),
}


def test_each_loss_of_dpo_trains_another_policy(tiny_folder: Path, pairs: Path, tmp_path: Path):
    weights, first = set(), {}
    for name, settings in LOSSES.items():
        found = outcome(*base("dpo", pairs, tiny_folder, tmp_path / name), *options(*settings))
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        first[name] = json.loads(lines[0])["loss"]
        weights.add((tmp_path / name / WEIGHTS).read_bytes())
        card = (tmp_path / name / "README.md").read_text()
        for setting in settings:
            key, _, value = setting.partition("=")
            assert f"| `{key}` | `{value}` |" in card
        assert found["metrics"]["rewards/accuracies"] >= 0
    assert len(weights) == len(LOSSES)
    assert first["ipo"] == pytest.approx((1 / (2 * 0.1)) ** 2, rel=0.5)
    assert first["with sft"] > first["sigmoid"] == pytest.approx(0.693, abs=0.01)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "give either a RUN.yaml or --data SOURCE"),
        (["run.yaml", "--data", "x.jsonl"], "give either a RUN.yaml or --data SOURCE"),
        (["run.yaml", "--to", "x"], "require --data"),
        (["run.yaml", "--eval-data", "x.jsonl"], "require --data"),
        (["run.yaml", "--eval-split", "test"], "require --data"),
        (["run.yaml", "--subset", "soft"], "require --data"),
        (["run.yaml", "--split", "test"], "require --data"),
        (["run.yaml", "--model", "x"], "require --data"),
        (["--data", "x.jsonl", "--to", "y", "--eval-split", "test"], "--eval-split requires --eval-data"),
        (["--data", "x.jsonl"], "--to DIR"),
        (["--data", "x.jsonl", "--to", "y", "--resume", "z"], "drop --resume"),
    ],
)
@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_options_that_do_not_go_together_are_one_line(method: str, arguments: list[str], expected: str):
    (line,) = mistakes(here("train", method, *arguments))
    assert expected in line


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.json", "pairs.csv", "pairs.parquet", "p.jsonl.gz"])
@pytest.mark.parametrize("rest", [(), ("--to", "x")])
def test_data_file_in_place_of_a_run_file_is_one_line_with_the_command(
    name: str, rest: tuple[str, ...], tmp_path: Path
):
    (tmp_path / name).write_text("{}\n{}\n")
    (line,) = mistakes(here("train", "dpo", tmp_path / name, *rest))
    assert f"{tmp_path / name}: this is a data file, not a run file" in line
    assert line.endswith(f"run: publius train dpo --data {tmp_path / name} --model MODEL --to DIR")


@pytest.mark.parametrize(
    ("method", "content", "expected"),
    [
        ("reward", "", "the data set is empty"),
        ("dpo", '{"text": "x"}', "found columns: text; accepted: columns chosen and rejected"),
        (
            "sft",
            '{"chosen": "x", "rejected": "y"}',
            "found columns: chosen, rejected; accepted: a column messages",
        ),
        ("dpo", '{"chosen": ', "not JSON"),
        (
            "dpo",
            json.dumps(pair(1, chosen="")),
            "there are no rows to train on (1 excluded: an answer is empty; first",
        ),
        ("reward", json.dumps(pair(1, p_chosen=0.5)), "1 excluded: a tie, and reward.keep_ties is off"),
    ],
)
def test_data_that_teach_nothing_are_one_line(
    method: str, content: str, expected: str, tiny_folder: Path, tmp_path: Path
):
    data = tmp_path / "data.jsonl"
    data.write_text(content)
    ties = options("reward.keep_ties=false", "reward.held_out=0")
    (line,) = mistakes(here(*base(method, data, tiny_folder, tmp_path / "to"), *ties))
    assert expected in line
    assert not (tmp_path / "to" / WEIGHTS).exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"--data": "absent.jsonl"}, "absent.jsonl: no such file or folder"),
        ({"--eval-data": "absent.jsonl"}, "absent.jsonl: no such file or folder"),
        ({"--subset": "soft"}, "a file has no subsets or splits"),
        ({"--set": "models.policy.adapter=some/adapter"}, "merge it first"),
        ({"--set": "dpo.init=sft"}, "dpo.init: training on a data set has no SFT stage to start from"),
        ({"--set": "dpo.loss=hinge"}, "--set dpo.loss=hinge"),
        ({"--set": "dpo.nonsense=1"}, "--set dpo.nonsense=1"),
        ({"--set": "optim.keep=best"}, "set eval_every"),
        ({"--set": "optim.report_to=[stdout]"}, "tensorboard"),
    ],
)
def test_what_is_not_there_or_not_accepted_is_one_line(
    changes: dict[str, str], expected: str, tiny_folder: Path, pairs: Path, tmp_path: Path
):
    given = {"--data": str(pairs), "--model": str(tiny_folder), "--to": str(tmp_path / "to"), **changes}
    (line,) = mistakes(here("train", "dpo", *(part for option in given.items() for part in option)))
    assert expected in line
    assert not (tmp_path / "to").exists()


def test_a_model_that_is_not_there_is_one_line(pairs: Path, tmp_path: Path):
    (line,) = mistakes(here(*base("dpo", pairs, Path("absent/no/model"), tmp_path / "to")))
    assert "absent/no/model: no such model folder" in line
    assert not list((tmp_path / "to").iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(tiny_folder: Path, pairs: Path, tmp_path: Path):
    (tmp_path / "file").write_text("a file where the folder should be")
    (line,) = mistakes(here(*base("dpo", pairs, tiny_folder, tmp_path / "file" / "to")))
    assert str(tmp_path / "file") in line


def test_training_of_another_method_is_not_replaced(tiny_folder: Path, pairs: Path, tmp_path: Path):
    rows = written(tmp_path / "answers.jsonl", [answered(number) for number in range(4)])
    for method, data, settings in (("sft", rows, ()), ("reward", pairs, ("reward.members=2",))):
        to = tmp_path / method
        outcome(*base(method, data, tiny_folder, to), *options(*settings))
        files = files_of(to)
        (line,) = mistakes(here(*base("dpo", pairs, tiny_folder, to)))
        message = f"the folder already holds a model trained with {method}; accepted: another folder for --to"
        assert f"{to}: {message}" in line
        assert files_of(to) == files


def test_a_folder_is_named_from_where_the_command_runs_and_must_be_named(
    tiny_folder: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    done = here(*base("dpo", pairs, tiny_folder, Path("to")))
    assert done.returncode == 0, done.stderr
    assert "Training\n24 examples, 0 held out\n3 steps" in done.stdout
    assert (tmp_path / "to" / WEIGHTS).is_file()
    (line,) = mistakes(here("train", "dpo", "--data", pairs))
    assert "--to DIR" in line


# Rows at the edges


@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_row_that_is_far_too_long_is_left_out_or_its_prompt_cut(
    method: str, tiny_folder: Path, tmp_path: Path
):
    row = answered if method == "sft" else pair
    answer = "completion" if method == "sft" else "chosen"
    long_prompt, long_answer = {"prompt": "word " * 20_000}, {answer: "word " * 20_000}
    rows = [*(row(number) for number in range(8)), row(8, **long_prompt), row(9, **long_answer)]
    data = written(tmp_path / "data.jsonl", rows)
    whole = options("reward.held_out=0")
    dropped = outcome(*base(method, data, tiny_folder, tmp_path / "drop"), *whole)
    assert (dropped["examples"], dropped["truncated"]) == (8, 0)
    assert dropped["left_out"] == {"longer than optim.max_length": 2}
    command = [*base(method, data, tiny_folder, tmp_path / "cut"), *whole]
    done = here(*command, *options("optim.overlong=truncate"), "--json")
    cut = json.loads(done.stdout)
    assert (cut["examples"], cut["truncated"]) == (9, 1)
    assert cut["left_out"] == {"longer than optim.max_length": 1}
    assert f"{method}: 1 prompt was truncated from the left to fit optim.max_length" in done.stderr


@pytest.mark.parametrize(("method", "setting"), [("reward", "reward.center=0"), ("dpo", "dpo.min_margin=0")])
def test_labels_of_one_half_alone_are_warned_of_and_trained_on(
    method: str, setting: str, tiny_folder: Path, tmp_path: Path
):
    data = written(tmp_path / "ties.jsonl", [pair(number, p_chosen=0.5) for number in range(8)])
    done = here(*base(method, data, tiny_folder, tmp_path / "to"), *options(setting), "--json")
    assert done.returncode == 0, done.stderr
    assert f"warning: {method}: every label is 0.5" in done.stderr
    assert json.loads(done.stdout)["examples"] + json.loads(done.stdout)["held_out"] == 8
    assert json.loads(done.stdout)["warnings"]


def test_ties_are_left_out_of_dpo_unless_asked_for(tiny_folder: Path, tmp_path: Path):
    rows = [pair(number, p_chosen=0.5 if number < 3 else 0.9) for number in range(8)]
    data = written(tmp_path / "ties.jsonl", rows)
    found = outcome(*base("dpo", data, tiny_folder, tmp_path / "to"))
    assert (found["examples"], found["left_out"]) == (5, {"within dpo.min_margin of a tie": 3})


def test_a_single_pair_trains_each_method(tiny_folder: Path, tmp_path: Path):
    for method, row in (("sft", answered), ("reward", pair), ("dpo", pair)):
        data = written(tmp_path / f"{method}.jsonl", [row(1)])
        found = outcome(*base(method, data, tiny_folder, tmp_path / method))
        assert (found["examples"], found["steps"]) == (1, 1)


def test_a_single_held_out_pair_is_reported(tiny_folder: Path, tmp_path: Path):
    data = written(tmp_path / "train.jsonl", [pair(number) for number in range(4)])
    unseen = written(tmp_path / "test.jsonl", [pair(9)])
    done = here(*base("reward", data, tiny_folder, tmp_path / "to"), "--eval-data", unseen)
    assert done.returncode == 0, done.stderr
    assert "1 held-out pair\n" in done.stdout
    assert "only 1 pair" in done.stderr


def test_held_out_pairs_without_weight_are_no_reason_to_fail(tiny_folder: Path, tmp_path: Path):
    data = written(tmp_path / "train.jsonl", [pair(number) for number in range(4)])
    unseen = written(tmp_path / "test.jsonl", [pair(9, weight=0)])
    found = outcome(*base("reward", data, tiny_folder, tmp_path / "to"), "--eval-data", unseen)
    assert (found["held_out"], found["evaluation"]) == (1, None)


# Exports, and where else figures go


def test_soft_preferences_of_an_exported_run_are_trained_on(tiny_folder: Path, tmp_path: Path):
    run = execute(RunRequest(write_project(tmp_path / "project", prompts=30)), Recorder()).folder
    counts = export_run(run, tmp_path / "export").rows
    command = base("reward", tmp_path / "export", tiny_folder, tmp_path / "to")
    cache = {"HF_DATASETS_CACHE": str(tmp_path / "datasets"), "HF_HUB_OFFLINE": "1"}
    done = publius(*command, "--subset", "soft", "--json", **cache)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "export" / "soft" / "train.jsonl").open()]
    found = json.loads(done.stdout)
    assert found["examples"] + found["held_out"] == len(rows) <= counts["soft"]
    assert "subset soft, split train" in (tmp_path / "to" / "README.md").read_text()
    (line,) = mistakes(publius(*command, "--subset", "hard", **cache))
    assert "no subset 'hard'" in line
    assert "accepted: --subset sft or preference or kto or soft or judgments" in line


def test_events_for_tensorboard_stand_beside_the_adapter(tiny_folder: Path, pairs: Path, tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    command = base("dpo", pairs, tiny_folder, tmp_path / "to")
    outcome(*command, *options("optim.report_to=[tensorboard]"))
    events = EventAccumulator(str(tmp_path / "to" / "tensorboard"))
    events.Reload()
    logged = [json.loads(line)["loss"] for line in (tmp_path / "to" / "metrics.jsonl").open()]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(logged)


@pytest.mark.parametrize("sink", ["tensorboard", "wandb", "trackio"])
def test_a_logger_that_is_not_installed_is_one_line(
    sink: str, tiny_folder: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import importlib

    def absent(name: str, *rest: Any) -> Any:
        if name == sink:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", absent)
    command = base("dpo", pairs, tiny_folder, tmp_path / "to")
    (line,) = mistakes(here(*command, *options(f"optim.report_to=[{sink}]")))
    assert line.endswith(f"optim.report_to: the package '{sink}' is not installed; run: {pip_command(sink)}")
    assert not list((tmp_path / "to").iterdir())
