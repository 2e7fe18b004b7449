"""Prompts that give no pairs: counted with their reason in every place, and said before the run begins."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from publius.config.run_file import load_run_config
from publius.runs.folder import Run
from publius.runs.manifest import read_manifest
from publius.runs.pairs.unpaired import all_left_out, unused_for_pairs
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.projects import Recorder, write_project

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
critique: {rounds: 1}
label: {principles: 1}
compare: {from: base, samples: 2}
train: []
"""
SPLITS = ("train", "preference", "test", "train")
REVISED = "prompts of the split train: their revisions are for SFT and give no pairs (split.train)"
TEST = "prompts of the split test: for the evaluation alone (split.test)"


def project(folder: Path, splits: bool = True) -> Path:
    run_file = write_project(folder, 8, RUN)
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row.pop("split")
        row |= {"split": SPLITS[number % 4]} if splits else {}
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run_file


def test_every_prompt_without_a_pair_is_counted_with_its_reason(tmp_path: Path):
    run_file = project(tmp_path)
    told = here("run", run_file)
    assert told.returncode == 0, told.stderr
    assert "4 of 6 prompts (split train) give no pairs" in told.stderr
    assert REVISED in " ".join(told.stdout.split())
    (folder,) = (tmp_path / "runs").iterdir()
    left_out = all_left_out(read_manifest(folder))["compare"]
    assert (left_out[REVISED], left_out[TEST]) == (4, 2)
    compared = {json.loads(line)["prompt"]["id"] for line in (folder / "comparisons.jsonl").open()}
    same = sum(count for reason, count in left_out.items() if reason not in (REVISED, TEST))
    assert len(compared) + same + 4 + 2 == 8
    shown = json.loads(here("show", folder, "--json").stdout)
    assert shown["stages"]["compare"]["left_out"] == left_out
    assert here("export", folder, "--to", tmp_path / "data").returncode == 0
    assert f"- compare: 4 ({REVISED})" in (tmp_path / "data" / "README.md").read_text()
    report = here("report", folder, "--json", "--to", tmp_path / "r.html")
    assert REVISED in (tmp_path / "r.html").read_text()
    assert all(REVISED not in alarm["text"] for alarm in json.loads(report.stdout)["alarms"])
    again = here("run", run_file, "--json")
    assert json.loads(again.stdout)["left_out"]["compare"] == left_out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), "--set split.train=0 --set split.preference=0.95"),
        (("compare.from=samples",), "--set sample.splits=[train,preference]"),
        (("compare.from=revisions",), ""),
        (("split.train=0", "split.preference=0.95"), ""),
    ],
)
def test_the_setting_that_pairs_all_prompts_is_named_where_nothing_else_uses_them(
    tmp_path: Path, settings: tuple[str, ...], said: str
):
    run_file = project(tmp_path, splits=False)
    told = here("run", run_file, "--estimate", *(part for one in settings for part in ("--set", one)))
    assert told.returncode == 0, told.stderr
    assert ("give no pairs" in told.stderr) == bool(said)
    assert said in told.stderr


@pytest.mark.parametrize(("train", "uses"), [("[dpo]", False), ("[sft,dpo]", True), ("[dpo,ppo]", True)])
def test_a_training_that_uses_the_other_prompts_is_no_reason_to_pair_them(
    tmp_path: Path, train: str, uses: bool
):
    settings = ("engine={kind: transformers}", f"train={train}")
    config = load_run_config(project(tmp_path, splits=False), settings)
    run = SimpleNamespace(config=config, manifest={"prompts": {"splits": {"train": 3, "preference": 5}}})
    assert (unused_for_pairs(cast(Run, run), {"preference"}) is None) == uses


def test_prompts_that_are_not_sampled_are_of_no_use_to_sft_either(tmp_path: Path):
    settings = ("engine={kind: transformers}", "train=[sft,dpo]", "compare.from=samples")
    config = load_run_config(project(tmp_path, splits=False), settings)
    run = SimpleNamespace(config=config, manifest={"prompts": {"splits": {"train": 3, "preference": 5}}})
    line = unused_for_pairs(cast(Run, run), {"train"})
    assert line is not None
    assert line.startswith("5 of 8 prompts (split preference) give no pairs")


def test_merged_shards_count_the_same_prompts(tmp_path: Path):
    run_file = project(tmp_path)
    for part in ("1/2", "2/2"):
        assert here("run", run_file, "--shard", part).returncode == 0
    shards = sorted((tmp_path / "runs").iterdir())
    assert here("runs", "merge", *shards).returncode == 0
    whole = shards[0].with_name(shards[0].name.partition(".shard-")[0])
    assert all_left_out(read_manifest(whole))["compare"][REVISED] == 4
    outcome = execute(RunRequest(run_file), Recorder())
    assert outcome.as_json()["left_out"]["compare"][TEST] == 2
