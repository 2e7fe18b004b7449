"""The file of scenarios: what it accepts, where its mistakes are, and that additions leave the rest alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from constitution.schema import Constitution, Principle
from core.errors import ConfigError
from prompts.scenarios.file import Scenario, add_scenarios, read_scenarios, wording_of

SHORT = Principle(id="short", text="The reply is short.")
CODE = Principle.model_validate(
    {"id": "code", "text": "The reply has code.", "applies_to": {"pattern": "(?i)python"}}
)
RULES = Constitution(name="rules", principles=(SHORT, CODE))
HEADER = "scenarios_version: 1\nconstitution: rules\nconstitution_digest: old\nscenarios:\n"


def written(folder: Path, entries: str) -> Path:
    path = folder / "scenarios.yaml"
    path.write_text(HEADER + entries)
    return path


def test_one_message_is_text_and_several_are_a_list(tmp_path: Path):
    path = written(
        tmp_path,
        "  - {tenet: short, kind: benign, user: How are you?}\n"
        "  - {tenet: short, kind: multi_turn, user: [Hello, And now?], system: Be kind., author: Ann}\n",
    )
    one, other = read_scenarios(path, RULES).scenarios
    assert (one.user, one.author) == (("How are you?",), "user")
    assert other.user == ("Hello", "And now?")
    assert [m.role for m in other.prompt(SHORT).messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("entries", "line", "what"),
    [
        ("  - {tenet: shrot, kind: benign, user: Hi}\n", 5, "no principle 'shrot'"),
        ("  - {tenet: short, kind: rude, user: Hi}\n", 5, "rude"),
        ("  - {tenet: short, kind: benign}\n", 5, "user"),
        ("  - {tenet: short, kind: benign, user: [Hi, Ho]}\n", 5, "2 messages"),
        ("  - {tenet: short, kind: multi_turn, user: Hi}\n", 5, "no goal"),
        ("  - {tenet: code, kind: benign, user: What is Java?}\n", 5, "does not apply"),
        ("  - {tenet: short, kind: benign, user: Hi}\n" * 2, 6, "duplicate scenario"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, entries: str, line: int, what: str):
    path = written(tmp_path, entries)
    with pytest.raises(ConfigError) as caught:
        read_scenarios(path, RULES)
    assert what in str(caught.value)
    assert f"{path}:{line}:" in str(caught.value)


def test_all_mistakes_are_reported_at_once(tmp_path: Path):
    path = written(
        tmp_path,
        "  - {tenet: a, kind: benign, user: Hi}\n  - {tenet: b, kind: benign, user: Ho}\n",
    )
    with pytest.raises(ConfigError) as caught:
        read_scenarios(path, RULES)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("indent", ["", "  ", "    "])
def test_additions_keep_comments_and_layout(tmp_path: Path, indent: str):
    path = tmp_path / "scenarios.yaml"
    entry = f"{indent}# Asked by Ann.\n{indent}- {{tenet: short, kind: benign, user: Hi}}  # kept\n"
    path.write_text(HEADER + entry)
    assert add_scenarios(path, RULES, [Scenario(tenet="code", kind="tempting", user=("Python: now\nhere",))])
    text = path.read_text()
    assert entry in text
    assert f"constitution_digest: {RULES.digest}" in text
    assert [one.tenet for one in read_scenarios(path, RULES).scenarios] == ["short", "code"]


def test_a_form_without_room_is_written_anew_and_loses_nothing(tmp_path: Path):
    path = tmp_path / "scenarios.yaml"
    path.write_text("constitution: rules\nscenarios: [{tenet: short, kind: benign, user: Hi}]\n")
    assert not add_scenarios(path, RULES, [Scenario(tenet="short", kind="benign", user=("Ho",))])
    assert [one.user for one in read_scenarios(path, RULES).scenarios] == [("Hi",), ("Ho",)]


def test_a_reworded_tenet_is_known(tmp_path: Path):
    path = tmp_path / "scenarios.yaml"
    one = Scenario(tenet="short", kind="benign", user=("Hi",), wording=wording_of(SHORT))
    add_scenarios(path, RULES, [one])
    longer = RULES.model_copy(update={"principles": (SHORT.model_copy(update={"text": "Brief."}), CODE)})
    assert read_scenarios(path, RULES).reworded(RULES) == []
    assert read_scenarios(path, longer).reworded(longer) == ["short"]


def test_the_digest_depends_on_what_is_asked_alone():
    one = Scenario(tenet="short", kind="benign", user=("Hi",))
    assert one.id == one.model_copy(update={"author": "Ann", "wording": "x"}).id
    assert one.id != Scenario(tenet="short", kind="benign", user=("Ho",)).id
