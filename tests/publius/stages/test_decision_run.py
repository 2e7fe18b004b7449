"""A run whose labeler is behind a decision endpoint: the records it writes, what a resume and an edit ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.records import Judgment
from engines.scripted import ScriptedEngine
from publius.authoring.recompute import estimate, recomputation
from publius.runs.reader import RunReader
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from tests.engines.http.test_decisions import CountingDecider
from tests.publius.projects import write_project
from tests.publius.serving.running import TOKEN, served

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models:
  policy: some-model
  labeler: {id: judge, engine: {kind: http, url: URL, dialect: DIALECT, api_key_env: DECISIONS_KEY}}
engine: {kind: scripted, concurrency: 4}
critique: {rounds: 1}
label: {principles: 3, mode: MODE}
"""
STAGES = ("critique", "compare", "label")
KEY = TOKEN


@pytest.fixture
def decider() -> CountingDecider:
    return CountingDecider()


@pytest.fixture
def url(decider: CountingDecider, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DECISIONS_KEY", KEY)
    with served({}, {"judge": decider}) as client:
        yield client.url


def run_at(folder: Path, url: str, dialect: str = "systemone", mode: str = "choice") -> RunOutcome:
    text = RUN.replace("URL", url).replace("DIALECT", dialect).replace("MODE", mode)
    return execute(RunRequest(write_project(folder, 6, text), stages=STAGES))


def judgments_of(folder: Path) -> list[Judgment]:
    with RunReader(folder) as run:
        return [judgment for judgment in run.judgments if judgment.labeler == "ai"]


@pytest.mark.parametrize(("dialect", "mode"), [("systemone", "choice"), ("decisions", "pointwise")])
def test_each_comparison_has_its_judgments_once(
    tmp_path: Path, url: str, decider: CountingDecider, dialect: str, mode: str
):
    outcome = run_at(tmp_path, url, dialect, mode)
    judgments = judgments_of(outcome.folder)
    with RunReader(outcome.folder) as run:
        comparisons = {comparison.id for comparison in run.comparisons}
    pairs = {(judgment.comparison_id, judgment.principle_id) for judgment in judgments}
    assert len(pairs) == len(judgments) == 3 * len(comparisons) > 0
    assert {judgment.model for judgment in judgments} == {"judge"}
    # One request for each order or reply, after the two questions that find out what the server can do.
    assert [len(call.questions) for call in decider.calls] == [2] + [3] * 2 * len(comparisons)
    for judgment in judgments:
        assert judgment.answer_mass == (pytest.approx(0.98) if dialect == "systemone" else None)
        assert (judgment.orders is None) == (mode == "pointwise")
    assert outcome.folder == run_at(tmp_path, url, dialect, mode).folder
    assert len(decider.calls) == 2 + 2 * len(comparisons)  # the second command asks what the server can do


def test_the_key_is_in_no_file(tmp_path: Path, url: str):
    run_at(tmp_path, url)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_the_manifest_says_where_the_labels_come_from(tmp_path: Path, url: str):
    manifest = json.loads((run_at(tmp_path, url).folder / "manifest.json").read_text())
    (server,) = manifest["stages"]["label"]["servers"]
    assert (server["model"], server["url"]) == ("judge", f"{url}/v1")
    assert server["prompt_tokens"] > 0


def test_each_dialect_and_mode_is_a_run_of_its_own(tmp_path: Path, url: str):
    ways = [("systemone", "choice"), ("systemone", "pointwise"), ("decisions", "choice")]
    assert len({run_at(tmp_path, url, *way).folder for way in ways}) == 3


def test_a_recomputation_has_the_templates_of_the_run(
    tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
):
    with RunReader(run_at(tmp_path, url).folder) as run, caplog.at_level("WARNING", "publius"):
        with recomputation(run, run.constitution) as (recomputed, engines):
            assert estimate(recomputed, engines).new == 0
        assert not [line for line in caplog.messages if "templates" in line]


def test_pointwise_labels_need_no_server(tmp_path: Path):
    text = RUN.replace(
        "labeler: {id: judge, engine: {kind: http, url: URL, dialect: DIALECT, api_key_env: DECISIONS_KEY}}",
        "labeler: policy",
    )
    run_file = write_project(tmp_path, 4, text.replace("MODE", "pointwise"))
    seen: list[ScriptedEngine] = []

    def make(model: object, engine: object) -> ScriptedEngine:
        seen.append(ScriptedEngine(model="some-model"))
        return seen[-1]

    folder = execute(RunRequest(run_file, stages=STAGES), make).folder
    judgments = judgments_of(folder)
    assert judgments
    assert all(judgment.margin is not None and judgment.orders is None for judgment in judgments)
    asked = [request for engine in seen for request in engine.history if request.purpose == "label"]
    assert all(request.choices == (" Yes", " No") for request in asked if hasattr(request, "choices"))
    assert len(asked) == 2 * len(judgments)


def test_a_policy_behind_a_decision_endpoint_is_refused_before_it_is_asked(tmp_path: Path):
    text = RUN.replace(
        "engine: {kind: scripted, concurrency: 4}",
        "engine: {kind: http, url: 'http://127.0.0.1:9', dialect: systemone}",
    )
    with pytest.raises(ConfigError, match=r"models\.policy.*writes no text"):
        run_at_text(tmp_path, text)


def run_at_text(folder: Path, text: str) -> RunOutcome:
    filled = (
        text.replace("URL", "http://127.0.0.1:9").replace("DIALECT", "systemone").replace("MODE", "choice")
    )
    return execute(RunRequest(write_project(folder, 2, filled), stages=STAGES))
