"""Constitutions that went wrong by chance; run as a program, it loads them and says what came of it.

    python -m tests.constitution.mutants FOLDER COUNT [SEED]

A file that takes more than two seconds of processor time ends the process by SIGPROF, wherever it hangs; the
files in FOLDER are then those that did it. Any exception but a ConfigError ends it with a traceback.
"""

from __future__ import annotations

import json
import random
import re
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from constitution.loader import load_constitution, preset_names, preset_path
from core.errors import ConfigError
from tests.constitution.examples import ALL_KEYS, BASE, CHILD, FULL, RULES, WELL_FORMED, write_all
from tests.constitution.malformed import YAML

SECONDS = 2.0
_KEYS = (
    *("name", "principles", "text", "id", "weight", "extends", "remove", "document", "passages", "source"),
    *("check", "kind", "value", "null"),
)
_SIGNS = [
    *"[]{}:,-#&*!|>%@`'\"?~ \t\n\r",
    "- ",
    ": ",
    "<<: ",
    "---\n",
    "...\n",
    "\ufeff",
    "\u2028",
    "\x85",
    "\0",
]
_VALUES = [
    *("null", "true", "-1", "0", "1e999", ".nan", "[]", "{}", "''", "'#a'", "[[a]]", "{a: 1}", "&a b", "*a"),
    *(
        "!!set x",
        "!!python/object:os.x {}",
        "9" * 400,
        "0x7f",
        "harmless",
        "../x",
        "/dev/null",
        ".",
        "x" * 5000,
    ),
    *(
        "(?P<a>x)(?P<a>",
        "a{9999999}",
        "((((a+)+)+)+)+",
        "\\u0000",
        '"\\ud800"',
        '"\\0"',
        "\U0001f600",
        "é" * 99,
    ),
    *("no-harm", "rules.md", "a.yaml", "[[a-z]]", "#how", "'#how'", "base.yaml", "strict", "2"),
]

Text = Callable[[random.Random, list[str]], list[str]]


def _line(change: Callable[[random.Random, str], str]) -> Text:
    """Return a mutation of the whole text from one of a line."""

    def changed(rng: random.Random, lines: list[str]) -> list[str]:
        index = rng.randrange(len(lines))
        return [*lines[:index], change(rng, lines[index]), *lines[index + 1 :]]

    return changed


def _dropped(rng: random.Random, lines: list[str]) -> list[str]:
    begin = rng.randrange(len(lines))
    return lines[:begin] + lines[begin + rng.randint(1, 3) :]


def _doubled(rng: random.Random, lines: list[str]) -> list[str]:
    begin = rng.randrange(len(lines))
    return lines[: begin + rng.randint(1, 4)] + lines[begin:]


def _swapped(rng: random.Random, lines: list[str]) -> list[str]:
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines = list(lines)
    lines[a], lines[b] = lines[b], lines[a]
    return lines


def _truncated(rng: random.Random, lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    return text[: rng.randrange(len(text) + 1)].split("\n")


def _nested(rng: random.Random, lines: list[str]) -> list[str]:
    depth = rng.choice([1, 2, 8, 40])
    return [
        f"{rng.choice(['a: ', '- ', '  '])}" * depth if rng.random() < 0.5 else "a:",
        *(" " + line for line in lines),
    ]


def _indented(rng: random.Random, line: str) -> str:
    return " " * rng.randint(0, 9) + (line.lstrip() if rng.random() < 0.5 else line)


def _misspelt(rng: random.Random, line: str) -> str:
    if not line:
        return rng.choice(_KEYS) + ": "
    at = rng.randrange(len(line))
    return line[:at] + rng.choice("aeiou-_ ") + line[at + rng.randint(0, 1) :]


def _revalued(rng: random.Random, line: str) -> str:
    key, colon, _ = line.partition(": ")
    return f"{key}{colon or ': '}{rng.choice(_VALUES)}"


def _rekeyed(rng: random.Random, line: str) -> str:
    _, colon, value = line.partition(": ")
    return f"{' ' * rng.randint(0, 4)}{rng.choice(_KEYS)}{colon}{value}"


def _signed(rng: random.Random, line: str) -> str:
    at = rng.randint(0, len(line))
    return line[:at] + rng.choice(_SIGNS) * rng.choice([1, 1, 2, 50]) + line[at:]


_MUTATIONS: list[Text] = [
    _dropped, _doubled, _swapped, _truncated, _nested,
    *map(_line, (_indented, _misspelt, _revalued, _revalued, _rekeyed, _signed)),
]  # fmt: skip


def mutated(rng: random.Random, text: str) -> bytes:
    """Return a text with one to four things wrong, and some of its bits turned at times."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        text = "\n".join(rng.choice(_MUTATIONS)(rng, text.split("\n")))
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    if content and rng.random() < 0.1:
        for _ in range(rng.randint(1, 5)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.02:
        return text.encode("utf-16", "surrogatepass")
    return bytes(content)


def sources() -> list[dict[str, str]]:
    """Return the files to begin with, each with those that it builds on; a few are wrong already."""
    single = [preset_path(name).read_text(encoding="utf-8") for name in preset_names()] + [FULL, ALL_KEYS]
    on_preset = f"name: x\nextends: {preset_names()[0]}\nremove: []\nprinciples: [a]\n"
    several = [*WELL_FORMED.values(), {"a.yaml": CHILD + FULL, "base.yaml": BASE, "rules.md": RULES}]
    wrong = [{"a.yaml": text} for text, *_ in YAML if len(text) < 1000]
    return [{"a.yaml": text} for text in [*single, on_preset] * 4] + several * 8 + wrong


def load_mutants(folder: Path, count: int, seed: int) -> Counter[str]:
    """Write and load mutants one after the other; return how many were loaded and refused."""
    rng, found, begin = random.Random(seed), Counter[str](), sources()
    for _ in range(count):
        files: dict[str, str | bytes] = dict(rng.choice(begin))
        victims = rng.sample(list(files), rng.choice([1, 1, len(files)]))
        files |= {name: mutated(rng, str(files[name])) for name in victims}
        main = write_all(folder, files)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            constitution = load_constitution(main)
        except ConfigError:
            found["refused"] += 1
            continue
        found["loaded"] += 1
        resolved = folder / "resolved.yaml"
        resolved.write_text(constitution.to_yaml(), encoding="utf-8")
        assert load_constitution(resolved).digest == constitution.digest
    return found


def peak_kib() -> int:
    """Return the most memory that this program had, in KiB.

    Linux hands `ru_maxrss` down from the parent process: the own mark is read where there is one.
    """
    status = Path("/proc/self/status")
    if status.exists() and (mark := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(mark[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    arguments = [*sys.argv[1:], "0"]
    counts = load_mutants(Path(arguments[0]), int(arguments[1]), int(arguments[2]))
    signal.setitimer(signal.ITIMER_PROF, 0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {**counts, "peak_kib": peak_kib(), "cpu_s": usage.ru_utime + usage.ru_stime}
    sys.stdout.write(json.dumps(figures) + "\n")
