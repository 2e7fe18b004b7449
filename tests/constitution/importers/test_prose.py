"""Which sentences of a paragraph become principles, and which stay with the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.constitution.importers.reading import read

PARAGRAPHS = {
    "Avoid the word liable. Close with our name.": ["Avoid the word liable.", "Close with our name."],
    "The reply must be kind. It should be short, too.": ["The reply must be kind. It should be short, too."],
    "Never promise a date. Customers always take it for a promise.": [
        "Never promise a date. Customers always take it for a promise."
    ],
    "Use no emojis. Guests hate them. At most 80 words.": [
        "Use no emojis. Guests hate them.",
        "At most 80 words.",
    ],
    "We have a shop in Bern. Never name its owner. It opened in May. Do not give its address.": [
        "Never name its owner. It opened in May.",
        "Do not give its address.",
    ],
    "Always thank them. Otherwise they must ask. The reply ends with our name.": [
        "Always thank them. Otherwise they must ask.",
        "The reply ends with our name.",
    ],
    "Do not argue. If a customer is angry, say so. Our agents always apologise once.": [
        "Do not argue.",
        "If a customer is angry, say so.",
        "Our agents always apologise once.",
    ],
    "Replies never name prices. Responses always end with a greeting.": [
        "Replies never name prices.",
        "Responses always end with a greeting.",
    ],
}


@pytest.mark.parametrize("text", PARAGRAPHS)
def test_each_sentence_that_states_a_rule_by_itself_is_one(text: str, tmp_path: Path):
    (tmp_path / "a.md").write_text(f"# Legal\n\n{text}\n")
    assert [entry["text"] for entry in read(tmp_path / "a.md")[0]] == PARAGRAPHS[text]


@pytest.mark.parametrize(
    ("legal", "expected"),
    [
        ("Legal\nDo not promise.\n", ["Do not promise."]),
        ("Legal:\n\nDo not promise.\nDo not guess.\n", ["Do not promise.", "Do not guess."]),
        ("Legal\nDo not promise anything at all to any customer of this house,\nor to me.\n", None),
        ("Legal\nDo not promise\nDo not guess\n", ["Do not promise", "Do not guess"]),
        ("Legal\nOur team is in Bern.\n", []),
        ("Do not promise.\n", []),
    ],
)
def test_a_section_of_prose_among_bullets(legal: str, expected: list[str] | None, tmp_path: Path):
    bullets = "".join(f"- Rule {n} is kept.\n" for n in range(8))
    (tmp_path / "a.txt").write_text(f"Tone\n{bullets}\n{legal}")
    found = [entry["text"] for entry in read(tmp_path / "a.txt")[0]][8:]
    whole = ["Do not promise anything at all to any customer of this house, or to me."]
    assert found == (whole if expected is None else expected)
