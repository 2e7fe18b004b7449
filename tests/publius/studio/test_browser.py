"""The studio in a real browser: first flip, completion, other writers, hostile text, keys, narrow screens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.publius.projects import CONSTITUTION, write_project
from tests.publius.studio.opened import TOO_SMALL_TO_TOUCH, OpenedStudio, studio_on

pytest.importorskip("uvicorn", reason="the extra 'studio' is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("PUBLIUS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; install one, or name it in PUBLIUS_CHROMIUM"),
]
HOSTILE = (
    "<img src=x onerror='window.ran = 1'><script>window.ran = 1</script></textarea> \u202egnp.exe {{7*7}}"
)


IN_VIEW = """selector => {
    const shown = document.querySelector(selector)
    if (!shown) return false
    const { x, y, width, height } = shown.getBoundingClientRect()
    return shown.contains(document.elementFromPoint(x + width / 2, y + height / 2))
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path)
    return tmp_path


class Tab:
    """One tab of the studio. Errors, refused resources and requests to other hosts are collected."""

    def __init__(
        self, browser: Any, studio: OpenedStudio, width: int = 1280, dark: bool = False, context: Any = None
    ) -> None:
        size = {"width": width, "height": 844 if width < 500 else 800}
        self.context = context or browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.on("request", lambda request: self._asked(request.url, studio.port))
        self.page.goto(studio.url)
        self.page.wait_for_selector(".cm-content")

    def _asked(self, url: str, port: int) -> None:
        parts = urlsplit(url)
        if (parts.hostname, parts.port) != ("127.0.0.1", port):
            self.foreign.append(url)

    def settle(self) -> None:
        """Wait until every prompt on the bench has its labels."""
        self.page.wait_for_function(
            "() => document.querySelector('.card') && !document.querySelector('.card:not(:has(.labels))')"
            " && !document.querySelector('.pending') && !document.querySelector('.working').textContent"
        )

    def replace(self, old: str, new: str) -> None:
        """Select a text in the editor by its search panel, and type another one in its place."""
        self.page.click(".cm-content")
        self.page.keyboard.press("Control+f")
        self.page.keyboard.type(old)
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("Escape")
        self.page.keyboard.type(new)

    def status(self, said: str) -> None:
        self.page.wait_for_function(
            "said => document.querySelector('.editor .status')?.textContent.includes(said)", arg=said
        )

    def is_clean(self) -> None:
        """Nothing failed, nothing was refused by the policy, and no other host was asked."""
        assert self.errors == []
        assert self.foreign == []


def test_first_visit_to_first_flip(browser: Any, project: Path):
    with studio_on(project) as studio:
        tab = Tab(browser, studio)
        tab.settle()
        assert tab.page.locator(".card").count() == 4
        assert tab.page.locator(".card.flipped").count() == 0
        tab.page.click("text=Got it")
        assert tab.page.locator(".introduction").count() == 0
        tab.page.reload()
        tab.page.wait_for_selector(".cm-content")
        tab.settle()
        assert tab.page.locator(".introduction").count() == 0
        tab.page.wait_for_selector(".cm-content:has-text('id: short')")  # may come after the labels
        tab.replace("value: 12", "value: 1000")
        tab.page.wait_for_selector(".card.flipped")
        assert "flipped" in tab.page.inner_text(".summary")
        assert tab.page.locator(".labels tr.flipped .pass").count() > 0
        tab.page.click(".summary button")  # the flipped card may be far down
        tab.page.wait_for_function("() => document.activeElement.matches('.card.flipped')")
        tab.page.click(".cm-content")
        tab.page.keyboard.press("Control+s")
        tab.status("Saved")
        assert (project / "constitution.yaml").read_text() == CONSTITUTION.replace("value: 12", "value: 1000")
        tab.is_clean()


def test_principle_is_added_with_completion(browser: Any, project: Path):
    with studio_on(project) as studio:
        tab = Tab(browser, studio)
        tab.settle()
        page = tab.page
        page.click(".cm-content")
        page.keyboard.press("Control+End")
        for typed, label, then in (
            ("  - i", "id", "calm\n"),
            ("te", "text", "The reply has no exclamation mark.\n"),
            ("che", "check", ""),
            ("not_re", "not_regex", "'!'"),
        ):
            page.keyboard.type(typed)
            if label == "check":
                page.wait_for_function(IN_VIEW, arg=".cm-completionInfo")  # what the key means
            pick(page, label)
            page.keyboard.type(then)
        page.wait_for_selector(".card .labels th:has-text('calm')")
        page.wait_for_function("() => document.querySelectorAll('.problem.error').length === 0")
        page.keyboard.press("Control+s")
        tab.status("Saved")
        saved = (project / "constitution.yaml").read_text()
        assert saved.startswith(CONSTITUTION)
        added = saved.removeprefix(CONSTITUTION).splitlines()
        assert added[:2] == ["  - id: calm", "    text: The reply has no exclamation mark."]
        assert added[2] == "    check: {kind: not_regex, value: '!'}"
        page.keyboard.press("Control+End")
        number = len(saved.splitlines()) + 1
        with page.expect_request(lambda sent: is_draft(sent, typing=number)):
            page.keyboard.type("\nThe reply is kin")
        with page.expect_request(lambda sent: is_draft(sent, typing=None)):
            page.keyboard.press("ArrowUp")  # the line that was being typed is finished
        tab.is_clean()


def is_draft(sent: Any, *, typing: int | None) -> bool:
    """Return whether a request sends the text with the line at whose unfinished end the cursor is."""
    return bool(sent.url.endswith("/api/draft") and sent.post_data_json["typing"] == typing)


def pick(page: Any, label: str) -> None:
    """Choose a completion by the keyboard, once it is the selected one."""
    page.wait_for_function(
        "label => document.querySelector('.cm-tooltip-autocomplete li[aria-selected] .cm-completionLabel')"
        "?.textContent === label",
        arg=label,
    )
    # CodeMirror ignores Enter on a list that has only just opened, so that nobody chooses by accident.
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")


def test_key_is_explained_under_the_pointer(browser: Any, project: Path):
    with studio_on(project) as studio:
        tab = Tab(browser, studio)
        tab.settle()
        for word in ("max_words", "check"):
            place = tab.page.evaluate(
                """word => {
                    const content = document.querySelector('.cm-content');
                    const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
                    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                        const at = node.data.indexOf(word);
                        if (at < 0) continue;
                        const range = document.createRange();
                        range.setStart(node, at + 1);
                        range.setEnd(node, at + 2);
                        const box = range.getBoundingClientRect();
                        return [box.x + 2, box.y + box.height / 2];
                    }
                }""",
                word,
            )
            tab.page.mouse.move(5, 5)
            tab.page.mouse.move(*place, steps=3)
            tab.page.wait_for_selector(f".meaning strong:has-text('{word}')")
        tab.is_clean()


def test_mistake_is_shown_at_its_place_and_can_be_reached_by_key(browser: Any, project: Path):
    with studio_on(project) as studio:
        tab = Tab(browser, studio)
        tab.settle()
        tab.replace("max_words", "max_wordz")
        problem = tab.page.wait_for_selector(".problem.error")
        assert "error, line 6" in problem.inner_text()
        assert "max_words" in problem.inner_text()
        tab.page.wait_for_selector(".cm-lintRange-error")
        assert tab.page.locator(".card").count() == 4  # the bench keeps the last valid rules
        assert "The text has a mistake" in tab.page.inner_text(".summary")
        problem.focus()
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_function("() => document.activeElement.classList.contains('cm-content')")
        tab.is_clean()


def test_two_tabs_and_an_editor_on_disk_overwrite_nothing(browser: Any, project: Path):
    path = project / "constitution.yaml"
    with studio_on(project) as studio:
        one = Tab(browser, studio)
        two = Tab(browser, studio, context=one.context)
        for tab in (one, two):
            tab.settle()
        one.replace("uses plain words", "uses simple words")
        one.page.keyboard.press("Control+s")
        one.status("Saved")
        two.page.wait_for_function(
            "() => document.querySelector('.cm-content')?.textContent.includes('simple words')"
        )
        one.replace("kind to the person", "warm to the person")
        path.write_text(path.read_text().replace("twelve", "eleven").replace("value: 12", "value: 11"))
        one.page.wait_for_selector(".notice:has-text('changed on disk')")
        assert "eleven" in path.read_text()
        assert "warm" not in path.read_text()
        one.page.click(".notice button:has-text('Merge both')")
        one.page.keyboard.press("Control+s")
        one.status("Saved")
        merged = path.read_text()
        assert all(word in merged for word in ("simple words", "warm to", "eleven", "value: 11"))
        one.is_clean()
        two.is_clean()


def test_save_that_crosses_another_write_is_refused(browser: Any, project: Path):
    path = project / "constitution.yaml"
    with studio_on(project) as studio:
        tab = Tab(browser, studio)
        tab.settle()
        tab.replace("uses plain words", "uses simple words")
        theirs = CONSTITUTION.replace("uses plain words", "uses short words")
        tab.page.route("**/api/events", lambda route: route.abort())
        path.write_text(theirs)
        tab.page.keyboard.press("Control+s")
        tab.page.wait_for_selector(".notice:has-text('same lines in one place')")
        assert path.read_text() == theirs
        tab.page.click(".notice button:has-text('Keep mine')")
        tab.page.keyboard.press("Control+s")
        tab.status("Saved")
        assert "uses simple words" in path.read_text()


def test_typed_text_outlives_a_kill_and_the_page_reconnects(browser: Any, project: Path):
    with studio_on(project) as first:
        tab = Tab(browser, first)
        tab.settle()
        tab.replace("uses plain words", "uses simple words")
        first.kill()
        tab.page.wait_for_selector(".trouble:not([hidden])")
        tab.page.click(".cm-content")
        tab.page.keyboard.press("Control+End")
        tab.page.keyboard.type("# typed while it was away")
        with studio_on(project, "--port", first.port):
            tab.page.wait_for_selector(".trouble", state="hidden")
            tab.page.click(".cm-content")
            tab.page.keyboard.press("Control+s")
            tab.status("Saved")
            saved = (project / "constitution.yaml").read_text()
            assert "uses simple words" in saved
            assert saved.endswith("# typed while it was away")


def test_unsaved_text_of_a_closed_tab_is_offered(browser: Any, project: Path):
    with studio_on(project) as studio:
        tab = Tab(browser, studio)
        tab.settle()
        with tab.page.expect_response("**/api/draft"):
            tab.replace("uses plain words", "uses simple words")
        tab.page.wait_for_function("() => !document.querySelector('.pending')")
        with tab.page.expect_response("**/api/draft"):
            tab.page.keyboard.type(" always")
        tab.context.close()
        again = Tab(browser, studio)
        again.page.click("button:has-text('Restore it')")
        again.page.wait_for_function(
            "() => document.querySelector('.cm-content')?.textContent.includes('simple words')"
        )
        assert (project / "constitution.yaml").read_text() == CONSTITUTION


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_texts_are_shown_as_text(browser: Any, project: Path, width: int):
    (project / "constitution.yaml").write_text(
        CONSTITUTION.replace("name: small", f"name: {HOSTILE.replace(chr(0x202E), '')!r}")
    )
    with studio_on(project) as studio:
        tab = Tab(browser, studio, width)
        if width < 500:
            tab.page.click(".switch button:has-text('Bench')")
        tab.page.fill("#new-prompt", HOSTILE)
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector(".card:has-text('onerror')")
        tab.settle()
        assert tab.page.evaluate("() => window.ran") is None
        assert tab.page.locator(".card img, .card script").count() == 0
        assert tab.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        tab.is_clean()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_page_fits_and_can_be_read(browser: Any, project: Path, width: int, dark: bool):
    with studio_on(project) as studio:
        tab = Tab(browser, studio, width, dark)
        if width < 500:
            tab.page.click(".switch button:has-text('Bench')")
        tab.settle()
        assert tab.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        unnamed = tab.page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, a')]
                .filter((one) => one.checkVisibility())
                .filter((one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length))
                .map((one) => one.outerHTML.slice(0, 120))"""
        )
        assert unnamed == []
        assert tab.page.evaluate(CONTRAST) == []
        assert tab.page.evaluate(TOO_SMALL_TO_TOUCH) == []
        tab.is_clean()


@pytest.mark.parametrize("width", [390, 340])
def test_nothing_of_the_bench_is_cut_off_after_an_edit(browser: Any, project: Path, width: int):
    with studio_on(project) as studio:
        tab = Tab(browser, studio, width)
        tab.settle()
        tab.replace("value: 12", "value: 1000")
        tab.page.wait_for_selector(".card.flipped", state="attached")
        assert tab.page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")
        tab.page.click(".switch button:has-text('Bench')")
        tab.page.wait_for_selector(".bench .bar button:has-text('Rewrite')")
        cut = tab.page.evaluate(
            """() => [...document.querySelectorAll('.bench button, .bench td, .bench th, .bench .meter')]
                .filter((one) => one.checkVisibility())
                .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth)
                .map((one) => one.outerHTML.slice(0, 120))"""
        )
        assert cut == []
        tab.is_clean()


def test_everything_is_done_by_keyboard(browser: Any, project: Path):
    with studio_on(project) as studio:
        tab = Tab(browser, studio)
        tab.settle()
        page = tab.page
        page.keyboard.press("e")
        page.wait_for_function("() => document.activeElement.classList.contains('cm-content')")
        page.keyboard.press("Control+End")
        page.keyboard.type("# by key")
        page.keyboard.press("Control+s")
        tab.status("Saved")
        page.keyboard.press("Escape")  # closes the list of completions, if one is open by now
        if page.evaluate("() => document.activeElement.classList.contains('cm-content')"):
            page.keyboard.press("Escape")
        page.wait_for_function("() => !document.activeElement.classList.contains('cm-content')")
        page.keyboard.press("p")
        page.wait_for_function("() => document.activeElement.id === 'new-prompt'")
        page.keyboard.type("Why is the sky blue?")
        page.keyboard.press("Enter")
        page.wait_for_selector(".card:has-text('Why is the sky blue?')")
        page.keyboard.press("Escape")
        tab.settle()
        page.keyboard.press("f")
        page.wait_for_selector(".empty:has-text('Nothing flipped')")
        page.keyboard.press("f")
        card = page.locator(".card", has_text="Why is the sky blue?")
        card.get_by_role("button", name="Pin").focus()
        page.keyboard.press("Enter")
        card.get_by_role("button", name="Pinned").wait_for()
        assert "sky blue" in (project / "bench.jsonl").read_text()
        page.keyboard.press("?")
        page.wait_for_selector("dialog[open]")
        tab.is_clean()


CONTRAST = """() => {
  const colour = (text) => {
    const context = document.createElement('canvas').getContext('2d');
    context.fillStyle = text;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const bent = (share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
    const part = (value) => bent(value / 255);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const found = colour(getComputedStyle(one).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const element of document.querySelectorAll('#app *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) continue;
    if (element.closest('svg, .cm-editor, :disabled, .visually-hidden')) continue;
    const ink = luminance(colour(getComputedStyle(element).color));
    const pair = [ink, luminance(ground(element))].sort((a, b) => b - a);
    if ((pair[0] + 0.05) / (pair[1] + 0.05) < 4.5) low.push(element.outerHTML.slice(0, 120));
  }
  return low;
}"""
