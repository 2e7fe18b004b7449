"""Rules that begin with a name: the name is the id, the rest a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from constitution.importers.named import NAMED
from tests.constitution.importers.reading import counts, read


def rules(content: str, folder: Path, suffix: str = ".md") -> dict[str, str]:
    (folder / f"a{suffix}").write_text(content)
    return {entry["id"]: entry["text"] for entry in read(folder / f"a{suffix}")[0]}


TEAM_RULES = """# What Kim answers like

- **concrete**: names one next step
- **safe**: for gas, electricity and medicine: says to call a professional
- **compact**: not over 60 words, no numbered lists
- **money**: any advice that costs over 100 euros names a cheaper way too
"""


def test_bold_names_are_ids_and_the_rest_is_a_sentence(tmp_path: Path):
    assert rules(TEAM_RULES, tmp_path) == {
        "concrete": "The reply names one next step.",
        "safe": "For gas, electricity and medicine, the reply says to call a professional.",
        "compact": "Not over 60 words, no numbered lists.",
        "money": "Any advice that costs over 100 euros names a cheaper way too.",
    }
    assert read(tmp_path / "a.md")[1].notes[NAMED].count == 4


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("1. **Safe.** For gas, call a professional.\n", {"safe": "For gas, call a professional."}),
        ("- *Tone:* be kind\n", {"tone": "Be kind."}),
        ("- [ ] `next-step` - names one next step\n", {"next-step": "The reply names one next step."}),
        (
            "- concrete - names one next step\n- local: asks people nearby\n",
            {"concrete": "The reply names one next step.", "local": "The reply asks people nearby."},
        ),
        (
            "| name | rule |\n|---|---|\n| concrete | names one next step |\n| local | Ask a neighbour. |\n",
            {"concrete": "The reply names one next step.", "local": "Ask a neighbour."},
        ),
        (
            "| | What we want |\n|---|---|\n| local | asks people nearby before buying |\n",
            {"local": "The reply asks people nearby before buying."},
        ),
    ],
)
def test_names_are_read_in_the_forms_that_people_write(
    content: str, expected: dict[str, str], tmp_path: Path
):
    assert rules(content, tmp_path) == expected


@pytest.mark.parametrize(
    "text",
    [
        "**Never** lie.",
        "**Never:** lie.",
        "**Be kind.** Always greet.",
        "**The reply is short**: at most three sentences.",
        "**Bad**: name a price.",
        "concrete: names one next step",  # the only entry of its list
        "**Links** are short.",
    ],
)
def test_words_that_are_part_of_the_rule_stay_in_it(text: str, tmp_path: Path):
    assert list(rules(f"- {text}\n", tmp_path).values()) == [text.replace("*", "")]


def test_a_plain_list_in_which_one_entry_has_no_name_is_left_alone(tmp_path: Path):
    found = rules("- tone: be kind\n- Be brief.\n", tmp_path)
    assert list(found.values()) == ["tone: be kind", "Be brief."]


def test_below_a_heading_that_forbids_no_entry_has_a_name(tmp_path: Path):
    found = rules("# Never\n\n- **prices**: name a price\n", tmp_path)
    assert list(found) != ["prices"]
    assert "prices: name a price" in next(iter(found.values()))


def test_a_table_of_rules_and_remarks_has_no_names(tmp_path: Path):
    content = "| rule | remark |\n|---|---|\n| No emojis | they look odd in our old mail program |\n"
    assert list(rules(content, tmp_path).values()) == ["No emojis"]


def test_a_column_behind_the_rules_is_no_name(tmp_path: Path):
    content = "| rule | owner |\n|---|---|\n| The reply names a step. | Marta |\n"
    assert list(rules(content, tmp_path)) == ["names-step"]


def test_plain_text_has_names_too(tmp_path: Path):
    content = "- **concrete**: names one next step\n- **Safe.** For gas, call a professional.\n- Be kind.\n"
    assert rules(content, tmp_path, ".txt") == {
        "concrete": "The reply names one next step.",
        "safe": "For gas, call a professional.",
        "be-kind": "Be kind.",
    }
    assert counts(read(tmp_path / "a.txt")[1]) == {}
