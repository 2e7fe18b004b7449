"""Runs that train a reward model, and what the policies of a run learn from: answers, held-out shares."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prompts.sources import normalised
from publius.runs.reader import RunReader
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from publius.stages.training import dpo, examples
from tests.publius.invoking import Files, files_of, here, options
from tests.publius.test_cli import mistakes
from tests.publius.trainable import roomy, write_trainable
from training.methods import Method

pytest.importorskip("peft")

CONSTITUTION = """\
name: lower-and-brief
principles:
  - {id: lower, section: style, text: The reply has no capitals., check: {kind: not_regex, value: "[A-Z]"}}
  - {id: plain, section: signs, text: The reply has no signs., check: {kind: not_regex, value: "[!-@]"}}
  - {id: brief, text: The reply is short., check: {kind: max_words, value: 1}}
"""
HALF = options("reward.held_out=0.4", "optim.epochs=2")
METRICS = "reward/reward_metrics.json"
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")


def project(folder: Path, model: Path, train: str) -> Path:
    run_file = write_trainable(folder, model, train=train)
    (folder / "constitution.yaml").write_text(CONSTITUTION)
    return run_file


@dataclass(frozen=True)
class Finished:
    """A run of all methods, executed twice."""

    run_file: Path
    folder: Path
    told: subprocess.CompletedProcess[str]
    """By the first, to people."""
    files: Files
    """After the first."""
    again: dict[str, Any]
    """What the second told to programs."""

    def json(self, name: str) -> Any:
        return json.loads(self.files[name][0])


@pytest.fixture(scope="module")
def finished(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    run_file = project(tmp_path_factory.mktemp("all"), model, "[sft, reward, dpo]")
    told = here("run", run_file, *HALF)
    assert told.returncode == 0, told.stderr
    (folder,) = (run_file.parent / "runs").iterdir()
    files = files_of(folder)
    return Finished(run_file, folder, told, files, json.loads(here("run", run_file, *HALF, "--json").stdout))


def test_reward_model_is_trained_between_labels_and_dpo(finished: Finished):
    stages = ["critique", "compare", "label", "sft", "reward", "dpo", "eval"]
    assert list(finished.again["stages"]) == stages
    names = {name.partition("/")[2] for name in finished.files if name.startswith("reward/")}
    expected = {"adapter_config.json", WEIGHTS, "job.json", "metrics.jsonl", "README.md", "training.json"}
    assert names == expected | {"card.json", "reward.json", "reward_metrics.json", "reward_report.md"}


def test_every_preference_teaches_or_is_held_out_or_left_out(finished: Finished):
    count = len(list(RunReader(finished.folder).preferences))
    trained, held_out = finished.json("reward/training.json")["examples"], finished.json(METRICS)["n"]
    left_out = [one for one in RunReader(finished.folder).exclusions if one.stage == "reward"]
    assert trained + held_out + len(left_out) == count
    assert finished.again["stages"]["reward"]["records"] == trained > 0
    assert held_out > 0


def test_figures_are_grouped_by_source_section_and_principle(finished: Finished):
    content = finished.json(METRICS)
    values = {group: {one["value"] for one in slices} for group, slices in content["groups"].items()}
    assert values["source"] == {"check"}
    assert values["section"] <= {"style", "signs", "none"}
    assert values["principle"] <= {"lower", "plain", "brief", "none"}
    for slices in content["groups"].values():
        assert sum(one["n"] for one in slices) == content["n"]
    report = finished.files["reward/reward_report.md"][0].decode()
    for group in ("source", "section", "principle"):
        assert f"## By `{group}`" in report


def test_pair_is_grouped_by_the_principle_under_which_its_answers_lie_furthest_apart(
    finished: Finished, tmp_path: Path
):
    copied = Path(shutil.copytree(finished.run_file.parent, tmp_path / "copy"))
    train, held_out, _ = learned("reward", copied / "run.yaml", ("reward",), *HALF[1::2])
    by_principle = {p.comparison_id: p.by_principle for p in RunReader(finished.folder).preferences}
    sections = {"lower": "style", "plain": "signs", "brief": "none", "none": "none"}
    for pair in (*train, *held_out):
        apart = {name: abs(p - 0.5) for name, p in by_principle[pair.id].items()} | {"none": 0.0}
        assert apart[pair.groups["principle"]] == max(apart.values())
        assert pair.groups["section"] == sections[pair.groups["principle"]]
    assert len({pair.groups["principle"] for pair in (*train, *held_out)}) > 1


def test_cards_name_constitution_digest_and_counts_by_source(finished: Finished):
    digest = finished.json("manifest.json")["identity"]["constitution"]
    for method in ("sft", "reward", "dpo"):
        card = finished.files[f"{method}/README.md"][0].decode()
        assert f"# {finished.folder.name} {method}\n" in card
        assert "under the constitution lower-and-brief" in card
        assert digest in card
        assert ("Examples by source:" in card) == (method != "sft")
    reward = finished.files["reward/README.md"][0].decode()
    taught = finished.json("reward/training.json")["examples"]
    assert f"| check | {taught} |" in reward
    assert f"| held out for evaluation | {finished.json(METRICS)['n']} |" in reward


def test_second_run_trains_nothing_and_finds_the_same_figures(finished: Finished):
    after = files_of(finished.folder)
    for name, held in finished.files.items():
        if name.startswith(("sft/", "reward/", "dpo/")):
            assert after[name] == held, f"{name} was written again"
    assert finished.again["reward"] == finished.json(METRICS)


def test_summary_for_people_has_the_reward_models_figures(finished: Finished):
    content = finished.json(METRICS)
    assert f"Reward model, {content['n']} held-out pair" in finished.told.stdout
    accuracy = content["accuracy"]
    line = next(line for line in finished.told.stdout.splitlines() if line.startswith("accuracy "))
    assert f"{accuracy['value']:.3f}  ({accuracy['low']:.3f} to {accuracy['high']:.3f})" in line
    assert f"report: {finished.folder / 'reward' / 'reward_report.md'}" in finished.told.stderr
    for warning in content["warnings"]:
        assert f"warning: reward: {warning}" in finished.told.stderr


def test_interrupted_training_goes_on_to_the_same_weights_and_figures(finished: Finished, tmp_path: Path):
    from training.steps.objective import ObjectiveTrainer

    copied = Path(shutil.copytree(finished.run_file.parent, tmp_path / "copy"))
    folder = copied / "runs" / finished.folder.name
    shutil.rmtree(folder / "reward")
    command = ("train", "reward", copied / "run.yaml", *HALF, *options("optim.checkpoint_every=1"))
    step, done = ObjectiveTrainer.training_step, 0

    def interrupted(self: ObjectiveTrainer, *arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectiveTrainer, "training_step", interrupted)
        stopped = here(*command)
    assert stopped.returncode == 130
    assert "Run the same command to resume" in stopped.stderr
    assert not (folder / "reward" / "training.json").exists()
    assert here(*command).returncode == 0
    for name in (WEIGHTS, "metrics.jsonl", "reward.json", "reward_metrics.json", "reward_report.md"):
        assert (folder / "reward" / name).read_bytes() == finished.files[f"reward/{name}"][0], name


def test_reward_model_starts_from_the_sft_model_where_there_is_one(finished: Finished, tmp_path: Path):
    copied = Path(shutil.copytree(finished.run_file.parent, tmp_path / "copy"))
    done = here("train", "reward", copied / "run.yaml", *HALF, *options("reward.init=base"), "--json")
    (line,) = mistakes(done)
    assert "the stage label has not run yet" in line
    sibling = options("reward.init=base")
    for stage in ("critique", "compare", "label"):
        assert here(stage, copied / "run.yaml", *HALF, *sibling).returncode == 0
    found = json.loads(here("train", "reward", copied / "run.yaml", *HALF, *sibling, "--json").stdout)
    assert Path(found["run"]) != copied / "runs" / finished.folder.name
    assert found["reward"]["n"] == finished.json(METRICS)["n"]
    assert found["reward"]["nll"] != finished.json(METRICS)["nll"]


def test_reward_stage_alone_needs_labels_and_nothing_else(model: Path, tmp_path: Path):
    run_file = project(tmp_path, model, "[]")
    (line,) = mistakes(here("train", "reward", run_file))
    assert "the stage label has not run yet" in line
    assert f"publius label {run_file}" in line
    assert here("run", run_file).returncode == 0
    (line,) = mistakes(here("train", "reward", run_file, *options("reward.init=sft")))
    assert "label has not run yet" in line  # another configuration is another run
    found = json.loads(here("train", "reward", run_file, "--json").stdout)
    assert list(found["stages"]) == ["reward"]
    folder = Path(found["run"])
    assert (folder / "reward" / WEIGHTS).is_file()
    assert not (folder / "sft").exists()


def test_run_of_a_reward_model_alone_ends_with_its_report(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[reward]", splits=("train", "preference") * 5)
    found = json.loads(here("run", run_file, *HALF, "--json").stdout)
    assert list(found["stages"]) == ["critique", "compare", "label", "reward"]
    assert found["reward"]["n"] > 0


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("train=[reward]", "reward.init=sft"), "reward.init is sft, but train does not list sft"),
        (("reward.held_out=0.9",), "--set reward.held_out=0.9"),
        (("reward.members=0",), "--set reward.members=0"),
        (("sft.answers=all",), "--set sft.answers=all"),
        (("optim.patience=2",), "set eval_every"),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(
    model: Path, tmp_path: Path, overrides: tuple[str, ...], expected: str
):
    (line,) = mistakes(here("run", project(tmp_path, model, "[sft, reward, dpo]"), *options(*overrides)))
    assert expected in line
    assert not (tmp_path / "runs").exists()


def test_reward_model_from_an_sft_that_is_not_there_is_one_line(model: Path, tmp_path: Path):
    run_file = project(tmp_path, model, "[sft, reward]")
    execute(RunRequest(run_file, stages=("critique", "compare", "label")))
    (line,) = mistakes(here("train", "reward", run_file))
    assert "reward starts from the SFT model, which is not trained yet" in line
    assert "reward.init=base" in line
    assert f"publius train sft {run_file}" in line


# What the policies learn from


def learned(
    method: Method, run_file: Path, stages: Sequence[Any], *overrides: str
) -> tuple[Any, Any, RunOutcome]:
    """Run some stages; return what a trainer, which runs as it is, was given to train and to evaluate on."""
    name = f"train_{method}"
    module = dpo if method == "dpo" else examples
    given: list[list[Any]] = []
    train = getattr(module, name)

    def watched(examples: Any, job: Any, *rest: Any) -> Any:
        given.extend((list(examples), list(rest[-1])))
        return train(examples, job, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, watched)
        outcome = execute(RunRequest(run_file, overrides, stages))
    return given[0], given[1], outcome


def test_sft_learns_the_best_the_final_or_every_revision(model: Path, tmp_path: Path):
    run_file = project(tmp_path, model, "[sft]")
    # The guard would leave too few traces with two kept revisions of this random model.
    both = ("critique.rounds=2", "critique.guard=false", "sft.benign_replay=0", "optim.epochs=1")
    taught: dict[str, Counter[str]] = {}
    for which in ("best", "final", "every"):
        stages = ("critique", "sft")
        examples, _, outcome = learned("sft", run_file, stages, *both, f"sft.answers={which}")
        taught[which] = Counter(example.answer for example in examples)
    traces = [trace for trace in RunReader(outcome.folder).traces if trace.prompt.split == "train"]
    revisions = [
        [answer.text for answer in trace.answers()[1:] if answer.text and answer.finish_reason == "stop"]
        for trace in traces
    ]
    assert taught["every"] == Counter(text for texts in revisions for text in texts)
    assert taught["final"] == Counter(texts[-1] for texts in revisions if texts)
    assert taught["every"].total() > taught["final"].total() >= taught["best"].total() > 0
    assert not taught["best"] - taught["every"]


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_held_out_prompts_of_a_training_are_evaluated_on_and_never_learned(
    method: Method, model: Path, tmp_path: Path
):
    run_file = project(tmp_path, model, f"[{method}]")
    stages = ("critique", "sft") if method == "sft" else ("critique", "compare", "label", "dpo")
    settings = (f"{method}.held_out=0.4", "optim.eval_every=1", "optim.epochs=1")
    train, held_out, outcome = learned(method, run_file, stages, *settings)
    assert held_out
    assert {normalised(row.prompt) for row in train}.isdisjoint(normalised(row.prompt) for row in held_out)
    metrics = [json.loads(line) for line in (outcome.folder / method / "metrics.jsonl").open()]
    assert any("eval_loss" in row for row in metrics)
    assert outcome.stages[-1].records <= len(train)
    card = (outcome.folder / method / "README.md").read_text()
    assert f"| `{method}.held_out` | `0.4` |" in card
    assert "| held out for evaluation | 0 |" not in card


def test_evaluation_in_training_without_held_out_prompts_is_one_line(model: Path, tmp_path: Path):
    run_file = project(tmp_path, model, "[sft]")
    (line,) = mistakes(here("run", run_file, *options("optim.eval_every=1")))
    assert "sft.held_out above 0" in line
