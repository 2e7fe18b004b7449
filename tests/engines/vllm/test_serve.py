"""vLLM's own HTTP server with the embedded model: labels at /v1/systemone, and a whole run through it."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from constitution.schema import Constitution, Principle
from core.chat import Turn
from core.records import Comparison, Judgment, Prompt
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.http.decisions import DecisionEngine
from engines.http.engine import HttpEngine
from engines.loading import ModelFiles
from engines.protocols import ChoiceRequest, ChoiceScores
from engines.vllm.processes import wait_until_gone
from engines.vllm.setup import host_environment, install_vllm, vllm_device
from labelers.ai import AILabeler, require_labeler
from labelers.config import LabelConfig
from labelers.modes.reading import logistic
from publius.runs.reader import RunReader
from publius.stages.runner import RunRequest, execute
from tests.labelers.modes.same_labels import SETTINGS, labels, pairs, require_same_labels
from tests.publius.projects import write_project
from tests.publius.serving.test_litellm import wait_until_up

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.long,
    pytest.mark.skipif(
        vllm_device() != "cpu", reason=f"vLLM for a CPU is not installed; run: {install_vllm()}"
    ),
]

COMPARISONS = 32
TOLERANCE = 1e-3
"""Largest difference of a probability between two engines in float32 that counts as rounding."""
KEY = "a-key-of-this-test"
LAUNCHER = Path(__file__).with_name("serve_llama.py")
MODEL = "served"
CONSTITUTION = Constitution(name="one", principles=(Principle(id="kind", text="The reply is kind."),))
RUN = """\
name: served
constitution: constitution.yaml
prompts: prompts.jsonl
models:
  policy: served
  labeler: {id: served, engine: {dialect: systemone}}
engine: {kind: http, url: URL, api_key_env: VLLM_TEST_KEY, concurrency: 4}
critique:
  rounds: 1
  draft: {max_new_tokens: 8}
  critique: {max_new_tokens: 8}
  revision: {max_new_tokens: 8}
  drop: []
compare: {from: base, samples: 2}
label: {principles: 1, min_answer_mass: 0.0, near_duplicate: 1.0}
eval: {models: [base], sampling: {max_new_tokens: 8}}
train: []
"""


@pytest.fixture(scope="module")
def url(embedded_files: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of vLLM's server with the embedded model in float32."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options: dict[str, Any] = {
        "model": embedded_files.folder,
        "served-model-name": MODEL,
        "host": "127.0.0.1",
        "port": port,
        "api-key": KEY,
        "dtype": "float32",
        "max-model-len": 2048,
        "max-num-batched-tokens": 2048,
        "kv-cache-memory-bytes": 2**30,
        "generation-config": "vllm",
        "logprobs-mode": "raw_logprobs",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, LAUNCHER, *words, "--enforce-eager", "--no-enable-chunked-prefill"]
    log = tmp_path_factory.mktemp("vllm") / "log"
    environment = {**os.environ, **host_environment(), "PYTHONPATH": ""}
    with log.open("w") as written:
        server = subprocess.Popen(
            command, stdout=written, stderr=written, env=environment, start_new_session=True
        )
    try:
        wait_until_up(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        assert wait_until_gone(server.pid, 120)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_TEST_KEY", KEY)


def comparisons() -> list[Comparison]:
    """Short ones, whose replies differ in kindness, length and order."""
    replies = ["Glad to help!", "No.", "Ask a doctor, please.", "That is a stupid question."]
    return [
        Comparison(
            id=f"c{number}",
            prompt=Prompt.of(f"Question {number}: is {number} a good number?"),
            response_a=replies[number % 4],
            response_b=f"{replies[(number // 4 + number + 1) % 4]} It is {number}.",
            origin_a="draft",
            origin_b="draft",
        )
        for number in range(COMPARISONS)
    ]


class OwnEngineOnTheServersText:
    """Our transformers engine, given the text that vLLM writes for a question."""

    takes_questions = True

    def __init__(self, engine: TransformersEngine) -> None:
        self._engine = engine

    def key(self, request: ChoiceRequest) -> str:
        return repr(request)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        from vllm.entrypoints.generate.structured_decisions.question_types import build_question

        assert request.question is not None
        criteria = {option.name: None for option in request.question.options}
        asked = build_question("q1", "choice", request.question.instructions, criteria, 26)
        text = f"{request.turns[0].text}\n\n{asked.type.prompt(asked)}"
        return await self._engine.choose(ChoiceRequest((Turn("user", (text,)),), asked.labels, "label"))


def judged(engine: Any, found: list[Comparison]) -> list[Judgment]:
    labeler = AILabeler(CONSTITUTION, engine, LabelConfig(principles=1, min_answer_mass=0.0))

    async def all_of_them() -> list[Judgment]:
        return [one for (one,) in await asyncio.gather(*map(labeler.label, found))]

    return asyncio.run(all_of_them())


def test_labels_are_those_of_our_engine_given_the_servers_text(url: str, embedded_engine: TransformersEngine):
    config = EngineConfig(kind="http", url=url, dialect="systemone", api_key_env="VLLM_TEST_KEY")
    served = DecisionEngine(ModelConfig(id=MODEL), config)
    served.require_choices("", ("Reply A", "Reply B"))
    theirs = judged(served, comparisons())
    ours = judged(OwnEngineOnTheServersText(embedded_engine), comparisons())
    differences = [
        abs(p - q)
        for a, b in zip(theirs, ours, strict=True)
        for p, q in zip(*map(probabilities, (a, b)), strict=True)
    ]
    masses = [abs((a.answer_mass or 0) - (b.answer_mass or 0)) for a, b in zip(theirs, ours, strict=True)]
    assert len(differences) == 3 * COMPARISONS
    assert max(differences) <= TOLERANCE
    assert max(masses) <= TOLERANCE
    averaged = [judgment.p_a or 0.0 for judgment in ours]
    assert max(averaged) - min(averaged) > 10 * TOLERANCE  # otherwise equal labels would say nothing


def test_chat_labels_are_those_of_our_engine_but_for_what_the_server_does_not_list(
    url: str, embedded_engine: TransformersEngine
):
    config = EngineConfig(kind="http", url=url, api_key_env="VLLM_TEST_KEY")
    served = HttpEngine(ModelConfig(id=MODEL), config)
    labeler = AILabeler(CONSTITUTION, served, LabelConfig(principles=1, min_answer_mass=0.0))
    require_labeler(served, labeler.templates)
    (principle,) = CONSTITUTION.principles
    requests = [
        labeler.request(comparison, principle, a_first=a_first)
        for comparison in comparisons()
        for a_first in (True, False)
    ]
    assert all(request.prefill and request.question is None for request in requests)

    async def scored(engine: HttpEngine | TransformersEngine) -> list[ChoiceScores]:
        return list(await asyncio.gather(*map(engine.choose, requests)))

    theirs, ours = asyncio.run(scored(served)), asyncio.run(scored(embedded_engine))
    listed = [(a, b) for a, b in zip(theirs, ours, strict=True) if a.bounded is None]
    assert (
        len(listed) >= COMPARISONS
    )  # of both orders, so half of them: without any, nothing would be compared
    for there, here in listed:
        assert first_of(there) == pytest.approx(first_of(here), abs=TOLERANCE)
        assert there.answer_mass == pytest.approx(here.answer_mass, abs=TOLERANCE)
    found = [first_of(there) for there, _ in listed]
    assert max(found) - min(found) > 10 * TOLERANCE
    for there, here in zip(theirs, ours, strict=True):
        for bound, logprob, bounded in zip(
            there.logprobs, here.logprobs, there.bounded or (False, False), strict=True
        ):
            assert not bounded or math.exp(bound) >= math.exp(logprob) - TOLERANCE


@pytest.mark.parametrize("mode", [mode for mode in SETTINGS if mode != "rubric"])
def test_chat_labels_are_those_of_our_engine_in_every_mode(
    mode: str, url: str, embedded_engine: TransformersEngine
):
    config = EngineConfig(kind="http", url=url, api_key_env="VLLM_TEST_KEY")
    found = pairs(16)
    theirs = labels(HttpEngine(ModelConfig(id=MODEL), config), mode, found)
    require_same_labels(theirs, labels(embedded_engine, mode, found), compared=4)


def test_the_server_s_grammar_lets_a_rubric_be_answered_by_a_grade_alone(url: str):
    # Our engines write freely, so their text is another; a small model hardly ever writes a grade then.
    config = EngineConfig(kind="http", url=url, api_key_env="VLLM_TEST_KEY")
    found = labels(HttpEngine(ModelConfig(id=MODEL), config), "rubric", pairs(8))
    graded = [judgment for judgment in found if judgment is not None]
    assert len(graded) == 8
    assert {judgment.problem for judgment in graded} <= {None, "abstained", "cut_off"}  # never unreadable


def first_of(scores: ChoiceScores) -> float:
    """The probability of the first answer among the two that are offered."""
    return logistic(scores.logprobs[0] - scores.logprobs[1])


def probabilities(judgment: Judgment) -> tuple[float, float, float]:
    """The label, and the probability that `a` is better in each order."""
    assert judgment.orders is not None
    return judgment.p_a or 0.0, logistic(judgment.orders.a_first), logistic(judgment.orders.b_first)


def test_a_whole_run_goes_through_the_server(url: str, tmp_path: Path):
    run_file = write_project(tmp_path, 3, RUN.replace("URL", url))
    rows = (tmp_path / "prompts.jsonl").read_text().replace('"train"', '"test"', 1)
    (tmp_path / "prompts.jsonl").write_text(rows)
    outcome = execute(RunRequest(run_file, stages=("critique", "compare", "label", "eval")))
    with RunReader(outcome.folder) as run:
        assert len(list(run.traces)) == 2
        judgments = [judgment for judgment in run.judgments if judgment.labeler == "ai"]
        assert judgments
        assert {judgment.model for judgment in judgments} == {MODEL}
        assert all(judgment.orders and 0 < (judgment.answer_mass or 0) < 1 for judgment in judgments)
    assert (outcome.folder / "eval" / "report.md").is_file()
    again = execute(RunRequest(run_file, stages=("critique",)))
    assert again.folder == outcome.folder
