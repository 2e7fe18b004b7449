"""Runs for tests of reports: two wordings with two seeds each, by the scripted engine."""

from __future__ import annotations

import json
import random
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine, ramble
from publius.runs import engines
from publius.stages.runner import RunRequest, execute
from publius.views.report.writing import ReportRequest, write_report

CONSTITUTION = """\
name: small
principles:
  - {{id: plain, text: {plain}}}
  - {{id: kind, text: The reply is kind to the person who asks.}}
  - {{id: short, weight: 0.1, text: At most 14 words., check: {{kind: max_words, value: 14}}}}
  - {{id: once, weight: 0.05, text: No gives., check: {{kind: contains_none, value: [gives]}}}}
"""
RUN = """\
name: {name}
seed: {seed}
constitution: {name}.yaml
prompts: prompts.jsonl
models: {{policy: some-model}}
engine: {{kind: scripted, concurrency: 4}}
critique: {{rounds: 2}}
label: {{principles: 2}}
"""
WORDINGS = {"first": "The reply uses plain words.", "second": "The reply uses short and plain words."}
SPLITS = ("train", "preference", "test", "test")


def write_wordings(
    project: Path,
    seeds: tuple[int, ...] = (0, 1),
    prompts: int = 32,
    wordings: tuple[str, ...] = (*WORDINGS,),
) -> list[Path]:
    """Run two wordings of one principle with each seed; return the run folders, the first wording's first."""
    project.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "prompt": f"Question number {i}: what is {i} times {i}?",
            "split": SPLITS[i % len(SPLITS)],
            "tags": ["odd" if i % 2 else "even"],
        }
        for i in range(prompts)
    ]
    (project / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folders = []
    for name in wordings:
        plain = WORDINGS[name]
        (project / f"{name}.yaml").write_text(CONSTITUTION.format(plain=plain))
        for seed in seeds:
            run_file = project / f"{name}-{seed}.run.yaml"
            run_file.write_text(RUN.format(name=name, seed=seed))
            execute(RunRequest(run_file))
            folders.append(execute(RunRequest(run_file, stages=("eval",))).folder)
    return folders


STOCK_PHRASE = "I am always glad to help you."


def write_stock(project: Path) -> Path:
    """Run an evaluation of a policy that begins most answers alike once it has read the constitution."""

    def answered(request: GenerationRequest) -> str:
        phrase = request.turns[0].role == "system" and request.seed and request.seed % 8
        return f"{STOCK_PHRASE} {ramble(request)}" if phrase else ramble(request)

    class Stock(ScriptedEngine):
        def __init__(self, **options: Any) -> None:
            super().__init__(answerer=answered, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engines, "ScriptedEngine", Stock)
        return write_wordings(project, (0,), wordings=("first",))[0]


def with_forward_passes(run: Path, to: Path, without: int = 0) -> Path:
    """Return a copy of a run whose evaluation has values by prompt that need a model: KL, losses, a judge.

    The KL divergence of `without` prompts is missing, as that of empty answers.
    """
    shutil.copytree(run, to)
    lines = [json.loads(line) for line in (to / "eval" / "series.jsonl").read_text().splitlines()]
    prompts = sorted(next(one["values"] for one in lines if one["measure"] == "words"))
    draw = random.Random(run.name)
    loss = {variant: {f"t{n}": draw.uniform(2, 3) for n in range(6)} for variant in ("base", "prompted")}
    made = [("kl", "prompted", "nats", {p: draw.random() for p in prompts[without:]})]
    made += [("win_rate", "prompted", "share", {p: draw.random() for p in prompts})]
    made += [("neutral_loss", variant, "nats", values) for variant, values in loss.items()]
    content = json.loads((to / "eval" / "metrics.json").read_text())
    for measure, variant, unit, values in made:
        lines.append({"variant": variant, "measure": measure, "unit": unit, "values": values})
        value = sum(values.values()) / len(values)
        name = f"{variant}.{measure}"
        content["metrics"].append({"name": name, "value": value, "n": len(values), "unit": unit})
    (to / "eval" / "series.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (to / "eval" / "metrics.json").write_text(json.dumps(content))
    return to


class ReadPage(HTMLParser):
    """A report's page as a reader sees it: its numbers, its data, and all attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.shown: list[tuple[str, float, str]] = []
        """Name, value and text of each number."""
        self.blocks: dict[str, Any] = {}
        self.attributes: list[tuple[str, str, str]] = []
        """Element, attribute and value of everything on the page."""
        self.prose: list[str] = []
        """Texts outside of numbers, styles and scripts."""
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.attributes += [(tag, name, value) for name, value in found.items()]
        self._open.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag == "data":
            self.shown.append((attributes["data-name"], float(attributes["value"]), data))
        elif tag == "script" and attributes.get("type") == "application/json":
            self.blocks[attributes["id"]] = json.loads(data)
        elif tag not in ("style", "script", "text"):
            self.prose.append(data)

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """The embedded numbers by name."""
        return {figure["name"]: figure for figure in self.blocks["numbers"]["figures"]}

    @property
    def series(self) -> dict[str, list[float]]:
        """The values that plots are drawn from, by name."""
        return dict(self.blocks["numbers"]["series"])


def page_of(folders: list[Path], to: Path, prompts: int = 200) -> ReadPage:
    """Write a report and read its page."""
    written = write_report(ReportRequest(tuple(folders), to, prompts))
    return ReadPage(written.file.read_text(encoding="utf-8"))
