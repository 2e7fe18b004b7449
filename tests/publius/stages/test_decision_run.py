"""A run whose labeler is behind a decision endpoint: the records it writes, what a resume and an edit ask."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from core.errors import ConfigError, EngineError
from core.records import Judgment
from engines.scripted import ScriptedEngine
from prompts.environment import PromptTemplates
from prompts.user_templates import write_templates
from publius.authoring.recompute import estimate, recomputation
from publius.config.run_file import load_run_config
from publius.runs.opening.identity import templates_digest
from publius.runs.reader import RunReader
from publius.stages.base import Stage
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, asks_labeler, execute
from tests.engines.http.fault_server import serving
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


def run_at(
    folder: Path,
    url: str,
    dialect: str = "systemone",
    mode: str = "choice",
    templates: Mapping[str, str] | None = None,
) -> RunOutcome:
    text = RUN.replace("URL", url).replace("DIALECT", dialect).replace("MODE", mode)
    if templates is not None:
        write_templates(folder / "mine", templates)
        text += "templates: mine\n"
    return execute(RunRequest(write_project(folder, 3, text), stages=STAGES))


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


SHIPPED = PromptTemplates().decisions.sources


def test_the_templates_of_typed_questions_are_the_users(
    tmp_path: Path, url: str, decider: CountingDecider, caplog: pytest.LogCaptureFixture
):
    plain = run_at(tmp_path, url)
    asked = len(decider.calls)
    own = {
        "decision_pair": SHIPPED["decision_pair"].replace("Two replies to one", "A pair of replies to one"),
        "decision_question": SHIPPED["decision_question"].replace("Principle: ", "Rule: "),
    }
    mine = run_at(tmp_path, url, templates=own)
    assert mine.folder != plain.folder
    assert len(decider.calls) == 2 * asked  # nothing of them is in the cache
    for call in decider.calls[asked + 1 :]:
        assert call.state.startswith("A pair of replies to one")
        assert all("Rule: " in named.question.instructions for named in call.questions)
    for name, text in own.items():
        assert (mine.folder / "templates" / f"{name}.j2").read_text() == text
    assert "no effect" not in caplog.text
    with RunReader(mine.folder) as finished, recomputation(finished, finished.constitution) as (again, _):
        assert again.templates.decisions.sources["decision_pair"] == own["decision_pair"]
    assert "templates differ" not in caplog.text


def test_templates_that_the_labeler_is_not_asked_by_are_named(
    tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
):
    run_at(tmp_path, url, templates={"comparison": PromptTemplates().sources["comparison"] + " "})
    assert "comparison.j2 in the templates folder has no effect on models.labeler" in caplog.text
    assert "decision_pair.j2, decision_reply.j2, decision_question.j2" in caplog.text


def test_the_text_of_typed_questions_is_part_of_runs_that_ask_them(tmp_path: Path):
    chat = (
        RUN.replace(", dialect: DIALECT", "").replace("MODE", "choice").replace("URL", "http://127.0.0.1:9")
    )
    typed = chat.replace("9,", "9, dialect: systemone,")
    digests = []
    for text in (chat, typed):
        for own in (None, SHIPPED, {**SHIPPED, "decision_reply": SHIPPED["decision_reply"] + " "}):
            run_file = write_project(tmp_path, 1, text + ("" if own is None else "templates: mine\n"))
            write_templates(tmp_path / "mine", own or {})
            digests.append(templates_digest(load_run_config(run_file)))
    assert digests[0] == digests[1] == digests[2] != digests[3] == digests[4] != digests[5]


JUDGED = """\
name: judged
constitution: constitution.yaml
prompts: prompts.jsonl
models:
  policy: some-model
  ROLE: {id: served-model, engine: {kind: http, url: URL, dialect: DIALECT}}
engine: {kind: scripted, concurrency: 4}
critique: {rounds: 1}
label: {principles: 1}
sample: {judge: true}
"""


@pytest.mark.parametrize(
    ("role", "stage", "dialect", "what"),
    [
        ("judge", "eval", "systemone", "does not answer /v1/systemone"),
        ("judge", "choose", "chat", "lists no log-prob"),
        ("labeler", "sample", "systemone", "does not answer /v1/systemone"),
    ],
)
def test_a_model_that_judges_later_is_looked_at_before_the_first_stage(
    tmp_path: Path, role: str, stage: Stage, dialect: str, what: str
):
    text = JUDGED.replace("ROLE", role).replace("DIALECT", dialect)
    with serving(logprobs=False) as server:
        run_file = write_project(tmp_path, 2, text.replace("URL", server.url))
        with pytest.raises((ConfigError, EngineError), match=what):
            execute(RunRequest(run_file, stages=("critique", stage)))
    assert not list((tmp_path / "runs").glob("*"))  # nothing was recorded, so no folder stays


@pytest.mark.parametrize(
    ("stages", "settings", "asks"),
    [
        (("label",), "", True),
        (("critique",), "", False),
        (("critique",), "critique: {judge: true}", True),
        (("sample",), "sample: {judge: true}", True),
        (("compare",), "sample: {judge: true}", False),
        (("compare",), "sample: {judge: true}\ncompare: {from: base, pairs: best_worst}", True),
        (("dpo",), "dpo: {rounds: 2}", True),
        (("sft", "ppo"), "ppo: {rewards: {labeler: 1.0}}", True),
        (("sft", "ppo"), "grpo: {rewards: {labeler: 1.0}}", False),
    ],
)
def test_the_stages_that_ask_the_labeler(
    tmp_path: Path, stages: tuple[Stage, ...], settings: str, asks: bool
):
    plain = "constitution: constitution.yaml\nprompts: prompts.jsonl\nmodels: {policy: some-model}\n"
    assert asks_labeler(load_run_config(write_project(tmp_path, 1, plain + settings)), stages) is asks


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
