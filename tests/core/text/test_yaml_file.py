"""YAML with positions: what values mean, where they stand, and what is said about those that do not fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from core.errors import ConfigError, Problem
from core.text import yaml_file as yamlfile
from core.text.explain import Misfit, one_of
from core.text.yaml_file import MAX_BYTES, Mark, YamlDocument, in_order, parse_yaml, read_yaml, validate

PATH = Path("f.yaml")


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, PATH)
    return caught.value.problems


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def parser(request, monkeypatch):
    """Run a test with libyaml and with the parser in Python, which installations without libyaml use."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(yamlfile, "_Loader", getattr(yaml, request.param))


SPECIAL_LOOKING = (
    "no yes on Off y 1_000 017 0o17 0x1F 2024-01-01 12:30 1.2.0 1e + . ~x Nullable = << 0.1. TrUe"
)


@pytest.mark.parametrize("written", [*SPECIAL_LOOKING.split(), "1234567890123456789"])
def test_what_only_looks_special_stays_text(parser, written):
    assert parse_yaml(f"- {written}", PATH).value == [written]


WORDS = [("null", None), ("~", None), ("", None), ("true", True), ("False", False)]
NUMBERS = [("0", 0), ("-7", -7), ("+3", 3), ("1.0e-4", 1e-4), ("1e-4", 1e-4), (".5", 0.5), ("2.", 2.0)]


@pytest.mark.parametrize(("written", "value"), [*WORDS, *NUMBERS, ("-1.5E+2", -150.0), ("-.inf", -math.inf)])
def test_core_scalars_are_resolved(parser, written, value):
    found = parse_yaml(f"a: {written}\nb: 1", PATH).value["a"]
    assert found == value
    assert type(found) is type(value)


def test_quoted_and_block_scalars_are_text(parser):
    assert parse_yaml("- '1'\n- \"true\"\n- |\n  2\n- >-\n  a\n  b", PATH).value == [
        "1",
        "true",
        "2\n",
        "a b",
    ]


def test_marks_point_at_values_and_keys(parser):
    document = parse_yaml("# comment\nname: é x\nlist:\n  - {id: a, weight: 2.50}\n  - |\n    text\n", PATH)
    assert document.where() == "f.yaml:2:1"
    assert document.where(("name",)) == "f.yaml:2:7"
    assert document.where(("list", 0)) == "f.yaml:4:5"
    assert document.where(("list", 0, "weight")) == "f.yaml:4:21"
    assert document.key_where(("list", 0, "weight")) == "f.yaml:4:13"
    assert document.where(("list", 1)) == "f.yaml:5:5"
    assert document.written["list", 0, "weight"] == "2.50"


def test_unknown_place_falls_back_to_the_nearest_thing_around_it():
    document = parse_yaml("a:\n  b: 1\n", PATH)
    assert document.where(("a", "b", "c", 3)) == "f.yaml:2:6"
    assert document.where(("z",)) == document.key_where(("z",)) == "f.yaml:1:1"
    assert document.at(("a", "b")) == 1
    assert document.at(("a", "b", "c")) is None


def test_a_problem_names_the_line_of_the_first_occurrence():
    document = parse_yaml("- a\n- a\n", PATH)
    problem = document.problem(Misfit((1,), "twice 'a'", "once", first=(0,)))
    assert str(problem) == "f.yaml:2:3: twice 'a' (first in line 1); accepted: once"


@pytest.mark.parametrize(
    ("text", "where", "what", "accepted"),
    [
        ("", "1:1", "empty", "mapping or list"),
        ("# only a comment\n", "1:1", "empty", "mapping or list"),
        ("a: 1\nb: 2\n'a': 3", "3:1", "duplicate key 'a' (first in line 1)", "once"),
        ("x:\n  1: one", "2:3", "a key is 1", 'in quotes: "1"'),
        ("true: x", "1:1", "a key is true", 'in quotes: "true"'),
        ("? [a]\n: b", "1:3", "a key is a list", "quotes"),
        ("a: {{ name }}", "1:5", "a key is a mapping", "quotes"),
        ("a: &x 1", "1:4", "'&x'", "no anchors and aliases"),
        ("a: *x", "1:4", "'*x'", "no anchors and aliases"),
        ("- *bold* claims", "1:3", "scanning an alias", "begins with *"),
        ("- !!python/object:os.system x", "1:3", "python/object", "no tags"),
        ("- !important x", "1:3", "'!important'", "begins with !"),
        ("a: 1\n---\nb: 2", "2:1", "second document", "one document per file"),
        ("a:\n\tb: 1", "2:1", "cannot start any token", "no tabs"),
        ("a: b: c", "1:5", "mapping values are not allowed", "contains ': '"),
        ("a: 'open\nb: 1\n", "1:4", "end of stream", "a matching closing character for '"),
        ("a: [1, 2\nb: 3", "1:4", "flow sequence", "a matching closing character for ["),
        ("- @home", "1:3", "cannot start any token", "begins with @"),
        ("a:\n - b\n c: d", "3:2", "block collection", "equal indentation"),
        ("a: b\x07", "1:5", "U+0007", "printable"),
        ("a: b\nc: d\u2028e", "2:5", "U+2028", "printable"),
        ("[" * 33 + "]" * 33, "1:33", "nested too deeply", "at most 32 levels"),
        ("[" * 1_000_000, "1:33", "nested too deeply", "at most 32 levels"),
        ("{" * 1_000, "1:33", "nested too deeply", "at most 32 levels"),
    ],
)
def test_bad_text_is_refused_at_its_place(parser, text, where, what, accepted):
    (problem,) = problems(text)
    assert problem.where == f"f.yaml:{where}"
    assert what in problem.what
    assert accepted in (problem.accepted or "")


def test_thirty_two_levels_are_not_too_deep(parser):
    value = parse_yaml("[" * 32 + "]" * 32, PATH).value
    for _ in range(31):
        (value,) = value
    assert value == []


def test_mistakes_of_structure_are_reported_at_once_in_order(parser):
    found = problems("a: 1\na: 2\n3: x\nb: *c\n")
    assert [p.where for p in found] == ["f.yaml:2:1", "f.yaml:3:1", "f.yaml:4:4"]


def test_a_bomb_of_aliases_is_refused(parser):
    layers = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9))
    assert all("not supported" in p.what for p in problems(f"l0: &l0 [x]\n{layers}"))


def test_unreadable_files_are_named(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: b\nname: caf\xe9\n")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"# " + b"x" * MAX_BYTES)
    expected = {
        tmp_path / "none.yaml": (f"{tmp_path / 'none.yaml'}", "no such file"),
        tmp_path: (f"{tmp_path}", "folder"),
        latin: (f"{latin}:2:10", "0xe9 is not UTF-8"),
        large: (f"{large}", "too large"),
    }
    for path, (where, what) in expected.items():
        with pytest.raises(ConfigError) as caught:
            read_yaml(path)
        (problem,) = caught.value.problems
        assert problem.where == where
        assert what in problem.what
        assert problem.accepted


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\r\nother: y\r\n")
    document = read_yaml(path)
    assert document.value == {"name": "x", "other": "y"}
    assert document.where(("other",)) == f"{path}:2:8"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    share: float = Field(default=0.5, ge=0, le=1)


class File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    policy: str | Part
    source: str = Field(default="sft", alias="from")
    steps: int = Field(default=1, gt=0)
    bf16: bool = True
    schedule: Literal["cosine", "linear"] = "cosine"
    names: tuple[str, ...] = Field(default=("x",), min_length=1)
    label: str = Field(default="x", min_length=1)
    gates: dict[str, float] = {}


FILE_KEYS = "policy, from, steps, bf16, schedule, names, label, gates"

# fmt: off
MISFITS = [
    ("polcy: x\npolicy: y",
     f"1:1: unknown key 'polcy'; accepted: one of: {FILE_KEYS} (did you mean 'policy'?)"),
    ("steps: 1",
     "1:1: the key 'policy' is missing; accepted: a line 'policy: ...'"),
    ("policy: x\nsteps: 0",
     "2:8: steps is 0; accepted: a whole number greater than 0"),
    ("policy: x\nsteps: many",
     "2:8: steps is 'many'; accepted: a whole number greater than 0"),
    ("policy: x\nbf16: 7",
     "2:7: bf16 is 7; accepted: true or false"),
    ("policy: x\nschedule: cosin",
     "2:11: schedule is 'cosin'; accepted: one of: cosine, linear (did you mean 'cosine'?)"),
    ("policy: x\nnames: []",
     "2:8: names is empty; accepted: a list of at least 1 entry"),
    ("policy: x\nnames: a",
     "2:8: names is 'a'; accepted: a list"),
    ("policy: x\nnames: [[b]]",
     "2:9: entry 1 of names is a list; accepted: text"),
    ("policy: x\nlabel: ''",
     "2:8: label is empty; accepted: text that is not empty"),
    ("policy: x\nlabel: 1.5",
     '2:8: label is 1.5; accepted: text, in quotes: "1.5"'),
    ("policy: x\nfrom:",
     "2:6: from is empty; accepted: text"),
    ("policy: x\ngates: {a: high}",
     "2:12: a is 'high'; accepted: a number"),
    ("policy: {idd: x, id: y}",
     "1:10: unknown key 'idd'; accepted: one of: id, share (did you mean 'id'?)"),
    ("policy: {id: x, share: 2}",
     "1:24: share is 2; accepted: a number of at least 0 and at most 1"),
    ("policy: [x]",
     "1:9: policy is a list; accepted: text, or a mapping with the keys: id, share"),
    ("- policy",
     f"1:1: the file is a list; accepted: a mapping with the keys: {FILE_KEYS}"),
]
# fmt: on


@pytest.mark.parametrize(("text", "line"), MISFITS)
def test_what_does_not_fit_is_said_in_plain_words(text, line):
    with pytest.raises(ConfigError) as caught:
        validate(parse_yaml(text, PATH), File)
    assert str(caught.value) == f"f.yaml:{line}"


def test_a_fitting_file_becomes_the_model():
    document = parse_yaml("policy: {id: x}\nfrom: base\nsteps: 3\n", PATH)
    assert validate(document, File) == File(policy=Part(id="x"), steps=3, **{"from": "base"})


def test_all_misfits_are_reported_at_once_in_the_order_of_the_file():
    with pytest.raises(ConfigError) as caught:
        validate(parse_yaml("steps: 0\nbf16: 7\nlabel: ''\nextra: 1\n", PATH), File)
    assert [p.where for p in caught.value.problems] == [
        f"f.yaml:{w}" for w in ("1:1", "1:8", "2:7", "3:8", "4:1")
    ]


def test_among_very_many_names_the_nearest_is_found_and_not_all_are_listed():
    names = [f"principle-{number}" for number in range(5000)]
    accepted = one_of(names, "principel-4711")
    assert accepted.endswith("principle-39 and 4,960 more (did you mean 'principle-4711'?)")
    assert one_of(names, "x" * 1_000_000).endswith("more")


def test_problems_are_told_file_by_file_and_each_once():
    places = ("b.yaml:2:1", "a.yaml:9:1", None, "b.yaml:1:30", "a.yaml:10:1", "b.yaml:2:1")
    told = in_order(Problem("x", where) for where in places)
    assert [p.where for p in told] == [None, "b.yaml:1:30", "b.yaml:2:1", "a.yaml:9:1", "a.yaml:10:1"]


def test_a_problem_of_a_taken_over_value_names_its_file():
    document = YamlDocument(PATH, ["a"], {(): Mark(1, 1), (0,): Mark(3, 5, Path("other.yaml"))})
    assert document.where((0,)) == "other.yaml:3:5"
    assert "(first in line 3 of other.yaml)" in document.problem(Misfit((), "twice", first=(0,))).what


def test_a_syntax_error_behind_old_line_ends_is_refused(parser):
    (problem,) = problems("a: 1\rb: [\r")
    assert "flow" in problem.what
