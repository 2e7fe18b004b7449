"""What failed checks say: for every kind, true of the answer, and nothing where it passes."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from constitution.checks.evaluate import evaluate, reading_grade
from constitution.checks.findings import (
    NOTHING_FITS,
    REJECTS,
    SOMETHING_FITS,
    finding,
    finding_beside_rule,
    finding_for_people,
    matched_texts,
)
from constitution.checks.kinds import Check, PythonCheck
from constitution.schema import Principle

CASES: list[tuple[str, Any, str, str, str]] = [
    ("max_words", 3, "One two three four.", "One two.", "it has 4 words, and the limit is 3"),
    ("min_words", 3, "One two.", "One two three.", "it has 2 words, and at least 3 are required"),
    ("max_sentences", 1, "One. Two.", "One.", "it has 2 sentences, and the limit is 1"),
    ("min_sentences", 2, "One.", "One. Two.", "it has 1 sentence, and at least 2 are required"),
    (
        "max_sentence_words",
        3,
        "One two three. One two three four.",
        "One two three. Four five six.",
        "it has a sentence of 4 words, and the limit is 3",
    ),
    ("max_characters", 3, "four", "two", "it has 4 characters, and the limit is 3"),
    ("min_characters", 3, "no", "yes", "it has 2 characters, and at least 3 are required"),
    ("max_list_items", 1, "- a\n- b", "- a", "it has 2 list items, and the limit is 1"),
    ("regex", "[0-9]", "None.", "7", "it has no text that the regular expression [0-9] finds"),
    ("not_regex", "[0-9]", "7", "None.", "it has text that the regular expression [0-9] finds"),
    ("contains", ["a b", "c"], "C.", "A b c.", 'it lacks "a b"'),
    ("contains_any", ["for example", "say"], "No.", "Say no.", 'it contains neither "for example" nor "say"'),
    ("contains_any", ["say"], "No.", "Say no.", 'it lacks "say"'),
    (
        "contains_none",
        ["As an AI", "Sure", "Hm"],
        "Sure, as an AI.",
        "No.",
        'it contains "As an AI" and "Sure"',
    ),
    ("starts_with", ["Yes", "No"], "Well.", "Yes.", 'it does not begin with "Yes" or "No"'),
    ("not_starts_with", ["Well"], "Well.", "Yes.", 'it begins with "Well"'),
    ("ends_with", ["Bye."], "Hello.", "Bye.", 'it does not end with "Bye."'),
    ("ends_with", ["."], "Hello", "Hello.", 'it does not end with "."'),
    ("not_ends_with", ["Bye."], "Bye.", "Hello.", 'it ends with "Bye."'),
    (
        "max_grade",
        5,
        "Institutional considerations necessitate deliberation.",
        "I go.",
        "it reads at school grade",
    ),
    (
        "min_grade",
        12,
        "I go.",
        "Institutional considerations necessitate deliberation.",
        "it reads at school grade",
    ),
    ("json", {"type": "array"}, "{}", "[]", "it has 1 error by the JSON schema"),
    ("json", {}, "Here: {}", "{}", "it is not JSON"),
    ("language", "de", "This is an English sentence about tea.", "Ja.", "the language with the code de"),
    ("format", "list", "Prose.", "- a\n- b", "it is not a list"),
    ("format", "prose", "- a\n- b", "Prose.", "it has 2 lines of a list"),
    ("person", "first", "Stir it.", "I stir it.", "it is not written in the first person"),
    ("person", "second", "I stir it.", "You stir it.", "it has 1 word in the first person"),
    ("person", "third", "I stir your tea.", "Stir it.", "it has 2 words in the first or second person"),
    ("ends_with_question", True, "No.", "Why?", "it does not end with a question"),
    ("ends_with_question", False, "Why?", "No.", "it ends with a question"),
    ("phrase_list", "boilerplate", "As an AI, no.", "No.", "it contains "),
    ("refusal", False, "I'm sorry, but I can't help with that.", "Yes.", "it refuses what was asked"),
    ("refusal", True, "Yes.", "I'm sorry, but I can't help with that.", "it is not a refusal"),
]


def check_of(kind: str, value: Any) -> Check:
    check = Principle.model_validate({"id": "a", "text": "A.", "check": {"kind": kind, "value": value}}).check
    assert check is not None
    return check


@pytest.mark.parametrize(("kind", "value", "fails", "passes", "said"), CASES)
def test_failed_check_says_what_it_found(kind: str, value: Any, fails: str, passes: str, said: str):
    check = check_of(kind, value)
    assert not evaluate(check, fails).passed
    found = finding(check, fails)
    assert found is not None
    assert said in found
    assert finding(check, passes) is None


def test_every_kind_has_a_finding():
    kinds = {
        kind.model_fields["kind"].annotation
        for kind in get_args(get_args(Check)[0])
        if kind is not PythonCheck
    }
    assert {name for kind in kinds for name in get_args(kind)} == {case[0] for case in CASES}


@pytest.mark.parametrize(
    ("kind", "value", "text", "said"),
    [
        ("min_characters", 100, f"ab{' ' * 200}", "it has 2 characters, and at least 100 are required"),
        ("max_characters", 3, "  cafe\u0301s\n", "it has 5 characters, and the limit is 3"),
    ],
)
def test_characters_are_counted_as_the_check_counts_them(kind: str, value: int, text: str, said: str):
    assert finding(check_of(kind, value), text) == said


@pytest.mark.parametrize("apart", [0.3, 0.04, 0.0004])
@pytest.mark.parametrize(("kind", "sign"), [("max_grade", -1), ("min_grade", 1)])
def test_grade_never_reads_as_the_limit(kind: str, sign: int, apart: float):
    text = "Institutional considerations necessitate deliberation. I go there."
    grade = reading_grade(text)
    assert grade is not None
    limit = round(grade, 6) + sign * apart
    said = finding(check_of(kind, limit), text)
    assert said is not None
    shown = float(said.split("grade ")[1].split(",")[0])
    assert (shown > limit) is (sign < 0)
    assert shown != limit


def test_only_a_finding_that_says_little_alone_is_behind_its_rule():
    pattern = Principle.model_validate(
        {"id": "a", "text": "No\ndigits.", "check": {"kind": "not_regex", "value": "[0-9]"}}
    ).check
    words = Principle.model_validate(
        {"id": "a", "text": "Brief.", "check": {"kind": "max_words", "value": 1}}
    )
    assert pattern is not None
    assert words.check is not None
    assert finding_for_people("No\ndigits.", pattern, "it has 7") == f"No digits: {SOMETHING_FITS}"
    assert finding_for_people("Brief.", words.check, "it has 2 words") == "it has 2 words"


def test_people_are_told_what_a_pattern_found_and_not_the_pattern():
    text = "We will refund you, and we can refund her."
    check = check_of("not_regex", r"(?i)\bwe (?:will|can|have) refund\b")
    found = finding(check, text)
    assert found is not None
    told = finding_for_people("No refund.", check, found, matched_texts(check, text))
    assert told == 'it has "We will refund" and "we can refund"'


def test_people_are_told_how_the_longest_sentence_begins_and_critics_are_not():
    text = f"Short. {' '.join(['word'] * 30)} end. {' '.join(['other'] * 25)}."
    check = check_of("max_sentence_words", 20)
    found = finding(check, text)
    assert found == "it has a sentence of 31 words, and the limit is 20"
    told = finding_for_people("Short sentences.", check, found, matched_texts(check, text))
    assert told == f'{found}: "{"word " * 8}…"'
    assert matched_texts(check, "Short.") == ()


def test_a_pattern_that_found_nothing_and_the_name_of_an_own_check_are_for_authors_alone():
    check = check_of("regex", r"\A\W*(?:[Pp]lease )?0800 11")
    found = finding(check, "b")
    assert found is not None
    assert r"\A\W*" in found
    told = finding_for_people("It gives\nthe number.", check, found)
    assert told == f"It gives the number: {NOTHING_FITS}"
    assert finding_beside_rule("It gives\nthe number.", told) == NOTHING_FITS
    own = PythonCheck.model_construct(kind="python", value="desk:number")
    assert (
        finding_for_people("It is true.", own, "the check desk:number rejects it") == f"It is true: {REJECTS}"
    )
