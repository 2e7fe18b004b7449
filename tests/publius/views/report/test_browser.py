"""The report in a real browser, without a network: plots, filters, keys, themes, phone and print."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from publius.views.report.figures import FIELDS
from tests.publius.views.report.projects import page_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")

CHROMIUM = os.environ.get("PUBLIUS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; install one, or name it in PUBLIUS_CHROMIUM"),
]
HOSTILE = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'> \u202egnp.exe"


@pytest.fixture(scope="module")
def browser(recorded_run: Path, wordings: list[Path]) -> Iterator[Any]:
    """A browser, opened after the runs are made: runs need an event loop of their own."""
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(recorded_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a run whose answers try to run scripts."""
    run = tmp_path_factory.mktemp("hostile") / "run"
    shutil.copytree(recorded_run, run)
    lines = [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]
    for line in lines:
        line["generation"]["text"] += HOSTILE
    (run / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = json.loads((run / "sft" / "training.json").read_text()) | {"warnings": [HOSTILE]}
    (run / "sft" / "training.json").write_text(json.dumps(result))
    page_of([run], run / "report.html")
    return run / "report.html"


@pytest.fixture(scope="module")
def several(wordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("several") / "report.html"
    page_of(wordings, file)
    return file


class Opened:
    """A report in a window that has no network; every error and request is recorded."""

    def __init__(self, browser: Any, file: Path, width: int = 1280, scheme: str = "light") -> None:
        size = {"width": width, "height": 800}
        self.context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("request", self._note_request)
        self.page.goto(file.as_uri())

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith("file:"):
            self.problems.append(request.url)

    def rows(self) -> int:
        return int(self.page.locator("#matrix .entry").count())

    def shown(self) -> list[int]:
        """Numbers of the line that says how many prompts match."""
        return [int(number) for number in re.findall(r"\d+", self.page.inner_text("#shown"))]

    def ground(self) -> str:
        return str(self.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))


def test_hostile_answers_are_text_and_nothing_runs_or_loads(browser: Any, report: Path):
    opened = Opened(browser, report)
    opened.page.keyboard.press("e")
    assert opened.page.locator("#matrix .detail").count() == opened.rows() == 2
    texts = opened.page.locator("#matrix .pane .text").all_text_contents()
    assert all(HOSTILE in text for text in texts)
    assert opened.page.locator(".alarms li", has_text="window.ran").count() == 1
    assert opened.page.evaluate("window.ran") is None
    assert opened.page.locator("img").count() == 0
    assert opened.problems == []


def test_plots_are_drawn_in_the_colours_of_the_theme(browser: Any, report: Path):
    opened = Opened(browser, report)
    plots = opened.page.locator("svg.plot")
    assert plots.count() >= 8
    for number in range(plots.count()):
        box = plots.nth(number).bounding_box()
        assert box["width"] > 200
        assert box["height"] > 50
    stroke = "getComputedStyle(document.querySelector('svg.plot path[stroke^=\"var\"]')).stroke"
    light = opened.page.evaluate(stroke)
    opened.page.keyboard.press("t")
    assert opened.page.evaluate(stroke) != light
    assert re.match(r"rgb\(", light)


def test_theme_follows_the_system_and_the_switch(browser: Any, report: Path):
    light, dark = Opened(browser, report), Opened(browser, report, scheme="dark")
    assert light.ground() != dark.ground()
    light.page.click("#theme")
    assert light.ground() == dark.ground()
    light.page.reload()
    assert light.ground() == dark.ground()


def test_filters_search_and_tags_select_prompts(browser: Any, several: Path):
    opened = Opened(browser, several)
    page = opened.page
    assert opened.shown() == [16, 16]
    data = json.loads(page.text_content("#data"))
    first, second = (int(page.input_value(f"#{name}")) for name in ("from", "to"))

    def answer(prompt: dict[str, Any], column: int) -> dict[str, Any]:
        return next(one for one in prompt["answers"] if one["c"] == column)

    def fails(prompt: dict[str, Any], column: int) -> bool:
        return not all(answer(prompt, column)["checks"].values())

    held_out = [prompt for prompt in data["prompts"] if "answer" in prompt["kinds"]]
    expected = {
        "failed": [p for p in held_out if fails(p, second)],
        "passed": [p for p in held_out if not fails(p, second)],
        "fixed": [p for p in held_out if fails(p, first) and not fails(p, second)],
        "broken": [p for p in held_out if not fails(p, first) and fails(p, second)],
        "different": [p for p in held_out if answer(p, first)["t"] != answer(p, second)["t"]],
        "flipped": [p for p in held_out if answer(p, first)["checks"] != answer(p, second)["checks"]],
    }
    for name, prompts in expected.items():
        page.click(f"#shows [data-filter={name}]")
        assert opened.shown() == [len(prompts), 16], name
        found = page.locator("#matrix .entry").evaluate_all("entries => entries.map((e) => e.dataset.id)")
        assert found == [prompt["id"] for prompt in prompts]
        assert int(page.inner_text(f"#shows [data-filter={name}] .count")) == len(prompts)
    assert 0 < len(expected["failed"]) < 16
    page.click("#shows [data-filter=all]")
    rates = page.locator("#matrix .head .cell").all_inner_texts()
    assert [int(rate.split("\n")[1].split("/")[0]) for rate in rates[:: len(rates) - 1]] == [
        sum(not fails(p, column) for p in held_out) for column in (first, second)
    ]
    page.select_option("#tag", "odd")
    assert opened.shown() == [8, 16]
    page.fill("#search", "question number 3:")
    assert opened.shown() == [1, 16]
    assert opened.problems == []


def test_excerpts_show_the_answers_in_the_list_and_its_heading_stays_in_view(browser: Any, several: Path):
    opened = Opened(browser, several)
    page = opened.page
    page.keyboard.press("x")
    data = json.loads(page.text_content("#data"))
    texts = page.locator("#matrix .excerpt").all_text_contents()
    assert len(texts) == 16 * page.locator("#matrix .head .cell").count()
    assert set(texts) <= {text[:400] for text in data["texts"]}
    page.locator("#matrix .entry").last.evaluate("row => row.scrollIntoView({behavior: 'instant'})")
    head, bar = page.locator("#matrix .head").bounding_box(), page.locator(".top").bounding_box()
    assert abs(head["y"] - bar["height"]) < 8
    page.keyboard.press("x")
    assert page.locator("#matrix .excerpt").count() == 0
    assert opened.problems == []


LOW_CONTRAST = (Path(__file__).parent / "low_contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme: str, browser: Any, report: Path, several: Path):
    for file in (report, several):
        page = Opened(browser, file, scheme=scheme).page
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.keyboard.press("e")
        page.keyboard.press("x")
        assert page.evaluate(LOW_CONTRAST) == []


def test_keyboard_alone_opens_prompts_and_changes_views(browser: Any, several: Path):
    opened = Opened(browser, several)
    page, press = opened.page, opened.page.keyboard.press
    press("j")
    press("j")
    focused = "document.activeElement.closest('.entry')?.dataset.id"
    second = page.locator("#matrix .entry").nth(1).get_attribute("data-id")
    assert page.evaluate(focused) == second
    press("Enter")
    assert page.locator("#matrix .detail").count() == 1
    assert page.locator(".panes ins, .panes del").count() > 0
    press("d")
    assert page.locator(".panes ins, .panes del").count() == 0
    press("d")
    press("s")
    assert page.locator(".panes.single .pane").count() == 8  # base and prompted of four runs
    press("k")
    assert page.evaluate(focused) != second
    press("/")
    page.keyboard.type("number 7:")
    press("Escape")
    assert opened.shown() == [1, 16]
    press("2")
    assert page.get_attribute("[data-list=loop]", "aria-selected") == "true"
    press("3")
    assert page.locator("#matrix .entry").count() == len(json.loads(page.text_content("#data"))["flips"]) > 0
    press("j")
    press("Enter")
    assert page.locator(".pane header b").all_text_contents() == ["preferred in A1", "preferred in B1"]
    press("?")
    assert page.is_visible("#help-dialog")
    press("Escape")
    assert not page.is_visible("#help-dialog")
    assert opened.problems == []


def test_steps_show_critiques_and_each_revision_against_the_answer_before(browser: Any, several: Path):
    opened = Opened(browser, several)
    page = opened.page
    page.keyboard.press("2")
    page.keyboard.press("s")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    titles = page.locator(".panes.single .pane header b").all_text_contents()
    assert titles[:3] == ["draft · A1", "revision 1 · A1", "revision 2 · A1"]
    assert page.locator(".panes.single .critique").count() >= 2
    data = json.loads(page.text_content("#data"))
    entry = page.locator("#matrix .entry").first.get_attribute("data-id")
    (prompt,) = (one for one in data["prompts"] if one["id"] == entry)
    draft, revision = (data["texts"][answer["t"]] for answer in prompt["answers"][:2])
    pane = page.locator(".panes.single .pane").nth(1).locator(":scope > .text")
    whole = pane.evaluate("pane => [...pane.childNodes].map((n) => [n.nodeName, n.textContent])")
    assert "".join(text for kind, text in whole if kind != "DEL").split() == revision.split()
    assert "".join(text for kind, text in whole if kind != "INS").split() == draft.split()


def test_table_of_what_decided_leads_to_the_line_and_to_examples(browser: Any, report: Path):
    opened = Opened(browser, report)
    page = opened.page
    line = page.locator(".attribution a.line").first
    assert re.fullmatch(r"constitution\.yaml:\d+", line.inner_text())
    line.click()
    assert page.locator("pre span:target").is_visible()
    assert page.locator("pre span:target").inner_text().strip().startswith("- id: kind")
    page.click("[data-list=decisions][data-tag=kind]")
    assert opened.shown() == [1, 9]
    page.locator("#matrix .open").click()
    assert page.locator(".panes .pane").count() == 2
    assert page.locator(".detail .chips").inner_text().startswith("kind +")
    page.keyboard.press("4")
    assert opened.rows() == 9
    assert opened.problems == []


def test_phone_has_no_sideways_scroll_and_small_tables_scroll_by_themselves(browser: Any, report: Path):
    opened = Opened(browser, report, width=390)
    opened.page.keyboard.press("e")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    panes = opened.page.locator("#matrix .pane")
    left, right = panes.nth(0).bounding_box(), panes.nth(1).bounding_box()
    assert right["y"] >= left["y"] + left["height"]
    assert opened.problems == []


def test_print_opens_what_is_folded_and_hides_the_controls(browser: Any, several: Path):
    opened = Opened(browser, several)
    opened.page.emulate_media(media="print")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.page.locator("details.run:not([open])").count() == 0
    assert not opened.page.is_visible(".top")
    assert not opened.page.is_visible(".filters")
    assert opened.page.is_visible("#matrix")
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.locator("details.run[open]").count() == 0
    assert opened.page.pdf(format="A4")[:5] == b"%PDF-"


def test_numbers_are_saved_as_csv_without_a_network(browser: Any, report: Path):
    opened = Opened(browser, report)
    with opened.page.expect_download() as waited:
        opened.page.click("#save")
    lines = Path(waited.value.path()).read_text().splitlines()
    figures = json.loads(opened.page.text_content("#numbers"))["figures"]
    assert lines[0] == ",".join(FIELDS)
    assert len(lines) == len(figures) + 1
    assert opened.problems == []
