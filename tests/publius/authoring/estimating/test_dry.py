"""Engines that only count: requests to servers, models that are not here yet, models that are shared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Constitution, Example, Principle
from core.errors import EngineError
from core.records import Prompt
from core.store.cache import RequestCache
from engines.config import EngineConfig, ModelConfig
from engines.loading import locate, parameter_count, parameters_by_config
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from labelers.questions import DecisionQuestions
from prompts.environment import PromptTemplates
from publius.authoring.estimating.dry import DryEngine, RequestLedger, dry_maker, tokens_by_characters
from publius.authoring.estimating.estimate import EstimateRequest, estimate_run
from publius.authoring.estimating.lengths import AnswerLengths
from publius.stages.runner import RunRequest, execute
from tests.engines.http.test_decisions import CountingDecider
from tests.publius.invoking import here
from tests.publius.projects import write_project
from tests.publius.serving.running import TOKEN, served

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models:
  policy: some-model
  labeler: {id: judge, engine: {kind: http, url: URL, dialect: systemone, api_key_env: DECISIONS_KEY}}
engine: {kind: scripted, concurrency: 4}
critique: {rounds: 1, judge: true, candidates: 2}
label: {principles: 3, mode: MODE}
"""
PROMPT = Prompt.of("What is this pill?")


@pytest.fixture
def decider() -> CountingDecider:
    return CountingDecider()


@pytest.fixture
def url(decider: CountingDecider, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DECISIONS_KEY", TOKEN)
    with served({}, {"judge": decider}) as client:
        yield client.url


def estimated(run_file: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    return estimate_run(EstimateRequest(run_file, overrides, **options)).as_json()


def rows(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["stage"], row["purpose"]): row for row in found["requests"]}


@pytest.mark.parametrize(
    ("mode", "judge"), [("choice", "true"), pytest.param("pointwise", "false", marks=pytest.mark.long)]
)
def test_every_question_of_a_decision_labeler_is_counted_before_anything_is_spent(
    tmp_path: Path, url: str, decider: CountingDecider, mode: str, judge: str
):
    text = RUN.replace("URL", url).replace("MODE", mode).replace("judge: true", f"judge: {judge}")
    run_file = write_project(tmp_path, 2, text)
    found = rows(estimated(run_file))
    assert decider.calls == []
    if judge == "true":
        assert found["critique", "reward"]["calls"]["expected"] == 2 * 3 * (1 + 2)
    assert found["label", "label"]["calls"]["expected"] in (6, 12)  # three principles in two orders
    for result in execute(RunRequest(run_file)).stages:
        for purpose, asked in result.counts.asked.items():
            calls = found[result.stage, purpose]["calls"]
            assert calls["lower"] <= asked <= calls["upper"]


def test_tokens_of_a_typed_question_are_those_of_state_and_question():
    example = Example(prompt="p" * 400, good="g" * 400, bad="b" * 400, use="few_shot")
    plain, long = (
        Constitution(
            name="one", preamble=text, principles=(Principle(id="kind", text="Be kind.", examples=e),)
        )
        for text, e in (("", ()), ("x" * 4_000, (example,)))
    )

    def asked(constitution: Constitution, reply: str) -> ChoiceRequest:
        questions = DecisionQuestions(constitution, PromptTemplates().decisions)
        return questions.comparison(constitution.principles[0], PROMPT, reply, "Take it.")

    short = tokens_by_characters(asked(plain, "No."))
    assert tokens_by_characters(asked(long, "No.")) - short >= (4_000 + 1_200) / 4
    assert tokens_by_characters(asked(plain, "No." * 400)) - short == pytest.approx(3 * 399 / 4, abs=2)


def test_budget_that_does_not_suffice_is_reported_and_leaves_no_lower_bound(tmp_path: Path, url: str):
    text = RUN.replace("URL", url).replace("MODE", "choice")
    run_file = write_project(tmp_path, 1, text.replace("concurrency: 4", "budget: {tokens: 300}"))
    found = estimated(run_file)
    (budget,) = found["budgets"]
    assert (budget["where"], budget["limit"], budget["spent"]) == ("engine.budget.tokens", 300, 0)
    assert 300 < budget["expected"] <= budget["most"]
    assert {row["calls"]["lower"] for row in found["requests"]} == {0}
    (enough,) = estimated(run_file, "engine.budget={tokens: 90000000}")["budgets"]
    assert enough["most"] < 90_000_000


def test_servers_are_not_in_the_time_of_this_machine(tmp_path: Path, url: str):
    run_file = write_project(tmp_path, 3, RUN.replace("URL", url).replace("MODE", "choice"))
    (tmp_path / "prices.yaml").write_text("hour: 3600\n")
    found = estimated(run_file, rate=100.0)
    local = [row for row in found["requests"] if row["role"] != "labeler"]
    written = sum(row["generated_tokens"]["expected"] for row in local)
    read = sum(row["prompt_tokens"] for row in local)
    assert found["total"]["seconds"] == pytest.approx(written / 100 + read / 450, rel=0.01)
    assert found["total"]["usd"]["expected"] == pytest.approx(found["total"]["seconds"], rel=0.01)
    assert found["stages"]["label"]["seconds"] is None
    assert found["served_roles"] == ["labeler"]


def test_seconds_of_a_stage_that_asked_a_server_are_no_speed_of_this_machine(tmp_path: Path, url: str):
    text = RUN.replace("URL", url).replace("MODE", "choice").replace("judge: true, ", "")
    run_file = write_project(tmp_path, 3, text)
    folder = execute(RunRequest(run_file)).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    for stage, tokens, seconds in (("critique", 2_000, 40.0), ("label", 0, 500.0)):
        entry = manifest["stages"][stage]
        entry["requests"] |= {"completion_tokens": tokens, "prompt_tokens": 9_000, "asked": 50}
        entry["seconds"] = seconds
    (folder / "manifest.json").write_text(json.dumps(manifest))
    speed = estimated(run_file)["speed"]
    assert speed["generated_per_s"] == pytest.approx((2_000 + 9_000 / 4.5) / 40, abs=0.1)


def test_size_of_a_model_without_weights_is_that_of_its_configuration(tmp_path: Path, tiny_folder: Path):
    whole = locate(ModelConfig(id=str(tiny_folder)))
    for path in tiny_folder.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert parameters_by_config(tmp_path) == parameter_count(whole)
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')
    assert parameters_by_config(tmp_path) is None


def test_critic_that_is_not_here_yet_has_the_rules_of_its_size(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    small = tmp_path / "snapshot"
    small.mkdir()
    for path in tiny_folder.iterdir():
        if path.suffix != ".safetensors":
            (small / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("publius.authoring.estimating.dry.fetch_without_weights", lambda model: small)
    make = dry_maker(lambda model, engine: Sized(), RequestLedger(), AnswerLengths(), None)
    dry = make(ModelConfig(id="who/what"), EngineConfig())
    assert isinstance(dry, DryEngine)
    assert dry.parameters == parameter_count(locate(ModelConfig(id=str(tiny_folder))))


class Sized(ScriptedEngine):
    """An engine whose files do not tell its size, and that shares the model of every other one."""

    parameters = None  # type: ignore[assignment]

    def join(self, other: object) -> bool:
        return isinstance(other, Sized)

    def shares_model_with(self, other: object) -> bool:
        return isinstance(other, Sized)


def test_engines_that_share_a_model_share_it_in_an_estimate():
    def dry(engine: ScriptedEngine) -> DryEngine:
        return DryEngine(engine, RequestLedger(), AnswerLengths(), None)

    one, other, alone = dry(Sized()), dry(Sized()), dry(ScriptedEngine())
    assert one.join(other)
    assert one.shares_model_with(other)
    assert not one.join(alone)
    assert not alone.shares_model_with(one)


def test_engine_with_a_short_context_still_counts_words():
    class Short(ScriptedEngine):
        def prompt_tokens(self, request: Any) -> int:
            from core.errors import RequestError

            count = super().prompt_tokens(request)
            if count > 64:
                raise RequestError("prompt and answer are too long")
            return count

    dry = DryEngine(Short(), RequestLedger(), AnswerLengths(), None)
    assert dry.has_room(60)
    assert not dry.has_room(80)


class Absent(ScriptedEngine):
    """A server that does not answer, and counts how often it is asked."""

    asked = 0

    @property
    def identity(self) -> str:
        self.asked += 1
        raise EngineError("the server gave no usable answer", accepted="a server")


def test_a_server_that_does_not_answer_is_asked_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    engine, ledger, lengths = Absent(model="far"), RequestLedger(), AnswerLengths(())
    alone = DryEngine(engine, ledger, lengths, None, served=True)
    with RequestCache(tmp_path / "cache.sqlite") as cache:
        roles = [DryEngine(engine, ledger, lengths, cache, served=True) for _ in range(3)]
        assert len({one.identity for one in [alone, *roles]}) == 1
    assert engine.asked == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "far: the server does not answer, so nothing counts as in the cache: the server gave no usable answer"
    )


def test_an_estimate_needs_no_key_and_its_price_is_what_its_budget_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    engine = "kind: http, url: http://127.0.0.1:9/v1, api_key_env: NO_SUCH_KEY"
    prices = "prices: {input: 0.15, output: 0.6}, budget: {usd: 50}"
    plain = "name: s\nconstitution: constitution.yaml\nprompts: prompts.jsonl\nmodels: {policy: m}\n"
    run_file = write_project(
        tmp_path, 2, f"{plain}engine: {{{engine}, {prices}}}\nlabel: {{principles: 2}}\n"
    )
    told = here("run", run_file, "--estimate", "--set", "train=[]", "--json")
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("NO_SUCH_KEY is not set, so its server is not asked") == 1
    found = json.loads(told.stdout)
    (budget,) = found["budgets"]
    assert budget["expected"] == pytest.approx(found["total"]["usd"]["expected"], abs=1e-6)
    assert budget["most"] == pytest.approx(found["total"]["usd"]["upper"], abs=1e-6)
    assert any(row["purpose"] == "label" for row in found["requests"])
    refused = here("run", run_file, "--set", "train=[]")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: engine.api_key_env")  # before a row of the prompts is read
