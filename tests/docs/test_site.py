"""The site has every page, its links lead somewhere, and what is made from the code has all of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
from docs_site.command_line import command_line_reference
from docs_site.llms import summary_of, write_texts
from docs_site.pages import DOCS, chapters, page_names, page_text, title_of

import publius
from publius.cli import app
from tests.publius.test_cli import REPOSITORY

_CODE = re.compile(r"^```.*?^```$|^ {4}.*$|`[^`\n]+`|<code>.*?</code>", re.MULTILINE | re.DOTALL)
_ADDRESS = re.compile(r"(?:https?:)?//[^\s\"')]+")


@pytest.fixture(scope="module")
def texts() -> Mapping[str, str]:
    """Every page with its generated parts."""
    pytest.importorskip("griffe", reason="pip install -c constraints.txt -e '.[docs]'")
    return {name: page_text(name) for name in page_names()}


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings; those of one text are numbered."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.MULTILINE)
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def links_of(text: str) -> Iterator[tuple[str, str]]:
    for target in re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", text)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield path, anchor


def commands_below(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, one in getattr(command, "commands", {}).items():
        yield f"{path} {name}", one
        yield from commands_below(one, f"{path} {name}")


def test_every_page_is_in_the_navigation_once():
    pages = sorted(str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md"))
    assert sorted(page_names()) == pages, "docs/index.md lists the pages of the site"
    assert all(chapter.title for chapter in chapters())


def test_links_lead_to_pages_and_headings_also_in_generated_parts(texts: Mapping[str, str]):
    anchors = {(DOCS / f"{name}.md").resolve(): anchors_of(text) for name, text in texts.items()}
    lost = []
    for name, text in texts.items():
        page = DOCS / f"{name}.md"
        for path, anchor in links_of(text):
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors[target]):
                lost.append(f"{name}: {path}#{anchor}")
    assert lost == []


def test_the_command_line_reference_has_every_command_and_option():
    reference = command_line_reference()
    commands = dict(commands_below(typer.main.get_command(app), "publius"))
    shown = re.findall(r"^### `(.+)`$", reference, re.MULTILINE)
    assert sorted(shown) == sorted(
        path for path, command in commands.items() if path in shown or not command.hidden
    )
    for path, command in commands.items():
        section = reference.split(f"### `{path}`\n", 1)[1].split("\n### ", 1)[0]
        options = [p.opts[0] for p in command.params if p.opts[0].startswith("--") and not p.hidden]
        assert [option for option in options if option not in section] == [], path


def test_the_python_reference_has_every_public_name(texts: Mapping[str, str]):
    reference = texts["reference/python"]
    assert Counter(re.findall(r"^### `publius\.(\w+)`$", reference, re.MULTILINE)) == Counter(publius.__all__)
    section = reference.split("### `publius.DPOConfig`\n", 1)[1].split("\n### ", 1)[0]
    assert "| `beta: float = " in section
    assert "| `learning_rate: " in section, "fields of base classes belong to it"
    assert "**Raises**" in reference.split("### `publius.train_dpo`\n", 1)[1].split("\n### ", 1)[0]


def test_texts_for_language_models_list_every_page_with_its_markdown(
    texts: Mapping[str, str], tmp_path: Path
):
    for name in texts:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    write_texts(tmp_path)
    index = (tmp_path / "llms.txt").read_text(encoding="utf-8")
    assert re.match(r"# Publius\n\n> \S.+\n\n", index)
    links = re.findall(r"^- \[(.+)\]\((.+)\): \S", index, re.MULTILINE)
    assert {path.removesuffix(".html.md") for _, path in links} == set(texts) - {"index"}
    assert [path for _, path in links if not (tmp_path / path).is_file()] == []
    assert re.findall(r"^## (.+)$", index, re.MULTILINE)[-1] == "Optional"
    full = (tmp_path / "llms-full.txt").read_text(encoding="utf-8")
    assert [title for title, _ in links if f"# {title}" not in full.replace("`", "")] == []
    assert "](training.html.md#publius-steer)" in full
    assert "{toctree}" not in full
    assert "<!-- site:" not in full


def test_a_summary_is_the_first_sentence_without_its_links():
    page = "# Title\n\n    publius run\n\nIt [runs](a.md) all stages: five of them. It also resumes.\n"
    assert title_of(page) == "Title"
    assert summary_of(page) == "It runs all stages: five of them."
    assert summary_of("word " * 100, 20) == "word word word word ..."


@pytest.mark.long
def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path: Path):
    pytest.importorskip("sphinx", reason="pip install -c constraints.txt -e '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", "-c", "docs/site"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "state"), "docs", str(tmp_path / "site")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in page_names():
        page = (tmp_path / "site" / f"{name}.html").read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=\"([^\"]+)\"", page)
        assert [address for address in loaded if _ADDRESS.match(address)] == [], name
    for style in (tmp_path / "site").rglob("*.css"):
        fetched = re.findall(r"@import[^;]*|url\([^)]*\)", style.read_text(encoding="utf-8"))
        assert [one for one in fetched if _ADDRESS.search(one) and "data:" not in one] == [], style.name
    assert (tmp_path / "site" / "searchindex.js").is_file()
    assert (tmp_path / "site" / "llms.txt").is_file()
