"""DPO in rounds: what each round learns from, where its model and records are, and how it resumes."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.adapter import adapter_digest
from publius.config.run_file import load_run_config
from publius.runs.dataset import export_run
from publius.runs.folder import Run
from publius.runs.manifest import read_manifest
from publius.runs.parts.trained import trained_adapter
from publius.runs.reader import RunReader, show_record
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute, planned_stages
from publius.stages.training import dpo
from tests import forked
from tests.publius.invoking import files_of
from tests.publius.trainable import roomy, write_trainable

SPLITS = ("preference",) * 4
SAMPLING = '{max_new_tokens: 12, stop: ["a", "e", "i", "o", "u", "r", "s", "t", "l", "m"]}'
ROUNDS = (
    "dpo.rounds=3",
    "dpo.learning_rate=1.0e-3",
    "train=[dpo]",
    "optim.epochs=1",
    f"compare={{from: base, samples: 3, pairs: best_worst, sampling: {SAMPLING}}}",
)


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")


def in_rounds(folder: Path, model: Path, *overrides: str) -> RunOutcome:
    run_file = folder / "run.yaml"
    if not run_file.exists():
        write_trainable(folder, model, "base", splits=SPLITS)
    return execute(RunRequest(run_file, (*ROUNDS, *overrides), stages=("compare", "label", "dpo")))


@pytest.fixture(scope="module")
def finished(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunOutcome, list[Any]]:
    """A run of three rounds, and the job of each training."""
    jobs: list[Any] = []

    def watched(pairs: Any, job: Any, *rest: Any) -> Any:
        jobs.append((list(pairs), job))
        return train_dpo(pairs, job, *rest)

    train_dpo = dpo.train_dpo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dpo, "train_dpo", watched)
        return in_rounds(tmp_path_factory.mktemp("rounds"), model), jobs


def test_each_round_trains_on_from_the_one_before(finished: tuple[RunOutcome, list[Any]]):
    outcome, jobs = finished
    starts = [job.start for _, job in jobs[:3]]
    rounds = outcome.folder / "rounds"
    assert starts == [None, rounds / "1" / "dpo", rounds / "2" / "dpo"]
    assert [job.title for _, job in jobs[:3]] == [f"dpo round {number} of 3" for number in (1, 2, 3)]
    assert len({adapter_digest(rounds / number / "dpo") for number in "123"}) == 3


def test_the_result_is_the_model_of_the_last_round(finished: tuple[RunOutcome, list[Any]]):
    outcome, _ = finished
    assert adapter_digest(outcome.folder / "dpo") == adapter_digest(outcome.folder / "rounds" / "3" / "dpo")
    assert trained_adapter(outcome.folder, "dpo") == outcome.folder / "dpo"
    card = (outcome.folder / "dpo" / "README.md").read_text()
    assert f"# {outcome.folder.name} dpo\n" in card
    assert "| plain sample |" in card
    assert "dpo.2" in (outcome.folder / "rounds" / "2" / "dpo" / "README.md").read_text()


def test_later_rounds_learn_from_answers_of_the_model_before(finished: tuple[RunOutcome, list[Any]]):
    outcome, jobs = finished
    for number in (2, 3):
        with RunReader(outcome.folder / "rounds" / str(number)) as records:
            own = {preference.comparison_id for preference in records.preferences}
            assert {pair.id for pair in jobs[number - 1][0]} == own
            assert {j.labeler for j in records.judgments} == {"check"}
    with RunReader(outcome.folder) as run:
        first = {comparison.id for comparison in run.comparisons}
    assert own
    assert not own <= first


def test_manifest_has_an_entry_for_each_round(finished: tuple[RunOutcome, list[Any]]):
    outcome, jobs = finished
    manifest = read_manifest(outcome.folder)
    entries = manifest["stages"]["dpo"]["rounds"]
    assert [entry["round"] for entry in entries] == [1, 2, 3]
    assert [entry["pairs"] for entry in entries] == [len(pairs) for pairs, _ in jobs[:3]]
    tokens = sum(entry["completion_tokens"] for entry in entries)
    assert manifest["stages"]["dpo"]["requests"]["completion_tokens"] == tokens > 0
    assert outcome.as_json()["rounds"] == entries


def test_records_of_a_round_are_read_and_exported_as_those_of_a_run(
    finished: tuple[RunOutcome, list[Any]], tmp_path: Path
):
    folder = finished[0].folder / "rounds" / "2"
    with RunReader(folder) as records:
        comparison = next(iter(records.comparisons))
    shown = show_record(folder, comparison.id)
    assert shown.history[0].id == comparison.prompt.id
    assert export_run(folder, tmp_path / "data").rows["soft"] > 0


def test_finished_rounds_are_reused_without_any_change(finished: tuple[RunOutcome, list[Any]]):
    folder = finished[0].folder
    before = files_of(folder / "rounds") | files_of(folder / "dpo")
    again = in_rounds(folder.parent.parent, Path())
    after = files_of(folder / "rounds") | files_of(folder / "dpo")
    changed = {Path(name).name for name in after if before.get(name) != after[name]}
    assert changed <= {"manifest.json", "preferences.jsonl", "index.sqlite", ".lock"}
    assert again.as_json()["stages"]["dpo"]["asked"] == {}
    same = ("round", "pairs", "asked", "completion_tokens")
    old, new = ([[e[k] for k in same] for e in o.as_json()["rounds"]] for o in (finished[0], again))
    assert old == new


def test_more_rounds_reuse_the_first_ones(finished: tuple[RunOutcome, list[Any]]):
    project = finished[0].folder.parent.parent
    more = in_rounds(project, Path(), "dpo.rounds=2")
    assert more.folder != finished[0].folder
    for number in "12":
        one, other = (folder / "rounds" / number / "dpo" for folder in (finished[0].folder, more.folder))
        assert (one / "training.json").read_text() == (other / "training.json").read_text()


def test_checkpoints_are_the_finished_models_in_the_order_of_training(finished: tuple[RunOutcome, list[Any]]):
    folder = finished[0].folder
    with (
        RunReader(folder) as reader,
        Run(folder, reader.config, reader.constitution, reader.identity, writable=False) as run,
    ):
        assert list(run.checkpoints()) == ["dpo.1", "dpo.2", "dpo.3"]
        assert run.checkpoints()["dpo.2"] == folder / "rounds" / "2" / "dpo"


def test_a_round_without_pairs_that_differ_keeps_the_model_before(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    preference_pairs = dpo.preference_pairs
    monkeypatch.setattr(
        dpo, "preference_pairs", lambda run: () if run.folder.name == "2" else preference_pairs(run)
    )
    outcome = in_rounds(tmp_path, model)
    assert [entry["round"] for entry in outcome.as_json()["rounds"]] == [1]
    assert "the result is the model of round 1" in outcome.as_json()["advice"]["dpo"]
    assert adapter_digest(outcome.folder / "dpo") == adapter_digest(outcome.folder / "rounds" / "1" / "dpo")


def test_interrupted_between_its_parts_a_run_in_rounds_resumes_to_the_same_models(
    finished: tuple[RunOutcome, list[Any]], model: Path, tmp_path: Path
):
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    for part in ("judge_and_aggregate", "preference_pairs", "_published"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dpo, part, interrupted)
            with pytest.raises(KeyboardInterrupt):
                in_rounds(tmp_path, model)
    outcome = in_rounds(tmp_path, model)
    assert models_of(outcome) == models_of(finished[0])


def models_of(outcome: RunOutcome) -> dict[str, str]:
    """Return the digest of the adapter of each round, and of the result."""
    names = ("rounds/1/dpo", "rounds/2/dpo", "rounds/3/dpo", "dpo")
    return {name: adapter_digest(outcome.folder / name) for name in names}


def test_one_round_is_the_training_of_older_versions(model: Path, tmp_path: Path):
    outcome = in_rounds(tmp_path, model, "dpo.rounds=1")
    assert not (outcome.folder / "rounds").exists()
    assert "rounds" not in read_manifest(outcome.folder)["identity"]["configuration"]["dpo"]


@pytest.mark.parametrize(
    ("overrides", "stages"),
    [
        (("train=[sft, dpo]", "sft.from=samples", "compare.from=sft"), "sample sft compare label dpo eval"),
        (("train=[dpo]", "compare.from=samples"), "sample compare label dpo eval"),
        (("train=[dpo]", "compare.from=base"), "compare label dpo eval"),
        (("train=[sft]", "sft.from=samples"), "sample sft eval"),
        (("train=[sft]",), "critique compare label sft eval"),
        (("train=[]",), "critique compare label"),
        (("train=[]", "compare.from=samples"), "critique sample compare label"),
        (("train=[ppo]",), "ppo eval"),
        (("train=[ppo]", "ppo.sft_coef=0.1", "sft.from=samples"), "sample ppo eval"),
        (("train=[sft, dpo]", "sft.from=samples"), "critique sample compare label sft dpo eval"),
    ],
)
def test_only_stages_whose_records_are_read_are_planned(
    tmp_path: Path, overrides: tuple[str, ...], stages: str
):
    run_file = write_trainable(tmp_path, Path("some/model"))
    assert planned_stages(load_run_config(run_file, overrides)) == tuple(stages.split())


def in_process(threads: int, run_file: Path) -> None:
    torch.set_num_threads(threads)  # another number might round otherwise
    execute(RunRequest(run_file, ROUNDS, stages=("compare", "label", "dpo")))


@pytest.mark.long
def test_killed_at_any_moment_rounds_resume_to_the_same_models(
    finished: tuple[RunOutcome, list[Any]], model: Path, tmp_path: Path
):
    write_trainable(tmp_path, model, "base", splits=SPLITS)
    chance = random.Random(0)
    for _ in range(int(os.environ.get("PUBLIUS_KILLS", "4"))):
        process = forked.start(in_process, torch.get_num_threads(), tmp_path / "run.yaml")
        time.sleep(chance.uniform(0.5, 4.0))
        process.kill()
        process.join()
    outcome = in_rounds(tmp_path, model)
    assert models_of(outcome) == models_of(finished[0])
