"""The critique stage: which rules and beginning a run's loop has, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import ConfigError
from critique.loop import CritiqueLoop
from engines.config import EngineConfig, ModelConfig
from engines.loading import locate, parameter_count
from engines.scripted import ScriptedEngine
from publius.config.run_file import load_run_config
from publius.runs.engines import open_engines
from publius.runs.folder import open_run
from publius.stages.critique import loop_of
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import RUN, Recorder, write_project


class Sized(ScriptedEngine):
    """A scripted engine that says how large its model is."""

    weights: int | None = 0

    @property
    def parameters(self) -> int | None:
        return self.weights


def loop_in(project: Path, weights: int | None, *overrides: str) -> CritiqueLoop:
    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        made = Sized(model=model.id)
        made.weights = weights
        return made

    config = load_run_config(project / "run.yaml", overrides)
    with (
        open_engines(config, project, make) as engines,
        open_run(config, project, engines.identities()) as run,
    ):
        return loop_of(run, engines)


@pytest.mark.parametrize(
    ("weights", "begun"), [(0, True), (299_999_999, True), (300_000_000, False), (None, False)]
)
def test_size_of_the_critic_decides_whether_its_critiques_are_begun(
    weights: int | None, begun: bool, tmp_path: Path
):
    write_project(tmp_path)
    assert loop_in(tmp_path, weights).begun is begun


def test_new_run_has_the_guard_and_an_older_one_keeps_its_rules(tmp_path: Path):
    write_project(tmp_path)
    assert loop_in(tmp_path, 0).rules == "guarded"
    (manifest,) = tmp_path.glob("runs/*/manifest.json")
    content = json.loads(manifest.read_text())
    assert content.pop("loop") == "guarded"
    manifest.write_text(json.dumps(content))
    assert loop_in(tmp_path, 0).rules == "first"


def test_judge_scores_principles_without_a_check_in_the_loop(tmp_path: Path):
    write_project(
        tmp_path, prompts=3, run=RUN.replace("{rounds: 2}", "{rounds: 1, judge: true, candidates: 2}")
    )
    recorder = Recorder()
    execute(RunRequest(tmp_path / "run.yaml", stages=("critique",)), recorder)
    judged = [request for request in recorder.requests if request.purpose == "reward"]
    drafts = [request for request in recorder.requests if request.purpose == "draft"]
    assert len(drafts) == 3
    assert len(judged) > len(drafts)


def test_judge_without_principles_to_ask_about_is_refused(tmp_path: Path):
    write_project(tmp_path)
    with pytest.raises(ConfigError, match=r"critique\.judge is set, but label\.principles is 0"):
        load_run_config(tmp_path / "run.yaml", ("critique.judge=true", "label.principles=0"))


def test_judge_that_cannot_be_loaded_beside_the_critic_is_refused(tmp_path: Path):
    run = RUN.replace("{policy: some-model}", "{policy: some-model, labeler: {id: another}}")
    write_project(tmp_path, run=run.replace("kind: scripted, ", "kind: transformers, "))
    with pytest.raises(ConfigError, match=r"critique\.judge: .* do not fit at once"):
        loop_in(tmp_path, 0, "critique.judge=true")


def test_weights_are_counted_from_the_headers_of_the_files(tiny_folder: Path):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    assert parameter_count(locate(ModelConfig(id=str(tiny_folder)))) == sum(
        p.numel() for p in model.parameters()
    )
