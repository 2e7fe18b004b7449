"""Templates of the user's own in a run: its identity, what is asked again, and mistakes found in time."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from core.errors import ConfigError
from engines.config import EngineConfig, ModelConfig
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from prompts.environment import PromptTemplates
from prompts.user_templates import REPLACEABLE, write_templates
from publius.authoring.recompute import recomputation
from publius.runs.manifest import read_manifest
from publius.runs.reader import RunReader
from publius.stages.runner import RunRequest, execute
from tests.publius.invoking import here
from tests.publius.projects import RUN, write_project

STAGES = ("critique", "compare", "label")


def by_purpose(request: GenerationRequest) -> str:
    """An answer that depends on the seed, and not on how the request is worded."""
    return f"{request.purpose} {request.seed % 97} of few words"


def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
    return ScriptedEngine(answerer=by_purpose, model=model.id)


def run(project: Path, **templates: str) -> tuple[Path, Counter[str], Counter[str]]:
    """Run with some templates replaced; return the folder, and what was asked and reused by purpose."""
    overrides: tuple[str, ...] = ()
    if templates:
        folder = project / "-".join(templates)
        write_templates(folder, templates)
        overrides = (f"templates={folder.name}",)
    outcome = execute(RunRequest(project / "run.yaml", overrides, STAGES), make)
    asked, reused = Counter[str](), Counter[str]()
    for stage in outcome.stages:
        asked.update(stage.counts.asked)
        reused.update(stage.counts.reused)
    return outcome.folder, asked, reused


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path)
    return tmp_path


def edited(name: str) -> str:
    return PromptTemplates().sources[name].replace("{% block user -%}", "{% block user %}Now. ", 1)


def test_replaced_template_changes_the_run_and_asks_only_its_own_requests_again(project: Path):
    plain, first, _ = run(project)
    assert first["draft"] == 8
    counts = {}
    for name in ("critique", "revision", "comparison", "pointwise", "system"):
        folder, asked, reused = run(project, **{name: edited(name)})
        assert folder != plain
        counts[name] = dict(asked)
        assert asked + reused == first
    # The request for a revision comes behind that for the critique, so it changes with it.
    assert counts == {
        "critique": {"critique": first["critique"], "revision": first["revision"]},
        "revision": {"revision": first["revision"]},
        "comparison": {"label": first["label"]},
        "pointwise": {},
        "system": {},
    }


def test_same_text_in_another_folder_is_the_same_run(project: Path):
    folder, _, _ = run(project, revision=edited("revision"))
    moved = project / "elsewhere"
    write_templates(moved, {"revision": edited("revision")})
    outcome = execute(RunRequest(project / "run.yaml", (f"templates={moved}",), STAGES), make)
    assert outcome.folder == folder
    assert sum(stage.counts.asked.total() for stage in outcome.stages) == 0


def test_shipped_text_in_a_folder_is_the_run_without_templates(project: Path):
    folder, _, _ = run(project)
    again, asked, _ = run(project, **PromptTemplates().sources)
    assert again == folder
    assert asked.total() == 0


def test_run_with_copies_of_the_shipped_templates_can_be_read_without_the_users_folder(project: Path):
    folder, _, _ = run(project, system=PromptTemplates().sources["system"])
    reader = RunReader(folder)
    assert reader.config.templates == folder / "templates"
    with recomputation(reader, reader.constitution, make) as (recomputed, _):
        assert recomputed.templates.digest == PromptTemplates().digest


def test_run_folder_has_the_templates_and_they_outlive_the_users_own(project: Path):
    text = edited("comparison")
    folder, _, _ = run(project, comparison=text)
    (project / "comparison" / "comparison.j2").write_text("{% block user %}Changed.{% endblock %}")
    assert (folder / "templates" / "comparison.j2").read_text() == text
    reader = RunReader(folder)
    assert reader.config.templates == folder / "templates"
    with recomputation(reader, reader.constitution, make) as (recomputed, _):
        assert recomputed.templates.sources["comparison"] == text


def test_mistake_in_a_template_is_reported_before_a_folder_is_made(project: Path):
    write_templates(project / "mine", {"critique": "{% block user %}\n{{ nobody }}{% endblock %}"})
    with pytest.raises(ConfigError, match=r"mine/critique\.j2:2: unknown value 'nobody'"):
        execute(RunRequest(project / "run.yaml", ("templates=mine",), STAGES), make)
    assert not (project / "runs").exists()


def test_init_writes_templates_that_check_accepts(tmp_path: Path):
    done = here("init", "--templates", tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    assert sorted(path.stem for path in (tmp_path / "mine").iterdir()) == sorted(REPLACEABLE)
    assert here("check", "plain-and-brief", "--templates", tmp_path / "mine").returncode == 0


def test_check_reports_mistakes_in_the_templates_of_a_run_file(project: Path):
    (project / "run.yaml").write_text(RUN + "templates: mine\n")
    write_templates(project / "mine", {"revision": "{% block user %}{{ principle.txt }}{% endblock %}"})
    done = here("check", "--run", project / "run.yaml")
    assert done.returncode == 2
    assert "mine/revision.j2:1: a principle has no field 'txt'" in done.stderr


def test_init_without_any_folder_says_what_to_give():
    done = here("init")
    assert done.returncode == 2
    assert "--templates DIR" in done.stderr


def test_manifest_and_summary_have_the_statistics_of_the_loop(project: Path):
    (project / "run.yaml").write_text(RUN)
    folder, _, _ = run(project)
    loop = read_manifest(folder)["stages"]["critique"]["loop"]
    traces = [json.loads(line) for line in (folder / "traces.jsonl").read_text().splitlines()]
    assert loop["prompts"] == loop["checked"] == len(traces) == 8
    drawn = Counter(r["principle_id"] for trace in traces for r in trace["revisions"])
    assert {name: counts["drawn"] for name, counts in loop["principles"].items()} == drawn
    assert sum(counts["revisions"] for counts in loop["rounds"].values()) == drawn.total()
    assert len(loop["compliant"]) == 3
    done = here("run", project / "run.yaml")
    assert "answers that pass all machine checks" in done.stdout + done.stderr
