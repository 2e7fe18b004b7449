"""Checks that are written almost right, and the lines that answer them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from constitution.asked.near_misses import CHECK_KINDS, right_check, same_side
from constitution.asked.values import EXAMPLES
from constitution.loader import load_constitution
from core.errors import ConfigError
from publius.config.run_file import load_run_config

MAX_80 = "check: {kind: max_words, value: 80}"
MAX_20_EACH = "check: {kind: max_sentence_words, value: 20}"
NONE_OF = "check: {kind: contains_none, value: [sorry]}"
ANSWERED = {
    "{max_words: 80}": MAX_80,
    "{maxWords: 80}": MAX_80,
    "{max-words: 80 words}": MAX_80,
    "{type: max_words, value: 80}": MAX_80,
    "{kind: max_words, limit: 80}": MAX_80,
    "{kind: max_words, value: eighty}": MAX_80,
    "{kind: max_words, value: [80]}": MAX_80,
    "[max_words, 80]": MAX_80,
    "[{kind: max_words, value: 80}]": MAX_80,
    "max_words 80": MAX_80,
    "max_words(80)": MAX_80,
    "at most 80 words": MAX_80,
    "{kind: not_contains, value: [sorry]}": NONE_OF,
    "{kind: does_not_contain, value: sorry}": NONE_OF,
    "{not_contains: sorry}": NONE_OF,
    "{kind: excludes, value: [sorry]}": NONE_OF,
    "{kind: begins_with, value: Hello}": "check: {kind: starts_with, value: [Hello]}",
    "{kind: not_begins_with, value: Hello}": "check: {kind: not_starts_with, value: [Hello]}",
    "{kind: no_lists}": "check: {kind: format, value: prose}",
    "{bullet_points: false}": "check: {kind: format, value: prose}",
    "{max_bullet_points: 5}": "check: {kind: max_list_items, value: 5}",
    "{max_words_per_sentence: 20}": MAX_20_EACH,
    "{kind: sentence_length, value: 20 words}": MAX_20_EACH,
    "{max_sentence_word: 20}": MAX_20_EACH,
    "max 20 words per sentence": MAX_20_EACH,
    "{max_sentenses: 3}": "check: {kind: max_sentences, value: 3}",
    "{format: no list}": "check: {kind: format, value: prose}",
    "{format: bullets}": "check: {kind: format, value: list}",
    "{kind: max_questions, value: 1}": r"check: {kind: not_regex, value: '(?s)\?.*\?'}",
    "never refuses": "check: {kind: refusal, value: false}",
    "no flattery": "check: {kind: phrase_list, value: flattery}",
    "{language: German}": "check: {kind: language, value: de}",
    "{kind: language, value: en-US}": "check: {kind: language, value: en}",
    "{kind: person, value: first person}": "check: {kind: person, value: first}",
    "{ends_with_question: 'yes'}": "check: {kind: ends_with_question, value: true}",
    "{kind: json, value: true}": "check: {kind: json, value: {}}",
    "max_words": "a line such as check: {kind: max_words, value: 60}",
    "{max_words: 80, min_words: 20}": (
        f"{MAX_80} and, in a principle of its own, check: {{kind: min_words, value: 20}}"
    ),
}
UNANSWERED = (
    "be kind",
    "60",
    "true",
    "[]",
    "{}",
    "German",
    "{max: 80}",
    "{kind: not_json, value: {}}",
    "[[a]]",
    "{min_sentence_words: 5}",
    "{min_sentence_length: 5}",
    "{avg_sentence_length: 20}",
)
NEGATED = ("not_contains", "no_contains", "not_starts", "never_contains", "without_regex", "doesnt_contain")


@pytest.mark.parametrize("written", ANSWERED)
def test_a_near_miss_is_answered_with_its_line(written: str):
    assert right_check(yaml.safe_load(written)) == ANSWERED[written]


@pytest.mark.parametrize("written", UNANSWERED)
def test_what_is_not_understood_has_no_answer(written: str):
    assert right_check(yaml.safe_load(written)) is None


@pytest.mark.parametrize("written", [case for case in ANSWERED if "own" not in ANSWERED[case]])
def test_each_answer_loads(written: str, tmp_path: Path):
    path = tmp_path / "rules.yaml"
    line = ANSWERED[written].removeprefix("a line such as ")
    path.write_text(f"- text: The reply keeps the rule.\n  {line}\n", encoding="utf-8")
    assert load_constitution(path).principles[0].check is not None


@pytest.mark.parametrize("name", NEGATED)
def test_a_negated_name_never_means_its_opposite(name: str):
    assert all(kind.startswith("not_") or kind == "contains_none" for kind in same_side(name))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_kind_without_a_value_is_answered_with_an_example(kind: str):
    line = right_check({"kind": kind})
    assert line is not None
    assert line.startswith(f"a line such as check: {{kind: {kind}, value: ")


@pytest.mark.parametrize("kind", CHECK_KINDS)
def test_no_answer_names_the_digest_of_code(kind: str, tmp_path: Path):
    path = tmp_path / "rules.yaml"
    path.write_text(f"- text: The reply keeps the rule.\n  check: {kind} please\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_constitution(path)
    assert "digest" not in str(caught.value)


ONE = """
name: x
sections: s
lint_ignore: L209
principles:
- text: The reply names the brand.
  section: s
  lint_ignore: L305
  applies_to: {tags: red}
  except: {tags: blue}
  check: {kind: contains, value: cleaning liquid}
"""
LISTED = """
name: x
sections: [s]
lint_ignore: [L209]
principles:
- text: The reply names the brand.
  section: s
  lint_ignore: [L305]
  applies_to: {tags: [red]}
  except: {tags: [blue]}
  check: {kind: contains, value: [cleaning liquid]}
"""


def test_one_text_is_a_list_of_one(tmp_path: Path):
    path, listed = tmp_path / "one.yaml", tmp_path / "listed.yaml"
    path.write_text(ONE, encoding="utf-8")
    listed.write_text(LISTED, encoding="utf-8")
    assert load_constitution(path) == load_constitution(listed)
    assert load_constitution(path).digest == load_constitution(listed).digest


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("run.yaml", "constitution: rules.yaml\n", "1:1: this is a run file, not a constitution"),
        ("run.yaml", "prompts: p.jsonl\ntrain: [dpo]\n", "1:1: this is a run file, not a constitution"),
        ("p.jsonl", '{"prompt": "Hi"}\n{"prompt": "Ho"}\n', "this is a file of rows, such as prompts"),
        ("rules.md", "# Rules\n\nBe kind.\n\nBe brief.\n", "this is a text, not a constitution"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(name: str, text: str, told: str, tmp_path: Path):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_constitution(path)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{path}:{told}" if told[0].isdigit() else f"{path}: {told}")


def test_a_folder_with_a_constitution_names_its_file(tmp_path: Path):
    (tmp_path / "constitution.yaml").write_text("- The reply is kind.\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="this is a folder, not a constitution"):
        load_constitution(tmp_path)


def test_a_constitution_in_place_of_a_run_file_is_called_what_it_is(tmp_path: Path):
    path = tmp_path / "rules.yaml"
    path.write_text("- The reply is kind.\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="this is a constitution, not a run file"):
        load_run_config(path)


def test_a_text_with_a_dash_before_each_rule_is_a_list_of_rules(tmp_path: Path):
    path = tmp_path / "rules.txt"
    path.write_text("- The reply is kind.\n- The reply is brief.\n", encoding="utf-8")
    assert len(load_constitution(path).principles) == 2
