"""Every kind of check: worked numbers, and the rule that a score is 1 for a pass and for nothing else."""

from __future__ import annotations

import random
import signal
from typing import get_args

import pytest
from pydantic import TypeAdapter

from constitution.checks.evaluate import CheckResult, evaluate, reading_grade
from constitution.checks.kinds import Check

ADAPTER = TypeAdapter(Check)


def check_of(kind: str, value: object) -> Check:
    return ADAPTER.validate_python(
        {"kind": kind, "value": tuple(value) if isinstance(value, list) else value}
    )


LIST = "- one\n- two\n- three"
PERSON = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}
GERMAN = "Das Wetter ist heute wirklich sehr schön, und wir gehen nachher noch in den Park."
ENGLISH = "The weather is really nice today, and we are going to the park later on."

WORKED = [
    ("max_sentences", 2, "One. Two.", 1.0),
    ("max_sentences", 2, "One. Two! Three? Four.", 0.5),
    ("max_sentences", 1, "", 1.0),
    ("max_sentence_words", 3, "One two three. One two!", 1.0),
    ("max_sentence_words", 3, "One two three - four five six. Seven.", 0.5),
    ("max_sentence_words", 3, "It costs 3.50 euros, Mr. Li.", 0.5),
    ("max_sentence_words", 2, "# A title\n- one two\n- three four", 1.0),
    ("max_sentence_words", 2, "One\ntwo\nthree four", 0.5),
    ("max_sentence_words", 1, "Run:\n```\na b c d e\n```", 1.0),
    ("max_sentence_words", 1, "", 1.0),
    ("max_sentence_words", 1, "---\n!?", 1.0),
    ("min_sentences", 4, "One. Two.", 0.5),
    ("min_sentences", 2, "Dr. No paid 3.50, e.g. for tea. He left.", 1.0),
    ("max_characters", 4, " abcd\n", 1.0),
    ("max_characters", 4, "abcde", 0.8),
    ("max_characters", 1, "e\u0301", 1.0),
    ("min_characters", 4, "abc", 0.75),
    ("min_characters", 4, "abcd", 1.0),
    ("max_list_items", 2, "So:\n- one\n\n  more of it\n2) two\n\nThat is all.", 1.0),
    ("max_list_items", 2, "* one\n  1. two\n  • three\n+ four", 0.5),
    ("max_list_items", 1, "- one - and more\n-5 °C\n* * *\n2026. \n| a | b |\n```\n- code\n```", 1.0),
    ("max_list_items", 1, "", 1.0),
    ("contains_any", ["yes", "no"], "Well, NO.", 1.0),
    ("contains_any", ["yes", "no"], "yesterday, nothing", 0.0),
    ("starts_with", ["Dear", "Hello there"], "  **Hello   there**, you", 1.0),
    ("starts_with", ["Dear"], "Dearest", 0.0),
    ("starts_with", ["**Note"], "**Note** this", 1.0),
    ("not_starts_with", ["Certainly"], "Certainly! Here", 0.0),
    ("not_starts_with", ["Certainly"], "Most certainly.", 1.0),
    ("ends_with", ["Thank you", "Bye"], "So: thank you!\n", 1.0),
    ("ends_with", ["you"], "So bayou", 0.0),
    ("ends_with", ["you!"], "Thank you!", 1.0),
    ("ends_with", ["you!"], "Thank you.", 0.0),
    ("ends_with", ["a very long phrase"], "short", 0.0),
    ("not_ends_with", ["Bye"], "Good bye.", 0.0),
    ("not_ends_with", ["Bye"], "Bye, all", 1.0),
    ("json", {}, "[1, 2]", 1.0),
    ("json", {}, "```json\n{}\n```", 1.0),
    ("json", {}, "Here: {}", 0.0),
    ("json", {}, "", 0.0),
    ("json", {}, '{"a": 1, "a": 2}', 0.0),
    ("json", {}, "[NaN]", 0.0),
    ("json", {}, "[1e999]", 0.0),
    ("json", {}, "9" * 5000, 0.0),
    ("json", {}, "[" * 64 + "]" * 64, 1.0),
    ("json", {}, "[" * 65 + "]" * 65, 0.0),
    ("json", {}, "[" * 100_000, 0.0),
    ("json", PERSON, '{"age": 3}', 1.0),
    ("json", PERSON, '{"age": -3}', 0.5),
    ("json", PERSON, "{}", 0.5),
    ("json", {"items": {"type": "string"}}, "[1, 2, 3]", 0.25),
    ("json", {"pattern": "b"}, '"' + "a" * 20_000 + 'b"', 0.5),
    ("language", "de", GERMAN, 1.0),
    ("language", "en", ENGLISH, 1.0),
    ("language", "en", "Ja, sehr gern!", 1.0),  # too short to tell
    ("language", "de", GERMAN + "\n```\nfor the record in the list of the records: print it\n```", 1.0),
    ("language", "ja", "今日はとても天気がいいので、公園に行きましょう。", 1.0),
    ("language", "ru", "Сегодня очень хорошая погода, и мы пойдём в парк.", 1.0),
    ("format", "list", LIST, 1.0),
    ("format", "list", "Here they are:\n" + LIST, 1.0),
    ("format", "list", "a\nb\nc\n- one", 0.25),
    ("format", "list", "Some prose.", 0.0),
    ("format", "list", "1. a\n   more of a\n2. b", 1.0),
    ("format", "list", "", 0.0),
    ("format", "prose", "Some prose.\n\nMore - of it.", 1.0),
    ("format", "prose", "Well said.\n- Ann", 1.0),
    ("format", "prose", "Here:\n" + LIST, 0.25),
    ("format", "prose", LIST, 0.0),
    ("format", "prose", "", 1.0),
    ("person", "first", "I think so.", 1.0),
    ("person", "first", "It is so.", 0.0),
    ("person", "first", 'She said "I think so".', 0.0),
    ("person", "first", "World War I ended in 1918.", 0.0),
    ("person", "second", "You should rest, and take your time.", 1.0),
    ("person", "second", "You should rest, and take your time, I think.", 2 / 3),
    ("person", "second", "Rest.", 0.0),
    ("person", "third", "The US asked them to rest.", 1.0),
    ("person", "third", "We asked you to rest.", 1 / 3),
    ("ends_with_question", True, "It is late. Shall we go?", 1.0),
    ("ends_with_question", True, "Shall we go (**now?**) 🙂\n", 1.0),
    ("ends_with_question", True, "Really?!", 1.0),
    ("ends_with_question", True, "行きますか？", 1.0),
    ("ends_with_question", True, "Shall we go? Let's.", 0.0),
    ("ends_with_question", True, "", 0.0),
    ("ends_with_question", False, "Shall we go?", 0.0),
    ("ends_with_question", False, "", 1.0),
    ("phrase_list", "flattery", "GREAT question! You're absolutely right.", 1 / 3),
    ("phrase_list", "flattery", "The question is great.", 1.0),
    ("phrase_list", "boilerplate", "As an AI, I hope this helps.", 1 / 3),
    ("phrase_list", "hedging", "It depends.", 0.5),
    ("phrase_list", "moralising", "It’s important to remember the poor.", 0.5),
    ("refusal", True, "I’m sorry, but I can’t help with that.", 1.0),
    ("refusal", True, "Sure: first, open the lid.", 0.0),
    ("refusal", False, "I won't do that.", 0.0),
    ("refusal", False, "", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "text", "score"), WORKED)
def test_worked_numbers(kind, value, text, score):
    assert evaluate(check_of(kind, value), text) == CheckResult(score == 1.0, pytest.approx(score))


def test_the_reading_grade_is_the_automated_readability_index():
    # 8 words, 29 letters, 2 sentences
    text = "The cat sat down there. Nobody saw it."
    assert reading_grade(text) == pytest.approx(4.71 * 29 / 8 + 0.5 * 8 / 2 - 21.43)
    assert reading_grade("```\ncode\n```") is None


def test_a_text_above_the_grade_scores_by_how_far_it_is_above():
    hard = "Notwithstanding considerable resistance, the administration reorganised its departments."
    grade = reading_grade(hard)
    assert grade is not None
    assert grade > 12
    assert evaluate(check_of("max_grade", 12), hard) == CheckResult(False, pytest.approx(12 / grade))
    assert evaluate(check_of("min_grade", 12), hard).passed
    assert evaluate(check_of("min_grade", 6), "A cat sat.") == CheckResult(False, 0.0)
    assert evaluate(check_of("max_grade", 6), "").passed
    assert evaluate(check_of("min_grade", 1), "") == CheckResult(False, 0.0)


def test_another_language_scores_less_than_one_half_even_where_it_is_the_nearest_but_one():
    result = evaluate(check_of("language", "en"), GERMAN)
    assert not result.passed
    assert 0.0 <= result.score <= 0.5


def test_languages_that_hardly_differ_are_one():
    norwegian = "Jeg vet ikke hva jeg skal si om dette, men det er veldig fint her i dag."
    assert evaluate(check_of("language", "no"), norwegian).passed
    assert evaluate(check_of("language", "nn"), norwegian).passed
    assert not evaluate(check_of("language", "fi"), norwegian).passed


def test_a_schema_may_refer_to_itself():
    tree = {"$ref": "#/$defs/node", "$defs": {"node": {"items": {"$ref": "#/$defs/node"}, "type": "array"}}}
    assert evaluate(check_of("json", tree), "[[], [[]]]").passed
    assert not evaluate(check_of("json", tree), "[[], [1]]").passed


ANY_VALUE: dict[str, list[object]] = {
    **{
        f"{end}_{unit}": [1, 3, 40]
        for end in ("max", "min")
        for unit in ("words", "sentences", "characters")
    },
    "max_list_items": [1, 3],
    "max_sentence_words": [1, 3, 40],
    **{kind: ["a", r"\bthe\b|^$", "(?i)x*"] for kind in ("regex", "not_regex")},
    **{
        kind: [["the"], ["I", "you", "…"], ["!", "?"]]
        for kind in (
            "contains", "contains_any", "contains_none", "starts_with", "ends_with",
            "not_starts_with", "not_ends_with",
        )
    },
    "max_grade": [1, 6.5, 30],
    "min_grade": [1, 6.5, 30],
    "json": [{}, {"type": "array"}, PERSON],
    "language": ["en", "zh"],
    "format": ["list", "prose"],
    "person": ["first", "second", "third"],
    "ends_with_question": [True, False],
    "phrase_list": ["boilerplate", "flattery", "hedging", "moralising"],
    "refusal": [True, False],
}  # fmt: skip
PIECES = (
    "the", "I", "You", "we", "cat", "sat.", "Really?!", "…", "\n", "\n- ", "\n1. ", "# ", "```\n", '"', "“",
    "”", "*", "我喜欢。", "ありがとう", "नमस्ते।", "🙂", "3.5", "Dr.", "e.g.", "{}", '{"age": 1}', "[1,", "]",
    "I can't help with that.", "Great question!", "\u202e", "\x00", "ß", "İ", "\ud800", "?", "however, I can",
    "http://a.b/c", "| a | b |",
)  # fmt: skip
LONG = {
    "words": "The cat sat on the mat. " * 42_000,
    "dots": "." * 1_000_000,
    "fences": "```\n" * 250_000,
    "one word": "a" * 1_000_000,
    "list": "- a\n" * 250_000,
    "question marks": "?!" * 500_000,
}


def checks() -> list[Check]:
    return [check_of(kind, value) for kind, values in ANY_VALUE.items() for value in values]


def test_every_kind_is_tried():
    kinds = {get_args(model.model_fields["kind"].annotation)[0] for model in get_args(get_args(Check)[0])}
    assert kinds == {*ANY_VALUE, "python"}
    assert all(model.__doc__ for model in get_args(get_args(Check)[0]))


@pytest.mark.parametrize("check", checks(), ids=lambda check: f"{check.kind}-{check.value}"[:40])
def test_scores_are_within_bounds_and_one_only_for_a_pass(check):
    chance = random.Random(f"{check.kind} {check.value}")
    texts = [" ".join(chance.choices(PIECES, k=chance.randrange(12))) for _ in range(150)]
    for text in ["", " \n", *texts]:
        result = evaluate(check, text)
        assert 0.0 <= result.score <= 1.0
        assert result.passed == (result.score == 1.0)
        assert result == evaluate(check, text)
    hash(check)


@pytest.fixture
def watchdog():
    """End what takes minutes for a megabyte: time by the square of the length would."""

    def bark(number, frame):
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGPROF, bark)
    signal.setitimer(signal.ITIMER_PROF, 120)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


@pytest.mark.parametrize(
    "part", [pytest.param(10, id="a-tenth"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_a_megabyte_is_judged_and_no_kind_hangs(text, part, watchdog):
    text = text[: len(text) // part]
    for check in (check_of(kind, values[0]) for kind, values in ANY_VALUE.items()):
        assert 0.0 <= evaluate(check, text).score <= 1.0
