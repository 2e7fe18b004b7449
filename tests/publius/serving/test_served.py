"""What is served under which name, the token, and the command from its first line to Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from core.errors import ConfigError, RunStateError
from engines.config import EngineConfig, ModelConfig
from engines.scripted import ScriptedEngine
from publius.runs.engines import make_engine
from publius.serving.guard import TOKEN_VARIABLE, Bearer, choose_token
from publius.serving.served import ServeRequest, open_engines_by_name
from publius.stages.runner import RunRequest, execute
from tests.engines.http.fault_server import MODEL, FaultServer, serving
from tests.publius.invoking import here
from tests.publius.projects import write_project
from tests.publius.serving.running import served
from tests.publius.serving.test_app import MESSAGES
from tests.publius.test_cli import PROGRAM, REPOSITORY, mistakes

pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished scripted run in which `sft` and `dpo` count as trained."""
    folder = execute(RunRequest(write_project(tmp_path_factory.mktemp("project"), 2))).folder
    for method in ("sft", "dpo"):
        (folder / method).mkdir()
        (folder / method / "training.json").write_text("{}")
    return folder


def made(request: ServeRequest) -> dict[str, tuple[ModelConfig, EngineConfig]]:
    """The model and the engine's settings that each name stands for."""
    asked: list[tuple[ModelConfig, EngineConfig]] = []
    closed: list[str] = []

    class Engine(ScriptedEngine):
        def close(self) -> None:
            closed.append(self.model)

    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        asked.append((model, engine))
        return Engine(model=f"{model.id} {len(asked)}")

    with open_engines_by_name(request, make) as engines:
        names = list(engines)
        assert closed == []
    assert len(closed) == len(asked)
    return dict(zip(names, asked, strict=True))


def test_a_run_serves_the_variant_trained_last(run: Path):
    ((name, (model, engine)),) = made(ServeRequest(str(run))).items()
    assert (name, Path(str(model.adapter)).name, engine.kind) == ("dpo", "dpo", "scripted")


def test_variants_are_served_under_their_names(run: Path):
    found = made(ServeRequest(str(run), variants=("base", "sft", "base"), engine="transformers"))
    assert [(name, model.adapter and Path(model.adapter).name) for name, (model, _) in found.items()] == [
        ("base", None),
        ("sft", "sft"),
    ]
    assert {engine.kind for _, engine in found.values()} == {"transformers"}


@pytest.mark.parametrize(
    "own",
    [
        {"kind": "vllm", "arguments": {"max_num_seqs": 8}, "gpus": [1]},
        {"kind": "http", "url": "http://127.0.0.1:9"},
    ],
)
@pytest.mark.parametrize("engine", ["transformers", "http://127.0.0.1:8/v1"])
def test_the_option_decides_the_engine_and_not_the_runs_policy(
    run: Path, tmp_path: Path, own: dict[str, object], engine: str
):
    folder = shutil.copytree(run, tmp_path / "run")
    resolved = yaml.safe_load((folder / "resolved.yaml").read_text())
    resolved["models"]["policy"]["engine"] = own
    (folder / "resolved.yaml").write_text(yaml.safe_dump(resolved))
    ((_, (_, found)),) = made(ServeRequest(str(folder), variants=("base",), engine=engine)).items()
    assert (found.kind, found.url) == (("http", engine) if ":" in engine else ("transformers", None))
    assert found.gpus == ((1,) if "gpus" in own and found.kind != "http" else None)
    assert found.arguments == {}


def test_a_model_is_served_with_its_adapter_and_without_thoughts():
    ((_, (model, engine)),) = made(ServeRequest("some/model", adapter=Path("lora"), engine="vllm")).items()
    assert (model.id, model.adapter, engine.kind) == ("some/model", "lora", "vllm")
    assert model.chat_template_kwargs == {"enable_thinking": False}


def test_a_variant_that_is_not_trained_is_refused(run: Path):
    with pytest.raises(RunStateError, match=r"no model 'ppo'.*accepted: base, sft, dpo"):
        made(ServeRequest(str(run), variants=("ppo",)))


@pytest.mark.parametrize(
    ("what", "request_"),
    [
        ("nothing to serve", ServeRequest()),
        ("--adapter: there is no model", ServeRequest(reward=Path("r"), adapter=Path("a"))),
        ("--engine: there is no model", ServeRequest(reward=Path("r"), engine="vllm")),
        ("no run, so it has no variants", ServeRequest("scripted", variants=("sft",))),
        ("the name is empty", ServeRequest(" ")),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(what: str, request_: ServeRequest):
    with pytest.raises(ConfigError, match=what):
        made(request_)


def test_the_token_is_that_of_the_environment_or_a_new_one():
    given = choose_token("127.0.0.1", "KEY", wanted=True, environment={"KEY": "s" * 16})
    assert given == Bearer("s" * 16, is_new=False)
    new = [choose_token("127.0.0.1", "KEY", wanted=True, environment={}).token for _ in range(2)]
    assert len({*new}) == 2
    assert all(token is not None and len(token) >= 32 for token in new)
    assert "s" * 16 not in repr(given)


@pytest.mark.parametrize("token", ["", "short", "with spaces in it, long", "ümlaut" * 5])
def test_a_token_that_is_no_secret_is_refused_without_being_shown(token: str):
    with pytest.raises(ConfigError) as caught:
        choose_token("127.0.0.1", "KEY", wanted=True, environment={"KEY": token})
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com"])
def test_other_machines_never_ask_without_a_token(host: str):
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        choose_token(host, "KEY", wanted=False, environment={})
    assert choose_token("127.0.0.1", "KEY", wanted=False, environment={}) == Bearer(None)


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("--token-env: the environment variable NO_SUCH is not set", ["scripted", "--token-env", "NO_SUCH"]),
        ("--reward no-such-folder: no such folder", ["scripted", "--reward", "no-such-folder", "--port", 0]),
        ("--host 203.0.113.9", ["scripted", "--host", "203.0.113.9"]),
        ("nothing to serve", []),
    ],
)
def test_a_mistake_is_one_line(what: str, options: list[object]):
    (line,) = mistakes(here("serve", *options))
    assert what in line


def test_the_command_prints_address_and_token_and_ends_with_one_line(tmp_path: Path):
    command = [sys.executable, "-c", PROGRAM, "serve", "scripted", "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop(TOKEN_VARIABLE, None)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    )
    try:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        request = urllib.request.Request(
            f"{where['url']}/v1/systemone",
            json.dumps({"state": "x", "questions": {"q": {"type": "noul", "instructions": "?"}}}).encode(),
            {"Authorization": f"Bearer {where['token']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert 0 < json.load(response)["answers"]["q"]["noul"] < 1
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert json.loads(out) == {"answered": {"decisions": 1}}
    assert err == ""
    assert where["models"] == ["scripted:scripted"]
    assert list(tmp_path.iterdir()) == []  # nothing is written


def test_a_model_of_another_server_is_served():
    with serving() as upstream:
        request = ServeRequest(MODEL, engine=upstream.url)
        with open_engines_by_name(request, make_engine) as engines, served(engines) as client:
            status, body = client.post("/v1/chat/completions", {"messages": MESSAGES, "model": MODEL})
            assert (status, body["choices"][0]["message"]["content"][:7]) == (200, "Answer ")
            question = {"type": "noul", "instructions": "Is it kind?"}
            for _ in range(2):
                status, body = client.post("/v1/systemone", {"state": "x", "questions": {"q": question}})
                assert (status, body["answers"]["q"]["noul"]) == (200, pytest.approx(2 / 3))
        assert len(upstream.chats) == 1 + 2 + 2  # the answer, two to find out what it can do, two decisions


def probes(upstream: FaultServer) -> int:
    """Questions to a server that only find out whether it lists probabilities."""
    return sum("Answer with one word" in json.dumps(request.body) for request in upstream.chats)


@pytest.mark.parametrize("lists", [True, False])
def test_many_questions_look_once_at_what_a_server_can_do(lists: bool):
    question = {"type": "choice", "instructions": "Is it kind?", "criteria": {"a": None, "b": None}}
    body = {"state": "x", "questions": {str(number): question for number in range(64)}}
    with serving(delay_s=0.05, logprobs=lists) as upstream:
        request = ServeRequest(MODEL, engine=upstream.url)
        with open_engines_by_name(request, make_engine) as engines, served(engines) as client:
            status, _ = client.post("/v1/systemone", body)
            assert (status, probes(upstream)) == ((200, 1) if lists else (400, 1))


def test_bounds_of_a_server_are_stated_and_its_likeliest_label_is_one():
    criteria = {"one": None, "two": None, "three": None}
    question = {"type": "choice", "instructions": "Which?", "criteria": criteria}
    choices = [{"value": name} for name in criteria]
    listed = [
        {"type": "choice", "instructions": "Which?", "choices": choices},
        {"type": "predicate", "instructions": "Is it kind?"},
    ]
    with serving() as upstream:
        request = ServeRequest(MODEL, engine=upstream.url)
        with open_engines_by_name(request, make_engine) as engines, served(engines) as client:
            _, named = client.post("/v1/systemone", {"state": "x", "questions": {"q": question}})
            _, in_order = client.post("/v1/decisions", {"input": "x", "questions": listed})
    found = named["diagnostics"]["q"]
    assert found["argmax_is_label"] is True
    assert (found["bounded"], found["missing_mass"]) == (["three"], pytest.approx(0.069))
    assert found["label_mass"] == pytest.approx(0.9)  # of those that are listed
    choice, predicate = in_order["answers"]
    assert (choice["bounded"], choice["missing_mass"]) == (["three"], pytest.approx(0.069))
    assert predicate["missing_mass"] == pytest.approx(0.069)
    assert "bounded" not in predicate


def test_a_model_that_a_server_does_not_have_is_refused_at_the_start():
    with (
        serving() as upstream,
        pytest.raises(ConfigError, match="has no model 'other'"),
        open_engines_by_name(ServeRequest("other", engine=upstream.url), make_engine),
    ):
        pass
