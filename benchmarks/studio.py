"""How fast publius studio is with the embedded model and 8 pinned prompts, in a real Chromium.

Prints the seconds from the server's answer to the first paint, from the last key of an edit to the first
flipped label, and from the last key to all judgments under a reworded principle, with the requests asked.

    python benchmarks/studio.py --json studio.json
    python benchmarks/studio.py --prefix-cache-gib 0    # without the memory of what the model has read
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("PUBLIUS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
_PROGRAM = "import sys; sys.argv[0] = 'publius'; from publius.cli import main; main()"
_CONSTITUTION = """\
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
_RUN = """\
name: desk
constitution: constitution.yaml
prompts: bench.jsonl
models: {policy: smollm2-135m-instruct}
engine: {max_batch: 24, concurrency: 24, prefix_cache_gib: %s}
critique:
  rounds: 1
  draft: {temperature: 0.4, top_p: 0.9, max_new_tokens: 96}
  critique: {temperature: 0.4, top_p: 0.9, max_new_tokens: 48}
  revision: {temperature: 0.4, top_p: 0.9, max_new_tokens: 96}
  drop: [unchanged, empty]
label: {principles: 2}
train: []
"""
_PROMPTS = (
    "My neighbour plays loud music every night. What should I do?",
    "How do I remove a red wine stain from a carpet?",
    "Is it safe to eat eggs after the date on the box?",
    "Explain what interest on a loan is.",
    "My flight was cancelled. What can I ask the airline for?",
    "How can I fall asleep faster?",
    "What should I bring to a job interview?",
    "How often should I water a cactus?",
)
_IDLE = (
    "() => document.querySelectorAll('.card .labels').length === 8 && !document.querySelector('.pending')"
    " && !document.querySelector('.working').textContent"
)
_WATCH = """() => {
  window.key = window.flip = 0;
  addEventListener('keydown', () => { window.key = performance.now(); window.flip = 0; }, true);
  new MutationObserver(() => {
    if (!window.flip && document.querySelector('.labels tr.flipped')) window.flip = performance.now();
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def write_desk(folder: Path, prefix_cache_gib: float = 1.0) -> None:
    """Write the project."""
    (folder / "constitution.yaml").write_text(_CONSTITUTION)
    (folder / "run.yaml").write_text(_RUN % prefix_cache_gib)
    rows = (json.dumps({"prompt": prompt}) + "\n" for prompt in _PROMPTS)
    (folder / "bench.jsonl").write_text("".join(rows))


def replaced(page: Any, old: str, new: str) -> None:
    """Select a text of the editor by its search panel, and type another one."""
    page.click(".cm-content")
    page.keyboard.press("Control+f")
    page.keyboard.type(old)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.type(new)


def measure(url: str) -> dict[str, Any]:
    """Return what a user waits for on the page of a studio."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(600_000)
        page.goto(url)
        page.wait_for_selector(".cm-content")
        paint = page.evaluate(
            "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
            " - performance.getEntriesByType('navigation')[0].responseStart"
        )
        begun = time.monotonic()
        page.wait_for_function(_IDLE)
        first_s = time.monotonic() - begun
        page.evaluate(_WATCH)
        replaced(page, "value: 60", "value: 30")
        page.wait_for_function("() => window.flip > 0")
        check_ms = page.evaluate("() => window.flip - window.key")
        page.wait_for_function(_IDLE)
        check_asked = page.inner_text(".summary .detail")
        replaced(page, "short and plain words", "long and learned words")
        page.wait_for_function("() => document.querySelector('.pending')")
        page.wait_for_function(_IDLE)
        judged_ms = page.evaluate("() => performance.now() - window.key")
        judged_asked = page.inner_text(".summary .detail")
        browser.close()
    return {
        "first_paint_s": paint / 1000,
        "first_labels_s": first_s,
        "check_flip_s": check_ms / 1000,
        "check_requests": check_asked.rpartition("asked for ")[2],
        "judged_edit_s": judged_ms / 1000,
        "judged_requests": judged_asked.rpartition("asked for ")[2],
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--prefix-cache-gib", type=float, default=1.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_desk(Path(folder), given.prefix_cache_gib)
        command = [sys.executable, "-c", _PROGRAM, "studio", folder, "--port", "0", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                found = measure(json.loads(process.stdout.readline())["url"])
            finally:
                process.kill()
    for name, value in found.items():
        print(f"{name:<18} {value:.2f}" if isinstance(value, float) else f"{name:<18} {value}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
