"""Runs that train and evaluate a tiny model: what is written, re-used, held out and left out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.notices import counted
from core.records import Prompt
from engines.hf import engine
from publius.cli import main
from publius.runs.manifest import read_manifest
from publius.runs.reader import RunReader
from publius.stages.outcome import RunOutcome
from publius.stages.quality import policies
from publius.stages.runner import RunRequest, execute
from publius.stages.training import dpo, examples
from publius.views.report import contents
from publius.views.report.writing import ReportRequest, write_report
from tests.publius.invoking import here
from tests.publius.projects import record_lines
from tests.publius.trainable import SPLITS, roomy, write_trainable
from training.examples import AnsweredPrompt, PreferencePair

ORDER = {
    "revisions": ["critique", "compare", "label", "sft", "dpo", "eval"],
    "base": ["critique", "compare", "label", "sft", "dpo", "eval"],
    "sft": ["critique", "sft", "compare", "label", "dpo", "eval"],
}
"""By source of the comparisons. The stages that ask the same model follow each other where they can."""


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")


@dataclass
class Learned:
    """What reached the trainers."""

    answers: list[AnsweredPrompt] = field(default_factory=list)
    pairs: list[PreferencePair] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """A run that was executed twice."""

    source: str
    first: RunOutcome
    second: RunOutcome
    learned: Learned
    """By the first."""
    files: dict[str, tuple[bytes, int]]
    """Content and time of every file below the run folder after the first."""

    @property
    def folder(self) -> Path:
        return self.first.folder


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def execute_watched(run_file: Path) -> tuple[RunOutcome, Learned]:
    """Run everything, and note what is handed to the trainers, which run as they are."""
    learned = Learned()
    train_sft, train_dpo = (
        examples.train_sft,
        dpo.train_dpo,
    )

    def watched_sft(examples: Any, *rest: Any) -> Any:
        learned.answers = list(examples)
        return train_sft(examples, *rest)

    def watched_dpo(pairs: Any, *rest: Any) -> Any:
        learned.pairs = list(pairs)
        return train_dpo(pairs, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "train_sft", watched_sft)
        patch.setattr(dpo, "train_dpo", watched_dpo)
        return execute(RunRequest(run_file)), learned


@pytest.fixture(
    scope="module",
    params=[
        "revisions",
        pytest.param("base", marks=pytest.mark.slow),
        pytest.param("sft", marks=pytest.mark.slow),
    ],
)
def finished(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """A whole run, executed twice, for each origin of the comparisons."""
    run_file = write_trainable(tmp_path_factory.mktemp(request.param), model, request.param)
    first, learned = execute_watched(run_file)
    files = files_of(first.folder)
    return Finished(request.param, first, execute(RunRequest(run_file)), learned, files)


def of_split(folder: Path, *splits: str) -> dict[str, Prompt]:
    return {prompt.id: prompt for prompt in RunReader(folder).prompts if prompt.split in splits}


def left_out(folder: Path, stage: str) -> dict[str, str]:
    """Return the reason for each record that a stage left out."""
    return {e.record_id: e.reason for e in RunReader(folder).exclusions if e.stage == stage}


def test_stages_run_in_order_and_write_their_files(finished: Finished):
    assert [stage.stage for stage in finished.first.stages] == ORDER[finished.source]
    for method in ("sft", "dpo"):
        names = {path.name for path in (finished.folder / method).iterdir()}
        expected = {"adapter_model.safetensors", "adapter_config.json", "training.json", "metrics.jsonl"}
        assert expected <= names
        assert not names & {"checkpoints", ".staging", ".adapter.new"}
    assert (finished.folder / "eval" / "report.md").read_text().startswith("# ")
    assert set(read_manifest(finished.folder)["stages"]) == {*ORDER[finished.source], "prompts", "aggregate"}


def test_every_variant_answers_every_held_out_prompt(finished: Finished):
    held_out = of_split(finished.folder, "test")
    found = [(answer.variant, answer.prompt.id) for answer in RunReader(finished.folder).answers]
    expected = {(variant, id) for variant in ("base", "prompted", "sft", "dpo") for id in held_out}
    assert len(found) == len(set(found)) == 4 * SPLITS.count("test")
    assert set(found) == expected


def test_training_moved_the_policy_and_the_metrics_say_how_far(finished: Finished):
    content = json.loads((finished.folder / "eval" / "metrics.json").read_text())
    values = {metric["name"]: metric["value"] for metric in content["metrics"]}
    assert content["prompts"] == SPLITS.count("test")
    assert values["sft.kl"] > 0
    assert values["dpo.kl"] > 0
    assert values["sft.kl"] != values["dpo.kl"]
    answers: dict[str, list[str]] = {}
    for answer in sorted(RunReader(finished.folder).answers, key=lambda answer: answer.prompt.id):
        answers.setdefault(answer.variant, []).append(answer.generation.text)
    assert answers["sft"] != answers["base"]
    assert answers["dpo"] != answers["sft"]


def test_a_second_execution_trains_nothing_and_asks_nothing(finished: Finished):
    assert [stage.records for stage in finished.second.stages] == [s.records for s in finished.first.stages]
    assert [stage.counts.asked.total() for stage in finished.second.stages] == [0] * len(
        finished.first.stages
    )
    after = files_of(finished.folder)
    for name in finished.files:
        if name.startswith(("sft/", "dpo/")):
            assert after[name] == finished.files[name], f"{name} was written again"
        elif name.endswith(".jsonl") or name.startswith("eval/"):
            assert after[name][0] == finished.files[name][0], f"{name} changed"


def test_a_second_execution_loads_no_model(finished: Finished, monkeypatch: pytest.MonkeyPatch):
    def refuse(*given: Any) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(policies, "load_policy", refuse)
    monkeypatch.setattr(policies, "load_model", refuse)
    monkeypatch.setattr(engine, "load_model", refuse)
    again = execute(RunRequest(finished.folder.parents[1] / "run.yaml"))
    assert sum(stage.counts.asked.total() for stage in again.stages) == 0
    assert files_of(again.folder)["eval/metrics.json"][0] == finished.files["eval/metrics.json"][0]


def test_the_report_says_how_many_examples_each_variant_learned_from(finished: Finished):
    report = (finished.folder / "eval" / "report.md").read_text()
    compared = report.partition("## What was compared")[2]
    for stage in finished.first.stages:
        if stage.stage in ("sft", "dpo"):
            noun = "pair" if stage.stage == "dpo" else "answer"
            total = stage.records + sum(stage.excluded.values())
            row = next(line for line in compared.splitlines() if line.startswith(f"| {stage.stage} |"))
            assert row.endswith(f"| {stage.records} of {counted(total, noun)} |")
            excluded = report.partition("\n## Excluded\n")[2]
            for reason, count in stage.excluded.items():
                assert f"- {stage.stage}: {reason}: {count}" in excluded
            card = (finished.folder / stage.stage / "README.md").read_text()
            assert f"| excluded | {sum(stage.excluded.values())} |" in card


def test_held_out_prompts_never_reach_training(finished: Finished):
    held_out = of_split(finished.folder, "test")
    questions = {prompt.messages[-1].content for prompt in held_out.values()}
    assert len(questions) == SPLITS.count("test")
    learned = finished.learned
    prompts = [row.prompt for row in (*learned.answers, *learned.pairs)]
    assert prompts
    assert questions.isdisjoint(prompt[-1].content for prompt in prompts)
    lines = record_lines(finished.folder)
    for name in ("traces.jsonl", "comparisons.jsonl", "judgments.jsonl", "preferences.jsonl"):
        assert not any(question in line for question in questions for line in lines[name])


def test_every_training_prompt_is_an_example_or_left_out_with_a_reason(finished: Finished):
    training = of_split(finished.folder, "train")
    examples = {row.id for row in finished.learned.answers}
    excluded = left_out(finished.folder, "sft")
    assert examples
    assert excluded
    assert examples | set(excluded) == set(training)
    assert examples.isdisjoint(excluded)
    assert all(excluded.values())
    (sft,) = (stage for stage in finished.first.stages if stage.stage == "sft")
    assert sft.records == len(examples)
    assert sum(sft.excluded.values()) == len(excluded)


def test_every_preference_is_used_or_left_out_with_a_reason(finished: Finished):
    reader = RunReader(finished.folder)
    preferences = {preference.comparison_id: preference for preference in reader.preferences}
    excluded = left_out(finished.folder, "dpo")
    (dpo,) = (stage for stage in finished.first.stages if stage.stage == "dpo")
    assert {pair.id for pair in finished.learned.pairs} == set(preferences)
    assert set(excluded) < set(preferences)
    assert dpo.records + len(excluded) == len(preferences)
    for identity, preference in preferences.items():
        uncertain = preference.p_chosen < 0.55
        cut = not preference.finished_chosen
        assert (identity in excluded) == (uncertain or cut)


def test_every_comparison_is_a_preference_or_left_out_with_a_reason(finished: Finished):
    reader = RunReader(finished.folder)
    told = {e.record_id for e in reader.exclusions if e.stage in ("label", "aggregate")}
    preferred = {preference.comparison_id for preference in reader.preferences}
    assert preferred | told == {comparison.id for comparison in reader.comparisons}


def test_a_preference_knows_which_answers_ended(finished: Finished):
    reader = RunReader(finished.folder)
    ended: dict[tuple[str, str], bool] = {}
    for trace in reader.traces:
        for answer in trace.answers():
            ended[trace.prompt.id, answer.text] = answer.finish_reason == "stop"
    compared = [c for c in reader.comparisons if c.origin_a in ("draft", "revision:1")]
    for comparison in compared:
        assert comparison.finished_a == ended[comparison.prompt.id, comparison.response_a]
        assert comparison.finished_b == ended[comparison.prompt.id, comparison.response_b]
    for preference in reader.preferences:
        comparison = reader.comparisons.get(preference.comparison_id)
        finished_by_text = {
            comparison.response_a: comparison.finished_a,
            comparison.response_b: comparison.finished_b,
        }
        assert preference.finished_chosen == finished_by_text[preference.chosen[0].content]
        assert preference.finished_rejected == finished_by_text[preference.rejected[0].content]


def test_comparisons_come_from_where_compare_says(finished: Finished):
    splits = {c.prompt.split for c in RunReader(finished.folder).comparisons}
    origins = {c.origin_a.partition(":")[0] for c in RunReader(finished.folder).comparisons}
    if finished.source == "revisions":
        assert splits == {"train", "preference"}
        assert origins <= {"draft", "revision"}
    else:
        assert splits == {"preference"}
        assert origins == {"sample"}


@pytest.mark.slow
def test_an_edit_of_the_evaluation_takes_the_adapters_over(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model)
    first = execute(RunRequest(run_file))
    second = execute(RunRequest(run_file, ("eval.sampling.max_new_tokens=6", "name=other")))
    assert second.folder != first.folder
    for method in ("sft", "dpo"):
        old, new = (json.loads((o.folder / method / "training.json").read_text()) for o in (first, second))
        assert old == new
        adapter = "adapter_model.safetensors"
        assert (first.folder / method / adapter).read_bytes() == (
            second.folder / method / adapter
        ).read_bytes()
    asked = {stage.stage: dict(stage.counts.asked) for stage in second.stages}
    assert {stage for stage, counts in asked.items() if counts} == {"eval"}


Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Gives the one line with which the command line refuses, in this process: torch is here already."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["publius", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
        return line

    return run


def options(*overrides: str) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def test_dpo_before_the_sft_that_it_starts_from_is_one_line(model: Path, tmp_path: Path, refused: Refused):
    run_file = write_trainable(tmp_path, model)
    execute(RunRequest(run_file, stages=("critique", "compare", "label")))
    line = refused("train", "dpo", run_file)
    assert "dpo starts from the SFT model, which is not trained yet" in line
    assert "dpo.init=base" in line
    assert f"publius train sft {run_file}" in line


def test_dpo_from_the_model_itself_needs_no_sft_and_says_before_and_after_that_pairs_are_few(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(contents, "missing_plots", lambda: "pip install matplotlib")  # saves time
    splits = ("preference", "train", "train", "preference", "test", "preference")
    run_file = write_trainable(tmp_path, model, source="base", train="[dpo]", splits=splits)
    outcome = execute(RunRequest(run_file, stages=("compare", "label", "dpo")))
    assert (outcome.folder / "dpo" / "training.json").is_file()
    assert not (outcome.folder / "sft").exists()
    pairs = len(record_lines(outcome.folder)["preferences.jsonl"])
    said = outcome.as_json()["few_examples"]["dpo"]
    assert said.startswith(f"{counted(pairs, 'pair')} only")
    assert "use more prompts" in said
    report = write_report(ReportRequest((outcome.folder,), tmp_path / "report.html"))
    assert ("serious", "dpo", said) in {(one.kind, one.where, one.text) for one in report.contents.alarms}


def test_stages_before_what_they_build_on_are_one_line(model: Path, tmp_path: Path, refused: Refused):
    run_file = write_trainable(tmp_path, model, source="sft")
    assert "the stage critique has not run yet" in refused("train", "sft", run_file)
    assert "the stage label has not run yet" in refused("train", "dpo", run_file)
    line = refused("compare", run_file)
    assert "the stage sft has not run yet" in line
    assert f"publius train sft {run_file}" in line


def test_evaluation_without_held_out_prompts_is_one_line(model: Path, tmp_path: Path, refused: Refused):
    line = refused("eval", write_trainable(tmp_path, model, splits=("train",) * 3))
    assert "no held-out prompts" in line
    assert '"split": "test"' in line


def test_an_evaluation_before_training_measures_what_there_is(model: Path, tmp_path: Path):
    outcome = execute(RunRequest(write_trainable(tmp_path, model), stages=("eval",)))
    assert {answer.variant for answer in RunReader(outcome.folder).answers} == {"base", "prompted"}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("engine.kind=scripted",), "the scripted engine has no weights to train"),
        (("train=[dpo]", "compare.from=sft"), "compare.from is sft, but train does not list sft"),
        (("train=[dpo]", "dpo.init=sft"), "dpo.init is sft, but train does not list sft"),
        (("models.policy.adapter=some/adapter",), "merge it first"),
        (("train=[sft, kto]",), "sft, reward, dpo, ppo, rloo, grpo"),
        (("train=[sft, sft]",), "train lists a method twice"),
        (("sft.learning_rate=0",), "--set sft.learning_rate=0"),
        (("dpo.min_margin=0.5",), "--set dpo.min_margin=0.5"),
        (("eval.models=[sft]",), "models does not include base"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_one_line(
    model: Path, tmp_path: Path, refused: Refused, overrides: tuple[str, ...], expected: str
):
    assert expected in refused("run", write_trainable(tmp_path, model), *options(*overrides))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("overrides", "without", "expected"),
    [
        (
            ("critique.draft.max_new_tokens=1", "critique.revision.max_new_tokens=1"),
            {"sft", "dpo", "compare"},
            "there are no answers to train on (10 excluded: every answer was empty or cut off)",
        ),
        (("critique.rounds=0", "train=[dpo]"), {"compare", "dpo"}, "there are no preferences to train on"),
        (("train=[dpo]", "dpo.min_margin=0.49"), {"dpo"}, "excluded: within dpo.min_margin of a tie"),
        (("train=[reward, ppo]", "critique.rounds=0"), {"compare", "reward", "ppo"}, "had nothing to learn"),
    ],
)
def test_nothing_to_train_on_is_a_result_with_advice_and_the_run_goes_on(
    model: Path, tmp_path: Path, overrides: tuple[str, ...], without: set[str], expected: str
):
    shown = here("run", write_trainable(tmp_path, model), *options(*overrides), "--json")
    assert shown.returncode == 0, shown.stderr
    summary = json.loads(shown.stdout)
    assert {stage for stage, result in summary["stages"].items() if "advice" in result} == without
    assert any(expected in advice for advice in summary["advice"].values())
    if "dpo.min_margin=0.49" in overrides:
        assert "lower dpo.min_margin (now 0.49)" in summary["advice"]["dpo"]
    if "sft" in without:
        assert "raise critique.draft.max_new_tokens (now 1)" in summary["advice"]["sft"]
    assert all(stage not in summary["evaluation"]["variants"] for stage in without)
    assert "eval" in summary["stages"]


def test_a_run_with_nothing_to_learn_says_so_on_the_command_line_each_time(model: Path, tmp_path: Path):
    command = ("run", write_trainable(tmp_path, model), *options("critique.rounds=0", "train=[dpo]"))
    for _ in range(2):
        shown = here(*command)
        assert shown.returncode == 0, shown.stderr
        assert "Nothing to work on" in shown.stdout
        assert "(compare.from=samples)" in " ".join(shown.stdout.split())


def test_examples_that_settings_exclude_are_an_error(model: Path, tmp_path: Path, refused: Refused):
    run_file = write_trainable(tmp_path, model, source="base", train="[dpo]")
    line = refused("run", run_file, *options("optim.max_length=16"))
    assert "excluded: longer than optim.max_length" in line


def test_dpo_starts_from_the_base_model_if_sft_had_nothing_to_learn_from(model: Path, tmp_path: Path):
    """The stages of SFT and of the comparisons see other answers."""
    settings = ("critique.rounds=0", "sft.benign_replay=0", "compare.from=base")
    outcome = execute(RunRequest(write_trainable(tmp_path, model), settings))
    assert outcome.as_json()["stages"]["sft"]["records"] == 0
    assert (outcome.folder / "dpo" / "adapter_model.safetensors").is_file()
    refused = execute(RunRequest(tmp_path / "run.yaml", (*settings, "dpo.init=sft")))
    assert "dpo.init is sft, and SFT had nothing to learn from" in refused.as_json()["advice"]["dpo"]
