"""Record docs/pictures/terminal.svg: a real session of the `publius` command on the embedded model.

    python docs/pictures/record.py [--session DIR]

The commands run one after the other in a pseudo-terminal, in an empty temporary folder, and rich draws what
they print. The output is real; long output is shortened (`[...]`), and paths are relative to that folder.
With `--session` the folder is preserved: a command whose output is already recorded there does not run again,
so an interrupted recording resumes and a changed layout needs no model. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

PICTURE = Path(__file__).with_name("terminal.svg")
COLUMNS = 100
CONSTITUTION = """\
name: brief
principles:
  - The reply answers the question in its first sentence.
  - The reply uses short everyday words.
  - id: at-most-25-words
    text: The reply is at most 25 words long.
    check: {kind: max_words, value: 25}
"""
PROJECT = "publius init demo"
"""Writes prompts and a run file. The constitution above then replaces the preset."""
HELD_OUT = 24
"""Test prompts that the recording keeps of the 48, to halve the time of the evaluation."""
RUN = "publius run demo/run.yaml"
CHAT = (
    'publius chat demo/runs/demo-* --prompt "Is it dangerous to mix leftover wall paint from different tins?"'
)
COMMANDS = ("cat demo/constitution.yaml", RUN, CHAT)
"""The commands in the picture, in order."""
SHOWN = {
    RUN: (("critique", "train dpo"), ("Before and after", "* differs")),
    CHAT: (("base", "and the environment."),),
}
"""How the first and last line of each shown part of a long output begin; `[...]` marks what is omitted."""

_OMITTED = "\x1b[2m[...]\x1b[0m"
_SGR = re.compile(r"\x1b\[[0-9;]*m")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_REMOTE_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    """Record the session and draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--session", type=Path, help="keep the session in this folder, and resume it")
    session = parser.parse_args().session
    if session is not None:
        session.mkdir(parents=True, exist_ok=True)
        record(session.resolve())
        return
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder).resolve())


def record(session: Path) -> None:
    """Run the commands in a folder and write the picture."""
    project = session / "demo"
    if not project.exists():
        subprocess.run(shlex.split(PROJECT), cwd=session, env=_environment(), check=True)
        write_project(project)
    outputs = [(command, output_of(command, session)) for command in COMMANDS]
    PICTURE.write_text(svg_of(outputs), encoding="utf-8")


def write_project(project: Path) -> None:
    """Replace the constitution of a new project, and shorten its list of prompts."""
    (project / "constitution.yaml").write_text(CONSTITUTION, encoding="utf-8")
    prompts = project / "prompts.jsonl"
    lines = prompts.read_text(encoding="utf-8").splitlines(keepends=True)
    test = [line for line in lines if json.loads(line)["split"] == "test"]
    dropped = set(test[HELD_OUT:])
    prompts.write_text("".join(line for line in lines if line not in dropped), encoding="utf-8")


def output_of(command: str, session: Path) -> str:
    """Return what a command writes to its terminal; from the session's folder if it is recorded there."""
    recorded = session / f"{COMMANDS.index(command)}.ansi"
    if not recorded.exists():
        recorded.write_bytes(run_in_terminal(command, session))
    # Not read_text: it would turn the carriage returns of progress bars into line ends.
    return recorded.read_bytes().decode("utf-8").replace(f"{session}{os.sep}", "")


def run_in_terminal(command: str, folder: Path) -> bytes:
    """Run a shell command in a pseudo-terminal and return the bytes it wrote. Raises if it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, shell=True, cwd=folder, env=_environment(), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b"".join(_read(ours))
    os.close(ours)
    if process.wait():
        raise SystemExit(f"{command}: exit code {process.returncode}\n{written.decode(errors='replace')}")
    return written


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 65536)
        except (
            OSError
        ):  # Linux reports EIO, not an end of file, when the last writer closes a pseudo-terminal
            return
        if not data:
            return
        yield data


def _environment() -> dict[str, str]:
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "50"}


def on_screen(written: str) -> list[str]:
    """Return the lines that a terminal shows at the end, with their colours.

    A progress bar redraws its line after a carriage return, so the last drawing of each line is what stays.
    """
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        drawings = [part for part in line.split("\r") if _ESCAPE.sub("", part)]
        colours_only = _ESCAPE.sub(
            lambda found: found[0] if _SGR.fullmatch(found[0]) else "", "".join(drawings[-1:])
        )
        lines.append(colours_only)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def shortened(command: str, lines: list[str]) -> list[str]:
    """Return the lines of an output that the picture shows; all of them if a named line is missing."""
    plain = [_ESCAPE.sub("", line) for line in lines]
    shown: list[str] = []
    end = 0
    for first, last in SHOWN.get(command, ()):
        start = next((n for n in range(end, len(plain)) if plain[n].startswith(first)), len(lines))
        stop = next((n for n in range(start, len(plain)) if plain[n].startswith(last)), None)
        if stop is None:
            return lines
        shown += [_OMITTED] * (start > end) + lines[start : stop + 1]
        end = stop + 1
    if not shown:
        return lines
    return [*shown, _OMITTED] if end < len(lines) else shown


def svg_of(outputs: list[tuple[str, str]]) -> str:
    """Return the picture of commands and what they wrote, without a font from the network."""
    console = Console(
        record=True, width=COLUMNS + 1, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    for number, (command, written) in enumerate(outputs):
        if number:
            console.print()
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        for line in shortened(command, on_screen(written)):
            console.print(Text.from_ansi(line), soft_wrap=True)
    svg = console.export_svg(title="publius", theme=SVG_EXPORT_THEME, unique_id="terminal")
    fonts = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
    return _REMOTE_FONTS.sub("", svg).replace("Fira Code, monospace", fonts)


if __name__ == "__main__":
    main()
