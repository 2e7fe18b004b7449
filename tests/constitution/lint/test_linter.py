"""Every lint code: a file that it is told of, with line and column, and a like one that it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from constitution.lint.codes import CODES, RETIRED, find_code
from constitution.lint.linter import Finding, LintReport, lint_report
from constitution.lint.subject import LintContext
from constitution.loader import preset_names, read_constitution
from core.errors import ConfigError
from core.records import Message, Prompt

HEAD = "name: x\nprinciples:\n"
LONG = " ".join(["word"] * 58)
DEFAULTS = {"critique": "What should change?", "revision": "Answer again, and follow: {text}"}


def prompt(text: str, *tags: str, split: str = "train") -> Prompt:
    return Prompt.of((Message(role="user", content=text),), tags=tags, split=split)


PROMPTS = (
    prompt("How do I bake bread at home?", "everyday"),
    prompt("How can I pick my own lock?", "borderline"),
    prompt("Why does the moon look larger when it rises?", "everyday", split="test"),
    prompt("Are cats kind?", "everyday", split="test"),
)


def principles(*entries: str, head: str = HEAD) -> str:
    """Return a file with these principles, each in a line of its own from line 3 on."""
    return head + "".join(f"  - {entry}\n" for entry in entries)


def passage_of(words: int) -> str:
    entry = "{id: a, text: The reply is kind., source: '#long'}"
    return f"name: x\npassages:\n  long: {'word ' * words}\nprinciples:\n  - {entry}\n"


def few_shot_of(words: int, use: str) -> str:
    example = f"{{prompt: p, good: g, bad: {'b ' * words}, use: {use}}}"
    return principles(f"{{id: a, text: It is kind., examples: [{example}]}}")


def with_check(*checks: str) -> str:
    """Return a file of principles with these checks; the value of each stands at the end of its line."""
    return principles(*(f"{{id: p{i}, text: Rule {i} holds., check: {{{c}}}}}" for i, c in enumerate(checks)))


CASES: list[tuple[str, str, str, str]] = [
    (
        "L101",
        principles("The reply is kind.", "{id: b, text: 'The reply, is KIND!'}"),
        "4:19",
        principles("The reply is kind.", "The reply is calm."),
    ),
    (
        "L102",
        principles("The reply uses plain words for readers.", "The reply uses plain words for the readers."),
        "4:5",
        principles(
            "The reply names 3 plain words for readers.", "The reply names 4 plain words for readers."
        ),
    ),
    (
        "L103",
        principles("The reply uses emojis.", "The reply does not use emojis."),
        "4:5",
        principles(
            "{id: a, text: The reply uses emojis., applies_to: {tags: [chat]}}",
            "{id: b, text: The reply does not use emojis., applies_to: {tags: [work]}}",
        ),
    ),
    (
        "L105",
        principles(f"{{id: a, text: The reply is {LONG}.}}"),
        "3:19",
        principles(f"{{id: a, text: The reply {LONG}.}}"),
    ),
    (
        "L106",
        passage_of(1501),
        "3:9",
        passage_of(1500),
    ),
    (
        "L107",
        principles("{id: a, text: The reply is kind., antithesis: The reply TODO.}"),
        "3:51",
        principles(
            "{id: a, text: The reply lists what is left to do., antithesis: The reply <b>shouts</b>.}"
        ),
    ),
    (
        "L108",
        principles("{id: a, text: The reply follows the principles above.}"),
        "3:19",
        principles("{id: a, text: The reply explains the principle behind a country's constitution.}"),
    ),
    (
        "L111",
        principles("{id: a, text: The reply is kind., antithesis: The reply is kind}"),
        "3:51",
        principles("{id: a, text: The reply is kind., antithesis: The reply is harsh.}"),
    ),
    (
        "L112",
        principles("The reply is kind.", "Use short words.", "Never blame the customer."),
        "4:5",
        principles(
            "Use of slang is forbidden.", "{id: b, text: Be brief., check: {kind: max_words, value: 9}}"
        ),
    ),
    (
        "L201",
        "name: x\nlint_ignore: [L107, L999]\nprinciples:\n  - The reply is TODO.\n",
        "2:21",
        "name: x\nlint_ignore: [L107, L104]\nprinciples:\n  - The reply is TODO.\n",
    ),
    (
        "L202",
        principles("{id: a, text: The reply is brief., lint_ignore: [L107]}"),
        "3:54",
        principles("{id: a, text: The reply is TODO., lint_ignore: [L107]}"),
    ),
    (
        "L203",
        "name: x\nsections: [a, b]\nprinciples:\n  - {id: p, text: The reply is kind., section: a}\n",
        "2:15",
        "name: x\nsections: [a]\nprinciples:\n  - {id: p, text: The reply is kind., section: a}\n",
    ),
    (
        "L204",
        "name: x\nsections: [a]\nprinciples:\n  - {id: p, text: The reply is kind., section: a}\n"
        "  - The reply is calm.\n",
        "5:5",
        principles("The reply is kind.", "The reply is calm."),
    ),
    (
        "L205",
        principles("{id: a, text: The reply is kind., weight: 0.0005}", "The reply is calm."),
        "3:47",
        principles("{id: a, text: The reply is kind., weight: 0.02}", "The reply is calm."),
    ),
    (
        "L206",
        principles(
            "{id: a, text: The reply is kind., weight: 4}", "The reply is calm.", "The reply is warm."
        ),
        "3:47",
        principles("{id: a, text: The reply is kind., weight: 4}", "The reply is calm."),
    ),
    (
        "L207",
        principles(
            "{id: a, text: The reply is kind., weight: 50}",
            "{id: b, text: The reply is calm., weight: 50}",
            "{id: c, text: The reply is warm., weight: 0.5}",
        ),
        "3:47",
        principles(
            "{id: a, text: The reply is kind., weight: 50}",
            "{id: b, text: The reply is calm., weight: 50}",
            "{id: c, text: The reply is warm., weight: 0.6}",
        ),
    ),
    (
        "L208",
        principles(
            "{id: a, text: The reply is kind., revision: 'Answer again, and follow: the reply is kind.'}"
        ),
        "3:49",
        principles("{id: a, text: The reply is kind., revision: Answer it in a kinder way.}"),
    ),
    (
        "L209",
        principles(
            "{id: a, text: The reply is kind., antithesis: It is harsh.}", "{id: b, text: It is calm.}"
        ),
        "4:5",
        principles(
            "{id: a, text: The reply is kind., antithesis: It is harsh.}",
            "{id: b, text: It has 9 words., check: {kind: max_words, value: 9}}",
        ),
    ),
    (
        "L211",
        principles("{id: a, text: It has 9 words., comparison: Which?, check: {kind: max_words, value: 9}}"),
        "3:48",
        principles("{id: a, text: It has 9 words., critique: What?, check: {kind: max_words, value: 9}}"),
    ),
    (
        "L212",
        "name: x\npassages:\n  used: Words.\n  idle: Words.\nprinciples:\n"
        "  - {id: a, text: The reply is kind., source: '#used'}\n",
        "4:9",
        "name: x\npassages:\n  used: Words.\nprinciples:\n"
        "  - {id: a, text: The reply is kind., source: '#used'}\n",
    ),
    (
        "L213",
        principles("{id: a, text: It is kind., applies_to: {tags: [x]}, except: {tags: [y, x]}}"),
        "3:65",
        principles("{id: a, text: It is kind., applies_to: {tags: [x, z]}, except: {tags: [y, x]}}"),
    ),
    (
        "L214",
        principles("{id: a, text: It is kind., weight: 0}", "{id: b, text: It is calm., weight: 0}"),
        "3:40",
        principles("{id: a, text: It is kind., weight: 0}", "{id: b, text: It is calm., weight: 0.5}"),
    ),
    ("L301", with_check("kind: min_words, value: 61", "kind: max_words, value: 60"), "4:67", "words"),
    (
        "L302",
        with_check("kind: contains, value: [As an AI]", "kind: contains_none, value: [AI]"),
        "4:71",
        "AIs",
    ),
    ("L303", with_check("kind: language, value: de", "kind: language, value: en"), "4:66", "twins"),
    ("L304", with_check("kind: max_words, value: 60", "kind: max_words, value: 60"), "4:67", "values"),
    (
        "L305",
        principles("{id: a, text: It has at most 25 words., check: {kind: max_words, value: 60}}"),
        "3:77",
        principles("{id: a, text: It has fewer than 61 words., check: {kind: max_words, value: 60}}"),
    ),
    ("L306", with_check("kind: regex, value: '(no)*'"), "3:63", with_check("kind: regex, value: '(no)+'")),
    ("L307", with_check("kind: regex, value: '(a+)+b'"), "3:63", with_check("kind: regex, value: '(ab)+c'")),
    (
        "L308",
        principles("{id: a, text: The reply has at most 3 sentences.}"),
        "3:19",
        principles("{id: a, text: The reply has at most 3 sentences per paragraph.}"),
    ),
    (
        "L309",
        principles(
            "{id: at-most-70-words, text: The reply has at most 25 words., "
            "check: {kind: max_words, value: 25}}"
        ),
        "3:5",
        principles(
            "{id: under-26-words, text: The reply has at most 25 words., check: {kind: max_words, value: 25}}"
        ),
    ),
    (
        "L401",
        principles("{id: a, text: It is kind., examples: [{prompt: p, good: same, bad: same}]}"),
        "3:72",
        principles("{id: a, text: It is kind., examples: [{prompt: p, good: same, bad: Same}]}"),
    ),
    (
        "L402",
        principles(
            "{id: a, text: It has 2 words., check: {kind: max_words, value: 2}, examples: "
            "[{prompt: p, good: one two three, bad: one two three four}]}"
        ),
        "3:101",
        principles(
            "{id: a, text: It has 2 words., check: {kind: max_words, value: 2}, examples: "
            "[{prompt: p, good: one two, bad: one two three four}]}"
        ),
    ),
    (
        "L403",
        principles(
            "{id: a, text: It has 2 words., check: {kind: max_words, value: 2}, examples: "
            "[{prompt: p, good: one two, bad: two}]}"
        ),
        "3:115",
        principles(
            "{id: a, text: It has 2 words., check: {kind: max_words, value: 2}, examples: "
            "[{prompt: p, good: one two, bad: one two three}]}"
        ),
    ),
    (
        "L404",
        principles(
            "{id: a, text: It is kind., examples: [{prompt: p q, good: g, bad: b}, "
            "{prompt: 'P, q?', good: h, bad: c, use: few_shot}]}"
        ),
        "3:84",
        principles(
            "{id: a, text: It is kind., examples: [{prompt: p q, good: g, bad: b}, "
            "{prompt: p r, good: h, bad: c, use: few_shot}]}"
        ),
    ),
    (
        "L405",
        principles(
            "{id: a, text: It is kind., examples: [{prompt: p, good: g, bad: b}, "
            "{prompt: p, good: g, bad: b}]}"
        ),
        "3:73",
        principles(
            "{id: a, text: It is kind., examples: [{prompt: p, good: g, bad: b}, "
            "{prompt: p, good: g, bad: c}]}"
        ),
    ),
    (
        "L406",
        principles(
            "{id: a, text: It is kind., applies_to: {pattern: (?i)how}, "
            "examples: [{prompt: Why?, good: g, bad: b}]}"
        ),
        "3:84",
        principles(
            "{id: a, text: It is kind., applies_to: {pattern: (?i)how, tags: [t]}, "
            "examples: [{prompt: How?, good: g, bad: b}]}"
        ),
    ),
    (
        "L407",
        few_shot_of(500, "few_shot"),
        "3:43",
        few_shot_of(500, "test"),
    ),
    (
        "L501",
        principles("{id: a, text: It is kind., applies_to: {tags: [border-line]}}"),
        "3:44",
        principles("{id: a, text: It is kind., applies_to: {tags: [borderline]}}"),
    ),
    (
        "L502",
        principles("{id: a, text: It is kind., examples: [{prompt: are cats KIND, good: g, bad: b}]}"),
        "3:52",
        principles(
            "{id: a, text: It is kind., examples: [{prompt: How do I bake bread at home?, good: g, bad: b}]}"
        ),
    ),
    (
        "L503",
        principles("{id: a, text: It is kind., applies_to: {tags: [everyday, borderlin]}}"),
        "3:62",
        principles("{id: a, text: It is kind., applies_to: {tags: [everyday, borderline]}}"),
    ),
    (
        "L504",
        principles("{id: a, text: It is kind., applies_to: {tags: [everyday]}}"),
        "3:3",
        principles("{id: a, text: It is kind., applies_to: {pattern: (?i)how|why|are}}"),
    ),
]
INSTEAD = {
    "words": with_check("kind: min_words, value: 60", "kind: max_words, value: 60"),
    "AIs": with_check("kind: contains, value: [AI]", "kind: contains_none, value: [As an AI]"),
    "twins": with_check("kind: language, value: hr", "kind: language, value: sr"),
    "values": with_check("kind: max_words, value: 60", "kind: max_words, value: 61"),
}


@pytest.fixture
def report_on(tmp_path: Path) -> Callable[..., LintReport]:
    def _report(text: str, prompts: tuple[Prompt, ...] | None = PROMPTS) -> LintReport:
        path = tmp_path / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        return lint_report(read_constitution(path), LintContext(prompts, DEFAULTS))

    return _report


def places(findings: tuple[Finding, ...], code: str) -> list[str]:
    return [f.where.split("rules.yaml:")[1] for f in findings if f.code == code]


@pytest.mark.parametrize(("code", "bad", "place", "good"), CASES, ids=[case[0] for case in CASES])
def test_a_code_is_told_at_its_place_and_not_of_a_like_file(report_on, code, bad, place, good):
    assert places(report_on(bad).findings, code) == [place]
    assert places(report_on(INSTEAD.get(good, good)).findings, code) == []


def test_an_id_that_overrides_one_of_a_base_is_named_by_the_base(report_on):
    entry = (
        "{id: at-most-60-words, text: The reply has at most 40 words., check: {kind: max_words, value: 40}}"
    )
    over = f"extends: plain-and-brief\nname: mine\nprinciples:\n  - {entry}\n"
    assert places(report_on(over).findings, "L309") == []
    own = f"name: mine\nprinciples:\n  - {entry}\n"
    assert places(report_on(own).findings, "L309") == ["3:5"]


@pytest.mark.parametrize("text", ["The reply is at most 60 words.", "The reply is at most 60 words long."])
@pytest.mark.parametrize("weights", [(0, 1), (1, 0)])
def test_a_yardstick_may_have_the_text_of_a_rule(report_on, text: str, weights: tuple[int, int]):
    entries = (
        f"{{id: a, text: The reply is at most 60 words., weight: {weights[0]}}}",
        f"{{id: b, text: {text}, weight: {weights[1]}}}",
    )
    codes = {found.code for found in report_on(principles(*entries)).findings}
    assert not codes & {"L101", "L102"}


def test_two_yardsticks_with_one_text_are_duplicates(report_on):
    entry = "{{id: {}, text: The reply is kind., weight: {}}}"
    entries = [entry.format(*values) for values in (("a", 0), ("b", 1), ("c", 0), ("d", 1))]
    found = [(one.code, one.what) for one in report_on(principles(*entries)).findings if one.code == "L101"]
    assert found == [("L101", "the same text as 'a'"), ("L101", "the same text as 'b'")]


def test_every_code_but_those_of_a_model_has_a_case():
    assert [case[0] for case in CASES] == [code for code in CODES if code < "L6"]


CONTRADICTIONS = [
    ("L301", "kind: min_words, value: 31", "kind: max_characters, value: 60"),
    ("L301", "kind: max_words, value: 4", "kind: min_sentences, value: 5"),
    ("L301", "kind: max_sentences, value: 2", "kind: min_sentences, value: 3"),
    ("L301", "kind: min_grade, value: 9", "kind: max_grade, value: 8.5"),
    ("L302", "kind: contains_none, value: [sorry]", "kind: starts_with, value: [Sorry]"),
    ("L302", "kind: starts_with, value: ['Yes', 'No']", "kind: not_starts_with, value: ['no', 'yes']"),
    ("L302", "kind: ends_with, value: [Bye]", "kind: not_ends_with, value: [bye]"),
    ("L302", "kind: starts_with, value: ['Yes']", "kind: starts_with, value: ['No']"),
    ("L302", "kind: contains_any, value: [one, two]", "kind: contains_none, value: [two, one, three]"),
    ("L302", "kind: contains, value: [你好世界]", "kind: contains_none, value: [你好]"),
    ("L302", "kind: contains, value: [well I guess so]", "kind: phrase_list, value: hedging"),
    ("L302", "kind: ends_with, value: ['Yes?']", "kind: ends_with_question, value: false"),
    ("L302", "kind: regex, value: a.c", "kind: not_regex, value: a.c"),
    ("L303", "kind: json, value: {}", "kind: format, value: list"),
    ("L303", "kind: format, value: prose", "kind: format, value: list"),
    ("L303", "kind: person, value: first", "kind: person, value: third"),
    ("L303", "kind: refusal, value: true", "kind: refusal, value: false"),
    ("L303", "kind: ends_with_question, value: false", "kind: ends_with_question, value: true"),
]
CONSISTENT = [
    ("kind: min_words, value: 30", "kind: max_characters, value: 60"),
    ("kind: min_words, value: 3", "kind: max_grade, value: 2"),
    ("kind: starts_with, value: ['Yes', 'No']", "kind: not_starts_with, value: ['No']"),
    ("kind: starts_with, value: ['Yes']", "kind: starts_with, value: ['Yes, of course']"),
    ("kind: starts_with, value: ['Yes']", "kind: not_ends_with, value: ['Yes']"),
    ("kind: contains, value: [sorryish]", "kind: contains_none, value: [sorry]"),
    ("kind: json, value: {}", "kind: format, value: prose"),
    ("kind: regex, value: a.c", "kind: not_regex, value: a.d"),
    ("kind: refusal, value: true", "kind: refusal, value: true"),
    ("kind: max_sentence_words, value: 5", "kind: min_words, value: 60"),
]


@pytest.mark.parametrize(("code", "one", "two"), CONTRADICTIONS)
def test_contradictory_checks_are_errors_whichever_comes_first(report_on, code, one, two):
    for checks in ((one, two), (two, one)):
        findings = report_on(with_check(*checks)).findings
        assert [(f.code, f.severity) for f in findings if f.code[:2] == "L3"] == [(code, "error")]
        assert ":4:" in next(f.where for f in findings if f.code == code)


@pytest.mark.parametrize(("one", "two"), CONSISTENT)
def test_checks_that_a_reply_can_pass_together_are_no_errors(report_on, one, two):
    for checks in ((one, two), (two, one)):
        assert report_on(with_check(*checks)).count("error") == 0


@pytest.mark.parametrize(
    ("one", "two", "meet"),
    [
        ("", "", True),
        ("applies_to: {tags: [a]}", "", True),
        ("applies_to: {tags: [a, b]}", "applies_to: {tags: [b]}", True),
        ("applies_to: {tags: [a]}", "applies_to: {tags: [b]}", False),
        ("applies_to: {pattern: x}", "applies_to: {pattern: y}", False),
        ("applies_to: {pattern: x}", "applies_to: {tags: [a]}", False),
        ("applies_to: {pattern: x}", "applies_to: {pattern: x, tags: [a]}", True),
        ("applies_to: {tags: [a]}", "applies_to: {pattern: x, tags: [a]}", True),
        ("applies_to: {}", "applies_to: {tags: [a]}", True),
        ("except: {tags: [a, b]}", "applies_to: {tags: [a]}", False),
        ("except: {tags: [b]}", "applies_to: {tags: [a]}", True),
        ("except: {pattern: x}", "applies_to: {pattern: x}", False),
    ],
)
def test_checks_contradict_each_other_only_where_their_scopes_meet(report_on, one, two, meet):
    entries = [
        f"{{id: p{i}, text: Rule {i} holds., check: {{kind: refusal, value: {value}}}, {scope}}}"
        for i, (value, scope) in enumerate((("true", one), ("false", two)))
    ]
    for order in (entries, entries[::-1]):
        assert report_on(principles(*order), None).count("error") == int(meet)


@pytest.mark.parametrize(
    ("text", "check", "told"),
    [
        ("It has twenty words or fewer.", "kind: max_words, value: 25", True),
        ("It has between 20 and 60 words.", "kind: min_words, value: 20", False),
        ("A 60-word reply at most.", "kind: max_words, value: 60", False),
        ("It has at least 60 words.", "kind: max_words, value: 60", True),
        ("It has no more than 60 words.", "kind: max_words, value: 60", False),
        ("It has no fewer than 60 words.", "kind: min_words, value: 60", False),
        ("It has more than 59 words.", "kind: min_words, value: 60", False),
        ("It has at most three short sentences.", "kind: max_sentences, value: 3", False),
        ("It has 2 parts and is short.", "kind: max_words, value: 60", False),
        ("It reads at the 8th grade or below.", "kind: max_grade, value: 6", True),
        ("It has at most 1,200 characters.", "kind: max_characters, value: 1200", False),
        ("It has at most 5 bullet points.", "kind: max_list_items, value: 3", True),
        ("It has at most five bullets.", "kind: max_list_items, value: 5", False),
        ("It has no list with more than four points.", "kind: max_list_items, value: 4", False),
        ("It has no list of over 4 points.", "kind: max_list_items, value: 4", False),
        ("A list never has more than 4 points.", "kind: max_list_items, value: 4", False),
        ("A list is not above 4 points.", "kind: max_list_items, value: 4", False),
        ("It does not, in any list, have more than 4 points.", "kind: max_list_items, value: 4", False),
        ("No sentence is longer than 25 words.", "kind: max_sentence_words, value: 20", True),
        ("No sentence is longer than 25 words.", "kind: max_sentence_words, value: 25", False),
        ("It has 3 sentences of at most 20 words.", "kind: max_sentence_words, value: 20", False),
        ("Sentences have fewer than 20 words.", "kind: max_sentence_words, value: 19", False),
        ("Each sentence has at least 20 words.", "kind: max_sentence_words, value: 20", True),
        ("It must not exceed 60 words.", "kind: max_words, value: 60", False),
        ("It is never shorter than 60 words.", "kind: min_words, value: 60", False),
        ("It has a list with more than four points.", "kind: max_list_items, value: 4", True),
        ("It never has fewer than 60 words.", "kind: max_words, value: 60", True),
        ("It has no greeting. It has more than 59 words.", "kind: max_words, value: 60", True),
    ],
)
def test_numbers_of_text_and_check_are_compared(report_on, text, check, told):
    found = places(report_on(principles(f"{{id: a, text: '{text}', check: {{{check}}}}}")).findings, "L305")
    assert bool(found) is told


def test_weights_of_a_thousand_equal_principles_are_not_tiny(report_on):
    many = principles(*(f"{{id: p{i}, text: The reply keeps rule {i}.}}" for i in range(1200)))
    assert report_on(many).findings == ()


def test_a_file_and_a_principle_silence_codes_and_the_silenced_are_counted(report_on):
    entries = ["The reply is brief TODO.", "{id: b, text: The reply is calm TODO.}"]
    assert len(report_on(principles(*entries)).findings) == 2
    by_file = report_on(principles(*entries, head="name: x\nlint_ignore: [L107]\nprinciples:\n"))
    assert (by_file.findings, len(by_file.silenced)) == ((), 2)
    by_principle = report_on(principles(entries[0], entries[1][:-1] + ", lint_ignore: [L107]}"))
    assert len(by_principle.findings) == len(by_principle.silenced) == 1


def test_either_of_two_principles_silences_what_is_about_both(report_on):
    entry = "{{id: {}, text: The reply is kind.{}}}"
    silenced = report_on(principles(entry.format("a", ", lint_ignore: [L101]"), entry.format("b", "")))
    assert (silenced.findings, len(silenced.silenced)) == ((), 1)


def test_an_error_is_told_although_it_is_silenced(report_on):
    example = "[{prompt: p, good: g, bad: g}]"
    report = report_on(principles(f"{{id: a, text: It is kind., examples: {example}, lint_ignore: [L401]}}"))
    assert [finding.code for finding in report.findings] == ["L401", "L201"]
    assert "cannot be ignored" in report.findings[1].what


def test_an_unknown_code_is_told_with_the_nearest(report_on):
    report = report_on("name: x\nlint_ignore: [L901]\nprinciples: [The reply is kind.]\n")
    assert "did you mean 'L" in report.findings[0].hint


@pytest.mark.parametrize("code", sorted(RETIRED))
def test_a_removed_code_may_still_be_silenced_and_a_note_says_that_the_entry_can_go(report_on, code):
    by_file = report_on(f"name: x\nlint_ignore: [{code}]\nprinciples: [The reply is kind.]\n")
    assert [(f.code, f.severity) for f in by_file.findings] == [("L202", "note")]
    assert by_file.findings[0].what == f"the lint code {code} was removed"
    by_principle = report_on(principles(f"{{id: a, text: The reply is kind., lint_ignore: [{code}]}}"))
    assert [finding.code for finding in by_principle.findings] == ["L202"]


def test_removed_codes_are_not_used_again_and_explained_as_removed():
    assert not RETIRED & set(CODES)
    with pytest.raises(ConfigError, match="the lint code L104 was removed"):
        find_code("l104")


def test_codes_that_need_prompts_are_not_unused_without_them(report_on):
    text = principles("{id: a, text: It is kind., lint_ignore: [L501, L601]}")
    assert report_on(text, None).findings == ()
    assert [finding.code for finding in report_on(text, PROMPTS).findings] == ["L202"]


def test_a_quoted_test_prompt_is_found_inside_a_longer_one(report_on):
    longer = "Tell me, why does the moon look larger when it rises over the sea?"
    text = principles(f"{{id: a, text: It is kind., examples: [{{prompt: '{longer}', good: g, bad: b}}]}}")
    assert places(report_on(text).findings, "L502") == ["3:52"]
    assert report_on(text, None).findings == ()


def test_an_exception_without_tags_and_pattern_excepts_every_prompt(report_on):
    report = report_on(principles("{id: a, text: The reply is kind., except: {}}"))
    (what,) = [finding.what for finding in report.findings if finding.code == "L213"]
    assert what == "`except` excludes every prompt"


@pytest.mark.parametrize("repeated", ["1,", "“", "(", "\\u201c "])
def test_a_text_as_long_as_a_file_allows_is_linted(report_on, repeated):
    text = "The reply is kind " + repeated * (1_000_000 // len(repeated))
    entry = f'{{id: a, text: "{text}", check: {{kind: max_words, value: 60}}}}'
    assert report_on(principles(entry)).findings is not None


def test_findings_come_in_the_order_of_the_file_and_print_as_a_line(report_on):
    report = report_on(
        principles("{id: b, text: It is kind., antithesis: TODO}", "{id: a, text: It is TODO.}")
    )
    lines = [int(finding.where.split(":")[-2]) for finding in report.findings]
    assert lines == sorted(lines)
    assert len(lines) == 3
    assert str(report.findings[0]).endswith(
        "rules.yaml:3:44: L107 warning: the placeholder 'TODO' (replace it)"
    )


@pytest.mark.parametrize("name", preset_names())
def test_presets_come_out_without_warning(name):
    findings = lint_report(read_constitution(name)).findings
    assert [finding for finding in findings if finding.severity != "note"] == []


def test_codes_are_found_by_number_and_by_name():
    assert find_code("l105") is find_code("overlong-text")
    with pytest.raises(ConfigError, match="did you mean 'L105'"):
        find_code("L1005")
    with pytest.raises(ConfigError, match="did you mean 'overlong-text'"):
        find_code("overlong-texts")


def test_codes_are_unique_and_say_what_they_mean():
    assert len({entry.name for entry in CODES.values()}) == len(CODES)
    assert list(CODES) == sorted(CODES)
    assert all(entry.meaning.endswith(".") and len(entry.reason) > 40 for entry in CODES.values())
