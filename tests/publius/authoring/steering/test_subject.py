"""What `publius steer` takes for a constitution."""

from __future__ import annotations

from pathlib import Path

import pytest

from constitution.loader import load_constitution
from core.errors import ConfigError, RunStateError
from publius.authoring.steering.subject import find_subject

MIXED = """\
name: Our Support Desk
principles:
  - The reply is kind.
  - {id: short, text: The reply is short., check: {kind: max_words, value: 40}}
"""


def test_a_file_a_preset_and_sentences(tmp_path: Path):
    (tmp_path / "c.yaml").write_text(MIXED)
    file = find_subject(str(tmp_path / "c.yaml"))
    assert (file.slug, file.signal) == ("Our-Support-Desk", "mixed")
    assert file.summary == "2 principles, 1 with a machine check"
    assert file.place_in(tmp_path / "steer") == "../c.yaml"
    preset = find_subject("plain-and-brief")
    assert preset.place_in(tmp_path) == "plain-and-brief"
    sentences = find_subject("The reply is kind.\n- The reply begins with: a greeting.\n")
    assert [p.text for p in sentences.constitution.principles][1] == "The reply begins with: a greeting."
    assert sentences.signal == "judged"


def test_only_checks(tmp_path: Path):
    (tmp_path / "c.yaml").write_text(MIXED.replace("  - The reply is kind.\n", ""))
    assert find_subject(str(tmp_path / "c.yaml")).signal == "checks"


def test_a_text_file_has_a_sentence_a_line(tmp_path: Path):
    (tmp_path / "rules.txt").write_text("1. The reply is kind.\n\n* The reply is kind.\n")
    found = find_subject(str(tmp_path / "rules.txt"))
    assert [p.id for p in found.constitution.principles] == ["kind", "kind-2"]
    assert found.constitution.name == "rules"


def test_sentences_get_a_file_that_loads_as_they_are(tmp_path: Path):
    found = find_subject("The reply is kind.\nThe reply says: yes, no or 'perhaps'.")
    path = tmp_path / "steer" / found.place_in(tmp_path / "steer")
    assert load_constitution(path).digest == found.constitution.digest
    found.place_in(tmp_path / "steer")  # again
    with pytest.raises(RunStateError, match="other sentences"):
        find_subject("The reply is short and kind.").place_in(tmp_path / "steer")


@pytest.mark.parametrize("source", ["", " ", "\n-\n \n"])
def test_no_principle_is_refused(source: str):
    with pytest.raises(ConfigError, match="CONSTITUTION: there is no principle"):
        find_subject(source)


def test_a_file_without_principles_is_refused_with_its_place(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("name: none\nprinciples: []\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:2"):
        find_subject(str(tmp_path / "c.yaml"))


@pytest.mark.parametrize("name", ["plain-and-breif", "my rules.yaml", "my rules.txt"])
def test_an_unknown_name_is_refused_as_everywhere(name: str):
    with pytest.raises(ConfigError, match="no such file"):
        find_subject(name)


def test_a_long_sentence_is_no_path():
    sentence = "The reply is kind, " + "and it is patient, " * 20 + "always."
    assert find_subject(sentence).sentences == (sentence,)
