"""Runs, talk and ratings in a real browser: three journeys, hostile texts, narrow screens, both themes."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.labelers.page.collections import stored
from tests.publius.projects import write_project
from tests.publius.studio.opened import TOO_SMALL_TO_TOUCH, OpenedStudio, studio_on
from tests.publius.studio.test_runs import RECORDED
from tests.publius.test_cli import publius

pytest.importorskip("uvicorn", reason="the extra 'studio' is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("PUBLIUS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; install one, or name it in PUBLIUS_CHROMIUM"),
]
PATIENCE_MS = 180_000
HOSTILE = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>{{7*7}} \u202eabc"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class StudioTab:
    """A tab with the studio, and what it asked of whom."""

    def __init__(self, browser: Any, studio: OpenedStudio, width: int = 1280, dark: bool = False) -> None:
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.foreign: list[str] = []
        own = f"http://127.0.0.1:{studio.port}/"
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "request", lambda sent: self.foreign.append(sent.url) if not sent.url.startswith(own) else None
        )
        self.page.goto(studio.url)
        self.page.wait_for_selector("nav a")

    def open(self, panel: str) -> None:
        self.page.click(f'nav a[href="#{panel}"]')

    def require_clean(self) -> None:
        """Assert that nothing failed, nothing foreign was asked, and no text became code."""
        assert self.errors == []
        assert self.foreign == []
        assert self.page.evaluate("() => window.ran") is None

    def overflow(self) -> int:
        return int(self.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth"))


def project_with_run(folder: Path, prompts: int = 6) -> Path:
    run_file = write_project(folder, prompts)
    done = publius("run", run_file)  # a process: the browser's event loop runs in this one
    assert done.returncode == 0, done.stderr
    return folder


def test_run_is_started_watched_and_compared_with_the_last(browser: Any, tmp_path: Path):
    project_with_run(tmp_path)
    with studio_on(tmp_path) as studio:
        tab = StudioTab(browser, studio)
        page = tab.page
        tab.open("runs")
        page.wait_for_selector("table.list tbody tr")
        page.fill(".start textarea", "label.principles=3")
        page.click("text=Start a run")
        page.wait_for_selector(".process .badge.running, .process .badge.finished")
        page.wait_for_selector(".process .badge.finished")
        steps = page.locator(".process .stages li .name").all_text_contents()
        assert steps == ["critique", "compare", "label"]
        assert "6 of 6" in page.locator(".process .stages li").first.inner_text()
        page.click("text=Compare with the run before")
        page.wait_for_selector(".legend")
        assert "2 runs side by side" in page.inner_text("h1")
        difference = page.locator(".difference").all_inner_texts()
        assert [line.split() for line in difference] == [["label.principles", "2", "→", "3"]]
        page.wait_for_selector(".compared")
        assert page.locator(".compared").count() == 6
        page.fill('input[type="search"]', "number 3")
        page.wait_for_function("() => document.querySelectorAll('.compared').length === 1")
        page.click("text=Preferences")
        page.wait_for_selector(".shift")
        assert "of 6 preferences about the same answers flipped" in page.inner_text(".shift")
        tab.require_clean()


def test_trained_run_shows_measures_curves_and_its_report_in_a_sandbox(browser: Any, tmp_path: Path):
    write_project(tmp_path)
    shutil.copytree(RECORDED, tmp_path / "runs" / RECORDED.name)
    with studio_on(tmp_path) as studio:
        tab = StudioTab(browser, studio)
        page = tab.page
        tab.open("runs")
        page.click(f'button.link:has-text("{RECORDED.name}")')
        page.wait_for_selector(".compared")
        page.click("text=Measures")
        assert "checks passed" in page.inner_text("table.measures")
        page.click("text=Training")
        page.wait_for_selector(".plot polyline")
        said = page.get_attribute(".plot svg", "aria-label")
        assert said.startswith("loss. ")
        page.click('[aria-label="Shown of the runs"] button:has-text("Report")')
        frame = page.frame_locator("iframe.report")
        frame.locator("h1").first.wait_for()
        assert page.get_attribute("iframe.report", "sandbox") == "allow-scripts"
        inner = next(one for one in page.frames if "/report/" in one.url)
        assert inner.evaluate("() => window.origin") == "null"
        assert (
            inner.evaluate(
                "async () => { try { await fetch('/api/runs'); return 'read' } catch { return 'refused' } }"
            )
            == "refused"
        )
        inner.wait_for_function(
            "() => document.querySelector('.top nav [aria-current]')?.hash === '#summary'"
        )
        for theme in ("dark", "light"):  # the studio's, not the system's
            page.click("[aria-label='Switch between light and dark']")
            inner.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
        tab.require_clean()


def test_talk_is_turned_into_a_test_prompt_an_example_and_ratings(browser: Any, tmp_path: Path):
    write_project(tmp_path)
    with studio_on(tmp_path) as studio:
        tab = StudioTab(browser, studio)
        page = tab.page
        tab.open("talk")
        page.fill("#question", HOSTILE)
        page.keyboard.press("Enter")
        page.wait_for_selector("[aria-label='Good answer of prompted']")
        page.wait_for_selector("[aria-label='Good answer of base']")
        assert page.inner_text(".turn .prompt") == HOSTILE
        page.click("[aria-label='Good answer of prompted']")
        page.click("[aria-label='Bad answer of base']")
        page.wait_for_selector("[aria-label='Bad answer of base'][aria-pressed='true']")
        (judgment,) = stored(tmp_path / "ratings")
        assert judgment.verdict in ("a", "b")
        page.click("text=Make it a test prompt")
        page.wait_for_selector(".said:has-text('bench.jsonl')")
        assert json.loads((tmp_path / "bench.jsonl").read_text()) == {"prompt": HOSTILE}
        page.click("text=Make it an example")
        page.select_option(".example select >> nth=0", "kind")
        page.click("text=Add to the constitution")
        page.wait_for_selector(".said:has-text('not saved yet')")
        tab.open("edit")
        page.wait_for_function("() => document.querySelector('.cm-content')?.innerText.includes('examples:')")
        page.wait_for_selector(".card:has-text('window.ran')")
        assert "examples" not in (tmp_path / "constitution.yaml").read_text()
        page.click(".editor button.main:has-text('Save')")
        page.wait_for_selector(".status:has-text('Saved')")
        assert "window.ran" in (tmp_path / "constitution.yaml").read_text()
        tab.open("talk")
        page.click("text=New talk")
        page.click("text=Keep it")  # one press does not remove the talk
        assert page.inner_text(".turn .prompt") == HOSTILE
        tab.require_clean()


@pytest.mark.long
def test_twenty_pairs_are_rated_by_keyboard_over_a_kill(browser: Any, tmp_path: Path):
    project_with_run(tmp_path, prompts=24)
    keys = ["1", "2", "t", "b", "ArrowLeft", "s", "ArrowRight"]
    with studio_on(tmp_path) as studio:
        tab = StudioTab(browser, studio)
        page = tab.page
        focus_on(page, "Ratings")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Nothing to rate yet")
        page.wait_for_selector(".ratings form button")
        focus_on(page, "Queue")
        page.keyboard.press("Enter")
        page.wait_for_selector("#progress:has-text('0 decided, 20 left')")
        page.keyboard.press("Escape")
        page.evaluate("() => document.activeElement.blur()")
        for number in range(10):
            page.keyboard.press(keys[number % len(keys)])
            page.wait_for_selector(f"#progress:has-text('{number + 1} decided, ')")
        page.keyboard.press("u")
        page.wait_for_selector("#progress:has-text('9 decided, ')")
        studio.kill()
        page.keyboard.press("1")  # kept by the page until there is a server again
        page.wait_for_selector(".trouble:not([hidden])")
        with studio_on(tmp_path, "--port", studio.port):
            page.wait_for_selector("#progress:has-text('10 decided, ')")
            page.wait_for_selector(".trouble", state="hidden")
            for number in range(10, 20):
                page.keyboard.press(keys[number % len(keys)])
                page.wait_for_selector(f"#progress:has-text('{number + 1} decided, ')")
            page.wait_for_selector("text=Nothing is left to rate")
            tab.require_clean()
    judgments = stored(tmp_path / "ratings")
    taken_back = {judgment.supersedes for judgment in judgments}
    current = [judgment for judgment in judgments if judgment.id not in taken_back]
    assert len({judgment.comparison_id for judgment in current}) == len(current) == 20
    pressed = [keys[number % len(keys)] for number in range(20)]
    pressed[9] = "1"
    verdicts = Counter(judgment.verdict for judgment in current)
    assert verdicts["tie"] == pressed.count("t")
    assert verdicts["both_bad"] == pressed.count("b")
    assert verdicts["skip"] == pressed.count("s")


def focus_on(page: Any, name: str) -> None:
    """Press Tab until the control with a name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.innerText?.trim()") == name:
            return
    raise AssertionError(f"{name} cannot be reached by Tab")


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.long)])
def test_panels_fit_a_narrow_screen_and_every_control_has_a_name(browser: Any, tmp_path: Path, dark: bool):
    project_with_run(tmp_path)
    shutil.copytree(RECORDED, tmp_path / "runs" / RECORDED.name)
    with studio_on(tmp_path) as studio:
        tab = StudioTab(browser, studio, 390, dark)
        page = tab.page
        tab.open("runs")
        page.wait_for_selector("table.list tbody tr >> nth=1")
        require_fit(tab)
        for tick in page.locator("table.list .tick input").all():
            tick.check()
        page.click("text=Compare 2 runs")
        page.wait_for_selector(".compared")
        require_fit(tab)
        page.click("text=Training")
        page.wait_for_selector(".plot")
        require_fit(tab)
        tab.open("talk")
        page.fill("#question", "w" * 300)
        page.keyboard.press("Enter")
        page.wait_for_selector("[aria-label='Good answer of base']")
        require_fit(tab)
        tab.open("ratings")
        page.wait_for_selector(".ratings form button")
        page.click(".ratings form button")
        page.wait_for_selector(".pair")
        require_fit(tab)
        page.keyboard.press("x")
        page.wait_for_selector(".said:has-text('Taken out of the queue')")
        page.click("text=Empty the queue")
        require_fit(tab)
        page.click("text=Take them out")
        page.wait_for_selector("text=Nothing to rate yet")
        tab.require_clean()


def require_fit(tab: StudioTab) -> None:
    assert tab.overflow() <= 0
    assert tab.page.evaluate(TOO_SMALL_TO_TOUCH) == []
    nameless = tab.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea, a, progress')]
            .filter((one) => one.checkVisibility())
            .filter((one) => !(one.innerText?.trim() || one.ariaLabel || one.title))
            .filter((one) => !one.labels?.length)
            .map((one) => one.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
