"""A folder of templates: what is replaced, what is refused and where, and that nothing in it can do harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from constitution.schema import Principle
from core.chat import Untrusted
from core.errors import ConfigError
from prompts.environment import DECISION_TEMPLATES, JUDGE_TEMPLATES, TEMPLATES, PromptTemplates
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
    templates = user_templates(tmp_path / "mine")
    assert templates.digest == PromptTemplates().digest
    assert (templates.given, templates.own) == (set(TEMPLATES), frozenset())
    assert (templates.decisions.given, templates.decisions.own) == (set(DECISION_TEMPLATES), frozenset())
    assert (templates.judging.given, templates.judging.own) == (set(JUDGE_TEMPLATES), frozenset())


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


@pytest.mark.parametrize(
    "read", ["principle.model_dump", "principle.text.upper", "preamble.format", "m.items"]
)
def test_only_fields_keys_and_values_can_be_read(read: str):
    # A method is shown with its address in this process, which no later request would repeat.
    templates = PromptTemplates({"critique": user("{{ " + read + " }}")})
    with pytest.raises(ConfigError, match=r"unsafe|cannot be inserted"):
        templates.render("critique", principle=KIND, preamble="p", m={"role": "user"})


@pytest.mark.parametrize(
    "body",
    [
        "{{ principle }}",
        "{{ principle | upper }}",
        "{{ principle.text.upper }}",
        "{{ preamble.format }}",
        "{{ principle.check }}",
        "{{ principle.applies_to }}",
        "{% for m in conversation %}{{ m.items }}{% endfor %}",
        "{% for m in conversation %}{{ loop.changed }}{% endfor %}",
        "{% for m in conversation %}{{ loop }}{% endfor %}",
        "{% for m in conversation %}{{ loop | title }}{% endfor %}",
    ],
)
def test_only_texts_and_numbers_are_shown(body: str, tmp_path: Path):
    text = PromptTemplates().sources["pointwise"].replace("{% block user -%}", "{% block user -%}" + body)
    (found, *_) = problems(folder_with(tmp_path, pointwise=text))
    assert "cannot be rendered" in found
    assert "0x" not in found


@pytest.mark.parametrize(
    "body",
    [
        "{% if principle.examples %}{% for e in principle.examples %}{{ e.nofield }}{% endfor %}{% endif %}",
        "{% if principle.section %}{{ principle.section.foo }}{% endif %}",
        "{% if principle.source and not principle.critique %}{{ principle.source.x }}{% endif %}",
        "{% if principle.examples and not principle.section %}{{ principle.check }}{% endif %}",
        "{% if principle.check %}{{ principle.check.value }}{% endif %}",
        "{{ principle.section }}",
    ],
)
def test_branches_on_a_principles_fields_are_tried(body: str, tmp_path: Path):
    assert "cannot be rendered" in problems(folder_with(tmp_path, critique=user("x" + body)))[0]


def test_fields_that_are_asked_for_first_can_be_shown(tmp_path: Path):
    body = (
        "{% if principle.section %}{{ principle.section | upper }}{% endif %}{{ principle.weight }}"
        "{% for e in principle.examples %}{{ loop.index }}. {{ e.prompt }}{% endfor %}"
        "{% set check = principle.check %}"
        "{% if check and check.kind == 'max_words' %}{{ check.value }}{% endif %}"
    )
    assert user_templates(folder_with(tmp_path, critique=user(body))).own == {"critique"}


@pytest.mark.parametrize(
    "body",
    [
        "{% for a, b in principle.text %}{{ a }}{% endfor %}",
        "{% set a, b = principle.text %}{{ a }}",
        "{% if 1 %}" * 150 + "x" + "{% endif %}" * 150,
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "not " * 2500 + "1 }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ '\\ud800' }}",
    ],
    ids=["loop", "set", "if", "parentheses", "not", "digits", "surrogate"],
)
def test_template_that_python_cannot_read_is_refused_in_a_line(body: str, tmp_path: Path):
    found = problems(folder_with(tmp_path, critique=user("x" + body)))
    assert all("critique.j2" in line for line in found)


@pytest.mark.parametrize(
    "body",
    [
        "{% for a in 'x' %}{% for b in 'x' %}y{% endfor %}{% endfor %}",
        "{% for a in principle.text %}y{% endfor %}",
        "{% for a in preamble %}y{% endfor %}",
        "{% for a in ['x', 'y'] %}y{% endfor %}",
        "{% set conversation = fence %}{% for a in conversation %}y{% endfor %}",
        "{% for a in conversation %}{% for b in conversation %}y{% endfor %}{% endfor %}",
        "{% set m = {'examples': fence} %}{% for a in m.examples %}y{% endfor %}",
        "{% set principle = {'examples': fence} %}{% for a in principle.examples %}y{% endfor %}",
        "{% for a in {'examples': fence}.examples %}y{% endfor %}",
        "{% for a in conversation[0].examples %}y{% endfor %}",
    ],
)
def test_loops_go_over_given_lists_alone(body: str, tmp_path: Path):
    text = PromptTemplates().sources["pointwise"].replace("{% block user -%}", "{% block user -%}" + body)
    found = problems(folder_with(tmp_path, pointwise=text))
    assert any("a loop" in line or "is replaced" in line for line in found), found


def test_request_that_grows_without_bound_is_refused():
    body = "{% for m in conversation %}" + "y" * 1000 + "{% endfor %}"
    templates = PromptTemplates({"pointwise": user(body)})
    with pytest.raises(ConfigError, match="more than 2,000,000 characters"):
        templates.render("pointwise", conversation=({"role": "user"},) * 3000)


def test_all_mistakes_of_all_files_are_reported_at_once(tmp_path: Path):
    folder_with(tmp_path, critique=user("{{ one }}\n{{ two }}"), revision=user("{{ three }}"))
    found = problems(tmp_path)
    assert len(found) == 3
    for value, place in (("one", "critique.j2:1"), ("two", "critique.j2:2"), ("three", "revision.j2:1")):
        assert any(f"'{value}'" in line and place in line for line in found)


@pytest.mark.parametrize("name", REPLACEABLE)
def test_sample_values_are_those_that_shipped_templates_name(name: str, tmp_path: Path):
    shipped = PromptTemplates()
    source = {k: v for part in shipped.families for k, v in part.sources.items()}[name]
    write_templates(tmp_path, {name: source})
    user_templates(tmp_path)
    for value in TEMPLATE_VALUES[name]:
        asking = "{% block user %}{% if " + value + " %}{% endif %}"
        text = source.replace("{% block user -%}", asking, 1)
        templates = user_templates(folder_with(tmp_path, **{name: text}))
        assert frozenset().union(*(part.own for part in templates.families)) == {name}


def test_a_typed_question_has_no_beginning_of_an_answer(tmp_path: Path):
    question = user("{{ principle.text }}") + "{% block prefill %}Yes{% endblock %}"
    (line,) = problems(folder_with(tmp_path, decision_question=question))
    assert "unknown block 'prefill'" in line


def test_a_typed_question_needs_its_texts(tmp_path: Path):
    (line,) = problems(folder_with(tmp_path, decision_reply=user("{{ conversation[0].content }}")))
    assert "never shows reply" in line


def test_prefill_of_an_edited_template_is_the_built_in_one_unless_it_is_edited_too():
    shipped = PromptTemplates().sources["critique"]
    edited = shipped.replace("One principle for your replies is:", "A principle:")
    assert edited != shipped
    assert not PromptTemplates({"critique": edited}).has_own_prefill("critique")
    for text in (edited.replace("my reply should", "I should"), edited.partition("{% block prefill")[0]):
        assert PromptTemplates({"critique": text}).has_own_prefill("critique")
