"""The demo's run on the real vLLM engine: every stage from drafts to the table of before and after."""

import json
from pathlib import Path

import pytest

from engines.vllm.setup import INSTALL, vllm_device
from tests.publius.test_cli import publius

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {INSTALL}"),
]

TRAINING, HELD_OUT = 6, 4


def small_demo(folder: Path) -> Path:
    """The demo's project with fewer prompts; everything else is as `make demo` has it."""
    assert publius("init", folder, "--preset", "plain-and-brief").returncode == 0
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    kept = [row for row in rows if row["split"] == "train"][:TRAINING]
    kept += [row for row in rows if row["split"] == "test"][:HELD_OUT]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    return folder / "run.yaml"


def test_the_demo_s_run_passes_on_vllm(tmp_path: Path, embedded_files: object):
    run_file = small_demo(tmp_path / "demo")
    done = publius("run", run_file, "--set", "engine.kind=vllm", "--set", "engine.kv_cache_gib=2", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    stages = summary["stages"]
    assert list(stages) == ["critique", "sft", "compare", "label", "dpo", "eval"]
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
    for name, stage in json.loads(again.stdout)["stages"].items():
        assert not stage["asked"], f"{name} asked again"
