"""Take pictures of the studio on its main journeys, at 1280 and 390 pixels, light and dark, to look at them.

    python docs/pictures/studio.py --to FOLDER [--journey NAME] [--only WORD] [--model scripted]

The journeys: first visit to first flip, a principle added, a run compared with the last, a talk and what a
turn becomes, pairs rated; then the states that are rare: stopped, failed, changed on disk, without a server.
A project is made in a temporary folder; its model is the embedded one, or the scripted engine, which is
quick. The pictures are not part of the repository. Needs the extra `dev` and Chromium (`PUBLIUS_CHROMIUM`);
takes five minutes on two idle cores with the embedded model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("PUBLIUS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
RULES = """\
name: desk
principles:
  - id: plain
    text: The reply uses short and plain words.
  - id: honest
    text: The reply says so when it does not know something.
  - id: short
    text: The reply has at most 60 words.
    check: {kind: max_words, value: 60}
"""
RUN = """\
name: desk
constitution: constitution.yaml
prompts: prompts.jsonl
models: {policy: %s}
engine: {kind: %s, max_batch: 24, concurrency: 24}
critique:
  rounds: 1
  draft: {temperature: 0.4, top_p: 0.9, max_new_tokens: 80}
  critique: {temperature: 0.4, top_p: 0.9, max_new_tokens: 48}
  revision: {temperature: 0.4, top_p: 0.9, max_new_tokens: 80}
label: {principles: 2}
eval: {sampling: {temperature: 0.4, max_new_tokens: 80}, models: [base, prompted]}
train: []
"""
PROMPTS = (
    "My neighbour plays loud music every night. What should I do?",
    "How do I remove a red wine stain from a carpet?",
    "Is it safe to eat eggs after the date on the box?",
    "Explain what interest on a loan is.",
    "My flight was cancelled. What can I ask the airline for?",
    "How can I fall asleep faster?",
)
TRAINED = Path(__file__).parents[2] / "tests/publius/recorded/project/runs/recorded-eabd8bd0"
"""A small run that trained by all methods and was evaluated."""
WIDTHS = (1280, 390)
_TALLEST = 2600
_PATIENCE_MS = 400_000
_COMMAND = [sys.executable, "-m", "publius"]
_IDLE = """() => document.querySelector('.card') && !document.querySelector('.card:not(:has(.labels))')
    && !document.querySelector('.pending') && !document.querySelector('.working').textContent"""


@dataclass
class Camera:
    """Takes the pictures of a page into a folder."""

    page: Any
    project: Path
    folder: Path
    only: str

    def take(self, name: str, parts: tuple[str, ...] = ("Bench", "Text")) -> None:
        """Take a picture in each width and theme; on a narrow screen, of the bench and of the text."""
        if self.only not in name:
            return
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 844 if width < 500 else 860})
            is_split = self.page.locator(".switch > button:visible").count() > 0
            for part in parts if is_split else ("",):
                if part:  # by script, so that the editor keeps the focus
                    self.page.locator(".switch > button", has_text=part).evaluate("button => button.click()")
                self._in_both_themes(f"{name}-{width}{'-' + part.lower() if part else ''}")
        self.page.set_viewport_size({"width": WIDTHS[0], "height": 860})

    def _in_both_themes(self, name: str) -> None:
        for theme in ("light", "dark"):
            self.page.emulate_media(color_scheme=theme)
            self.page.wait_for_function("t => document.documentElement.dataset.theme === t", arg=theme)
            size = self.page.evaluate("() => [innerWidth, document.documentElement.scrollHeight]")
            clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], _TALLEST)}
            path = self.folder / f"{name}-{theme}.png"
            if self.page.locator("iframe").count():  # laid out by a process of its own, so not taken whole
                self.page.wait_for_timeout(1000)
                self.page.locator("iframe").scroll_into_view_if_needed()
                self.page.screenshot(path=path)
            else:
                self.page.screenshot(path=path, full_page=True, clip=clip, caret="initial")


def write_desk(folder: Path, model: str) -> None:
    """Write the project, and run it once."""
    kind = "scripted" if model == "scripted" else "transformers"
    (folder / "constitution.yaml").write_text(RULES)
    (folder / "run.yaml").write_text(RUN % (model, kind))
    rows = [
        {"prompt": prompt, "split": "test" if number > 3 else "train"}
        for number, prompt in enumerate(PROMPTS)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    subprocess.run([*_COMMAND, "run", folder / "run.yaml"], check=True)
    shutil.copytree(TRAINED, folder / "runs" / TRAINED.name)


def replaced(page: Any, old: str, new: str) -> None:
    """Select a text of the editor by its search panel, and type another one."""
    page.click(".cm-content")
    page.keyboard.press("Control+f")
    page.keyboard.type(old)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.type(new)


def edit(page: Any, camera: Camera) -> None:
    """First visit to first flip, then a principle that is added."""
    page.wait_for_selector(".card")
    camera.take("1a-opened")
    page.wait_for_function(_IDLE)
    camera.take("1b-labelled")
    replaced(page, "value: 60", "value: 30")
    page.wait_for_selector(".card.flipped")
    camera.take("1c-flipped")
    page.click(".cm-content")
    page.keyboard.press("Control+End")
    page.keyboard.type("  - i")
    page.wait_for_selector(".cm-tooltip-autocomplete")
    camera.take("2a-completion", ("Text",))
    page.keyboard.press("Enter")
    page.keyboard.type("kind\ntext: The reply is kin")
    page.wait_for_selector(".working:has-text('end of the principle')")
    camera.take("2b-unfinished", ("Text",))
    page.keyboard.type("d to the person who asks.")
    page.wait_for_function(_IDLE)
    camera.take("2c-added")
    replaced(page, "value: 30", "value: many")
    page.wait_for_selector(".problems .bad")
    camera.take("2d-mistake")
    replaced(page, "value: many", "value: 30")
    page.click(".editor button.main:has-text('Save')")
    page.wait_for_selector(".status:has-text('Saved')")


def runs(page: Any, camera: Camera) -> None:
    """A run is started, watched, and compared with the last."""
    page.click('nav a[href="#runs"]')
    page.wait_for_selector("table.list tbody tr")
    camera.take("3a-runs")
    page.fill(".start textarea", "label.principles=3")
    page.click("text=Start a run")
    page.wait_for_selector(".process .badge.running, .process .badge.finished")
    page.wait_for_selector(".process .stages li")
    camera.take("3b-running")
    page.wait_for_selector(".process .badge.finished, .process .badge.failed")
    camera.take("3c-finished")
    page.click("text=Compare with the run before")
    page.wait_for_selector(".legend")
    page.wait_for_selector(".compared")
    camera.take("3d-answers")
    for number, view in enumerate(("Measures", "Preferences", "Training", "Report")):
        page.click(f'[aria-label="Shown of the runs"] button:has-text("{view}")')
        if view == "Report":
            page.frame_locator("iframe.report").locator("h1").first.wait_for()
        page.wait_for_function("() => !document.querySelector('.opened').innerText.includes('Reading ...')")
        camera.take(f"3{'efgh'[number]}-{view.lower()}")
    page.click("text=All runs")
    page.click(f'button.link:has-text("{TRAINED.name}")')
    page.wait_for_selector(".compared")
    for number, view in enumerate(("Measures", "Training")):
        page.click(f'[aria-label="Shown of the runs"] button:has-text("{view}")')
        page.wait_for_selector("table.measures" if view == "Measures" else ".plot")
        camera.take(f"3{'ij'[number]}-trained-{view.lower()}")
    page.click("text=All runs")
    camera.take("3k-all-runs")


def talk(page: Any, camera: Camera) -> None:
    """A question, and what its turn becomes."""
    page.click('nav a[href="#talk"]')
    page.wait_for_selector("#question")
    camera.take("4a-talk")
    page.fill("#question", "My landlord keeps my deposit. What can I do?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn .text >> nth=1")
    camera.take("4b-answering")
    page.wait_for_selector("[aria-label='Good answer of prompted']")
    page.wait_for_selector("[aria-label='Good answer of base']")
    page.click("[aria-label='Good answer of prompted']")
    page.click("[aria-label='Bad answer of base']")
    page.wait_for_selector("[aria-label='Bad answer of base'][aria-pressed='true']")
    camera.take("4c-answered")
    page.click("text=Make it an example")
    camera.take("4d-example")
    page.click("text=Cancel")
    page.click("text=Make it a test prompt")
    page.wait_for_selector(".said:has-text('bench.jsonl')")
    camera.take("4e-kept")


def ratings(page: Any, camera: Camera) -> None:
    """Pairs are queued, rated and removed."""
    page.click('nav a[href="#ratings"]')
    page.wait_for_selector(".ratings form button")
    camera.take("5a-empty")
    page.click(".ratings form button")
    page.wait_for_selector(".pair")
    camera.take("5b-pair")
    page.click("text=Empty the queue")
    camera.take("5c-emptying")
    page.click("text=Keep them")
    page.keyboard.press("1")
    page.wait_for_selector("#progress:has-text('2 decided, ')")
    while page.locator(".pair").count():
        page.keyboard.press("x")
        page.wait_for_selector(".said:has-text('Taken out of the queue')")
        page.wait_for_timeout(300)
    camera.take("5d-rated")
    page.keyboard.press("?")
    camera.take("5e-keys")
    page.keyboard.press("Escape")


def states(page: Any, camera: Camera) -> None:
    """A bench that is stopped, a run that failed, a file that others changed, the keys."""
    page.click('nav a[href="#runs"]')
    page.fill(".start textarea", "label.principles=many")
    page.click("text=Start a run")
    page.wait_for_selector(".process .badge.failed")
    camera.take("6a-failed")
    page.click('nav a[href="#edit"]')
    page.wait_for_selector(".card")
    page.fill("#new-prompt", "What does a dentist cost?")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.wait_for_selector(".bench .bar button:has-text('Resume')")
    camera.take("6b-stopped")
    page.click(".bench .bar button:has-text('Resume')")
    page.wait_for_function(_IDLE)
    page.click(".editor .cm-content")
    page.keyboard.press("Control+End")
    page.keyboard.type("\n# mine")
    path = camera.project / "constitution.yaml"
    path.write_text(path.read_text().replace("short and plain", "short and simple"))
    page.wait_for_selector(".notice:has-text('changed on disk')")
    page.click("text=What changed")
    camera.take("6c-changed-on-disk")
    page.click("text=Take the version on disk")
    page.click("button:has-text('Keys')")
    camera.take("6d-keys")
    page.click("dialog button")


def gone(page: Any, camera: Camera) -> None:
    """A page whose server has ended."""
    page.wait_for_selector(".trouble:not([hidden])")
    camera.take("6e-no-server")


JOURNEYS = {"edit": edit, "runs": runs, "talk": talk, "ratings": ratings, "states": states}


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of the names of the pictures to take")
    parser.add_argument("--journey", action="append", choices=list(JOURNEYS), help="repeatable")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as outer, sync_playwright() as started:
        folder = Path(outer) / "desk"
        folder.mkdir()
        write_desk(folder, given.model)
        command = [*_COMMAND, "studio", str(folder), "--port", "0", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                url = json.loads(process.stdout.readline())["url"]
                browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": WIDTHS[0], "height": 860})
                page.set_default_timeout(_PATIENCE_MS)
                page.goto(url)
                camera = Camera(page, folder, given.to, given.only)
                for name in given.journey or JOURNEYS:
                    JOURNEYS[name](page, camera)
                process.kill()
                gone(page, camera)
                browser.close()
            finally:
                process.kill()


if __name__ == "__main__":
    main()
