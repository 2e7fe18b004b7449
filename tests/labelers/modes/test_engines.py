"""Which engine takes which mode, as docs/labeling.md says; what it does not take costs no request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from core.errors import ConfigError, EngineError
from engines.config import EngineConfig, ModelConfig
from engines.hf.engine import TransformersEngine
from engines.http.decisions import DecisionEngine
from engines.protocols import Engine
from labelers.ai import require_labeler
from labelers.config import LabelConfig, LabelMode
from prompts.environment import PromptTemplates
from publius.runs.engines import make_engine
from tests.engines.http.fault_server import MODEL
from tests.labelers.modes.test_servers import engine_to, server_of
from tests.publius.judges import write_judge
from tests.publius.reward_models import write_reward_model
from tests.publius.serving.running import TOKEN, served

PAGE = Path(__file__).parents[3] / "docs" / "labeling.md"
HEAD = "| `mode` | `transformers` |"
ENGINES = ("transformers", "vllm", "http, chat", "http, decisions", "trained judge", "reward model")


def table() -> dict[str, dict[str, str]]:
    """The table of modes and engines."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(HEAD))
    rows = [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in lines[first : lines.index("", first)]
    ]
    names = [name for name in rows[0][1:]]
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows[2:]}


Sent = Callable[[], int]
"""Returns the number of requests that reached a server."""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory, tiny_judge: Path) -> Path:
    return write_judge(tmp_path_factory.mktemp("judges") / "judge", tiny_judge)


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Path:
    return write_reward_model(tmp_path_factory.mktemp("rewards") / "reward", tiny_tokenizer)


@contextmanager
def engine_of(
    name: str, tiny_engine: TransformersEngine, folders: dict[str, Path]
) -> Iterator[tuple[Engine, Sent]]:
    """Yield an engine that has not loaded its model or asked its server, and the count of requests."""
    if name == "transformers":
        yield tiny_engine, lambda: 0
    elif name == "http, chat":
        with server_of(tiny_engine) as server:
            yield engine_to(server), lambda: len(server.requests)
    elif name == "http, decisions":
        with served({MODEL: tiny_engine}) as client:
            config = EngineConfig(kind="http", url=client.url, dialect="systemone", api_key_env="OWN_KEY")
            decides = DecisionEngine(ModelConfig(id=MODEL), config)
            yield decides, lambda: decides.transport.traffic.tries
    else:
        kind = "vllm" if name == "vllm" else "transformers"
        made = make_engine(ModelConfig(id=str(folders[name])), EngineConfig(kind=kind, device="cpu"))
        yield made, lambda: 0


def test_the_table_has_every_mode_and_engine():
    assert set(table()) == set(get_args(LabelMode))
    assert all(tuple(row) == ENGINES and set(row.values()) <= {"yes", "no"} for row in table().values())


@pytest.mark.parametrize("mode", get_args(LabelMode))
@pytest.mark.parametrize("name", ENGINES)
def test_a_mode_is_taken_or_refused_in_one_line_before_a_request(
    name: str,
    mode: str,
    tiny_engine: TransformersEngine,
    tiny_judge: Path,
    judge: Path,
    reward: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("OWN_KEY", TOKEN)
    folders = {"vllm": tiny_judge, "trained judge": judge, "reward model": reward}
    config = LabelConfig.model_validate({"mode": mode})
    with engine_of(name, tiny_engine, folders) as (engine, sent):
        if table()[mode][name] == "yes":
            require_labeler(engine, PromptTemplates(), config)
            return
        with pytest.raises((ConfigError, EngineError)) as caught:
            require_labeler(engine, PromptTemplates(), config)
        assert "\n" not in str(caught.value)
        assert caught.value.problems[0].accepted
        assert sent() == 0
