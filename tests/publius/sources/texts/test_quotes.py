"""Quoted mail and signatures are recognised and left out; what is the writer's own stays as it is."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from core.records import Message, Prompt
from publius.sources.pairs import read_pair_rows, survey_pairs
from publius.sources.prompts import PromptFile
from publius.sources.texts.quotes import QuotesSeen, own_words
from publius.sources.texts.reading import TextReading, TextsSeen

HEADERS = (
    "From: Lee <l@example.org>\nSent: Tuesday, November 3, 2026 10:12 AM\nTo: Desk\nSubject: Bill\n\nWhy?"
)


@pytest.mark.parametrize(
    ("text", "own", "mark"),
    [
        ("Done.\n\nOn Tue, 3 Nov 2026 at 10:12, someone wrote:\n> Why?\n>\n\n> And how?\n", "Done.", "On"),
        ("Done.\n\nOn Nov 3, 2026, at 10:12 AM, Ms Lee\n<lee@example.org> wrote:\n\nWhy?", "Done.", "On"),
        ("Ja.\r\n\r\nAm 3. Nov. 2026 schrieb X:\r\n> Warum?", "Ja.", "On"),
        ("Ja.\n\nAm 03.11.2026 um 10:12 schrieb Frau Lee <lee@example.org>:\n\nWarum?", "Ja.", "On"),
        ("Oui.\nLe mar. 3 nov. 2026 à 10:12, Lee <l@example.org> a écrit :\n\nPourquoi ?", "Oui.", "On"),
        ("Done.\n\nLee <l@example.org> wrote:\n> Why?", "Done.", "On"),
        ("Done.\n\n2026-11-03 10:12 GMT+01:00 Lee <l@example.org>:\n> Why?", "Done.", "On"),
        ("On 3/11/26 10:12, Lee wrote:\n> Why?\n\nBecause.\n\n> How?\n\nSo.", "Because.\n\nSo.", "On"),
        ("Done.\n\n-----Original Message-----\nFrom: Lee\nWhy?", "Done.", "-----"),
        ("Ja.\n\n-----Ursprüngliche Nachricht-----\nVon: Lee\nWarum?", "Ja.", "-----"),
        (f"Done.\n\n________________________________\n{HEADERS}", "Done.", "From"),
        (
            "Ja.\n\n**Von:** Lee <l@example.org>\n**Gesendet:** gestern\n**Betreff:** Rechnung\n\nWarum?",
            "Ja.",
            "From",
        ),
        ("Done.\n\n##- Please type your reply above this line -##\nWhy?", "Done.", "##-"),
        ("Kind regards\nAna\n-- \nThe desk\nTel. 1\n", "Kind regards\nAna", "-- "),
        ("Kind regards\n\n--\nThe desk\n\nOn 3 Nov 2026 10:12, Lee wrote:\n> Why?", "Kind regards", "-- "),
    ],
)
def test_what_a_mail_program_quotes_and_signatures_are_left_out(text: str, own: str, mark: str):
    found = own_words(text)
    assert found.text == own
    assert found.marks[0].startswith(mark)


@pytest.mark.parametrize(
    "text",
    [
        "He wrote:\n\n> A quote in Markdown\n> of two lines",
        "As Orwell wrote:\n> It was a bright cold day",
        "On 4 June 1940, Churchill wrote:\n> We shall fight",
        "On 3 November at 10:12 you wrote:\n\nThe meter is broken.\n\nWe looked into it.",
        "On 3 Nov 2026, the fitter wrote:\n\nThe meter is broken.",
        "> Why?\n\nBecause.",
        "On Tue, 3 Nov 2026 at 10:12, Lee wrote:\n> nothing is left without this",
        "From: Berlin\nTo: Munich\nDate: 3 November, 10:12",
        "From: us\nTo: you\nSubject: a form to fill in",
        f"See below.\n\n---------- Forwarded message ---------\n{HEADERS}",
        "```\nOn Tue, 3 Nov 2026 at 10:12, Lee wrote:\n> Why?\n```\nThe log.",
        "A title\n--\nand its text",
        "One\n\n---\n\nTwo",
        "One\n-- \n" + "a line of the text\n" * 20,
        "| a | b |\n|--|--|\n| 1 | 2 |",
        "Hello",
    ],
)
def test_what_is_the_writers_own_stays_as_it_is(text: str):
    assert own_words(text) == (text, ())


@pytest.mark.parametrize(
    "text",
    ["-- \n" * 20_000, "a:\n\n" * 20_000, "On 10:12\n" * 20_000, "From: a@b\n" * 20_000, "-" * 200_000,
     "-- \n\n\n\n\n" * 10_000, "-- \nabcd:\n" * 5_000, ">" * 200_000, " " * 200_000],
)  # fmt: skip
def test_hostile_texts_are_read_in_little_time(text: str):
    begun = time.monotonic()
    own_words(text + "x")
    assert time.monotonic() - begun < 10


def test_a_count_says_what_was_found_and_how_it_begins():
    seen = QuotesSeen()
    seen.add(["Hi", "Done.\n\n-- \nAna"])
    seen.add(["plain"])
    assert seen.in_words("replies") == '1 of 2 replies has a signature ("-- ")'
    seen.add([f"Done.\n\n{HEADERS}"])
    shown = '("-- ", "From: ... Sent: ...")'
    assert seen.in_words("replies") == f"2 of 3 replies have quoted mail or a signature {shown}"
    assert QuotesSeen().in_words("replies") == ""


def test_html_is_read_first_and_system_messages_stay():
    quoting = (
        "<p>Done &amp; sent.</p><p>On Tue, 3 Nov 2026 at 10:12, Lee wrote:</p><blockquote>Why?</blockquote>"
    )
    prompt = Prompt.of(
        [Message(role="system", content=f"Be.\n\n{HEADERS}"), Message(role="user", content=quoting)]
    )
    reading = TextReading("text", "drop")
    found = reading.prompt(prompt)
    assert [one.content for one in found.messages] == [prompt.messages[0].content, "Done & sent."]
    assert reading.note_of(prompt, found) == "HTML was read as text, quoted mail or a signature was left out"
    assert TextReading("keep", "drop").prompt(prompt) is prompt
    assert reading.note_of(prompt, prompt) == ""
    seen = TextsSeen()
    seen.add([quoting], reading)
    assert (seen.html.found, seen.quotes.found) == (1, 1)


def test_pairs_that_lose_quoted_mail_are_counted(tmp_path: Path):
    rows = [{"prompt": "Hi\n\n-- \nLee", "chosen": "Yes.", "rejected": "No."}]
    rows += [{"prompt": "Bye", "chosen": "So.", "rejected": "On.\n\n-- \nKim"}, {**rows[0], "prompt": "Hm?"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for quotes in ("keep", "drop"):
        found = survey_pairs(PromptFile(path, quotes=quotes))
        assert (found.texts.quotes.found, found.texts.quotes.texts) == (2, 3)
    (made,) = next(read_pair_rows(PromptFile(path, quotes="drop"))).pairs
    assert made.comparison.prompt.messages[0].content == "Hi"
