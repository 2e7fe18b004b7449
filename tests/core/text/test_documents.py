"""Texts of others stay text in Markdown."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from core.text.documents import code_cell, code_span, escaped, fenced, without_bars

HOSTILE = [
    "a | b",
    "a\n# b",
    "**a**",
    "_a_",
    "<b>a</b>",
    "[a](b)",
    "`a`",
    "``",
    "\\|",
    "- a",
    "&lt;",
    "a_b_c",
]


@pytest.mark.parametrize("text", ["", "plain", "`", "```", "a ````` b", "\r", "\x00\x9b"])
def test_fence_is_longer_than_any_in_the_text(text: str):
    first, *inside, last = fenced(text).split("\n")
    assert first == f"{last}text"
    assert set(last) == {"`"}
    assert all(last not in line for line in inside)


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_is_shown_as_it_is_in_one_line(text: str):
    (inline,) = [token for token in MarkdownIt().parse(escaped(text)) if token.type == "inline"]
    assert {token.type for token in inline.children or ()} <= {"text", "text_special"}
    assert "".join(token.content for token in inline.children or ()) == " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_name_is_one_cell_of_a_table(text: str):
    for shown in (code_cell(text), without_bars(text)):
        table = f"| a | b |\n|---|---|\n| {shown} | 2 |\n"
        cells = [token for token in MarkdownIt().enable("table").parse(table) if token.type == "td_open"]
        assert len(cells) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_name_in_a_sentence_is_one_code_span(text: str):
    (inline,) = [token for token in MarkdownIt().parse(code_span(text)) if token.type == "inline"]
    (span,) = inline.children or ()
    assert (span.type, span.content) == ("code_inline", " ".join(text.split()).replace("`", "'"))


def test_control_characters_and_halves_of_pairs_are_not_written():
    assert code_cell("a\x1b[1m\ud800") == code_span("a\x1b[1m\ud800") == "`a\ufffd[1m\ufffd`"
    assert fenced("a\x1b\tb", "yaml") == "```yaml\na\ufffd\tb\n```"
    assert code_cell("") == code_span("") == "` `"


def test_long_name_is_cut_and_never_behind_a_backslash():
    assert code_cell("x" * 79 + "|" + "y" * 99, 80) == f"`{'x' * 79}...`"
