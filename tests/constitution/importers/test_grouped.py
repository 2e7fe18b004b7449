"""Lists of rules under keys, and the sentences that keys such as `must_not` make of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from constitution.asked.rules import asked_checks
from constitution.importers.under_keys.directives import Directive, directive_of, sentence
from tests.constitution.importers.reading import counts, form_of, read, refusal

POLICY = """\
# house policy, from the wiki
answers:
  must:
    - say what to do first, in one sentence
    - stay under 120 words
  must_not:
    - give a dose of a medicine
    - use more than 3 bullet points
"""


@pytest.mark.parametrize("form", ["auto", "json"])
def test_rules_under_keys_are_asked_for_or_forbidden(form: str, tmp_path: Path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    entries, reading = read(tmp_path / "policy.yaml", form)
    assert [entry["text"] for entry in entries] == [
        "The reply must say what to do first, in one sentence.",
        "The reply must stay under 120 words.",
        "The reply must not give a dose of a medicine.",
        "The reply must not use more than 3 bullet points.",
    ]
    assert {entry["section"] for entry in entries} == {"answers"} == set(reading.sections)
    assert {what: found.count for what, found in reading.notes.items()} == {
        "below 'must': made a sentence, 'The reply must ...'": 2,
        "below 'must_not': made a sentence, 'The reply must not ...'": 2,
    }
    found = [asked_checks(entries[place]["text"]) for place in (1, 3)]
    assert [check and check.checks[0].flow for check in found] == [
        "{kind: max_words, value: 119}",
        "{kind: max_list_items, value: 3}",
    ]


def test_keys_at_any_depth_name_the_section(tmp_path: Path):
    policy = {
        "name": "house",
        "version": "3",
        "rules": {
            "health": {"never": {"doses": ["give a dose"]}, "may": ["recommend a pharmacy"]},
            "tone": ["Be kind to the reader.", {"rule": "Be brief.", "why": "People are busy."}, None],
            "greeting": "Begin with a greeting.",
        },
    }
    (tmp_path / "a.json").write_text(json.dumps(policy))
    entries, reading = read(tmp_path / "a.json")
    assert [(entry.get("section"), entry["text"]) for entry in entries] == [
        ("health / doses", "The reply must never give a dose."),
        ("tone", "Be kind to the reader."),
        ("tone", "Be brief."),
        (None, "Begin with a greeting."),
    ]
    assert (entries[3]["id"], reading.name, list(reading.ignored)) == ("greeting", "house", ["version"])
    assert counts(reading) == {
        "below 'may': a permission, which no reply can break": 1,
        "an empty entry": 1,
    }


def test_a_list_of_single_keys_is_read(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("- never: name a brand\n- avoid: [jargon that readers look up]\n")
    assert [entry["text"] for entry in read(tmp_path / "a.yaml")[0]] == [
        "The reply must never name a brand.",
        "The reply must not do or contain this: jargon that readers look up.",
    ]


@pytest.mark.parametrize(
    ("key", "rule", "expected"),
    [
        ("must_not", "Gives a dose.", "The reply must not give a dose."),
        ("Don't", "a dose of a medicine", "The reply must not contain a dose of a medicine."),
        ("avoid", "naming a brand", "The reply must avoid naming a brand."),
        ("never", "never name a brand", "The reply must never name a brand."),
        ("never", "no emojis", "The reply must have no emojis."),
        ("must-not", "claims about health", "The reply must not do or contain this: claims about health."),
        ("must_not", "name of a brand", "The reply must not do or contain this: name of a brand."),
        ("things to avoid", "synergy", "The reply must not do or contain this: synergy."),
        ("should not", "URLs of shops", "The reply should not do or contain this: URLs of shops."),
        ("always", "be polite", "The reply must always be polite."),
        ("do", "not name a brand", "The reply must not name a brand."),
        ("must", "The reply names its sources.", "The reply names its sources."),
        ("must", "must name a limit", "The reply must name a limit."),
    ],
)
def test_a_key_makes_a_sentence(key: str, rule: str, expected: str):
    directive = directive_of(key)
    assert directive is not None
    assert sentence(directive, rule) == expected


@pytest.mark.parametrize("key", ["answers", "tone", "mustard", "donations", "avoiding harm", "candy"])
def test_other_keys_only_name_their_rules(key: str):
    assert directive_of(key) is None


def test_a_forbidding_lead_turns_no_rule_into_its_opposite():
    """A check may be left out; one that asks for what is forbidden may not be offered."""
    for directive in Directive:
        for rule in ("more than 3 bullet points", "at most 80 words", "emojis", "use more than 3 bullets"):
            found = asked_checks(sentence(directive, rule)) if directive.forbids else None
            kinds = {line.kind for line in found.checks} if found else set()
            assert not kinds & {"regex", "contains", "min_words"} or "at most" in rule
    assert asked_checks("The reply must not: use more than 3 bullet points") is None
    assert asked_checks("Never: more than 80 words") is None


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("keep: [market, id]\ntrain: [sft]\n", "rules as a list, or as lists under keys"),
        ("extends: harmless\nremove: [be kind, be brief]\n", "publius check a.yaml"),
        ("principles: [{id: a, text: Be kind., chek: 3}]\n", "publius check a.yaml"),
        ("[{rule: Be kind.}]\n", "--format json"),
    ],
)
def test_a_refused_yaml_file_is_told_what_helps(content: str, advice: str, tmp_path: Path):
    (tmp_path / "a.yaml").write_text(content)
    found = refusal(tmp_path / "a.yaml")
    assert advice in found
    if advice == "--format json":
        assert not refusal(tmp_path / "a.yaml", "json")


def test_a_file_with_its_format_is_recognised(tmp_path: Path):
    (tmp_path / "policy.json").write_text('{"must": ["name a limit"]}')
    assert form_of(tmp_path / "policy.json") == "json"


SENTENCES = ["The reply must stay under 120 words.", "The reply must not name a brand."]


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_yaml_read_as_text_keeps_what_is_forbidden(form: str, tmp_path: Path):
    lists = "answers:\n  must:\n    - stay under 120 words\n  must_not:\n    - name a brand\n"
    (tmp_path / "a.yaml").write_text(lists)
    entries, reading = read(tmp_path / "a.yaml", form)
    assert [entry["text"] for entry in entries] == SENTENCES
    assert f"a .yaml file read as {form}; without --format its keys are read, too" in reading.notes


def test_yaml_is_no_table(tmp_path: Path):
    (tmp_path / "a.yaml").write_text(POLICY)
    assert refusal(tmp_path / "a.yaml", "csv") == (
        "--format: a .yaml file is no table; accepted: auto, or json for lists of rules"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "# Must\n\n- stay under 120 words\n\n# Must not\n\n- name a brand\n"),
        ("a.md", "The reply must:\n\n- stay under 120 words\n\nThe reply must not:\n\n- name a brand\n"),
        ("a.txt", "The reply must:\n- stay under 120 words\nThe reply must not:\n- name a brand\n"),
    ],
)
def test_words_above_a_list_ask_or_forbid(name: str, text: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    assert [entry["text"] for entry in read(tmp_path / name)[0]] == SENTENCES


def test_marks_within_a_paragraph_split_it(tmp_path: Path):
    (tmp_path / "a.md").write_text(
        "Our rules\n     - Be kind\n       to all.\n     - Be brief.\n\n- Be fair.\n"
    )
    entries, reading = read(tmp_path / "a.md")
    assert [entry["text"] for entry in entries] == ["Be kind to all.", "Be brief.", "Be fair."]
    assert reading.notes["several list marks within one paragraph or item: split at them"].count == 1
    assert counts(reading) == {"prose beside a list": 1}
