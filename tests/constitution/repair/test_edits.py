"""Edits by rule: what passes afterwards, and what is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.repair.edits import repaired

CHECK: TypeAdapter[Check] = TypeAdapter(Check)
ANSWER = (
    "I would water the basil less often. The soil should dry out between two waterings. "
    "You can test it with a finger.\n\nHere is what else helps:\n\n1. Give it more light.\n"
    "2. Use a pot with holes."
)


def check(kind: str, value: Any) -> Check:
    return CHECK.validate_python({"kind": kind, "value": value})


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (
            "max_words",
            15,
            "I would water the basil less often. The soil should dry out between two waterings.",
        ),
        ("max_sentences", 1, "I would water the basil less often."),
        (
            "max_sentence_words",
            7,
            "I would water the basil less often. You can test it with a finger.\n\n"
            "Here is what else helps:\n\n1. Give it more light.\n2. Use a pot with holes.",
        ),
        ("max_characters", 40, "I would water the basil less often."),
        ("ends_with", ["Good luck!"], f"{ANSWER}\n\nGood luck!"),
        ("starts_with", ["In short,"], f"In short, I would{ANSWER[7:]}"),
        ("starts_with", ["Short answer:"], f"Short answer: {ANSWER}"),
        (
            "person",
            "third",
            "The soil should dry out between two waterings.\n\nHere is what else helps:\n\n"
            "1. Give it more light.\n2. Use a pot with holes.",
        ),
        (
            "contains_none",
            ["soil", "finger"],
            "I would water the basil less often.\n\nHere is what else helps:\n\n"
            "1. Give it more light.\n2. Use a pot with holes.",
        ),
        ("not_starts_with", ["I"], ANSWER[36:]),
        (
            "format",
            "prose",
            "I would water the basil less often. The soil should dry out between two waterings. You can test "
            "it with a finger.\n\nHere is what else helps:\n\nGive it more light. Use a pot with holes.",
        ),
        (
            "json",
            '{"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}',
            None,
        ),
    ],
)
def test_answer_is_edited_to_pass(kind: str, value: Any, expected: str | None) -> None:
    rule = check(kind, json.loads(value) if kind == "json" else value)
    found = repaired([rule], ANSWER)
    assert found is not None
    assert evaluate(rule, found).passed
    if expected is not None:
        assert found == expected


def test_list_has_one_entry_for_each_sentence() -> None:
    found = repaired([check("format", "list")], "Dry the soil. Give it light. Use a larger pot.")
    assert found == "- Dry the soil.\n- Give it light.\n- Use a larger pot."


def test_answer_that_passes_is_not_changed() -> None:
    assert repaired([check("max_words", 200)], f"  {ANSWER}\n") == f"  {ANSWER}\n"


def test_incomplete_last_sentence_of_a_cut_answer_is_removed() -> None:
    cut = "Dry the soil. Give it light. Then you should"
    assert repaired([check("max_words", 200)], cut, finished=False) == "Dry the soil. Give it light."
    assert repaired([check("max_words", 200)], cut) == cut


def test_line_that_announces_the_removed_part_goes_with_it() -> None:
    text = "Dry the soil. Here is how:\n\n1. Wait for three days or until the surface is pale."
    assert repaired([check("max_words", 12)], text) == "Dry the soil."


def test_several_checks_are_met_together() -> None:
    checks = [check("max_words", 24), check("starts_with", ["Tip:"]), check("ends_with_question", False)]
    checks += [check("format", "list"), check("ends_with", ["Good luck!"])]
    found = repaired(checks, ANSWER + " Does that help?")
    assert found is not None
    assert all(evaluate(rule, found).passed for rule in checks)
    assert found == (
        "Tip:\n- I would water the basil less often.\n- The soil should dry out between two waterings."
        "\n\nGood luck!"
    )


def test_code_block_is_kept_or_removed_as_a_whole() -> None:
    text = "Run this.\n\n```sh\nmake test.\nmake check.\n```\n\nIt takes a minute. Then read the output."
    assert repaired([check("max_words", 8)], text) == "Run this.\n\n```sh\nmake test.\nmake check.\n```"


def test_questions_after_the_last_one_are_cut() -> None:
    text = "That depends. Do you want to keep it? If so, water it. Else not."
    assert repaired([check("ends_with_question", True)], text) == "That depends. Do you want to keep it?"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("min_words", 200),
        ("contains", ["zinc"]),
        ("contains_any", ["for example"]),
        ("regex", r"(?m)^Why: "),
        ("language", "fr"),
        ("ends_with_question", True),
        ("refusal", True),
        ("json", {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}}),
    ],
)
def test_what_an_answer_lacks_is_not_invented(kind: str, value: Any) -> None:
    assert repaired([check(kind, value)], ANSWER) is None


def test_grade_is_reached_by_removing_the_hardest_sentences() -> None:
    hard = "Notwithstanding considerable environmental heterogeneity, photosynthetic efficiency deteriorates."
    found = repaired([check("max_grade", 5)], f"The sun is out. {hard} We can go now. It is warm.")
    assert found == "The sun is out. We can go now. It is warm."


@pytest.mark.parametrize("text", ["", "   \n", "...", "```\ncode", "\n\n- \n"])
def test_texts_without_sentences_are_not_repaired_into_nothing(text: str) -> None:
    found = repaired([check("max_words", 5), check("ends_with", ["Bye."])], text, finished=False)
    assert found is None or found.strip()


def test_contradicting_checks_end_without_an_answer() -> None:
    assert repaired([check("format", "list"), check("format", "prose")], ANSWER) is None


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("regex", r"^.{1,80}$", "I would water the basil less often."),
        ("regex", r"\n\n— Sage$", f"{ANSWER}\n\n— Sage"),
        ("not_regex", r"\n\n", ANSWER.partition("\n\n")[0]),
        ("contains_none", ["1."], ANSWER.replace("1. ", "").replace("\n2.", "")),
        ("max_words", 5, "I would water the basil."),
    ],
)
def test_pattern_or_limit_is_met_by_an_edit(kind: str, value: Any, expected: str) -> None:
    text = ANSWER if kind != "max_words" else "I would water the basil, but less often than before."
    assert repaired([check(kind, value)], text) == expected


def test_sentences_go_between_the_parts_of_a_pattern() -> None:
    rule = check("regex", r"(?s)^Pros:.*Cons:")
    assert repaired([rule], "It is cheap. It is slow.") == "Pros: It is cheap.\n\nCons: It is slow."


def test_list_is_shortened_without_the_line_that_announces_it() -> None:
    assert repaired([check("max_sentences", 1)], "Some tips:\n\n1. Wait.\n2. Water it.") == "1. Wait."


def test_a_sentence_that_is_too_long_is_cut_at_a_clause_or_removed() -> None:
    code = "```\na b c d e f g h\n```"
    text = f"Water it less, because the soil is wet.\nIf it wilts, give it\nlight. Turn it.\n\n{code}"
    cut = f"Water it less.\nTurn it.\n\n{code}"
    assert repaired([check("max_sentence_words", 4)], text.replace("give it\nlight", "give it light")) == cut
    wrapped = repaired([check("max_sentence_words", 5)], text)
    assert wrapped is not None
    assert evaluate(check("max_sentence_words", 5), wrapped).passed


def test_surplus_list_items_are_removed_with_what_is_below_them() -> None:
    text = "So:\n\n- One.\n- Two.\n  More of two.\n- Three.\n\nThat is all."
    assert repaired([check("max_list_items", 1)], text) == "So:\n\n- One.\n\nThat is all."
    assert repaired([check("max_list_items", 2)], text) == text.replace("- Three.\n", "")


@pytest.mark.parametrize("schema", [{"properties": {"a": True}}, {"required": ["a"], "properties": {}}])
def test_schema_may_allow_any_value(schema: dict[str, Any]) -> None:
    found = repaired([check("json", {"type": "object", **schema})], "Yes.")
    assert found is not None
