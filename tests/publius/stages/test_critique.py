"""The critique stage: which rules and beginning a run's loop has, and what it refuses."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from core.errors import ConfigError
from critique.loop import CritiqueLoop
from engines.cached import CachedEngine
from engines.config import EngineConfig, ModelConfig
from engines.loading import locate, parameter_count
from engines.scripted import ScriptedEngine
from publius.config.run_file import load_run_config
from publius.runs.engines import Engines, open_engines
from publius.runs.opening.resuming import open_run
from publius.runs.opening.rules import has_new_rules
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
    assert loop_in(tmp_path, 0).rules == "ranked"
    (manifest,) = tmp_path.glob("runs/*/manifest.json")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"loop": "guarded"}))
    assert loop_in(tmp_path, 0).rules == "guarded"
    assert content.pop("loop") == "ranked"
    manifest.write_text(json.dumps(content))
    assert loop_in(tmp_path, 0).rules == "first"


@pytest.mark.parametrize("rules", ["ranked", "guarded", "first"])
def test_damaged_manifest_keeps_the_rules_that_it_still_shows(rules: str, tmp_path: Path):
    write_project(tmp_path)
    loop_in(tmp_path, 0)
    (manifest,) = tmp_path.glob("runs/*/manifest.json")
    written = manifest.read_text().replace('"loop": "ranked"', f'"loop": "{rules}"')
    manifest.write_text(written.rstrip()[:-1])
    assert loop_in(tmp_path, 0).rules == rules


def test_loops_since_the_guard_differ_in_the_worst_principle_alone():
    for loop, same, same_of_worst in (("ranked", True, True), ("guarded", True, False), ("x", False, False)):
        manifest = {"tiers": "smooth", "loop": loop}
        assert has_new_rules(manifest, "random") is same
        assert has_new_rules(manifest, "worst") is same_of_worst
    assert not has_new_rules({"loop": "ranked"}, "random")


@pytest.mark.parametrize(("shape", "rules"), [("new", "ranked"), ("first", "first"), ("none", "ranked")])
def test_lost_manifest_leaves_the_rules_that_the_traces_were_made_by(shape: str, rules: str, tmp_path: Path):
    write_project(tmp_path)
    # A script answers by its request, so drafts and revisions differ, and some revisions break `short`.
    long = "This answer has a good many more words than the twelve that it may have at most."
    answers = itertools.cycle(["A short answer.", "Say more.", long, "Say more.", long])
    execute(
        RunRequest(tmp_path / "run.yaml", ("engine.concurrency=1",), ("critique",)),
        lambda model, engine: ScriptedEngine(answerer=lambda request: next(answers), model=model.id),
    )
    (folder,) = tmp_path.glob("runs/*")
    (folder / "manifest.json").unlink()
    traces = folder / "traces.jsonl"
    assert b'"dropped":"guard"' in traces.read_bytes()
    if shape == "none":
        traces.write_bytes(b"")
    if shape == "first":
        lines = [json.loads(line) for line in traces.read_text().splitlines()]
        for revision in (revision for line in lines for revision in line["revisions"]):
            revision.pop("dropped", None)
            revision.pop("broken", None)
        traces.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    assert loop_in(tmp_path, 0, "engine.concurrency=1").rules == rules


def test_drafts_come_first_where_the_judge_does_not_fit_beside_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url = "engine: {kind: http, url: 'http://localhost:9'}"
    models = f"{{policy: some-model, critic: {{id: served, {url}}}, labeler: {{id: another}}}}"
    run = RUN.replace("{policy: some-model}", models).replace("kind: scripted, ", "kind: transformers, ")
    write_project(tmp_path, prompts=3, run=run)
    kept: list[list[str]] = []

    def keep(self: Engines, *wanted: CachedEngine) -> None:
        kept.append([engine.model for engine in wanted])

    monkeypatch.setattr(Engines, "keep", keep)
    execute(RunRequest(tmp_path / "run.yaml", ("critique.judge=true",), ("critique",)), Recorder())
    assert kept[:2] == [["some-model"], ["served", "another"]]


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
