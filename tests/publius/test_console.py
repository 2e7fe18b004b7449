"""What is printed: whatever a text holds, it cannot drive the terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.color import Color
from rich.table import Table
from rich.text import Text

import publius
from core.errors import DataError
from core.notices import note, warn
from publius.console import (
    ALARM,
    CAUTION,
    SafeConsole,
    attach_notices,
    emit,
    err,
    fail,
    out,
    print_lines,
    word_diff,
)

HOSTILE = "a\x1b]0;owned\x07b\x1b[2Jc\x9b31md\re\x08f\x00g\x7fh\ud800i\tj\nk"
HARMLESS = "a]0;ownedb[2Jc31mdefghi"


def printed(renderable: object, *, terminal: bool) -> str:
    stream = io.StringIO()
    SafeConsole(file=stream, width=80, force_terminal=terminal).print(renderable)
    return stream.getvalue()


def table() -> Table:
    made = Table()
    made.add_column(HOSTILE)
    made.add_row(Text(HOSTILE))
    return made


@pytest.mark.parametrize("renderable", [HOSTILE, Text(HOSTILE), table()], ids=["str", "text", "table"])
def test_control_characters_never_reach_the_terminal(renderable: object):
    text = printed(renderable, terminal=False)
    assert HARMLESS in text
    assert not set(text) & {*map(chr, range(10)), *map(chr, range(11, 32)), *map(chr, range(127, 160))}


def test_changed_words_are_coloured_and_nothing_else_is():
    text = printed(word_diff("one two", "one \x1b[31mthree"), terminal=True)
    assert "{+[31mthree+}" in text
    assert "\x1b[1m" in text  # ours


def test_other_scripts_and_symbols_are_printed_as_they_are():
    text = "naïve 漢字 עברית 🙂 — “quoted”"
    assert printed(text, terminal=False) == text + "\n"


def with_colons() -> Table:
    made = Table(":100:", title="rules.yaml:100:9:")
    made.add_row("[bold]:smile:")
    return made


@pytest.mark.parametrize("terminal", [False, True])
def test_neither_emoji_codes_nor_square_brackets_are_replaced(terminal: bool):
    assert (
        printed("rules.yaml:100:9: :smile: [red]", terminal=terminal) == "rules.yaml:100:9: :smile: [red]\n"
    )
    in_table = printed(with_colons(), terminal=terminal)
    assert all(text in in_table for text in (":100:", "rules.yaml:100:9:", "[bold]:smile:"))


def test_both_consoles_print_emoji_codes_as_they_are(capsys: pytest.CaptureFixture[str]):
    out.print("rules.yaml:100:9: PASSED")
    err.print("rules.yaml:100:9: FAILED")
    captured = capsys.readouterr()
    assert captured.out == "rules.yaml:100:9: PASSED\n"
    assert captured.err == "rules.yaml:100:9: FAILED\n"


def test_both_streams_are_safe(capsys: pytest.CaptureFixture[str]):
    attach_notices()
    out.print(HOSTILE)
    note(HOSTILE)
    warn(HOSTILE)
    fail([str(DataError(HOSTILE))])
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert captured.err.count(HARMLESS) == 3
    assert isinstance(err, SafeConsole)


DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize("renderable", [DIRECTIONS, Text(DIRECTIONS)], ids=["str", "text"])
def test_text_cannot_change_the_direction_in_which_it_shows(renderable: object):
    assert printed(renderable, terminal=True) == "\n"


class Hostile:
    """A result with every character that a terminal obeys."""

    texts = (HOSTILE, DIRECTIONS, "\x80\x85\x9b\x9f", "\u2028\u2029", "\x7f", "\\u202e", "é 🙂")

    def as_json(self) -> dict[str, object]:
        return {"texts": list(self.texts), DIRECTIONS: True}


@pytest.mark.parametrize("on_one_line", [False, True])
def test_json_is_inert_and_loses_nothing(capsys: pytest.CaptureFixture[str], on_one_line: bool):
    emit(Hostile(), True, unused, on_one_line=on_one_line)
    shown = capsys.readouterr().out
    assert json.loads(shown) == Hostile().as_json()
    assert all(c.isprintable() or c == "\n" for c in shown)
    print_lines(json.dumps(Hostile().as_json(), ensure_ascii=False) + "\n")
    shown = capsys.readouterr().out
    assert json.loads(shown) == Hostile().as_json()
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_word_diff_can_leave_out_what_stayed_far_from_any_change():
    before = " ".join(f"w{n}" for n in range(20))
    shown = word_diff(before, before.replace("w3 ", "x "), context=2).plain
    assert shown == "w0 w1 w2 [-w3-] {+x+} w4 w5 … w18 w19"
    assert word_diff(before, before.replace("w3 ", "x ")).plain.endswith("w16 w17 w18 w19")


class Counts:
    def as_json(self) -> dict[str, object]:
        return {"name": "kind", "count": 3}


def unused(counts: Counts) -> None:
    raise AssertionError("JSON is not printed by a view")


def test_result_is_printed_as_json_or_by_its_view_and_never_both(capsys: pytest.CaptureFixture[str]):
    seen: list[Counts] = []
    emit(Counts(), True, unused)
    assert json.loads(capsys.readouterr().out) == Counts().as_json()
    emit(Counts(), False, seen.append)
    assert (len(seen), capsys.readouterr().out) == (1, "")


def test_result_on_one_line_is_one_line_of_json(capsys: pytest.CaptureFixture[str]):
    for _ in range(2):
        emit(Counts(), True, unused, on_one_line=True)
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == json.loads(second) == Counts().as_json()


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2 between two colours."""

    def luminance(name: str) -> float:
        channels = (value / 255 for value in Color.parse(name).get_truecolor())
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", [ALARM, CAUTION])
@pytest.mark.parametrize("ground", ["#000000", "#ffffff"])
def test_colours_can_be_read_on_dark_and_light_grounds(colour: str, ground: str):
    assert contrast(colour, ground) >= 4.5
    assert contrast("#cd0000", "#000000") < 4.5  # a terminal's red


def test_no_text_of_the_product_has_a_terminals_own_colours():
    named = re.compile(r"""style=f?"[^"]*\b(red|green|blue|cyan|magenta|yellow)\b""")
    sources = (path for path in Path(publius.__file__).parent.rglob("*.py"))
    assert [path for path in sources if named.search(path.read_text(encoding="utf-8"))] == []
