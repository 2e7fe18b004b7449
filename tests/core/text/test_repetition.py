"""Degenerate repetition is found; lists, refrains and forms are not taken for it."""

from __future__ import annotations

import pytest

from core.text.repetition import is_repetitive, repeated_share

SENTENCE = "I am not able to help with that, but I can suggest something else."
LIST = """Here is a plan for the week:

1. Monday: walk for 20 minutes, then stretch your legs.
2. Tuesday: walk for 25 minutes, then stretch your arms.
3. Wednesday: rest, and drink more water than you think you need.
4. Thursday: walk for 30 minutes, then stretch your back.
5. Friday: swim if there is a pool, or else walk up some stairs.
6. Saturday: walk for 35 minutes, then cook something with vegetables.
7. Sunday: rest, and look back on the week with a cup of tea."""
SHOPPING = (
    "- milk\n- bread\n- eggs\n- flour\n- brown sugar\n- salted butter\n- rice\n- green tea\n- olive oil"
)
TABLE = "| food | vegan | gluten |\n|---|---|---|\n" + "\n".join(
    f"| {word} | yes | no |" for word in ("rice", "lentils", "apples", "carrots", "tofu", "peas", "corn")
)
REFRAIN = (
    "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a "
    "dream. Row, row, row your boat, gently home to bed. Merrily, merrily, merrily, merrily, rest your head."
)
FORM = "Please sign below and send the form back to us by Friday.\n\nName:\n" + "_" * 90
CODE = """def area(width, height):
    return width * height

print(area(2, 3))
print(area(4, 5))
print(area(6, 7))"""


@pytest.mark.parametrize(
    "text",
    ["", "Yes.", "No, no, no.", "Ha ha ha ha ha ha!", SENTENCE, LIST, SHOPPING, TABLE, REFRAIN, FORM, CODE],
)
def test_ordinary_text_is_no_repetition(text: str):
    assert not is_repetitive(text)


def test_a_sentence_said_twice_is_no_repetition():
    assert not is_repetitive(f"{SENTENCE} {SENTENCE}")


@pytest.mark.parametrize(
    "text",
    [
        f"To bake bread, mix flour and water. {' '.join([SENTENCE] * 3)}",
        " ".join([SENTENCE] * 12) + " I am not able to he",  # cut off within a round
        "!" * 80,
        "Sure. " + "the the " * 20,
        "\n".join(f"{number}. Be kind to the people around you." for number in range(1, 9)),
        "\n".join(["* Drink water every day"] * 9),
        "哈" * 70,
        "The answer is 1" + "0" * 100,
        f"{SENTENCE}\n\n{SENTENCE.upper()}\n\n{SENTENCE}",
    ],
)
def test_loop_at_the_end_is_repetition(text: str):
    assert is_repetitive(text)


def test_text_that_mostly_says_the_same_is_repetition_wherever_it_ends():
    loop = "The best way to learn is to practice every day. "
    text = "".join(
        f"{loop}{word} " for word in ("Also,", "Then", "But", "So", "Yet", "And", "Well,", "Still,")
    )
    assert repeated_share(text.casefold()) > 0.5
    assert is_repetitive(f"{text} Good luck with it and let me know!")


def test_repeated_share_counts_four_word_sequences_that_stood_before():
    assert repeated_share("a b c") == 0.0
    assert repeated_share("a b c d e f") == 0.0
    # abcd bcda cdab dabc abcd: one of five stood before.
    assert repeated_share("a b c d a b c d") == pytest.approx(0.2)


def test_very_long_text_is_looked_at_by_its_end():
    assert is_repetitive("word " * 100_000)
    assert not is_repetitive(" ".join(str(number * 7919 % 100_003) for number in range(50_000)))
