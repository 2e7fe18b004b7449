"""A folder of templates: what is replaced, what is refused and where, and that nothing in it can do harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from constitution.schema import Principle
from core.chat import Untrusted
from core.errors import ConfigError
from prompts.environment import PromptTemplates
from prompts.user_templates import (
    REPLACEABLE,
    TEMPLATE_VALUES,
    init_templates,
    user_templates,
    write_templates,
)

KIND = Principle(id="kind", text="The reply is kind.")


def folder_with(tmp_path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (tmp_path / f"{name}.j2").write_text(text, encoding="utf-8")
    return tmp_path


def user(body: str) -> str:
    return "{% block user %}" + body + "{% endblock %}"


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        user_templates(folder)
    return str(caught.value).splitlines()


def test_without_a_folder_the_templates_are_the_shipped_ones():
    assert user_templates(None).digest == PromptTemplates().digest
    assert user_templates(None).own == frozenset()


def test_written_templates_are_the_shipped_ones_and_pass_the_check(tmp_path: Path):
    paths = init_templates(tmp_path / "mine")
    assert [path.name for path in paths] == [f"{name}.j2" for name in REPLACEABLE]
    assert user_templates(tmp_path / "mine").digest == PromptTemplates().digest


def test_templates_are_not_written_over(tmp_path: Path):
    folder_with(tmp_path, critique=user("Mine."))
    with pytest.raises(ConfigError, match=r"already contains critique\.j2; nothing was written"):
        init_templates(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["critique.j2"]


def test_one_file_replaces_one_template(tmp_path: Path):
    templates = user_templates(
        folder_with(tmp_path, revision=user("Again: {{ principle.text }} {{ question }}"))
    )
    assert templates.own == {"revision"}
    question = Untrusted("Why?<|im_end|>")
    rendered = templates.render("revision", principle=KIND, question=question)
    assert rendered.pieces == ("Again: The reply is kind. ", question)
    assert templates.sources["critique"] == PromptTemplates().sources["critique"]
    assert templates.digest != PromptTemplates().digest


def test_other_files_in_the_folder_are_ignored(tmp_path: Path):
    (tmp_path / "README.md").write_text("{% notes")
    assert user_templates(folder_with(tmp_path, system=user("{{ principles[0].text }}"))).own == {"system"}


@pytest.mark.parametrize(
    ("name", "accepted"), [("critque", "did you mean critique.j2?"), ("mine", "comparison.j2, pointwise.j2")]
)
def test_unknown_name_is_refused_with_the_list(name: str, accepted: str, tmp_path: Path):
    (found,) = problems(folder_with(tmp_path, **{name: user("x")}))
    assert found.startswith(f"{tmp_path / name}.j2: unknown template")
    assert accepted in found


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_folder_without_templates_is_refused(folder: str, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (found,) = problems(tmp_path / folder)
    assert "publius init --templates" in found


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\n{% block user %}{% if %}{% endblock %}", 2, "syntax error"),
        ("{% block user %}\n\n{{ anser }}{% endblock %}", 3, "unknown value 'anser'"),
        ("{% block user %}\n{{ principle.txt }}{% endblock %}", 2, "no field 'txt'"),
        ("{% block user %}\n{{ principle.check.value.x }}{% endblock %}", 2, "cannot be rendered"),
        ("{% block user %}\n{{ question | upper }}{% endblock %}", 2, "untrusted text"),
        ("{% block user %}\n{{ question.text }}{% endblock %}", 2, "unsafe"),
        ("{% block user %}\n{{ principle.text | replace('a', 'b') }}{% endblock %}", 2, "filter 'replace'"),
        ("{% block user %}a{% endblock %}\n{% block body %}{% endblock %}", None, "unknown block 'body'"),
        ("No block.", None, "no block `user`"),
        ("{% block user %} {% endblock %}", None, "empty"),
    ],
)
def test_mistake_is_reported_with_its_line(text: str, line: int | None, what: str, tmp_path: Path):
    found = problems(folder_with(tmp_path, critique=text))
    place = f"{tmp_path / 'critique.j2'}:{line}: " if line else f"{tmp_path / 'critique.j2'}: "
    assert any(one.startswith(place) and what in one for one in found), found


def test_value_that_is_absent_at_times_must_be_asked_for(tmp_path: Path):
    found = problems(folder_with(tmp_path, critique=user("{{ finding }}")))
    assert "critique.j2:1: " in found[0]
    assert "may be absent" in found[0]
    folder_with(tmp_path, critique=user("{% if finding %}{{ finding }}{% endif %}{{ principle.text }}"))
    assert user_templates(tmp_path).own == {"critique"}


@pytest.mark.parametrize(
    ("name", "missing"), [("comparison", "reply_b"), ("pointwise", "reply"), ("system", "principles")]
)
def test_template_that_does_not_show_what_is_asked_about_is_refused(name: str, missing: str, tmp_path: Path):
    shipped = PromptTemplates().sources[name].replace(missing, "preamble")
    found = problems(folder_with(tmp_path, **{name: shipped}))
    assert any(f"never shows {missing}" in one for one in found)


def test_beginning_of_a_labelers_answer_has_no_values(tmp_path: Path):
    text = PromptTemplates().sources["pointwise"].replace("The answer is", "{{ preamble }}")
    assert "the prefill uses the value 'preamble'" in problems(folder_with(tmp_path, pointwise=text))[0]


def test_labelers_answer_may_begin_with_nothing(tmp_path: Path):
    text = PromptTemplates().sources["pointwise"].partition("{% block prefill")[0]
    assert user_templates(folder_with(tmp_path, pointwise=text)).prefill("pointwise") == ""


@pytest.mark.parametrize(
    "body",
    [
        "{% for i in range(10) %}{{ i }}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{% set a = preamble ~ preamble %}{{ a }}",
        "{% set a = preamble + preamble %}{{ a }}",
        "{% set a %}{{ preamble }}{{ preamble }}{% endset %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in preamble recursive %}{{ loop(preamble) }}{% endfor %}",
        "{% for a in fence %}{% for b in fence %}{% for c in fence %}.{% endfor %}{% endfor %}{% endfor %}",
        "{% include 'critique' %}",
        "{% import 'critique' as c %}",
        "{{ principle.model_dump() }}",
        "{{ principle.__class__ }}",
        "{{ principle['__class__'] }}",
        "{{ ''['__class__'] }}",
        "{{ self }}",
        "{{ preamble | attr('__class__') }}",
        "{{ preamble | map('upper') | list }}",
        "{{ preamble.format(principle) }}",
        "{% filter upper %}{{ question }}{% endfilter %}",
        "{% do preamble %}",
    ],
)
def test_template_cannot_call_reach_or_run_for_ever(body: str, tmp_path: Path):
    assert problems(folder_with(tmp_path, critique=user("x" + body)))


def test_only_fields_of_a_principle_can_be_read():
    templates = PromptTemplates({"critique": user("{{ principle.model_dump }}")})
    with pytest.raises(ConfigError, match="unsafe"):
        templates.render("critique", principle=KIND)


def test_all_mistakes_of_all_files_are_reported_at_once(tmp_path: Path):
    folder_with(tmp_path, critique=user("{{ one }}\n{{ two }}"), revision=user("{{ three }}"))
    found = problems(tmp_path)
    assert len(found) == 3
    for value, place in (("one", "critique.j2:1"), ("two", "critique.j2:2"), ("three", "revision.j2:1")):
        assert any(f"'{value}'" in line and place in line for line in found)


@pytest.mark.parametrize("name", REPLACEABLE)
def test_sample_values_are_those_that_shipped_templates_name(name: str, tmp_path: Path):
    shipped = PromptTemplates()
    source = {**shipped.sources, **shipped.decisions.sources}[name]
    write_templates(tmp_path, {name: source})
    user_templates(tmp_path)
    for value in TEMPLATE_VALUES[name]:
        asking = "{% block user %}{% if " + value + " %}{% endif %}"
        text = source.replace("{% block user -%}", asking, 1)
        templates = user_templates(folder_with(tmp_path, **{name: text}))
        assert templates.own | templates.decisions.own == {name}


def test_a_typed_question_has_no_beginning_of_an_answer(tmp_path: Path):
    question = user("{{ principle.text }}") + "{% block prefill %}Yes{% endblock %}"
    (line,) = problems(folder_with(tmp_path, decision_question=question))
    assert "unknown block 'prefill'" in line


def test_a_typed_question_needs_its_texts(tmp_path: Path):
    (line,) = problems(folder_with(tmp_path, decision_reply=user("{{ conversation[0].content }}")))
    assert "never shows reply" in line
