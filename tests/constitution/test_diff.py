"""What changed between two constitutions is found, and bears on what it is said to bear on."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from constitution.diff import Change, compare_constitutions
from constitution.schema import Constitution, Principle
from core.records import Comparison, Judgment, Message, Prompt
from critique.config import CritiqueConfig
from critique.guard import Standing
from critique.loop import CritiqueLoop
from critique.strategies import principles_of_round
from engines.scripted import ScriptedEngine
from evaluation.prompted import prompted_turns
from labelers.ai import AILabeler
from labelers.check import check_judgments
from labelers.config import LabelConfig
from labelers.crowd.aggregate import aggregate
from prompts.environment import PromptTemplates

BASE: dict[str, Any] = {
    "name": "base",
    "sections": ["safety", "manner"],
    "principles": [
        {"id": "safe", "section": "safety", "text": "The reply helps nobody to hurt somebody else."},
        {"id": "kind", "section": "manner", "text": "The reply is kind to the person who asks for help."},
        {"id": "plain", "section": "manner", "text": "The reply uses plain words and short sentences only."},
        {"id": "open", "section": "manner", "text": "The reply says openly what it does not know at all."},
        {
            "id": "brief",
            "section": "manner",
            "text": "The reply has few words.",
            "check": {"kind": "max_words", "value": 6},
        },
    ],
}
FEW_SHOT = {"prompt": "Why?", "good": "Because.", "bad": "No.", "use": "few_shot"}
EXAMPLE = {**FEW_SHOT, "use": "test"}
UNSCORED = Standing({}, frozenset(), 1.0)
ASKED = {"critique", "revision", "labels"}


def constitution(whole: dict[str, Any] | None = None, **principles: dict[str, Any]) -> Constitution:
    """The base with some of its keys, and some keys of its principles, set."""
    entries = [{**entry, **principles.get(entry["id"], {})} for entry in BASE["principles"]]
    return Constitution.model_validate({**BASE, "principles": entries, **(whole or {})})


def changes(old: Constitution, new: Constitution) -> list[tuple[str, str | None, str, set[str]]]:
    return [(c.kind, c.principle, c.field, set(c.bears_on)) for c in compare_constitutions(old, new).changes]


def test_equal_constitutions_have_no_differences():
    assert compare_constitutions(constitution(), constitution()).changes == ()


@pytest.mark.parametrize(
    ("field", "value", "kind", "bears_on"),
    [
        ("text", "The reply is gentle to whoever asks.", "reworded", {*ASKED, "prompted"}),
        ("weight", 2.5, "reweighted", {"draw", "aggregation"}),
        ("weight", 0.0, "reweighted", {"draw", "aggregation", "prompted"}),
        ("applies_to", {"tags": ["red-team"]}, "rescoped", {"draw", "prompted"}),
        ("except", {"pattern": "joke"}, "rescoped", {"draw", "prompted"}),
        ("section", "safety", "moved", {"rules"}),
        ("hard", True, "made hard", {"aggregation"}),
        ("critique", "Say what is unkind.", "override changed", {"critique", "revision"}),
        ("revision", "Write it kindly.", "override changed", {"revision"}),
        ("comparison", "Which one is kinder?", "override changed", {"labels"}),
        ("antithesis", "The reply is rude.", "override changed", {"contrast"}),
        ("check", {"kind": "min_words", "value": 2}, "check changed", {"draw", "checks"}),
        ("examples", [EXAMPLE], "examples changed", set()),
        ("examples", [FEW_SHOT], "examples changed", {"labels"}),
        ("examples", [{**FEW_SHOT, "why": "be patient."}], "examples changed", ASKED),
        ("lint_ignore", ["L101"], "changed", set()),
    ],
)
def test_field_of_a_principle_bears_on(field: str, value: Any, kind: str, bears_on: set[str]):
    found = changes(constitution(), constitution(kind={field: value}))
    assert found == [(kind, "kind", field, bears_on)]


@pytest.mark.parametrize(
    ("field", "value", "bears_on"),
    [
        ("name", "other", set()),
        ("version", "2.0", set()),
        ("preamble", "Be good.", {*ASKED, "prompted"}),
        ("priority", "strict", {"aggregation", "prompted"}),
        ("lint_ignore", ["L101"], set()),
        ("sections", ["safety", "manner", "honesty"], set()),
    ],
)
def test_field_of_the_whole_bears_on(field: str, value: Any, bears_on: set[str]):
    assert changes(constitution(), constitution({field: value})) == [("changed", None, field, bears_on)]


def test_every_field_that_can_change_is_told():
    told = {"text", "weight", "applies_to", "exempt", "section", "hard", "critique", "revision", "comparison"}
    told |= {"antithesis", "check", "examples", "lint_ignore", "source"}
    assert Principle.model_fields.keys() - {"id"} == told
    whole = {"name", "version", "preamble", "priority", "sections", "passages", "lint_ignore", "principles"}
    assert Constitution.model_fields.keys() == whole


def test_what_is_only_measured_bears_on_nothing():
    measured = constitution(kind={"weight": 0.0})
    check = {"kind": "max_words", "value": 9}
    assert changes(measured, constitution(kind={"weight": 0.0, "check": check})) == [
        ("check changed", "kind", "check", set())
    ]
    ruler = {"id": "ruler", "text": "The reply has at most nine words.", "check": check, "weight": 0.0}
    more = constitution({"principles": [*BASE["principles"], ruler]})
    assert changes(constitution(), more) == [("added", "ruler", "text", set())]
    assert changes(more, constitution()) == [("removed", "ruler", "text", set())]


def test_order_of_sections_matters_under_strict_priority_alone():
    turned = {"sections": ["manner", "safety"]}
    assert changes(constitution(), constitution(turned)) == [("moved", None, "sections", set())]
    strict = {"priority": "strict"}
    assert changes(constitution(strict), constitution({**strict, **turned})) == [
        ("moved", None, "sections", {"aggregation", "prompted"})
    ]
    assert changes(constitution(strict), constitution(strict, kind={"section": "safety"})) == [
        ("moved", "kind", "section", {"aggregation", "prompted"})
    ]


def test_order_of_principles_is_the_order_of_the_system_prompt():
    turned = {"principles": BASE["principles"][::-1]}
    assert changes(constitution(), constitution(turned)) == [("moved", None, "principles", {"prompted"})]


def test_principles_are_added_and_removed():
    more = {"principles": [*BASE["principles"], {"id": "new", "text": "The reply ends with a smile."}]}
    assert changes(constitution(), constitution(more)) == [("added", "new", "text", {"draw", "prompted"})]
    assert changes(constitution(more), constitution()) == [("removed", "new", "text", {"draw", "prompted"})]
    fewer = {"principles": BASE["principles"][:-1]}
    assert changes(constitution(), constitution(fewer)) == [
        ("removed", "brief", "text", {"draw", "checks", "prompted"})
    ]


def test_id_that_changed_with_nearly_the_same_text_is_a_rename():
    entries = [*BASE["principles"]]
    entries[1] = {**entries[1], "id": "gentle", "text": entries[1]["text"].replace("kind", "gentle")}
    found = compare_constitutions(constitution(), constitution({"principles": entries})).changes
    assert [(c.kind, c.before, c.after) for c in found] == [
        ("renamed", "kind", "gentle"),
        ("reworded", BASE["principles"][1]["text"], entries[1]["text"]),
    ]
    assert found[0].bears_on == ("draw",)
    entries[1] = {**entries[1], "text": "The reply is about something else."}
    kinds = [
        c.kind for c in compare_constitutions(constitution(), constitution({"principles": entries})).changes
    ]
    assert kinds == ["added", "removed"]


def test_each_rename_has_one_former_principle_the_most_alike():
    words = "one two three four five six seven eight nine ten"
    old = Constitution.model_validate(
        {"name": "x", "principles": [{"id": "a", "text": words}, {"id": "b", "text": words + " eleven"}]}
    )
    new = Constitution.model_validate(
        {"name": "x", "principles": [{"id": "c", "text": words + " eleven"}, {"id": "d", "text": words}]}
    )
    renames = {c.before: c.after for c in compare_constitutions(old, new).changes if c.kind == "renamed"}
    assert renames == {"a": "d", "b": "c"}


def test_changed_passage_bears_on_requests_where_a_principle_points_at_it():
    def with_passage(text: str, **kind: Any) -> Constitution:
        return constitution({"passages": {"care": text, "rest": "Rest."}}, kind=kind)

    pointing = {"source": "#care"}
    assert changes(with_passage("Old.", **pointing), with_passage("New.", **pointing)) == [
        ("changed", None, "passages.care", ASKED)
    ]
    assert changes(with_passage("Old."), with_passage("New.")) == [("changed", None, "passages.care", set())]
    assert changes(with_passage("Old."), with_passage("Old.", **pointing)) == [
        ("source changed", "kind", "source", ASKED)
    ]


def test_labels_of_a_checked_principle_are_not_asked_again():
    reworded = constitution(brief={"text": "The reply is short."})
    assert changes(constitution(), reworded) == [
        ("reworded", "brief", "text", {"critique", "revision", "prompted"})
    ]
    looser = constitution(brief={"check": {"kind": "max_words", "value": 9}})
    assert changes(constitution(), looser) == [("check changed", "brief", "check", {"checks"})]


def test_values_are_what_json_knows():
    (change,) = compare_constitutions(
        constitution(), constitution(kind={"except": {"tags": ["joke"]}})
    ).changes
    assert (change.field, change.before, change.after) == ("except", None, {"tags": ["joke"]})
    plain = compare_constitutions(constitution(), constitution(kind={"weight": 2.0})).as_json()
    assert plain["old"]["digest"] == constitution().digest
    assert plain["changes"][0]["bears_on"] == ("draw", "aggregation")


# What is said of an edit holds for what the rest of Publius does with it.

PROMPTS = [
    Prompt.of((Message(role="user", content=f"Question {n}, a joke?" if n % 2 else f"Question {n}"),))
    for n in range(40)
]
EDITS: list[dict[str, Any]] = [
    {"kind": {"text": "The reply is gentle to whoever asks."}},
    {"kind": {"weight": 9.0}},
    {"kind": {"except": {"pattern": "joke"}}},
    {"kind": {"hard": True}},
    {"kind": {"critique": "Say what is unkind."}},
    {"kind": {"revision": "Write it kindly."}},
    {"kind": {"comparison": "Which one is kinder?"}},
    {"kind": {"antithesis": "The reply is rude."}},
    {"kind": {"check": {"kind": "min_words", "value": 6}}},
    {"kind": {"examples": [EXAMPLE]}},
    {"kind": {"examples": [FEW_SHOT]}},
    {"kind": {"examples": [{**FEW_SHOT, "why": "be patient."}]}},
    {"kind": {"source": "#care"}, "whole": {"passages": {"care": "Care for whoever asks."}}},
    {"brief": {"text": "The reply is short."}},
    {"brief": {"check": {"kind": "max_words", "value": 9}}},
    {"brief": {"except": {"pattern": "joke"}}},
    {"whole": {"name": "other", "version": "2"}},
    {"whole": {"preamble": "Be good."}},
    {"whole": {"principles": BASE["principles"][::-1]}},
    {"whole": {"principles": BASE["principles"][:-1]}},
    {"whole": {"principles": BASE["principles"][1:]}},
]


def touched(old: Constitution, new: Constitution) -> set[str]:
    """What the rest of Publius does otherwise under another constitution, found by doing it."""
    found: set[str] = set()
    templates, engine = PromptTemplates(), ScriptedEngine()
    labelers = [AILabeler(c, engine, LabelConfig(principles=2), 0, templates) for c in (old, new)]
    for prompt in PROMPTS:
        pair = Comparison.of(prompt, ("One two three four five six seven eight.", "x"), ("Two words.", "y"))
        drawn = [principles_of_round("random", c, prompt, UNSCORED, (0, 1))[0] for c in (old, new)]
        asked = [labeler.principles_for(pair) for labeler in labelers]
        if drawn[0].id != drawn[1].id or [p.id for p in asked[0]] != [p.id for p in asked[1]]:
            found.add("draw")
        if prompted_turns(prompt, old, templates) != prompted_turns(prompt, new, templates):
            found.add("prompted")
        checks = [{j.id: j for j in check_judgments(pair, c, 0.95)} for c in (old, new)]
        if checks[0] != checks[1]:
            found.add("checks")
    found |= requests(old, new)
    ids = [p.id for p in old.principles if p.check is None and new.find(p.id) is not None]
    said = [
        Judgment(id=name, comparison_id="c", labeler="ai", verdict="a", p_a=0.9 - 0.2 * n, principle_id=name)
        for n, name in enumerate(ids)
    ]
    both = [aggregate(pair, said, c) for c in (old, new)]
    if not math.isclose(both[0].p_chosen, both[1].p_chosen):
        found.add("aggregation")
    return found


def asked_of(constitution: Constitution, principle: Principle, prompt: Prompt) -> dict[str, Any]:
    """What critic and labeler are asked about a principle, by purpose."""
    engine, templates = ScriptedEngine(), PromptTemplates()
    alone = constitution.model_copy(update={"principles": (principle,)})
    loop = CritiqueLoop(alone, engine, engine, CritiqueConfig(rounds=1), 0, templates)
    asyncio.run(loop.trace(prompt))
    asked = {request.purpose: engine.key(request) for request in engine.history}
    pair = Comparison.of(prompt, ("One.", "x"), ("Two.", "y"))
    labeler = AILabeler(alone, engine, LabelConfig(), 0, templates)
    drawn = labeler.principles_for(pair)
    contrastive = AILabeler(alone, engine, LabelConfig(mode="contrastive"), 0, templates)
    return {
        **asked,
        "labels": [engine.key(labeler.request(pair, p, a_first=True)) for p in drawn],
        "contrast": [engine.key(request) for p in drawn for request in contrastive.requests(pair, p)],
    }


def requests(old: Constitution, new: Constitution) -> set[str]:
    """Which requests about principles of both constitutions are others."""
    found: set[str] = set()
    for before in old.principles:
        after = new.find(before.id)
        if after is None or (before.check is None) != (after.check is None):
            continue
        asked = [asked_of(c, p, PROMPTS[0]) for c, p in ((old, before), (new, after))]
        differs = {what for what in asked[0] if asked[0][what] != asked[1][what]}
        # It is told apart only where labels in other modes stay the same.
        found |= differs - ({"contrast"} if "labels" in differs else set())
    return found


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: str(edit)[:60])
def test_an_edit_touches_what_it_is_said_to_bear_on_and_nothing_else(edit: dict[str, Any]):
    whole, principles = edit.get("whole"), {k: v for k, v in edit.items() if k != "whole"}
    old, new = constitution(), constitution(whole, **principles)
    assert touched(old, new) == compare_constitutions(old, new).bears_on


def test_thousand_principles_that_all_changed_are_compared():
    def many(word: str) -> Constitution:
        entries = [
            {"id": f"{word}-{n}", "text": f"The reply says {word}{n}, {word}{n * 7} and {word}{n * 11}."}
            for n in range(1000)
        ]
        return Constitution.model_validate({"name": "many", "principles": entries})

    found: tuple[Change, ...] = compare_constitutions(many("old"), many("new")).changes
    assert {change.kind for change in found} == {"added", "removed"}
    assert len(found) == 2000
