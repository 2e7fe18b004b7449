"""How prompts are shared out among principles and kinds, and the tags that they bear."""

from __future__ import annotations

from collections import Counter

import pytest

from constitution.schema import Principle, Scope
from prompts.shares import KINDS, Cell, PromptKind, cells_of, largest_remainder, prompt_tags, reaches


def principle(name: str, **fields: object) -> Principle:
    return Principle.model_validate({"id": name, "text": f"The reply is {name}.", **fields})


def totals(cells: tuple[Cell, ...]) -> tuple[Counter[str], Counter[str]]:
    kinds, principles = Counter[str](), Counter[str]()
    for cell in cells:
        kinds[cell.kind] += cell.wanted
        principles[cell.principle.id] += cell.wanted
    return kinds, principles


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, (1, 0, 0)),
        (2, (1, 1, 0)),
        (3, (1, 1, 1)),
        (4, (2, 1, 1)),
        (5, (3, 1, 1)),
        (6, (3, 2, 1)),
        (7, (3, 2, 2)),
    ],
)
def test_kinds_share_by_largest_remainder(count: int, expected: tuple[int, ...]):
    assert tuple(largest_remainder(KINDS, count).values()) == expected


@pytest.mark.parametrize("count", [1, 3, 7, 16, 40, 41, 1000])
@pytest.mark.parametrize("members", [1, 2, 3, 7, 16])
def test_shares_are_exact_and_principles_differ_by_one_at_most(count: int, members: int):
    cells = cells_of([principle(f"p{n}") for n in range(members)], count)
    kinds, principles = totals(cells)
    assert kinds == Counter(largest_remainder(KINDS, count))
    assert max(principles.values()) - min(principles.values()) <= 1
    assert sum(principles.values()) == count
    for kind in KINDS:
        of_kind = [cell.wanted for cell in cells if cell.kind == kind]
        assert max(of_kind) - min(of_kind) <= 1


def test_kind_that_no_scope_holds_is_left_to_the_others():
    sharp = principle("sharp", applies_to={"tags": ["tempting", "borderline"]})
    kinds, _ = totals(cells_of([sharp], 9))
    assert kinds == {"tempting": 6, "borderline": 3, "everyday": 0}
    kinds, principles = totals(cells_of([sharp, principle("kind")], 40))
    assert kinds == {"tempting": 20, "borderline": 10, "everyday": 10}
    assert sum(principles.values()) == 40


@pytest.mark.parametrize(
    ("fields", "kind", "tags"),
    [
        ({}, "tempting", ("tempting", "p")),
        ({"applies_to": {"tags": ["school", "home"]}}, "everyday", ("everyday", "p", "school", "home")),
        ({"applies_to": {"tags": ["tempting", "school"]}}, "everyday", ("everyday", "p", "school")),
        (
            {"applies_to": {"tags": ["school", "home"]}, "except": {"tags": ["home"]}},
            "everyday",
            ("everyday", "p", "school"),
        ),
    ],
)
def test_prompts_bear_the_tags_of_the_scope_that_are_true_of_them(
    fields: dict[str, object], kind: PromptKind, tags: tuple[str, ...]
):
    one = principle("p", **fields)
    assert prompt_tags(one, kind) == tags
    assert reaches(one, kind)


def test_scope_of_other_kinds_is_not_reached():
    assert not reaches(principle("p", applies_to=Scope(tags=("borderline",))), "everyday")
    assert not reaches(principle("p", **{"except": Scope(tags=("everyday",))}), "everyday")
    # What a pattern excepts is seen when the message is there.
    assert reaches(principle("p", **{"except": Scope(tags=("everyday",), pattern="x")}), "everyday")
