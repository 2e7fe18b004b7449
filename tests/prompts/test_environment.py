"""Templates insert untrusted text whole and unread; a template that is wrong is one clear line."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from constitution.schema import Principle
from core.chat import Untrusted
from core.errors import ConfigError
from prompts.environment import (
    TEMPLATES,
    PromptTemplates,
    RenderedPrompt,
    fence_for,
    naive_decision_template,
)

PRINCIPLE = Principle(id="honest", text="The reply is honest.")
OTHER = Principle(id="kind", text="The reply is kind.")
SYNTAX = "{{ 7 * 7 }} {% raw %} {% endblock %} {# c #} {{ principle.text }} {{ ''.__class__ }}"


def user(body: str, **values: Any) -> RenderedPrompt:
    """Render a critique template whose `user` block is the given text."""
    templates = PromptTemplates({"critique": "{% block user %}" + body + "{% endblock %}"})
    return templates.render("critique", **values)


def comparison(**values: Any) -> RenderedPrompt:
    given = {
        "principle": PRINCIPLE,
        "preamble": "",
        "passage": None,
        "fence": "=====",
        "conversation": [{"role": "user", "content": Untrusted("question")}],
        "reply_a": Untrusted("first"),
        "reply_b": Untrusted("second"),
    }
    return PromptTemplates().render("comparison", **{**given, **values})


def text_of(rendered: RenderedPrompt) -> str:
    return "".join(piece.text if isinstance(piece, Untrusted) else piece for piece in rendered.pieces)


def the_error(body: str, **values: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        user(body, **values)
    assert caught.value.problems[0].where
    assert caught.value.problems[0].accepted
    assert "critique.j2" in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def test_untrusted_values_come_out_as_pieces_in_order():
    one, two = Untrusted("one"), Untrusted("two")
    rendered = user("a {{ x }} b {{ y }}{{ x }} c", x=one, y=two)
    assert rendered.pieces == ("a ", one, " b ", two, one, " c")


def test_our_own_values_are_part_of_the_text():
    assert user("{{ n }} of {{ word }}", n=3, word="four").pieces == ("3 of four",)


def test_text_with_template_syntax_stays_text():
    untrusted = Untrusted(SYNTAX)
    assert user("<{{ x }}>", x=untrusted).pieces == ("<", untrusted, ">")
    assert user("<{{ x }}>", x=SYNTAX).pieces == (f"<{SYNTAX}>",)


def test_text_with_placeholder_characters_stays_text():
    untrusted = Untrusted("\ue0000\ue001 and \ue0001\ue001")
    assert user("{{ x }}{{ y }}", x=untrusted, y=Untrusted("y")).pieces == (untrusted, Untrusted("y"))


def test_our_own_text_with_placeholder_characters_is_refused():
    assert "U+E000" in str(the_error("{{ x }} {{ ours }}", x=Untrusted("x"), ours="\ue0000\ue001"))


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_empty_untrusted_text_keeps_its_place(empty: str):
    assert user("a{{ x }}b", x=Untrusted(empty)).pieces == ("a", Untrusted(empty), "b")


@pytest.mark.parametrize(
    "expression",
    [
        "x | upper",
        "x | trim",
        "x | length",
        "x | string",
        "x | replace('a', 'b')",
        "x ~ 'more'",
        "x + 'more'",
        "x[0]",
        "x.text",
        "x['text']",
        "x | attr('text')",
        "'%s' | format(x)",
        "[x]",
        "{'x': x}",
        "(x, 1)",
        "many",
    ],
)
def test_untrusted_text_can_only_be_inserted_as_it_is(expression: str):
    secret = Untrusted("secret")
    the_error("{{ " + expression + " }}", x=secret, many=[secret])


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__",
        "''.__class__.__mro__",
        "principle.__init__",
        "many.append(1)",
        "x.__init__",
        "kind.__subclasses__()",
    ],
)
def test_sandbox_holds(expression: str):
    the_error("{{ " + expression + " }}", principle=PRINCIPLE, many=[], x=Untrusted("x"), kind=str)


@pytest.mark.parametrize("body", ["{{ unknown }}", "{{ principle.txt }}", "{% if unknown %}a{% endif %}"])
def test_unknown_value_is_refused(body: str):
    the_error(body, principle=PRINCIPLE)


@pytest.mark.parametrize("body", ["{% if %}", "{{ ", "{{ 1 | no_such_filter }}", "{% include 'secret' %}"])
def test_template_that_is_wrong_is_refused(body: str):
    the_error(body)


def test_template_without_a_user_block_is_refused():
    with pytest.raises(ConfigError) as caught:
        PromptTemplates({"critique": "no blocks"}).render("critique")
    assert "critique.j2" in str(caught.value)


def test_template_without_a_prefill_has_an_empty_one():
    assert user("text").prefill == ""


def test_digest_changes_with_every_template_and_every_character():
    shipped = PromptTemplates()
    assert PromptTemplates().digest == shipped.digest
    digests = {shipped.digest}
    for name in TEMPLATES:
        digests.add(PromptTemplates({name: shipped.sources[name] + " "}).digest)
    assert len(digests) == 1 + len(TEMPLATES)


def test_templates_left_out_are_the_shipped_ones():
    own = PromptTemplates({"critique": "{% block user %}mine{% endblock %}"})
    assert own.sources["comparison"] == PromptTemplates().sources["comparison"]
    assert own.render("critique").pieces == ("mine",)


# The shipped templates


def test_comparison_shows_conversation_replies_and_principle_in_this_order():
    text = text_of(comparison(preamble="Be careful."))
    places = [
        text.index(part) for part in ("question", "first", "second", "Be careful.", "The reply is honest.")
    ]
    assert places == sorted(places)
    assert text.endswith("Answer with one letter, A or B.")


def test_comparison_fences_every_text_that_we_did_not_write():
    fence = "=" * 9
    conversation = [
        {"role": role, "content": Untrusted(role)} for role in ("system", "user", "assistant", "user")
    ]
    text = text_of(comparison(fence=fence, conversation=conversation))
    for written in ("system", "user", "assistant", "first", "second"):
        assert f":\n{fence}\n{written}\n{fence}\n" in text


def test_comparison_marks_the_texts_as_untrusted_in_order():
    pieces = comparison().pieces
    assert [piece.text for piece in pieces if isinstance(piece, Untrusted)] == ["question", "first", "second"]


def test_comparison_prefill_leaves_the_letter_to_the_model():
    prefill = comparison().prefill
    assert prefill == prefill.strip() != ""


def test_own_wording_of_a_principle_takes_the_place_of_the_derived_one():
    own = PRINCIPLE.model_copy(update={"comparison": "Which is truer?", "critique": "Where does it lie?"})
    assert "Which is truer?" in text_of(comparison(principle=own))
    assert len(text_of(comparison(principle=own))) < len(text_of(comparison()))
    critique = PromptTemplates().render("critique", principle=own, preamble="", passage=None)
    assert "Where does it lie?" in text_of(critique)


@pytest.mark.parametrize("name", ["critique", "revision"])
def test_request_to_the_critic_names_the_principle(name: str):
    rendered = PromptTemplates().render(
        name, principle=PRINCIPLE, preamble="", passage=None, question=Untrusted("Why {{ so }}?")
    )
    assert PRINCIPLE.text in text_of(rendered)
    untrusted = [piece.text for piece in rendered.pieces if isinstance(piece, Untrusted)]
    assert untrusted == ([] if name == "critique" else ["Why {{ so }}?"])


# The fence


@pytest.mark.parametrize(
    ("texts", "length"),
    [
        ([], 5),
        (["no sign", "a = b"], 5),
        (["===="], 5),
        (["====="], 6),
        (["a\n=======\nb", "=="], 8),
        (["=== ====="], 6),
        (["\u2550" * 8], 9),
        (["==\uff1d=\ua78a==\n===="], 8),
    ],
)
def test_fence_is_longer_than_any_run_in_the_texts(texts: list[str], length: int):
    assert fence_for(texts) == "=" * length


def test_fence_is_in_none_of_many_texts():
    draw = random.Random(0)
    for _ in range(300):
        texts = ["".join(draw.choices("=a\n", weights=(6, 1, 1), k=60)) for _ in range(3)]
        fence = fence_for(texts)
        assert re.fullmatch("=+", fence)
        assert all(fence not in text for text in texts)


def test_naive_decision_is_the_question_with_the_text_pasted_behind_it():
    options = [{"label": label, "name": Untrusted(name), "description": ""} for label, name in ("Ax", "By")]
    rendered = naive_decision_template().render(
        "decision",
        fence="=====",
        state=Untrusted("s"),
        rules="",
        instructions="",
        options=options,
        letters=True,
    )
    assert text_of(rendered) == (
        "Which answer fits the text best?\n\nA: x\nB: y\n\nAnswer with one letter.\n\ns"
    )
    assert rendered.prefill == PromptTemplates(names=("decision",)).prefill("decision")


def test_the_defaults_of_all_three_overrides_are_read_from_the_templates():
    defaults = PromptTemplates().principle_defaults()
    assert sorted(defaults) == ["comparison", "critique", "revision"]
    assert all(default and "{%" not in default and "{{" not in default for default in defaults.values())
    assert "{text}" in defaults["revision"]


def test_default_is_what_a_request_asks_of_a_principle_that_overrides_nothing():
    templates = PromptTemplates()
    defaults = templates.principle_defaults()
    assert f"\n{defaults['comparison']} Answer with" in text_of(comparison())
    given = {"principle": PRINCIPLE, "preamble": "", "passage": None, "fence": "====="}
    critique = text_of(templates.render("critique", **given))
    assert critique.endswith(f"\n\n{defaults['critique']}")
    revision = text_of(templates.render("revision", principle=PRINCIPLE, question=Untrusted("Why?")))
    assert revision == f"{defaults['revision'].format(text=PRINCIPLE.text)}\n\nWhy?"


@pytest.mark.parametrize(
    "body",
    [
        "{% if preamble %}{{ preamble }}{% else %}no{% endif %}",
        "{% if principle.critique %}yes{% else %}no{% endif %}",
        "{% if principle.critique %}{{ principle.critique }}{% endif %}",
        "{% if not principle.critique %}{{ principle.critique }}{% else %}no{% endif %}",
    ],
)
def test_other_conditions_are_no_defaults(body: str):
    source = "{% block user %}" + body + "{% endblock %}"
    assert "critique" not in PromptTemplates({"critique": source}).principle_defaults()


@pytest.mark.parametrize(
    "other",
    [
        'About "{{ question }}": what breaks {{ principle.text }}?',
        "{% if finding %}{{ finding }}{% endif %}",
        "{{ principle.section }}",
        "{{ principle.text | upper }}",
        "{% set a = principle.text %}{{ a }}",
        "{% for e in principle.examples %}{{ e.prompt }}{% endfor %}",
    ],
)
def test_default_that_is_different_in_each_request_is_none(other: str):
    body = "{% if principle.critique %}{{ principle.critique }}{% else %}" + other + "{% endif %}"
    source = "{% block user %}" + body + "{% endblock %}"
    assert sorted(PromptTemplates({"critique": source}).principle_defaults()) == ["comparison", "revision"]


# Rendered once for all texts


def test_requests_that_differ_in_untrusted_texts_alone_are_rendered_once():
    templates = PromptTemplates(
        {"critique": "{% block user %}a {{ x }} b {{ y.z }} {{ p.text }}{% endblock %}"}
    )
    for number in range(5):
        x, z = Untrusted(f"x{number}"), Untrusted(f"z{number}")
        rendered = templates.render("critique", x=x, y={"z": z}, p=PRINCIPLE)
        assert rendered.pieces == ("a ", x, " b ", z, " The reply is honest.")
    assert templates._parts.cache_info().misses == 1
    templates.render("critique", x=Untrusted("x"), y={"z": "ours"}, p=PRINCIPLE)
    templates.render("critique", x=Untrusted("x"), y={"z": Untrusted("z")}, p=OTHER)
    assert templates._parts.cache_info().misses == 3


def test_template_may_compare_texts():
    templates = PromptTemplates(
        {"critique": "{% block user %}{{ 'same' if x == y else 'other' }} {{ x }}{% endblock %}"}
    )
    for x, y, expected in (("a", "b", "other "), ("a", "a", "same "), ("b", "a", "other ")):
        rendered = templates.render("critique", x=Untrusted(x), y=Untrusted(y))
        assert rendered.pieces == (expected, Untrusted(x))


def test_equal_values_of_other_types_are_rendered_apart():
    templates = PromptTemplates({"critique": "{% block user %}<{{ x }}>{% endblock %}"})
    for value in (1, True, 1.0, "1", 0, False, ""):
        assert templates.render("critique", x=value).pieces == (f"<{value}>",)


def test_stored_forms_are_bounded():
    templates = PromptTemplates({"critique": "{% block user %}{{ x }}{% endblock %}"})
    for number in range(1100):
        assert templates.render("critique", x=str(number)).pieces == (str(number),)
    info = templates._parts.cache_info()
    assert info.currsize == info.maxsize == 1024
