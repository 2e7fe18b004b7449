"""The pages link to what exists, name commands and options that exist, and fetch nothing from the network."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

import publius
from publius.cli import app
from publius.commands.tree.groups import GroupWithDefault
from publius.config.run_file import load_run_config
from tests.docs.blocks import blocks_of
from tests.publius.invoking import here
from tests.publius.test_cli import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = [README, REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
PICTURE = REPOSITORY / "docs" / "pictures" / "terminal.svg"
RECORDING = REPOSITORY / "docs" / "pictures" / "record.py"
_CODE = re.compile(r"^```.*?^```$|^ {4}.*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:    )?(?:\$ )?(?:\.venv/bin/)?publius (.+)$", re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_in(text: str) -> Iterator[str]:
    """Yield what follows `publius` on the lines that are commands, less their comments."""
    for found in _COMMAND.finditer(text.replace("\\\n", " ")):
        yield re.split(r"\s{2,}(?!-)|\s#\s", found[1])[0]


@cache
def command_tree() -> Any:
    """Return the root command; making it takes longer than all that is asked of it."""
    return typer.main.get_command(app)


def unknown_part(command: str) -> str | None:
    """Return the first word of a command line that names no command or option, or None."""
    known = command_tree()
    options: set[str] = {"--help"}
    for word in shlex.split(command):
        options |= {name for parameter in known.params for name in parameter.opts}
        if word.startswith("--"):
            if word.split("=")[0] not in options:
                return word
        elif hasattr(known, "commands"):
            if word in known.commands:
                known = known.commands[word]
            elif isinstance(known, GroupWithDefault):  # the word is an argument of the first command
                known = next(iter(known.commands.values()))
            else:
                return word
    return None


def missing_options(command: str) -> list[str]:
    """Return the required options that a command with arguments lacks; none if it is only named."""
    known, words = command_tree(), shlex.split(command)
    while hasattr(known, "commands"):
        if words and words[0] in known.commands:
            known = known.commands[words.pop(0)]
        elif words and isinstance(known, GroupWithDefault):
            known = next(iter(known.commands.values()))
        else:
            return []
    given = {word.split("=")[0] for word in words}
    required = [p.opts for p in known.params if p.required and p.param_type_name == "option"]
    return [opts[0] for opts in required if words and not given & set(opts)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path):
    prose = _CODE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors_of(file), target


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "log.md"], ids=lambda page: page.name)
def test_every_command_of_a_page_exists_with_its_options(page: Path):
    unknown = {c: unknown_part(c) for c in commands_in(page.read_text(encoding="utf-8"))}
    assert {command: part for command, part in unknown.items() if part} == {}


def test_every_command_of_the_readme_has_its_required_options():
    text = README.read_text(encoding="utf-8")
    commands = [*commands_in(text), *re.findall(r"`publius ([^`\n]+)`", text)]
    lacking = {command: missing_options(command) for command in commands}
    assert "import constitution rules.txt --to rules.yaml" in lacking
    assert {command: options for command, options in lacking.items() if options} == {}
    assert missing_options("import constitution rules.txt") == ["--to"]


def test_the_readme_lists_every_page():
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", README.read_text(encoding="utf-8")))
    assert linked == {f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md")}


def test_the_commands_page_has_every_command():
    root = command_tree()
    page = list(commands_in((REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")))
    assert {shlex.split(c)[0] for c in page} - {"--allow-code"} == set(root.commands)


def test_the_readmes_program_uses_public_names():
    (program,) = (block.text for block in blocks_of(README) if block.language == "python")
    compile(program, str(README), "exec")
    names = set(re.findall(r"\bpublius\.(\w+)", program))
    assert names
    assert names <= set(dir(publius))


def test_the_picture_is_in_the_readme_and_fetches_nothing():
    assert "](docs/pictures/terminal.svg)" in README.read_text(encoding="utf-8")
    svg = PICTURE.read_text(encoding="utf-8")
    assert not re.search(r"@font-face|@import|href=|url\((?!#)", svg)


def test_the_commands_in_the_picture_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = runpy.run_path(str(RECORDING))
    commands = [script["PROJECT"], *script["COMMANDS"]]
    assert [unknown_part(c) for command in commands for c in commands_in(command)] == [None] * 3
    monkeypatch.chdir(tmp_path)
    assert here(*shlex.split(script["PROJECT"])[1:]).returncode == 0
    Path("demo/constitution.yaml").write_text(script["CONSTITUTION"], encoding="utf-8")
    assert here("check", "demo/constitution.yaml", "--strict").returncode == 0
    assert load_run_config(Path("demo/run.yaml")).train


def test_the_parts_of_a_run_that_the_picture_shows_are_printed_by_a_run():
    script = runpy.run_path(str(RECORDING))
    views = (REPOSITORY / "publius/views/run_summary.py", REPOSITORY / "evaluation/report.py")
    printed = "\n".join(view.read_text(encoding="utf-8") for view in views)
    _, (first, last) = script["SHOWN"][script["RUN"]]
    assert f'"{first}' in printed
    assert last.removeprefix("* ") in printed


def test_long_output_is_shortened_where_the_recording_says_so():
    script = runpy.run_path(str(RECORDING))
    lines = [
        "warning",
        "critique 2/2",
        "train dpo 4/4",
        "Stages",
        "Before and after",
        "words",
        "* differs",
        "report",
    ]
    shown = [re.sub(r"\x1b\[\d*m", "", line) for line in script["shortened"](script["RUN"], lines)]
    assert shown == ["[...]", *lines[1:3], "[...]", *lines[4:7], "[...]"]
    assert script["shortened"]("cat x", lines) == lines


def test_the_recording_shows_the_last_drawing_of_each_line():
    on_screen = runpy.run_path(str(RECORDING))["on_screen"]
    bar = "\x1b[?25l\rcritique 1/2\r\x1b[2K\x1b[32mcritique\x1b[0m 2/2\r\n\x1b[?25hdone\r\n"
    assert on_screen(bar) == ["\x1b[32mcritique\x1b[0m 2/2", "done"]
