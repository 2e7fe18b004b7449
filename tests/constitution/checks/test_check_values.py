"""Values that no check can have: each is refused at its line and column; and values survive the file."""

from __future__ import annotations

import json

import pytest
import yaml

from constitution.checks.evaluate import evaluate
from constitution.checks.language import LANGUAGES
from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.errors import ConfigError
from core.text.explain import one_of

HEAD = "name: x\nprinciples:\n- id: a\n  text: t\n  check: "
WHOLE = "a whole number of at least 1"
PHRASES = "a list of at least 1 entry"
GRADE = "a number of at least 1 and at most 30"
LISTS = "one of: boilerplate, flattery, hedging, moralising"
DEEPER = "recursive references only below a property or an item"
INSIDE = "a reference to a place in this schema, such as '#/$defs/name'; nothing is fetched"

BAD = [
    *[
        (f"{{kind: {end}_{unit}, value: {value}}}", f"value is {said}; accepted: {accepted}")
        for end in ("max", "min")
        for unit in ("words", "sentences", "characters")
        for value, said, accepted in ((0, "0", WHOLE), (1.5, "1.5", WHOLE), ("many", "'many'", WHOLE))
    ],
    *[
        (f"{{kind: {kind}, value: []}}", f"value is empty; accepted: {PHRASES}")
        for kind in ("contains_any", "starts_with", "ends_with", "not_starts_with", "not_ends_with")
    ],
    (
        "{kind: starts_with, value: 'Hello, you'}",
        "value is 'Hello, you'; accepted: check: {kind: starts_with, value: [Hello, you]}",
    ),
    ("{kind: max_grade, value: 0}", f"value is 0; accepted: {GRADE}"),
    ("{kind: max_grade, value: .nan}", f"value is nan; accepted: a finite {GRADE[2:]}"),
    ("{kind: min_grade, value: 31}", f"value is 31; accepted: {GRADE}"),
    ("{kind: min_grade, value: high}", f"value is 'high'; accepted: {GRADE}"),
    ("{kind: format, value: lists}",
     "value is 'lists'; accepted: check: {kind: format, value: list}"),
    ("{kind: person, value: 1}", "value is 1; accepted: check: {kind: person, value: first}"),
    ("{kind: ends_with_question, value: yes}",
     "value is 'yes'; accepted: check: {kind: ends_with_question, value: true}"),
    ("{kind: refusal, value: 1}", "value is 1; accepted: check: {kind: refusal, value: true}"),
    ("{kind: phrase_list, value: flatery}",
     f"value is 'flatery'; accepted: {LISTS} (did you mean 'flattery'?)"),
    ("{kind: language, value: eng}",
     f"unknown language 'eng'; accepted: same, the language of the question, or {one_of(LANGUAGES, 'eng')}"),
    ("{kind: json, value: []}", "value is empty; accepted: a JSON Schema, or {} for any JSON"),
    ("{kind: json, value: any}", "value is 'any'; accepted: a JSON Schema, or {} for any JSON"),
    ("{kind: json, value: {const: .nan}}",
     "the schema has a value that JSON cannot represent, such as .nan; accepted: a JSON Schema"),
    ("{kind: json, value: {$ref: '#'}}",
     f"the references of the schema form an infinite loop; accepted: {DEEPER}"),
    ("{kind: python, value: rules}", "value is 'rules'; accepted: module:function, such as rules:is_polite"),
    ("{kind: python, value: 'os.system:x y'}",
     "value is 'os.system:x y'; accepted: module:function, such as rules:is_polite"),
]  # fmt: skip

WITHIN = [
    ("{type: objekt}", "type",
     "invalid JSON Schema: type is 'objekt'; accepted: one of: array, boolean, integer, null, number, "
     "object, string (did you mean 'object'?)"),
    ("{properties: {a: {minimum: x}}}", "minimum",
     "invalid JSON Schema: minimum is 'x'; accepted: of type number"),
    ("{pattern: '('}", "pattern", "invalid JSON Schema: pattern is '('; accepted: a regular expression"),
    ("{anyOf: []}", "anyOf", "invalid JSON Schema: anyOf is empty; accepted: minItems 1"),
    ("{$id: 5}", "$id", "invalid JSON Schema: $id is 5; accepted: of type string"),
    ("{$ref: 'https://example.org/x.json'}", "$ref",
     f"the reference 'https://example.org/x.json' cannot be resolved; accepted: {INSIDE}"),
    ("{items: {$ref: '#/$defs/no'}}", "$ref",
     f"the reference '#/$defs/no' cannot be resolved; accepted: {INSIDE}"),
    *[
        (text, "$ref", f"the reference '{target}' {mistake}; accepted: {INSIDE}")
        for text, target, mistake in (
            ("{title: x, items: {$ref: '#/title'}}", "#/title", "does not point to a schema"),
            ("{default: {type: no}, items: {$ref: '#/default'}}", "#/default", "does not point to a schema"),
            ("{$defs: {minimum: {}}, items: {$ref: '#/$defs'}}", "#/$defs", "does not point to a schema"),
            ("{enum: [1], items: {$ref: '#/enum/x'}}", "#/enum/x", "cannot be resolved"),
            ("{minimum: 1, items: {$ref: '#/minimum/x'}}", "#/minimum/x", "cannot be resolved"),
        )
    ],
    ("{pattern: '" + "a" * 10_001 + "'}", "pattern",
     "invalid JSON Schema: pattern is '" + "a" * 56 + "...'; accepted: a regular expression"),
    ("{$schema: 'http://json-schema.org/draft-04/schema#', items: {id: other}}", "id",
     "the schema contains another schema, 'other'; accepted: a single schema"),
    ("{items: {$id: other}}", "$id",
     "the schema contains another schema, 'other'; accepted: a single schema"),
]  # fmt: skip


def refusal_of(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_constitution(path)
    (problem,) = caught.value.problems
    return str(problem).removeprefix(f"{path}:")


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_value_that_no_check_can_have_is_refused_at_its_place(tmp_path, text, said):
    column = len("  check: ") + text.index("value: ") + len("value: ") + 1
    assert refusal_of(tmp_path, text) == f"5:{column}: {said}"


@pytest.mark.parametrize(("schema", "key", "said"), WITHIN)
def test_a_schema_that_is_wrong_is_refused_within_it(tmp_path, schema, key, said):
    text = f"{{kind: json, value: {schema}}}"
    column = len("  check: ") + text.index(f"{key}: ") + len(f"{key}: ") + 1
    assert refusal_of(tmp_path, text) == f"5:{column}: {said}"


def test_an_unknown_dialect_is_refused_with_those_that_are_read(tmp_path):
    known = "https://json-schema.org/draft/2020-12/schema"
    unknown = known.replace("12", "13")
    said = refusal_of(tmp_path, f"{{kind: json, value: {{$schema: '{unknown}'}}}}")
    assert said.startswith(f"5:40: unknown dialect '{unknown}'; accepted: one of: {known}, ")
    assert said.endswith(f"(did you mean '{known}'?)")


def test_no_schema_makes_the_reader_open_a_connection(tmp_path, monkeypatch):
    def refused(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refused)
    said = refusal_of(tmp_path, "{kind: json, value: {$ref: 'http://127.0.0.1:9/x'}}")
    assert "cannot be resolved" in said


def test_a_schema_is_hashable_and_comes_back_from_the_file(tmp_path):
    text = "{kind: json, value: {type: object, properties: {b: {type: integer}, a: {enum: [1, null, ü]}}}}"
    path = tmp_path / "c.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    first = load_constitution(path)
    written = first.to_yaml()
    assert yaml.safe_load(written)["principles"][0]["check"]["value"]["properties"]["b"] == {
        "type": "integer"
    }
    path.write_text(written, encoding="utf-8")
    again = load_constitution(path)
    assert again == first
    assert again.digest == first.digest
    assert len({*first.principles, *again.principles}) == 1


def test_the_order_of_keys_in_a_schema_changes_nothing():
    def digest(schema: dict[str, object]) -> str:
        check = {"kind": "json", "value": schema}
        content = {"name": "x", "principles": [{"id": "a", "text": "t", "check": check}]}
        return Constitution.model_validate(content).digest

    assert digest({"type": "array", "maxItems": 2}) == digest({"maxItems": 2, "type": "array"})
    assert digest({"type": "array"}) != digest({"type": "object"})


def test_the_languages_are_those_of_the_installed_detector():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    known = LanguageIdentifier.from_model_file(MODEL_FILE).labels
    assert set(LANGUAGES) == {code for code in known if len(code) == 2}


def test_the_schema_for_editors_knows_what_the_values_are():
    definitions = Constitution.model_json_schema()["$defs"]
    assert definitions["JsonAnswer"]["properties"]["value"]["type"] == "object"
    assert "en" in definitions["Language"]["properties"]["value"]["enum"]


def _doubling(levels):
    """Return a schema without a circle in which the last level is reached 2 ** levels times."""
    return {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"} for _ in range(2)]}
        if level < levels
        else {}
        for level in range(levels + 1)
    }


def test_references_that_multiply_are_followed_only_so_often(tmp_path):
    text = json.dumps({"$defs": _doubling(30), "$ref": "#/$defs/d0"})
    said = refusal_of(tmp_path, f"{{kind: json, value: {text}}}")
    what = "the schema requires following more than 100,000 references for one value"
    assert said.endswith(f"{what}; accepted: {DEEPER}")


def test_an_answer_for_which_references_multiply_fails(tmp_path):
    text = json.dumps({"$defs": _doubling(30), "properties": {"a": {"$ref": "#/$defs/d0"}}})
    path = tmp_path / "c.yaml"
    path.write_text(HEAD + f"{{kind: json, value: {text}}}", encoding="utf-8")
    (principle,) = load_constitution(path).principles
    assert evaluate(principle.check, "{}").passed
    assert not evaluate(principle.check, '{"a": 1}').passed
    assert evaluate(principle.check, "{}").passed
