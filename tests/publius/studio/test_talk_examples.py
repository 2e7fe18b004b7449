"""An example of a principle goes into the text of a constitution, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import DataError
from core.text.yaml_file import parse_yaml
from publius.studio.talk.examples import principle_ids, with_example

PATH = Path("constitution.yaml")
BLOCK = """\
# top
name: small
principles:
  # first
  - id: plain   # a comment
    text: The reply uses
      plain words.
    # after plain

  - id: kind
    text: The reply is kind.
    examples:
      - prompt: a
        good: b
        bad: c   # bad
      # more
    weight: 2.0
  - id: flow
    text: The reply is short.
    examples:
    - {prompt: p, good: g, bad: b}
  - {id: braces, text: The reply is true.}   # in braces
  - id: brackets
    text: The reply is new.
    examples: [{prompt: p, good: g, bad: b},]
  - The reply is polite.
"""
HOSTILE = [
    '"quoted": # no',
    "line\nbreak\n",
    "{braces} [x] - *a &b !c",
    "é 😀 \t",
    "\x85\u2028\x00 end",
    "'",
    "---\n...",
]


@pytest.mark.parametrize("principle", ["plain", "kind", "flow", "braces", "brackets"])
@pytest.mark.parametrize("text", HOSTILE)
def test_example_is_added_and_all_lines_stay(principle: str, text: str):
    edited = with_example(BLOCK, PATH, principle, text, f"good {text}", f"bad {text}")
    before = {line for line in BLOCK.splitlines() if not line.rstrip().endswith(("braces", "b},]"))}
    kept = before - {line for line in before if "braces" in line or "b},]" in line}
    assert kept <= set(edited.splitlines())
    (entry,) = (
        one
        for one in parse_yaml(edited, PATH).value["principles"]
        if isinstance(one, dict) and one["id"] == principle
    )
    example = entry["examples"][-1]
    clean = text.replace("\x85", " ").replace("\u2028", " ").replace("\x00", " ")
    assert example == {"prompt": clean, "good": f"good {clean}", "bad": f"bad {clean}"}


def test_examples_follow_one_another():
    once = with_example(BLOCK, PATH, "plain", "p1", "g", "b")
    twice = with_example(once, PATH, "plain", "p2", "g", "b")
    (entry,) = (
        one
        for one in parse_yaml(twice, PATH).value["principles"]
        if isinstance(one, dict) and one["id"] == "plain"
    )
    assert [one["prompt"] for one in entry["examples"]] == ["p1", "p2"]
    assert "# after plain" in twice


def test_list_of_principles_alone_is_extended():
    edited = with_example("- id: a\n  text: The reply is kind.\n", PATH, "a", "p", "g", "b")
    assert parse_yaml(edited, PATH).value[0]["examples"] == [{"prompt": "p", "good": "g", "bad": "b"}]


@pytest.mark.parametrize("principle", ["polite", "other", "reply-is-polite"])
def test_principle_that_cannot_have_examples_is_refused(principle: str):
    with pytest.raises(DataError):
        with_example(BLOCK, PATH, principle, "p", "g", "b")


def test_block_text_with_a_number_sign_is_not_broken():
    text = "principles:\n  - id: a\n    text: |\n      The reply\n      # is kind.\n"
    with pytest.raises(DataError, match="does not fit"):
        with_example(text, PATH, "a", "p", "g", "b")


def test_ids_are_those_of_the_file():
    assert principle_ids(BLOCK, PATH)[:5] == ["plain", "kind", "flow", "braces", "brackets"]
