"""Loading a constitution: the forms that are read, and every mistake at its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from constitution.checks.kinds import MaxWords
from constitution.loader import load_constitution, preset_names, preset_path
from constitution.schema import Constitution, Principle
from core.errors import ConfigError, Problem
from core.text.yaml_file import MAX_CHARACTERS, MAX_VALUES
from tests.constitution.examples import FULL
from tests.constitution.malformed import HEAD, MALFORMED


@pytest.fixture
def write(tmp_path):
    def _write(text: str | bytes) -> Path:
        path = tmp_path / "house-rules.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
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
    for deep in (False, True):
        changed = constitution.model_copy(update={"name": "other"}, deep=deep)
        assert changed.digest == load_constitution(write(changed.to_yaml())).digest != before
    assert constitution.digest == before


@pytest.mark.parametrize(("text", "line"), [case[:2] for case in MALFORMED])
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


def test_laughs_are_not_multiplied(write):
    layers = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))
    found = problems_of(write(f"l0: &l0 [ha]\n{layers}"))
    assert len(found) == 10 + 9 * 9
    assert all("is YAML syntax that is not supported" in problem.what for problem in found)


def test_of_very_many_mistakes_a_hundred_are_told_and_the_others_counted(write):
    path = write(HEAD + "".join(f"- {{id: a{n}, text: t, wieght: 1}}\n" for n in range(150)))
    found = problems_of(path)
    assert [problem.where for problem in found[:2]] == [f"{path}:3:21", f"{path}:4:21"]
    assert len(found) == 101
    assert found[-1].what == "there are at least 50 more problems"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HEAD + "- '" + "a" * (MAX_CHARACTERS + 1) + "'", "this text is too long"),
        ("[" + "a," * MAX_VALUES + "]", "the file has too many values"),
        ("{" + "".join(f"a{n}: 1," for n in range(MAX_VALUES)) + "}", "the file has too many values"),
    ],
)
def test_huge_files_are_refused_at_their_place(write, text, what):
    (problem,) = problems_of(write(text))
    assert problem.what == what
    assert problem.accepted
    assert problem.accepted.startswith("at most ")


def test_a_very_long_pattern_is_refused(write):
    (problem,) = problems_of(write(HEAD + "- {id: a, text: t, applies_to: {pattern: " + "a" * 10_001 + "}}"))
    assert (problem.what, problem.accepted) == ("the pattern is too long", "at most 10,000 characters")


def test_a_missing_file_names_the_presets_and_the_command(tmp_path):
    (problem,) = problems_of(tmp_path / "harmles.yaml")
    assert problem.where == str(tmp_path / "harmles.yaml")
    assert problem.run == "publius init DIR"
    for name in preset_names():
        assert name in (problem.accepted or "")


def test_a_preset_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="unknown preset 'nothing-like-it'; accepted: one of:"):
        preset_path("nothing-like-it")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_by_name_and_by_path(name):
    constitution = load_constitution(name)
    assert constitution == load_constitution(preset_path(name))
    assert constitution.name == name


def test_an_unknown_principle_is_refused_with_the_nearest_name(write):
    with pytest.raises(ConfigError, match=r"unknown principle 'breif'.*did you mean 'brief'"):
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
    assert problem.what == "unknown passage '#cares'"
    assert problem.accepted == "one of: #care (did you mean '#care'?)"


def test_silenced_lint_codes_change_no_digest(write):
    silent = (
        FULL.replace("    hard: true\n", "    hard: true\n    lint_ignore: [L101]\n")
        + "lint_ignore: [L102]\n"
    )
    assert load_constitution(write(silent)).digest == load_constitution(write(FULL)).digest
