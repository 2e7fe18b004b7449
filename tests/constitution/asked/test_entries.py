"""The entries that a note prints: each is pasted into a list of principles as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from constitution.asked.entries import entry_of
from constitution.asked.rules import asked_checks
from constitution.lint.linter import lint_report
from constitution.lint.subject import LintContext
from constitution.loader import load_constitution, read_constitution

TEXTS = {
    "The answer is warm and has at most one sentence.": ["The reply has at most 1 sentence."],
    "Write between 50 and 80 words.": ["The reply has at least 50 words.", "The reply has at most 80 words."],
    "No emojis, or exclamation marks.": ["The reply has no emojis.", "The reply has no exclamation marks."],
    "No CAPITALS for emphasis and no smileys.": [
        "The reply has no capitals for emphasis.",
        "The reply has no smileys.",
    ],
    "Ask at most two questions back, and answer in Norwegian.": [
        "The reply has at most 2 questions.",
        "The reply is written in Norwegian.",
    ],
    "Be kind. Answer guests in their own language.": [
        "The reply is written in the language of the question."
    ],
    "Be kind. At least two list items.": ["The reply has at least 2 list items."],
    "One paragraph, and one link at most.": [
        "The reply has at most 1 paragraph.",
        "The reply has at most 1 link.",
    ],
    'Be kind: begin with "Dear, you", and end with "Yours: us".': [
        'The reply begins with "Dear, you".',
        'The reply ends with "Yours: us".',
    ],
    "Be quick. Answer with a JSON object.": ["The reply is valid JSON."],
    "Be kind and start with a greeting, not with a list.": [],
    "For refunds, link to https://a.example/#refunds.": ['The reply contains "https://a.example/#refunds".'],
    "No tables, no headings, no bold and no code blocks.": [
        "The reply has no tables.",
        "The reply has no headings.",
        "The reply has no bold.",
        "The reply has no code blocks.",
    ],
}


def entries(rule: str) -> list[str]:
    asked = asked_checks(rule)
    return [entry_of(line, rule) for line in asked.checks] if asked else []


def pasted(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "rules.yaml"
    body = "".join(f"  {line}\n" for line in ("- The reply is kind.", *lines))
    path.write_text(f"name: x\nprinciples:\n{body}", encoding="utf-8")
    return path


@pytest.mark.parametrize("rule", TEXTS)
def test_the_entries_of_a_rule_load_as_they_are_pasted(rule: str, tmp_path: Path):
    path = pasted(tmp_path, entries(rule))
    asked = asked_checks(rule)
    _, *loaded = load_constitution(path).principles
    assert [principle.text for principle in loaded] == TEXTS[rule]
    assert [principle.check for principle in loaded] == [
        line.check for line in (asked.checks if asked else ())
    ]


@pytest.mark.parametrize("rule", TEXTS)
def test_nothing_is_found_in_pasted_entries(rule: str, tmp_path: Path):
    loaded = read_constitution(pasted(tmp_path, entries(rule)))
    report = lint_report(loaded, LintContext())
    assert [finding for finding in report.findings if finding.severity != "note"] == []
    assert "L308" not in {finding.code for finding in report.findings}
