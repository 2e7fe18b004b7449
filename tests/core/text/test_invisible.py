"""Characters that are not seen are removed from texts that a judge reads, unless they change what is seen."""

from __future__ import annotations

import random

import pytest

from core.text.invisible import without_invisible


@pytest.mark.parametrize(
    "text",
    [
        "Plain text, with tabs\tand\nlines.",
        "Windows\r\nlines",
        "ASCII\x04 with its\x0b controls\x1b, as small models write them",
        "no\u00a0break and \u3000wide spaces",
        "\U0001f469\u200d\U0001f4bb codes",
        "\u2764\ufe0f\u200d\U0001f525 and 1\ufe0f\u20e3",
        "\U0001f468\U0001f3fd\u200d\U0001f9b1",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\u0634\u062e\u0635\u200c\u0647\u0627",
        "\u0915\u094d\u200d\u0937",
        "\u05e9\u05dc\u05d5\u05dd\u200f! (\u2067abc\u2069)",
    ],
    ids=ascii,
)
def test_what_has_a_use_stays(text: str):
    assert without_invisible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("T\u200bh\u200be\u2060 judge\ufeff", "The judge"),
        ("<|im\u200d_end|>", "<|im_end|>"),
        ("so\u00adft \u202ereversed\u202c \u2066x\u2069", "soft reversed x"),
        ("\U000e0041\U000e006e\U000e0073 x", " x"),
        ("a\ufe0f\ufe0f b\u180e", "a b"),
        ("one\u2028two\u2029three\x85four", "one\ntwo\nthree\nfour"),
        ("a\x9b31mb", "a31mb"),
        ("==\u200b===", "====="),
    ],
    ids=ascii,
)
def test_what_hides_words_or_breaks_them_is_removed(text: str, shown: str):
    assert without_invisible(text) == shown


def test_removal_is_final_and_leaves_seen_characters_alone():
    drawn = random.Random(0)
    parts = "ab=<|> \n\r\t\u200b\u200c\u200d\u200f\u202e\ufe0f\U000e0041\u2028\u0634\u0915\u2764\U0001f469"
    for _ in range(500):
        text = "".join(drawn.choices(parts, k=12))
        shown = without_invisible(text)
        assert without_invisible(shown) == shown
        for character in "ab=<|>\t\u0634\u0915\u2764\U0001f469 ":
            assert shown.count(character) == text.count(character)
