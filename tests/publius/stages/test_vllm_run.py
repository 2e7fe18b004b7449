"""Runs on the real vLLM engine: every stage from drafts to the table of before and after."""

import json
from pathlib import Path
from typing import Any

import pytest

from engines.vllm.engine import VllmEngine
from engines.vllm.setup import install_vllm, vllm_device
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import write_project
from tests.publius.test_cli import publius

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}"
    ),
]

TRAINING, HELD_OUT = 6, 4
RUN = """\
name: on-vllm
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: smollm2-135m-instruct}
engine: {kind: vllm, concurrency: 8}
critique:
  rounds: 1
  draft: {max_new_tokens: 12}
  critique: {max_new_tokens: 8}
  revision: {max_new_tokens: 12}
  drop: []
label: {principles: 1}
train: []
"""


def small_demo(folder: Path) -> Path:
    """The demo's project with fewer prompts; everything else is as `make demo` has it."""
    assert publius("init", folder, "--preset", "plain-and-brief").returncode == 0
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    kept = [row for row in rows if row["split"] == "train"][:TRAINING]
    kept += [row for row in rows if row["split"] == "test"][:HELD_OUT]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    return folder / "run.yaml"


class Kept:
    """An engine that others use too: closing it is not a run's business."""

    def __init__(self, engine: VllmEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def close(self) -> None:
        """Leave it as it is."""


def test_drafts_revisions_and_labels_come_from_vllm(tmp_path: Path, vllm_engine: VllmEngine):
    run_file = write_project(tmp_path, 3, RUN)
    first, second = (execute(RunRequest(run_file), lambda *_: Kept(vllm_engine)) for _ in range(2))
    asked = {stage.stage: dict(stage.counts.asked) for stage in first.stages}
    assert list(asked) == ["critique", "compare", "label"]
    assert asked["critique"] == {"draft": 3, "critique": 3, "revision": 3}
    assert sum(asked["label"].values()) > 0
    assert {stage.stage for stage in second.stages if stage.counts.asked} == set()
    traces = [json.loads(line) for line in (first.folder / "traces.jsonl").open()]
    assert {trace["initial"]["model"] for trace in traces} == {"smollm2-135m-instruct"}


@pytest.mark.long  # loads vLLM before and after the training
def test_the_demo_s_run_passes_on_vllm(tmp_path: Path, embedded_files: object):
    run_file = small_demo(tmp_path / "demo")
    done = publius("run", run_file, "--set", "engine.kind=vllm", "--set", "engine.kv_cache_gib=2", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("loading smollm2-135m-instruct (vllm)") == 2
    summary = json.loads(done.stdout)
    stages = summary["stages"]
    assert list(stages) == ["critique", "compare", "label", "sft", "dpo", "eval"]
    assert stages["critique"]["records"] == TRAINING
    assert stages["critique"]["asked"]["draft"] == TRAINING
    assert stages["eval"]["records"] == 4 * HELD_OUT
    values = {metric["name"]: metric["value"] for metric in summary["evaluation"]["metrics"]}
    for variant in ("base", "prompted", "sft", "dpo"):
        assert values[f"{variant}.words"] > 0
        assert values[f"{variant}.empty"] == 0
    assert values["sft.kl"] > 0
    run = Path(summary["run"])
    models = {json.loads(line)["generation"]["model"] for line in (run / "answers.jsonl").open()}
    assert models == {f"smollm2-135m-instruct{worn}" for worn in ("", "+sft", "+dpo")}
    assert (run / "eval" / "report.md").is_file()

    again = publius("run", run_file, "--set", "engine.kind=vllm", "--set", "engine.kv_cache_gib=2", "--json")
    assert again.returncode == 0, again.stderr
    assert "loading" not in again.stderr
    for name, stage in json.loads(again.stdout)["stages"].items():
        assert not stage["asked"], f"{name} asked again"
