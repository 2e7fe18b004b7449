"""Take pictures of what commands print, in terminals of 80 and 120 columns, light and dark, to look at them.

    python docs/pictures/screens.py --to FOLDER [--only WORD] [--in PROJECT 'publius show runs/demo-1' ...]

Each command runs in a pseudo-terminal of that width; rich draws its output in the colours of xterm, and a
headless Chromium (`PUBLIUS_CHROMIUM`) takes the picture. Without commands of your own, a project is made in a
temporary folder and the main commands are run on the scripted engine. The pictures are to be looked at; they
are not part of the repository. Needs the extra `dev` and Chromium; takes two to three minutes on two cores.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

WIDTHS = (80, 120)
_NORMAL = [
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205)),
    (229, 229, 229),
]
_BRIGHT = [
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255)),
    (255, 255, 255),
]
THEMES = {
    "light": TerminalTheme((255, 255, 255), (0, 0, 0), _NORMAL, _BRIGHT),
    "dark": TerminalTheme((0, 0, 0), (229, 229, 229), _NORMAL, _BRIGHT),
}
"""The colours of xterm, whose yellow is the hardest to read on white."""
RULES = """\
name: support-desk
principles:
  - The reply is at most 80 words long.
  - {id: no-refund, text: The reply promises no refund., section: tone}
  - {id: short, text: The reply has at most twelve words., check: {kind: max_words, value: 12}}
"""
MISTAKES = """\
name: mistakes
principles:
  - {id: a, text: The reply is short., check: {max_words: 80}}
  - {id: b, text: The reply names no liquid., check: {kind: not_contains, value: cleaning liquid}}
  - {id: c, text: The reply is kind., wieght: 2}
"""
SCRIPTED = "--set engine.kind=scripted --set train=[] --set prompts.limit=12"
EVALUATED = "--set eval.models=[base,prompted] --set eval.prompts=12"
VARIED = "--set name=wording --vary constitution=constitution.yaml,../rules.yaml --vary seed=0,1"
COMMANDS = (
    "publius",
    "publius --help",
    "publius run --help",
    "publius show --help",
    "publius train dpo --help",
    "publius doctor",
    "publius check rules.yaml",
    "publius check mistakes.yaml",
    "publius check demo/run.yaml",
    "publius check nowhere.yaml",
    f"publius run demo/run.yaml {SCRIPTED}",
    f"publius run demo/run.yaml {SCRIPTED} --set split.test=0",
    f"publius run demo/run.yaml --estimate {SCRIPTED}",
    f"publius run demo/run.yaml --estimate {SCRIPTED} --set seed=1 --rate 100",
    f"publius run demo/run.yaml {SCRIPTED} --set seed=1",
    f"publius eval demo/run.yaml {SCRIPTED} {EVALUATED} --set models.judge=smollm2-135m-instruct",
    f"publius run demo/run.yaml {SCRIPTED} {VARIED} --estimate",
    f"publius run demo/run.yaml {SCRIPTED} {VARIED}",
    f"publius eval demo/run.yaml {SCRIPTED} {EVALUATED} {VARIED}",
    "publius runs demo",
    "publius show $(ls -d demo/runs/demo-* | head -1)",
    "publius show $(ls -d demo/runs/demo-* | head -1) nothing",
    "publius export $(ls -d demo/runs/demo-* | head -1) --to exported --min-p 2",
    "publius diff plain-and-brief harmless",
    "publius cache show demo",
)
_PARTS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\r|\n|[^\x1b\r\n]+|\x1b")
"""Control sequences, line ends and text."""
_PAGE = '<body style="margin:0"><pre style="background:{background};{style}">{code}</pre></body>'
_FONT = (
    "font:15px/1.25 'DejaVu Sans Mono',monospace;color:{foreground};width:{columns}ch;margin:0;padding:8px;"
    "white-space:pre;font-variant-ligatures:none"
)


@dataclass(frozen=True)
class Screen:
    """A command in a terminal, and what it wrote."""

    number: int
    """Place of the command."""
    command: str
    columns: int
    written: str

    @property
    def name(self) -> str:
        """Name of its pictures."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", self.command.removeprefix("publius")).strip("-")
        return f"{self.number:02d}-{words[:40] or 'publius'}-{self.columns}"

    def html(self, theme: TerminalTheme) -> str:
        """Return the screen as a page."""
        console = Console(
            record=True, width=self.columns, file=StringIO(), force_terminal=True, color_system="truecolor"
        )
        lines = (Text.from_ansi(line) for line in rows_of(self.written))
        for text in (Text(f"$ {self.command}", style="bold"), *lines):
            for part in text.divide(range(self.columns, max(len(text), 1), self.columns)):
                console.print(part, soft_wrap=True)
        background, foreground = (color.hex for color in (theme.background_color, theme.foreground_color))
        style = _FONT.format(foreground=foreground, columns=self.columns)
        page = _PAGE.replace("{background}", background).replace("{style}", style)
        return console.export_html(theme=theme, code_format=page, inline_styles=True)


def main() -> None:
    """Run the commands and take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--in", dest="project", type=Path, help="folder to run the given commands in")
    parser.add_argument("--only", default="", help="only commands that contain this")
    parser.add_argument("commands", nargs="*", help="commands; a fixed list if none is given")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.project or make_project(Path(temporary))
        commands = given.commands or [one for one in COMMANDS if given.only in one]
        take_pictures(screens_of(commands, folder), given.to)


def make_project(folder: Path) -> Path:
    """Write a project with a small constitution and one full of mistakes."""
    (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
    (folder / "mistakes.yaml").write_text(MISTAKES, encoding="utf-8")
    run_in_terminal("publius init demo", folder, WIDTHS[0])
    return folder


def screens_of(commands: Iterable[str], folder: Path) -> Iterator[Screen]:
    """Yield what each command writes in a terminal of each width."""
    for number, command in enumerate(commands, start=1):
        for columns in WIDTHS:
            written = run_in_terminal(command, folder, columns).decode("utf-8", "replace")
            yield Screen(number, command, columns, written)


def rows_of(written: str) -> list[str]:
    """Return the rows that a terminal shows: what was erased or written over, such as progress, is gone.

    Lines are taken to be written over as a whole, as rich does it.
    """
    rows, row, begun = [""], 0, False
    for part in _PARTS.finditer(written):
        text, (count, letter) = part.group(), part.groups()
        if text == "\n":
            row, begun = row + 1, False
            rows += [""] * (row - len(rows) + 1)
        elif text == "\r":
            begun = True
        elif letter == "A":
            row = max(0, row - int(count or 1))
        elif letter == "K":
            rows[row] = ""
        elif letter == "m" or not text.startswith("\x1b"):
            rows[row], begun = ("" if begun and letter != "m" else rows[row]) + text, begun and letter == "m"
    return rows[:-1] if not rows[-1] else rows


def run_in_terminal(command: str, folder: Path, columns: int) -> bytes:
    """Run a shell command in a pseudo-terminal and return the bytes it wrote, whatever its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": scripts, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        command, shell=True, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b"".join(_read(ours))
    os.close(ours)
    process.wait()
    return written


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux reports EIO when the last writer closes a pseudo-terminal
            return
        if not data:
            return
        yield data


def take_pictures(screens: Iterable[Screen], to: Path) -> None:
    """Write a picture of each screen in each theme."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("PUBLIUS_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as started:
        browser: Any = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 200})
        for screen in screens:
            for theme, colours in THEMES.items():
                page.set_content(screen.html(colours))
                page.locator("pre").screenshot(path=to / f"{screen.name}-{theme}.png")
            sys.stderr.write(f"{screen.name}\n")
        browser.close()


if __name__ == "__main__":
    main()
