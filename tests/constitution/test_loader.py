"""Loading a constitution: the forms that are read, and every mistake at its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from constitution.check_kinds import MaxWords
from constitution.loader import load_constitution, preset_names, preset_path
from constitution.schema import Constitution, Principle
from core.errors import ConfigError, Problem

HEAD = "name: x\nprinciples:\n"

FULL = """\
# A comment.
name: full
version: 1.10
preamble: |
  Some prose.
priority: strict
sections: [safety, manner]
principles:
  - id: no-harm
    section: safety
    text: >
      The reply does
      no harm.
    hard: true
    antithesis: The reply does harm.
    weight: 2
    applies_to: {tags: [red-team, no], pattern: "(?i)how"}
    examples:
      - {prompt: p, good: g, bad: b, why: w, use: few_shot}
  - id: brief
    section: manner
    text: The reply is brief.
    check: {kind: max_words, value: 60}
"""


@pytest.fixture
def write(tmp_path):
    def _write(text: str) -> Path:
        path = tmp_path / "house-rules.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load_constitution(path)
    return caught.value.problems


def test_the_full_form_is_read(write):
    constitution = load_constitution(write(FULL))
    no_harm, brief = constitution.principles
    assert (constitution.name, constitution.version, constitution.preamble) == ("full", "1.10", "Some prose.")
    assert (no_harm.text, no_harm.weight, no_harm.hard) == ("The reply does no harm.", 2.0, True)
    assert no_harm.applies_to is not None
    assert no_harm.applies_to.tags == ("red-team", "no")
    assert no_harm.examples[0].use == "few_shot"
    assert brief.check == MaxWords(kind="max_words", value=60)
    assert constitution.principle("brief") is brief


def test_sentences_get_ids_from_their_words(write):
    text = HEAD + (
        "  - Choose the reply that is honest about what it does not know.\n"
        "  - Choose the reply that is honest about what it does know, not more.\n"
        "  - id: no\n    text: No.\n"
        "  - Don't preach; naïveté is fine\n"
        "  - text: Which is the\n    weight: 3\n"
        "  - 选择诚实的回复\n"
        "  - No\n"
    )
    constitution = load_constitution(write(text))
    ids = [p.id for p in constitution.principles]
    assert ids[:2] == ["honest-about-what-does-not", "honest-about-what-does-know"]
    assert ids[2:5] == ["no", "dont-preach-naivete-fine", "which-is-the"]
    assert ids[5].startswith("principle-")
    assert ids[6] == "no-2"
    assert constitution.principles[4].weight == 3.0


def test_sentences_with_the_same_first_words_get_numbers(write):
    text = "- The reply is kind, clear, short, warm, plain.\n- Kind, clear, short, warm, plain; all five.\n"
    ids = [p.id for p in load_constitution(write(text)).principles]
    assert ids == ["kind-clear-short-warm-plain", "kind-clear-short-warm-plain-2"]


def test_a_bare_list_is_named_after_its_file(write):
    constitution = load_constitution(write("- The reply is kind.\n- id: b\n  text: The reply is brief.\n"))
    assert constitution.name == "house-rules"
    assert [p.id for p in constitution.principles] == ["kind", "b"]


def test_words_that_yaml_1_1_would_change_stay_words(write):
    constitution = load_constitution(write(HEAD + "- id: off\n  text: no\n- on\n"))
    assert [(p.id, p.text) for p in constitution.principles] == [("off", "no"), ("on", "on")]


def test_layout_comments_and_written_defaults_keep_the_digest(write):
    short = load_constitution(write("name: x\nprinciples:\n  - id: a\n    text: The reply is kind.\n"))
    long = load_constitution(
        write(
            "principles: # all of them\n- {weight: 1, text: 'The reply is kind.', id: a, hard: false}\n"
            "priority: holistic\nsections: []\nversion: ''\nname: x\n"
        )
    )
    assert short == long
    assert short.digest == long.digest
    assert len(short.digest) == 64


@pytest.mark.parametrize(
    ("old", "new"),
    [("60", "61"), ("no harm", "little harm"), ("weight: 2", "weight: 3"), ("hard: true", "hard: false")],
)
def test_every_edit_changes_the_digest(write, old, new):
    assert load_constitution(write(FULL)).digest != load_constitution(write(FULL.replace(old, new))).digest


def test_a_changed_copy_has_its_own_digest(write):
    constitution = load_constitution(write(FULL))
    before = constitution.digest
    assert constitution.model_copy(update={"name": "other"}).digest != before


TOP_KEYS = "one of: name, version, preamble, priority, sections, passages, lint_ignore, principles"
KEYS = (
    "id, text, section, source, hard, antithesis, critique, revision, comparison, weight, applies_to, "
    "except, examples, check, lint_ignore"
)
ENTRY = f"a sentence, or a mapping with the keys: {KEYS}"
KINDS = (
    "one of: max_words, min_words, max_sentences, min_sentences, max_characters, min_characters, "
    "regex, not_regex, contains, contains_any, contains_none, starts_with, ends_with, "
    "not_starts_with, not_ends_with, max_grade, min_grade, json, language, format, person, "
    "ends_with_question, phrase_list, refusal, python"
)
PATTERN = "a regular expression of Python's re module"
KEBAB = "at most 64 of a-z, 0-9 and '-', beginning with a letter or digit"
ONE = HEAD + "- id: a\n  text: t\n"

# Each file has one mistake, and is followed by the whole line that reports it.
# fmt: off
BAD_FILES = [
    ("hello",
     "1:1: the file is 'hello'; "
     "accepted: a mapping with the keys name and principles, or a list of sentences"),
    ("principles: [a]",
     "1:1: the key 'name' is missing; accepted: a line 'name: ...'"),
    ("name: x",
     "1:1: the key 'principles' is missing; accepted: a line 'principles: ...'"),
    ("name: x\nprincples: [a]\nprinciples: [b]",
     f"2:1: unknown key 'princples'; accepted: {TOP_KEYS} (did you mean 'principles'?)"),
    ("name: x\nextends: y\nprinciples: [a]",
     f"2:1: unknown key 'extends'; accepted: {TOP_KEYS}"),
    ("name:\nprinciples: [a]",
     "1:6: name is empty; accepted: text"),
    ("name: 2024\nprinciples: [a]",
     '1:7: name is 2024; accepted: text, in quotes: "2024"'),
    ("name: x\nprinciples: []",
     "2:13: principles is empty; accepted: a list of at least 1 entry"),
    ("name: x\nprinciples: kind",
     "2:13: principles is 'kind'; accepted: a list"),
    (HEAD + "  kind: The reply is kind.",
     "3:3: principles is a mapping; accepted: a list"),
    ("name: x\npriority: strickt\nprinciples: [a]",
     "2:11: priority is 'strickt'; accepted: one of: holistic, strict (did you mean 'strict'?)"),
    ("name: x\npriority: strict\nprinciples: [a]",
     "2:11: priority is strict, but there are no sections; accepted: sections, or holistic"),
    ("name: x\npriority: strict\nsections: [s, t]\nprinciples:\n- a1",
     "5:3: the principle 'a1' has no section, and priority is strict; accepted: a section, one of: s, t"),
    ("name: x\nsections: [s, s]\nprinciples: [a]",
     "2:15: duplicate section 's' (first in line 2); accepted: each section once"),
    ("name: x\nsections: [safety, manner]\nprinciples: [{id: a, text: t, section: safty}]",
     "3:40: unknown section 'safty'; accepted: one of: safety, manner (did you mean 'safety'?)"),
    (HEAD + "- 42",
     f"3:3: principle 1 is 42; accepted: {ENTRY}"),
    (HEAD + "- [a]",
     f"3:3: principle 1 is a list; accepted: {ENTRY}"),
    (HEAD + "- ''",
     f"3:3: principle 1 is empty; accepted: {ENTRY}"),
    (HEAD + "- a b\n-\n- c d",
     f"4:2: principle 2 is empty; accepted: {ENTRY}"),
    ("- Choose the reply: be kind",
     "1:3: the colon after 'Choose the reply' makes the sentence a key and a value; "
     "accepted: quotes around a sentence that contains ': '"),
    ("- The reply is kind.\n- The reply is\n  kind.\n",
     "2:3: the sentence 'The reply is kind.' again (first in line 1); accepted: each once"),
    (ONE + "- id: a\n  text: u",
     "5:7: duplicate id 'a' (first in line 3); accepted: each id once"),
    (HEAD + "- id: No Harm\n  text: t",
     f"3:7: the id 'No Harm' is not in kebab-case; accepted: {KEBAB}"),
    (HEAD + f"- id: {'a' * 65}\n  text: t",
     f"3:7: the id '{'a' * 56}...' is not in kebab-case; accepted: {KEBAB}"),
    (HEAD + "- id: 7\n  text: t",
     '3:7: id is 7; accepted: text, in quotes: "7"'),
    (HEAD + "- id: a",
     "3:3: the key 'text' is missing; accepted: a line 'text: ...'"),
    (HEAD + "- weight: 2",
     "3:3: the key 'text' is missing; accepted: a line 'text: ...'"),
    (HEAD + "- id: a\n  text: ' '",
     "4:9: text is empty; accepted: text that is not empty"),
    (ONE + "  wieght: 2",
     f"5:3: unknown key 'wieght'; accepted: one of: {KEYS} (did you mean 'weight'?)"),
    (ONE + "  weight: heavy",
     "5:11: weight is 'heavy'; accepted: a number greater than 0"),
    (ONE + "  weight: 0",
     "5:11: weight is 0; accepted: a number greater than 0"),
    (ONE + "  weight: true",
     "5:11: weight is true; accepted: a number greater than 0"),
    (ONE + "  weight: .inf",
     "5:11: weight is inf; accepted: a finite number greater than 0"),
    (ONE + "  hard: very",
     "5:9: hard is 'very'; accepted: true or false"),
    (ONE + "  check: 60",
     "5:10: check is 60; accepted: a mapping with the keys: kind, value, digest"),
    (ONE + "  check: {kind: max_word, value: 3}",
     f"5:17: kind is 'max_word'; accepted: {KINDS} (did you mean 'max_words'?)"),
    (ONE + "  check: {value: 3}",
     "5:10: the key 'kind' is missing; accepted: a line 'kind: ...'"),
    (ONE + "  check: {kind: max_words, max: 3, value: 3}",
     "5:28: unknown key 'max'; accepted: one of: kind, value"),
    (ONE + "  check: {kind: max_words, value: 0}",
     "5:35: value is 0; accepted: a whole number of at least 1"),
    (ONE + "  check: {kind: max_words, value: 2.5}",
     "5:35: value is 2.5; accepted: a whole number of at least 1"),
    (ONE + "  check: {kind: regex, value: 'a(b'}",
     "5:31: the pattern 'a(b' goes wrong at character 2: missing ), unterminated subpattern; "
     f"accepted: {PATTERN}"),
    (ONE + "  check: {kind: contains, value: []}",
     "5:34: value is empty; accepted: a list of at least 1 entry"),
    (ONE + "  check: {kind: contains, value: [a, '']}",
     "5:38: entry 2 of value is empty; accepted: text that is not empty"),
    (ONE + "  applies_to: {tags: red}",
     "5:22: tags is 'red'; accepted: a list"),
    (ONE + "  applies_to: {pattern: 'a**'}",
     f"5:25: the pattern 'a**' goes wrong at character 3: multiple repeat; accepted: {PATTERN}"),
    (ONE + "  examples: [{prompt: p, good: g}]",
     "5:14: the key 'bad' is missing; accepted: a line 'bad: ...'"),
    (ONE + "  examples: [{prompt: p, good: g, bad: b, use: tests}]",
     "5:48: use is 'tests'; accepted: one of: test, few_shot (did you mean 'test'?)"),
]
# fmt: on


@pytest.mark.parametrize(("text", "line"), BAD_FILES)
def test_a_mistake_is_reported_at_its_place(write, text, line):
    path = write(text)
    (problem,) = problems_of(path)
    assert str(problem) == f"{path}:{line}"


def test_all_mistakes_of_a_file_are_reported_at_once_in_its_order(write):
    path = write(
        "name: x\nsections: [s]\nprinciples:\n- 42\n- id: a\n  text: t\n  weight: -1\n"
        "- id: a\n  text: t\n  section: z\n- The reply: short\n- id: b\n  txt: t\n"
    )
    found = [(p.where.removeprefix(f"{path}:"), p.what) for p in problems_of(path) if p.where]
    assert found == [
        ("4:3", "principle 1 is 42"),
        ("7:11", "weight is -1"),
        ("8:7", "duplicate id 'a' (first in line 5)"),
        ("10:12", "unknown section 'z'"),
        ("11:3", "the colon after 'The reply' makes the sentence a key and a value"),
        ("12:3", "the key 'text' is missing"),
        ("13:3", "unknown key 'txt'"),
    ]


def test_a_missing_file_names_the_presets_and_the_command(tmp_path):
    (problem,) = problems_of(tmp_path / "harmles.yaml")
    assert problem.where == str(tmp_path / "harmles.yaml")
    assert problem.run == "publius init DIR"
    for name in preset_names():
        assert name in (problem.accepted or "")


def test_a_preset_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="there is no preset 'nothing-like-it'; accepted: one of:"):
        preset_path("nothing-like-it")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_by_name_and_by_path(name):
    constitution = load_constitution(name)
    assert constitution == load_constitution(preset_path(name))
    assert constitution.name == name


def test_an_unknown_principle_is_refused_with_the_nearest_name(write):
    with pytest.raises(ConfigError, match=r"no principle 'breif'.*did you mean 'brief'"):
        load_constitution(write(FULL)).principle("breif")


def test_a_constitution_built_in_code_is_held_to_the_same_rules():
    twice = (Principle(id="a", text="t"), Principle(id="a", text="u"))
    with pytest.raises(ValidationError, match="duplicate id 'a'"):
        Constitution(name="x", principles=twice)


def test_what_is_written_out_is_read_back_as_the_same(write):
    text = FULL.replace(
        "    hard: true\n", "    hard: true\n    source: '#care'\n    except: {tags: [quiz]}\n"
    )
    text += "passages:\n  care: |\n    # Do no harm.\n    Never: ever.\nlint_ignore: [L101]\n"
    constitution = load_constitution(write(text))
    again = load_constitution(write(constitution.to_yaml()))
    assert again == constitution
    assert again.digest == constitution.digest
    assert again.passage(again.principles[0]) == "# Do no harm.\nNever: ever."
    assert again.passage(again.principles[1]) == ""


def test_a_source_needs_its_passage(write):
    text = HEAD + "- {id: a, text: t, source: '#cares'}\npassages: {care: Be kind.}\n"
    (problem,) = problems_of(write(text))
    assert problem.where is not None
    assert problem.where.endswith(":3:28")
    assert problem.what == "there is no passage '#cares'"
    assert problem.accepted == "one of: #care (did you mean '#care'?)"


def test_silenced_lint_codes_change_no_digest(write):
    silent = (
        FULL.replace("    hard: true\n", "    hard: true\n    lint_ignore: [L101]\n")
        + "lint_ignore: [L102]\n"
    )
    assert load_constitution(write(silent)).digest == load_constitution(write(FULL)).digest
