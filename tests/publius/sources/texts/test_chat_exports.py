"""Exports of chats as prompts: the usual forms, what continues a message, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from publius.authoring.given import read_given
from publius.sources.prompts import read_prompts
from publius.sources.texts.chat_exports import (
    BEFORE_FIRST,
    NO_TEXT,
    OF_PROGRAM,
    exported_messages,
    is_chat_export,
)
from publius.sources.texts.lines import text_rows

# fmt: off
FORMS = {
    "brackets": ("[24.11.2026, 08:12] Guest 1: Is it late?", "[24.11.2026, 08:40] Guest 2: A dog"),
    "WhatsApp on Android": ("24.11.26, 08:12 - Ann: Is it late?", "24.11.26, 08:40 - Ben: A dog"),
    "WhatsApp on iOS": (
        "[24.11.26, 08:12:03] Ann: Is it late?", "\u200e[24.11.26, 08:40:11] ~ Ben: A dog",
    ),
    "American": ("11/24/26, 8:12\u202fAM - Ann: Is it late?", "11/24/26, 8:40 PM - Ben: A dog"),
    "ISO": ("2026-11-24T08:12:03Z Ann: Is it late?", "2026-11-24T08:40:11+01:00 Ben: A dog"),
    "ISO with a space": ("2026-11-24 08:12:03 Ann: Is it late?", "2026-11-24 08:40:11 Ben: A dog"),
    "times alone": ("08:12 Ann: Is it late?", "8.40 Ben: A dog"),
    "a number as name": ("24.11.26, 08:12 - +49 170 1: Is it late?", "24.11.26, 08:40 - +49 170 2: A dog"),
}
# fmt: on


@pytest.mark.parametrize("lines", FORMS.values(), ids=FORMS)
def test_time_and_name_are_taken_off(tmp_path: Path, lines: tuple[str, str]):
    path = tmp_path / "chat.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    found = [values for _, values in text_rows(path, "")]
    assert [values["prompt"] for values in found] == ["Is it late?", "A dog"]
    assert all(0 < len(values["name"]) < 12 for values in found)


PLAIN = {
    "prompts": ["How late is it: 8 or 9?", "Is the 08:12 late?"],
    "times within": ["10:30 ferry to Moskenes cancelled?", "Where is my bag", "7:45 today?"],
    "one stamped line": ["[24.11.26, 08:12] Ann: Hello", "What is this line?"],
    "few stamped lines": ["08:12 Ann: a", "08:13 Ben: b", *["What does this mean?"] * 3],
    "the log of a program": [
        "2026-11-24 08:12:03 ERROR: disk full",
        "2026-11-24 08:12:04 WARNING: disk full",
    ],
    "ratios": ["16:9 TV: which one?", "4:3 screens: still sold?", "3:30 pm on Friday?"],
    "no line": [],
}


@pytest.mark.parametrize("lines", PLAIN.values(), ids=PLAIN)
def test_other_text_has_a_prompt_on_each_line(lines: list[str]):
    assert not is_chat_export(lines)


EXPORT = """\
Chat export Fjordlinje (only opening messages)

[24.11.2026, 08:12] Guest 1: Is there vegan food on board?
I am also allergic to nuts.

And my son to milk.
[24.11.2026, 08:40] Guest 2 joined
[24.11.2026, 08:41] Guest 2: <Media omitted>
[24.11.2026, 08:42] Guest 2: can i take my dog
"""


def test_lines_without_a_time_continue_a_message_and_others_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    path = tmp_path / "chat.txt"
    path.write_text(EXPORT, encoding="utf-8")
    given = read_given(path)
    assert [prompt.messages[-1].content for prompt in given.prompts] == [
        "Is there vegan food on board?\nI am also allergic to nuts.\n\nAnd my son to milk.",
        "can i take my dog",
    ]
    assert given.skipped == {
        BEFORE_FIRST: ["chat.txt:1"],
        OF_PROGRAM: ["chat.txt:7"],
        NO_TEXT: ["chat.txt:8"],
    }
    said = caplog.text
    assert said.count("read as a chat export: 2 messages of 2 people, 1 line left out") == 1
    assert "may be answers" not in said
    assert len(list(read_prompts(path))) == 2


def test_a_sender_who_answers_the_others_is_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    lines = [
        line for n in range(4) for line in (f"08:1{n} Guest {n}: Hello?", f"08:1{n} Fjordbot: Hi, guest.")
    ]
    read = list(exported_messages(enumerate(lines, start=1), tmp_path / "bot.txt"))
    assert [message.name for message in read[:2]] == ["Guest 0", "Fjordbot"]
    said = caplog.text
    assert "'Fjordbot' wrote 4 of the messages" in said
    assert '{"messages": [' in said
