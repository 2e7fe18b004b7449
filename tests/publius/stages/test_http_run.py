"""Runs whose models are behind a server: one that fails, one that is gone, one that bills, one with a key."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, EngineError
from publius.stages.runner import RunRequest, execute
from tests.engines.http.fault_server import MODEL, FaultServer, serving
from tests.publius.invoking import here, options
from tests.publius.projects import ids, record_lines, write_project

CONVERSATIONS = int(os.environ.get("PUBLIUS_TEST_CONVERSATIONS", "500"))
LOOKS = 2
"""Requests before labels: how begun answers continue, and whether probabilities are listed."""
STORM_S = float(os.environ.get("PUBLIUS_TEST_STORM_S", "3"))

RUN = f"""\
name: served
constitution: constitution.yaml
prompts: prompts.jsonl
models: {{policy: {MODEL}}}
engine: {{kind: http, url: URL}}
critique: {{rounds: 1}}
label: {{principles: 1}}
compare: {{from: base, samples: 2}}
"""


def write_run(
    folder: Path, server: FaultServer | str, prompts: int = 6, run: str = RUN, **engine: Any
) -> Path:
    """Write a project whose models are behind a server; return its run file."""
    url = server if isinstance(server, str) else server.url
    more = "".join(f", {name}: {json.dumps(value)}" for name, value in engine.items())
    return write_project(folder, prompts, run.replace("URL", url + more))


def servers_of(folder: Path) -> list[dict[str, Any]]:
    """The manifest's records of the servers that were asked, of all stages."""
    stages = json.loads((folder / "manifest.json").read_text())["stages"].values()
    return [record for entry in stages for record in entry.get("servers", [])]


def retries_of(folder: Path) -> Counter[str]:
    return sum((Counter(record.get("retries", {})) for record in servers_of(folder)), Counter())


def require_complete(folder: Path, conversations: int) -> None:
    """Every conversation has its trace, its comparison and its judgment once."""
    records = record_lines(folder)
    for name in ("traces.jsonl", "comparisons.jsonl", "prompts.jsonl"):
        found = ids(records[name])
        assert len(found) == len(set(found)) == conversations, name
    judged = ids(records["judgments.jsonl"])
    assert len(judged) == len(set(judged)) >= conversations
    assert records.get("exclusions.jsonl", []) == []


def run_at_faults(tmp_path: Path, conversations: int, share: float) -> tuple[Path, FaultServer]:
    with serving(fault_share=share, hang_s=0.4, answer=differing) as server:
        run = write_run(
            tmp_path, server, conversations, run=RUN + "train: []\n", timeouts={"read": 0.3}, concurrency=16
        )
        outcome = execute(RunRequest(run))
    return outcome.folder, server


def differing(body: dict[str, Any]) -> str:
    """Answers of which no two are near-duplicates."""
    return f"Answer {hash(json.dumps(body['messages']))} {body.get('seed')} " * 2


def require_every_retry_counted(folder: Path, server: FaultServer) -> None:
    """Every try was the answer to one of the run's requests, or was repeated and counted."""
    stages = json.loads((folder / "manifest.json").read_text())["stages"].values()
    asked = sum(entry["requests"].get("asked", 0) for entry in stages) + LOOKS
    tries, retried = sum(record["tries"] for record in servers_of(folder)), sum(retries_of(folder).values())
    lists = len(server.requests) - len(server.chats)
    assert tries == asked + lists + retried
    assert retried >= sum(count for fault, count in server.faults.items() if fault) > 0
    # Under load a request may run out of the short time before the server has seen it.
    assert 0 <= tries - len(server.requests) <= retries_of(folder)["timed out"]


def test_every_conversation_completes_at_30_percent_faults_and_every_retry_is_counted(tmp_path: Path):
    folder, server = run_at_faults(tmp_path, 8, 0.3)
    require_complete(folder, 8)
    require_every_retry_counted(folder, server)


@pytest.mark.long
def test_500_conversations_complete_at_30_percent_faults(tmp_path: Path):
    folder, server = run_at_faults(tmp_path, CONVERSATIONS, 0.3)
    require_complete(folder, CONVERSATIONS)
    require_every_retry_counted(folder, server)


def refusing_90_percent(seconds: float) -> Any:
    """Refuse 9 of 10 requests for overload, from the first one on, for so long."""
    count, ends_at = 0, float("inf")

    def decide(body: dict[str, Any]) -> str | None:
        nonlocal count, ends_at
        count += 1
        if count == 1:
            ends_at = time.monotonic() + seconds
        return "429" if time.monotonic() < ends_at and count % 10 else None

    return decide


def storm(tmp_path: Path, seconds: float, conversations: int) -> tuple[Any, FaultServer]:
    with serving(answer=differing, decide=refusing_90_percent(seconds)) as server:
        return here("critique", write_run(tmp_path, server, conversations)), server


def test_a_storm_of_refusals_loses_nothing_and_the_open_circuit_is_reported_once(tmp_path: Path):
    done, server = storm(tmp_path, STORM_S, 16)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert len(set(ids(record_lines(folder)["traces.jsonl"]))) == 16
    opened = [line for line in done.stderr.splitlines() if "the circuit is open" in line]
    closed = [line for line in done.stderr.splitlines() if "the circuit is closed" in line]
    assert len(opened) == len(closed) == 1
    assert server.url in opened[0]
    assert "429 Too Many Requests (rate limit reached)" in opened[0]
    assert retries_of(folder) == {"429 Too Many Requests": server.faults["429"]}
    assert re.search(rf"retries +{server.faults['429']}  429 Too Many Requests", done.stdout)
    assert servers_of(folder)[0]["circuit_opened"] >= 1


def test_a_server_that_is_not_there_costs_one_line_before_anything_is_made(tmp_path: Path):
    with serving() as server:
        pass
    run = write_run(tmp_path, server)
    done = here("run", run)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {server.url}/v1: the server gave no usable answer")
    assert "no connection (Connection refused)" in line
    assert not (tmp_path / "runs").exists()


def test_a_server_that_goes_away_ends_the_run_in_one_line_and_the_run_resumes(tmp_path: Path):
    with serving() as server:
        run = write_run(tmp_path, server, 8, unreachable_s=0.2, concurrency=2)
        sent = 0

        def decide(body: dict[str, Any]) -> str | None:
            nonlocal sent
            sent += 1
            if sent == 12:
                server.stop()
            return None

        server.behaviour.decide = decide
        done = here("critique", run)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "the same command resumes" in errors[0]
    (folder,) = (tmp_path / "runs").iterdir()
    finished = ids(record_lines(folder)["traces.jsonl"])
    assert 0 < len(finished) < 8

    with serving() as other:  # the same model behind another address
        resumed = here("critique", write_run(tmp_path, other, 8))
        assert resumed.returncode == 0, resumed.stderr
        assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]
        found = ids(record_lines(folder)["traces.jsonl"])
        assert found[: len(finished)] == finished
        assert len(found) == len(set(found)) == 8
        assert other.answers <= 24 - 11  # of 24 requests, at least 11 were answered


def test_a_spent_budget_ends_the_run_and_a_higher_one_resumes_it(tmp_path: Path):
    with serving() as server:
        run = write_run(tmp_path, server, 8, budget={"tokens": 700}, concurrency=2)
        done = here("critique", run)
        assert done.returncode == 2
        (error,) = (line for line in done.stderr.splitlines() if line.startswith("error:"))
        assert error.startswith("error: engine.budget.tokens: the budget of 700 tokens is spent")
        assert "a higher budget" in error
        asked = server.answers
        again = here("critique", run)  # what earlier commands spent counts
        assert again.returncode == 2
        assert server.answers == asked
        (folder,) = (tmp_path / "runs").iterdir()
        first = servers_of(folder)[0]
        assert 700 <= first["prompt_tokens"] + first["completion_tokens"] < 1100

        higher = here("critique", run, *options("engine.budget.tokens=100000"))
        assert higher.returncode == 0, higher.stderr
        assert len(set(ids(record_lines(folder)["traces.jsonl"]))) == 8
        assert server.answers == 24  # each request once


def test_a_price_limits_a_run_too(tmp_path: Path):
    with serving() as server:
        run = write_run(
            tmp_path, server, budget={"usd": 0.01}, prices={"input": 100, "output": 200}, concurrency=1
        )
        done = here("critique", run)
    assert done.returncode == 2
    assert "engine.budget.usd: the budget of $0.01 is spent ($0.01" in done.stderr


KEY = "sk-planted-7f3a&9c51e0"
"""The server writes `&` as an escape, so the key is in no response as it is."""


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("echoed", ["error", "answer"])
def test_the_key_is_in_no_file_and_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, echoed: str):
    monkeypatch.setenv("SERVER_KEY", KEY)
    with serving(key=KEY if echoed != "error" else "another", fault_share=0.2, hang_s=0.2) as server:
        if echoed == "answer":
            server.behaviour.answer = lambda body: f"Your key is {KEY}."
        run = write_run(tmp_path, server, 3, api_key_env="SERVER_KEY", timeouts={"read": 0.1})
        done = here("run", run, "--json")
        sent = {
            request.headers.get("authorization", request.headers.get("Authorization"))
            for request in server.requests
        }
    assert sent == {f"Bearer {KEY}"}
    assert done.returncode == (2 if echoed == "error" else 0)
    assert KEY not in done.stdout + done.stderr
    assert b"sk-planted" not in everything_below(tmp_path)
    if echoed == "error":
        assert "Incorrect API key provided: ***" in done.stderr
        assert "SERVER_KEY" in done.stderr


def test_a_policy_behind_a_server_cannot_be_trained(tmp_path: Path):
    run = write_run(tmp_path, "http://localhost:9", run=RUN + "train: [dpo]\n")
    with pytest.raises(ConfigError, match=r"train lists dpo, but served-model is behind a server"):
        execute(RunRequest(run))
    bare = write_run(tmp_path / "bare", "http://localhost:9")
    with pytest.raises(ConfigError, match=r"dpo cannot be trained: served-model is behind a server"):
        execute(RunRequest(bare, stages=("dpo",)))
    assert not (tmp_path / "runs").exists()


MIXED = RUN.replace("engine: {kind: http, url: URL}", "engine: {kind: scripted}").replace(
    f"{{policy: {MODEL}}}",
    f"{{policy: some-model, labeler: {{id: {MODEL}, engine: {{kind: http, url: URL}}}}}}",
)


def test_one_role_may_be_behind_a_server_and_the_others_not(tmp_path: Path):
    with serving() as server:
        outcome = execute(RunRequest(write_run(tmp_path, server, 4, run=MIXED)))
        labels = server.answers
    assert labels == 2 * 4 + LOOKS  # both orders of each comparison, and two looks at the server
    judgments = map(json.loads, record_lines(outcome.folder)["judgments.jsonl"])
    assert {judgment["model"] for judgment in judgments if judgment["labeler"] == "ai"} == {MODEL}


def test_a_labeler_without_log_probabilities_is_refused_before_any_stage(tmp_path: Path):
    with serving(logprobs=False) as server:
        run = write_run(tmp_path, server)
        with pytest.raises(
            ConfigError, match=r"lists no log-probabilities for served-model.*label.principles: 0"
        ):
            execute(RunRequest(run))
        assert server.answers <= LOOKS
        assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/traces.jsonl"))


def test_a_server_is_not_asked_for_log_probabilities_by_a_command_that_labels_nothing(tmp_path: Path):
    with serving(logprobs=False) as server:
        done = here("critique", write_run(tmp_path, server, 2))
        assert done.returncode == 0, done.stderr
        assert not any(request.body.get("logprobs") for request in server.chats)


def test_a_name_that_the_server_does_not_list_is_refused_with_those_that_it_does(tmp_path: Path):
    with serving(models=[{"id": "one"}, {"id": "two"}]) as server:
        run = write_run(tmp_path, server)
        with pytest.raises(ConfigError, match=r"has no model 'served-model'; accepted: one, two"):
            execute(RunRequest(run))


def test_a_model_that_changes_under_its_name_is_reported_within_a_run_and_on_resume(tmp_path: Path):
    with serving(fingerprint="fp-1") as server:
        run = write_run(tmp_path, server, 1)
        assert "has changed" not in here("critique", run).stderr
        server.behaviour.fingerprint = "fp-2"
        done = here("run", run)
    changed = [line for line in done.stderr.splitlines() if "has changed" in line]
    assert len(changed) == 1
    assert "fp-2, before fp-1" in changed[0]


@pytest.mark.long
def test_another_model_behind_the_name_is_reported_and_is_another_run(tmp_path: Path):
    with serving(models=[{"id": MODEL, "root": "org/one"}]) as server:
        run = write_run(tmp_path, server, 1)
        here("critique", run)
        server.behaviour.models = [{"id": MODEL, "root": "org/two"}]
        done = here("critique", run)
    (changed,) = (line for line in done.stderr.splitlines() if "has changed since" in line)
    assert "root is 'org/two', before 'org/one'" in changed
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_prompt_that_is_too_long_for_the_server_is_excluded_and_the_rest_goes_on(tmp_path: Path):
    def reply(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        if "number 2:" not in json.dumps(body):
            return None
        return 400, {}, b'{"error": {"message": "This model\'s maximum context length is 10 tokens."}}'

    with serving(reply=reply) as server:
        outcome = execute(RunRequest(write_run(tmp_path, server, 4), stages=("critique",)))
    assert outcome.stages[0].records == 3
    assert outcome.stages[0].excluded == {"prompt and answer are too long for the server's model": 1}


def test_a_budget_needs_prices(tmp_path: Path):
    run = write_run(tmp_path, "http://localhost:9", budget={"usd": 1})
    with pytest.raises(ConfigError, match=r"the budget is in dollars, but no prices are set"):
        execute(RunRequest(run))


def test_an_engine_that_refuses_every_key_ends_the_run(tmp_path: Path):
    with serving(key="right") as server, pytest.raises(EngineError, match=r"refused the request \(401"):
        execute(RunRequest(write_run(tmp_path, server)))


def test_a_policy_behind_a_server_is_evaluated_by_a_judge_behind_another_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for package in ("torch", "transformers", "tokenizers", "safetensors", "psutil"):
        monkeypatch.setitem(sys.modules, package, None)
    evaluated = RUN.replace(
        f"{{policy: {MODEL}}}",
        f"{{policy: {MODEL}, judge: {{id: {MODEL}, engine: {{kind: http, url: JUDGE}}}}}}",
    )
    with serving(answer=differing) as server, serving() as judge:
        run = write_run(tmp_path, server, 4, run=evaluated.replace("JUDGE", judge.url))
        rows = [{"prompt": f"What is {i} and {i}?", "split": "test"} for i in range(4)]
        (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = here("eval", run)
        assert done.returncode == 0, done.stderr
        assert len({request.body["messages"][0]["role"] for request in server.chats}) == 2  # prompted, too
        assert judge.answers >= 2 * 4
    (folder,) = (tmp_path / "runs").iterdir()
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert sorted({answer["variant"] for answer in answers}) == ["base", "prompted"]
    assert len(answers) == 8
    assert {record["url"] for record in servers_of(folder)} == {f"{server.url}/v1", f"{judge.url}/v1"}
    assert all(record["served"] == {"owned_by": "test"} for record in servers_of(folder))


def test_without_the_extra_the_run_ends_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    done = here("run", write_run(tmp_path, "http://localhost:9"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the package 'httpx2' is not installed; run: ")
    assert "[http]" in line
