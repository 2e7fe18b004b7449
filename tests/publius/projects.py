"""Small projects for tests of runs and commands."""

import json
from pathlib import Path

from engines.config import EngineConfig, ModelConfig
from engines.protocols import ChoiceRequest, GenerationRequest
from engines.scripted import ScriptedEngine

CONSTITUTION = """\
name: small
principles:
  - {id: plain, text: The reply uses plain words.}
  - {id: honest, text: The reply says so when it does not know.}
  - {id: kind, text: The reply is kind to the person who asks.}
  - {id: short, text: The reply has at most twelve words., check: {kind: max_words, value: 12}}
"""

RUN = """\
name: small
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: some-model}
engine: {kind: scripted, concurrency: 4}
critique: {rounds: 2}
label: {principles: 2}
"""


def write_project(folder: Path, prompts: int = 8, run: str = RUN, constitution: str = CONSTITUTION) -> Path:
    """Write a project of the given size; return its run file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "constitution.yaml").write_text(constitution)
    rows = [
        {"prompt": f"Question number {i}: what is {i} times {i}?", "split": "train"} for i in range(prompts)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.yaml").write_text(run)
    return folder / "run.yaml"


class Recorder:
    """Makes scripted engines and keeps them, so that a test can read what they were asked."""

    def __init__(self) -> None:
        self.engines: list[ScriptedEngine] = []

    def __call__(self, model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        self.engines.append(ScriptedEngine(model=model.id))
        return self.engines[-1]

    @property
    def requests(self) -> list[GenerationRequest | ChoiceRequest]:
        """Every request that reached an engine."""
        return [request for engine in self.engines for request in engine.history]

    def texts(self, purpose: str) -> list[str]:
        """Return the whole text of each request made for a purpose."""
        return [
            "\n".join(turn.text for turn in request.turns)
            for request in self.requests
            if request.purpose == purpose
        ]


def record_lines(folder: Path) -> dict[str, list[str]]:
    """Return the complete lines of every record file of a run, in file order."""
    return {
        path.name: [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        for path in sorted(folder.glob("*.jsonl"))
    }


def ids(lines: list[str]) -> list[str]:
    """Return the ids of record lines."""
    return [json.loads(line)["id"] for line in lines]
