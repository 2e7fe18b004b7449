"""Runs for tests of reports: two wordings with two seeds each, by the scripted engine."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

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


def write_wordings(project: Path, seeds: tuple[int, ...] = (0, 1), prompts: int = 32) -> list[Path]:
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
    for name, plain in WORDINGS.items():
        (project / f"{name}.yaml").write_text(CONSTITUTION.format(plain=plain))
        for seed in seeds:
            run_file = project / f"{name}-{seed}.run.yaml"
            run_file.write_text(RUN.format(name=name, seed=seed))
            execute(RunRequest(run_file))
            folders.append(execute(RunRequest(run_file, stages=("eval",))).folder)
    return folders


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
