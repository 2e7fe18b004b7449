"""`publius eval-reward`: a reward model measured on pairs of any data set, by subset."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.publius.invoking import files_of, here, options
from tests.publius.models.test_train_on_data import base, outcome, pair, written
from tests.publius.test_cli import mistakes

pytest.importorskip("peft")

SUBSETS = ("alpacaeval-easy", "llmbar-natural", "donotanswer", "my-own")


@pytest.fixture(scope="module")
def reward_model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model that has learned that yes is better than no."""
    folder = tmp_path_factory.mktemp("reward")
    data = written(folder / "pairs.jsonl", [pair(number) for number in range(16)])
    learned = options("reward.held_out=0", "reward.learning_rate=1e-2", "optim.epochs=4")
    outcome(*base("reward", data, tiny_folder, folder / "yes"), *learned)
    return folder / "yes"


def contrary(number: int, **columns: Any) -> dict[str, Any]:
    """A pair of which the better answer says no."""
    row = pair(number, **columns)
    return row | {"chosen": row["rejected"], "rejected": row["chosen"]}


def rows() -> list[dict[str, Any]]:
    """Pairs of four subsets; those of the second are labelled the other way round."""
    kinds = (pair, contrary, pair, pair)
    return [
        kind(100 + number, subset=subset)
        for subset, kind in zip(SUBSETS, kinds, strict=True)
        for number in range(6)
    ]


def measured(model: Path, data: Path, to: Path, *rest: str) -> dict[str, Any]:
    done = here("eval-reward", model, "--data", data, "--to", to, "--json", *rest)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_subset_and_known_section_has_its_accuracy(reward_model: Path, tmp_path: Path):
    content = measured(reward_model, written(tmp_path / "bench.jsonl", rows()), tmp_path / "to")
    accuracies = {one["value"]: one["accuracy"]["value"] for one in content["groups"]["subset"]}
    expected = {"alpacaeval-easy": 1.0, "llmbar-natural": 0.0, "donotanswer": 1.0, "my-own": 1.0}
    assert accuracies == expected
    assert content["accuracy"]["value"] == 0.75
    sections = {one["name"]: one for one in content["reward_bench"]["sections"]}
    assert {name: one["accuracy"]["value"] for name, one in sections.items()} == {
        "Chat": 1.0,
        "Chat Hard": 0.0,
        "Safety": 1.0,
    }
    assert "alpacaeval-hard" in sections["Chat"]["missing"]
    assert [one["value"] for one in content["reward_bench"]["others"]] == ["my-own"]
    report = (tmp_path / "to" / "reward_report.md").read_text()
    assert "## RewardBench" in report
    assert "Not comparable with published figures" in report
    assert "| Chat Hard | `llmbar-natural` | 6 |" in report
    assert json.loads((tmp_path / "to" / "reward_metrics.json").read_text())["n"] == 24


def test_subsets_of_someone_else_are_a_group_and_no_benchmark(reward_model: Path, tmp_path: Path):
    data = written(tmp_path / "own.jsonl", [pair(number, subset=f"s{number % 2}") for number in range(8)])
    measured(reward_model, data, tmp_path / "to")
    report = (tmp_path / "to" / "reward_report.md").read_text()
    assert "## By `subset`" in report
    assert "RewardBench" not in report


def test_figures_and_reasons_are_told_and_the_model_is_left_as_it_was(reward_model: Path, tmp_path: Path):
    before = files_of(reward_model)
    spoiled = [pair(50, chosen=" "), pair(51, chosen=" "), pair(52, p_chosen=2)]
    data = written(tmp_path / "pairs.jsonl", [*rows(), *spoiled])
    done = here("eval-reward", reward_model, "--data", data, "--to", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert "Reward model, 24 pairs\n" in done.stdout
    assert "held-out" not in done.stdout
    assert "excluded: 2  an answer is empty\n" in done.stderr
    assert "excluded: 1  p_chosen is not a number from 0 to 1\n" in done.stderr
    listed = [json.loads(line) for line in (tmp_path / "to" / "exclusions.jsonl").open()]
    assert [row["record_id"] for row in listed] == [f"pairs.jsonl:{line}" for line in (25, 26, 27)]
    assert f"list of excluded pairs: {tmp_path / 'to' / 'exclusions.jsonl'}\n" in done.stderr
    assert f"report: {tmp_path / 'to' / 'reward_report.md'}" in done.stderr
    assert "warning: only 24 pairs" in done.stderr
    assert files_of(reward_model) == before


def test_probabilities_are_measured_as_the_scores_say_them(reward_model: Path, tmp_path: Path):
    data = written(tmp_path / "tie.jsonl", [pair(number, p_chosen=0.5) for number in range(6)])
    content = measured(reward_model, data, tmp_path / "to")
    assert (content["ties"], content["accuracy"]) == (6, None)
    assert content["nll"]["value"] > math.log(2)
    assert "All labels are ties" in (tmp_path / "to" / "reward_report.md").read_text()


def test_a_single_pair_is_measured(reward_model: Path, tmp_path: Path):
    data = written(tmp_path / "one.jsonl", [pair(1)])
    done = here("eval-reward", reward_model, "--data", data, "--to", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert "Reward model, 1 pair\n" in done.stdout
    assert measured(reward_model, data, tmp_path / "to")["n"] == 1


def test_folder_that_is_no_reward_model_is_one_line(tiny_folder: Path, tmp_path: Path):
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(4)])
    outcome(*base("dpo", data, tiny_folder, tmp_path / "policy"))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "reward.json").write_text('{"std": -1}')
    for folder, expected in (
        (tmp_path / "absent", "absent: no such model folder"),
        (tmp_path, "config.json is missing"),
        (broken, "the settings of the reward model cannot be read"),
        (tiny_folder, "this is not a reward model: it has no trained reward head"),
        (tmp_path / "policy", "this is not a reward model: it has no trained reward head"),
    ):
        (line,) = mistakes(here("eval-reward", folder, "--data", data, "--to", tmp_path / "to"))
        assert expected in line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "the data set is empty"),
        ('{"text": "x"}', "found columns: text; accepted: columns chosen and rejected"),
        (
            json.dumps(pair(1, chosen=" ")),
            "there are no pairs to score (1 excluded: an answer is empty; first",
        ),
        (json.dumps(pair(1, weight=0)), "found no pairs to evaluate the reward model on"),
    ],
)
def test_data_without_a_usable_pair_are_one_line(
    content: str, expected: str, reward_model: Path, tmp_path: Path
):
    (tmp_path / "pairs.jsonl").write_text(content)
    command = ("eval-reward", reward_model, "--data", tmp_path / "pairs.jsonl", "--to", tmp_path / "to")
    (line,) = mistakes(here(*command))
    assert expected in line


def test_options_that_are_missing_or_wrong_are_one_line(reward_model: Path, tmp_path: Path):
    data = written(tmp_path / "pairs.jsonl", [pair(1)])
    for arguments, expected in (
        (("--data", data), "--to"),
        (("--to", tmp_path / "to"), "--data"),
        (("--data", tmp_path / "absent.jsonl", "--to", tmp_path / "to"), "no such file or folder"),
        (("--data", data, "--to", data / "to"), str(data)),
        (("--data", data, "--to", tmp_path / "to", "--device", "tpu"), "--device"),
    ):
        (line,) = mistakes(here("eval-reward", reward_model, *arguments))
        assert expected in line


def test_the_accuracy_is_printed_as_json(reward_model: Path, tmp_path: Path):
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(4)])
    done = here("eval-reward", reward_model, "--data", data, "--to", tmp_path / "to", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"]["value"] == 1


def test_rewardbench_by_a_reward_model(reward_model: Path, tmp_path: Path):
    data = written(tmp_path / "bench.jsonl", rows())
    done = here("benchmark", "rewardbench", "--data", data, "--reward", reward_model, "--json")
    assert done.returncode == 0, done.stderr
    found = {metric["name"]: metric["value"] for metric in json.loads(done.stdout)["metrics"]}
    # Chat and Safety are right, Chat Hard is labelled the other way round.
    assert (found["score.Chat"], found["score.Chat Hard"], found["score.Safety"]) == (1, 0, 1)
    assert found["score"] == pytest.approx(2 / 3)
    assert found["accuracy.my-own"] == 1
