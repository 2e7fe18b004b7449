"""The page in a real browser: keys, kills, hostile text, narrow screens. Skipped without a Chromium."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.labelers.page.collections import comparison, group_of, standing, stored
from tests.labelers.page.serving import Served, serving, write_folder

pytest.importorskip("uvicorn", reason="the extra 'annotate' is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("PUBLIUS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; install one, or name it in PUBLIUS_CHROMIUM"),
]

HOSTILE = {
    "script": "<script>document.title = 'run'; window.ran = 1</script>",
    "image": '<img src=x onerror="window.ran = 1">',
    "textarea": "</textarea></div></main><style>body { display: none }</style>",
    "override": "abc \u202egnp.exe \u2066 \u2069 left",
    "word": "w" * 100_000,
    "svg": "<svg onload='window.ran = 1'><a href='javascript:window.ran = 1'>x</a></svg> {{7*7}} ${7*7}",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Screen:
    """One person's window."""

    def __init__(
        self, browser: Any, served: Served, name: str, width: int = 1280, dark: bool = False
    ) -> None:
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(served.links["people"])
        self.page.fill("#name", name)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#task:not([hidden]), #message:not([hidden])")

    @property
    def progress(self) -> str:
        return self.page.inner_text("#progress")

    @property
    def answers(self) -> list[str]:
        return self.page.locator(".answer .text").all_text_contents()

    def decided(self) -> int:
        return int(self.progress.split()[0])

    def press(self, *keys: str) -> None:
        """Press keys, the last of which decides, and wait until that is stored."""
        before = self.decided()
        for key in keys:
            self.page.keyboard.press(key)
        self.page.wait_for_function(
            "before => parseInt(document.getElementById('progress').textContent) !== before", arg=before
        )

    def has_task(self) -> bool:
        return bool(self.page.is_visible("#task"))


def test_three_people_label_sixty_comparisons_by_key_over_a_kill(browser, tmp_path):
    folder = write_folder(tmp_path / "labels", [comparison(number) for number in range(60)])
    keys = {"ana": ["1", "t", "ArrowRight"], "ben": ["2", "b"], "cy": ["ArrowLeft", "s"]}
    with serving(folder, "--port", 0, "--annotators-per", 2) as served:
        screens = {name: Screen(browser, served, name) for name in keys}
        told: Counter[str] = Counter()
        for turn in range(20):
            for name, screen in screens.items():
                screen.press(keys[name][turn % len(keys[name])])
                told[name] += 1
        # A decision is sent to a server that is dead, and the page keeps it until there is one again.
        served.kill()
        screens["ana"].page.keyboard.press("t")
        screens["ana"].page.wait_for_selector("#trouble:not([hidden])")
        assert "Nothing is lost" in screens["ana"].page.inner_text("#trouble")
        with serving(folder, "--port", served.port, "--annotators-per", 2) as restarted:
            told["ana"] += 1
            screens["ana"].page.wait_for_function(
                "told => document.getElementById('progress').textContent.startsWith(told + ' ')",
                arg=told["ana"],
            )
            assert screens["ana"].page.is_hidden("#trouble")
            while any(screen.has_task() for screen in screens.values()):
                for name, screen in screens.items():
                    if screen.has_task():
                        screen.press(keys[name][told[name] % len(keys[name])])
                        told[name] += 1
            outcome, _ = restarted.interrupt()
    assert outcome["given"] == outcome["wanted"] == 120
    assert all(screen.errors == [] for screen in screens.values())
    judgments = stored(folder / "human")
    assert Counter(judgment.annotator for judgment in judgments) == told
    assert len({(j.annotator, j.comparison_id) for j in judgments}) == len(judgments)
    answered = Counter(j.comparison_id for j in judgments if j.verdict != "skip")
    assert set(answered.values()) == {2}
    assert len(answered) == 60


def test_undo_tie_comment_and_what_is_recorded(browser, tmp_path):
    folder = write_folder(tmp_path / "labels", [comparison(number) for number in range(4)])
    with serving(folder, "--port", 0) as served:
        screen = Screen(browser, served, "Ana")
        first = screen.answers
        screen.press("1")
        screen.press("u")
        assert screen.answers == first
        screen.page.keyboard.press("c")
        screen.page.keyboard.type("1 is kind, s and t too")  # letters that are keys elsewhere
        screen.press("Escape", "2")
        screen.press("t")
        screen.page.click("text=Both bad")
        screen.page.wait_for_function(
            "() => document.getElementById('progress').textContent.startsWith('3 ')"
        )
        screen.page.reload()
        screen.page.wait_for_selector("#task:not([hidden])")
        screen.press("s")
        assert "thank you" in screen.page.inner_text("#message-title")
        assert served.token not in screen.page.url
        served.interrupt()
    assert screen.errors == []
    judgments = stored(folder / "human")
    first_kept, undo, second, tie, bad, skip = judgments
    assert (undo.supersedes, second.supersedes) == (first_kept.id, undo.id)
    assert second.comment == "1 is kind, s and t too"
    assert second.verdict != first_kept.verdict
    assert (tie.verdict, bad.verdict, skip.verdict) == ("tie", "both_bad", "skip")
    assert len(standing(judgments)) == 4
    shown = {c.id: (c.response_a, c.response_b) for c in map(comparison, range(4))}[second.comparison_id]
    assert first[0] == shown["ab".index(second.shown_first or "")]
    assert all(j.duration_s is not None and 0 <= j.duration_s < 30 for j in standing(judgments))


def test_decision_that_could_not_be_sent_outlives_a_reload(browser, tmp_path):
    folder = write_folder(tmp_path / "labels", [comparison(number) for number in range(2)])
    with serving(folder, "--port", 0) as served:
        screen = Screen(browser, served, "ana")
        screen.page.route("**/api/decide", lambda route: route.abort())
        screen.page.keyboard.press("t")
        screen.page.wait_for_selector("#trouble:not([hidden])")
        assert screen.decided() == 0
        screen.page.unroute("**/api/decide")
        screen.page.reload()
        screen.page.wait_for_function(
            "() => document.getElementById('progress').textContent.startsWith('1 ')"
        )
    assert [judgment.verdict for judgment in stored(folder / "human")] == ["tie"]


def test_decision_whose_reply_was_lost_is_stored_once(browser, tmp_path):
    folder = write_folder(tmp_path / "labels", [comparison(number) for number in range(2)])
    lost: list[str] = []

    def lose(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.post_data)
        route.fetch()
        route.abort()

    with serving(folder, "--port", 0) as served:
        screen = Screen(browser, served, "ana")
        screen.page.route("**/api/decide", lose)
        screen.press("2")
        assert (screen.decided(), len(lost)) == (1, 1)
    assert len(stored(folder / "human")) == 1


def test_ranking_by_key(browser, tmp_path):
    folder = write_folder(tmp_path / "labels", group_of("w", "x", "y", "z"))
    with serving(folder, "--port", 0, "--rank") as served:
        screen = Screen(browser, served, "ana")
        screen.page.keyboard.press("Enter")  # nothing has a place yet
        assert screen.decided() == 0
        places = dict(zip(screen.answers, (2, 1, 2, 4), strict=True))
        screen.press("2", "3", "Backspace", "1", "2", "4", "Enter")
        served.interrupt()
    judgments = stored(folder / "human")
    assert len(judgments) == 6
    pairs = {c.id: c for c in group_of("w", "x", "y", "z")}
    for judgment in judgments:
        pair = pairs[judgment.comparison_id]
        a, b = places[pair.response_a], places[pair.response_b]
        assert judgment.p_a == (0.5 if a == b else float(a < b))


def test_gold_questions_show_only_on_the_owners_page(browser, tmp_path):
    folder = write_folder(tmp_path / "labels", [comparison(number) for number in range(6)])
    gold = tmp_path / "gold.jsonl"
    gold.write_text('{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}\n')
    with serving(folder, "--port", 0, "--gold-questions", gold, "--gold-share", 0.5) as served:
        screen = Screen(browser, served, "ana")
        while screen.has_task():
            assert "gold" not in screen.page.content().lower()
            answers = screen.answers
            screen.press("1" if answers[0] == "4" or "4" not in answers else "2")
        owner = screen.context.new_page()
        owner.goto(served.links["owner"])
        owner.wait_for_selector("#people table")
        assert "1 of 1" in owner.inner_text("#people")
        assert "ana" in owner.inner_text("#people")
        served.interrupt()
    assert {j.verdict for j in stored(folder / "human" / "gold")} <= {"a", "b"}
    assert len(stored(folder / "human")) == 6


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_shown_as_text_and_runs_nothing(browser, tmp_path, kind):
    hostile = comparison(0, good=HOSTILE[kind], bad=f"plain, beside {kind}")
    folder = write_folder(tmp_path / "labels", [hostile])
    with serving(folder, "--port", 0) as served:
        screen = Screen(browser, served, "ana", width=390)
        assert HOSTILE[kind] in screen.answers
        assert screen.page.title() == "Compare answers"
        assert screen.page.evaluate("window.ran") is None
        assert screen.page.locator("#answers script, #answers img, #answers svg, #answers style").count() == 0
        assert screen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert screen.page.is_visible("[data-verdict=first]")
        assert screen.errors == []


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False), (1280, True)])
def test_screen_fits_and_can_be_read(browser, tmp_path, width, dark):
    long_answer = "Bread needs time. " * 60
    folder = write_folder(tmp_path / "labels", [comparison(0, good=long_answer), *group_of("x", "y", "z")])
    with serving(folder, "--port", 0, "--rank") as served:
        screen = Screen(browser, served, "ana", width, dark)
        screen.page.keyboard.press("c")
        assert screen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        low = screen.page.evaluate(_LOW_CONTRAST)
        assert low == [], low
        assert screen.page.evaluate(_UNNAMED) == []
        theme = screen.page.get_attribute("html", "data-theme")
        assert theme == ("dark" if dark else "light")
        screen.page.click("#theme")
        assert screen.page.get_attribute("html", "data-theme") != theme
        assert screen.page.evaluate(_LOW_CONTRAST) == []


_LOW_CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) continue;
    const [one, two] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) found.push(`${element.tagName} ${element.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return found;
}"""
"""Visible texts whose contrast is below 4.5 (WCAG 2, level AA)."""

_UNNAMED = """() => [...document.querySelectorAll("button, input, textarea, progress")]
  .filter((element) => element.checkVisibility())
  .filter((element) => !element.getAttribute("aria-label") && !element.textContent.trim())
  .filter((element) => !element.labels?.length)
  .map((element) => element.outerHTML)"""
"""Visible controls without a name."""
