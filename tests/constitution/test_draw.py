"""Scope and draw: shares follow weights, and an edit changes only the draws that it touches."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from constitution.draw import draw, in_scope
from constitution.schema import Principle, Scope
from core.records import Message, Prompt

KEYS = range(2000)


def principles(*ids: str, **weights: float) -> list[Principle]:
    return [Principle(id=name, text=f"The reply is {name}.", weight=weights.get(name, 1.0)) for name in ids]


def ids(drawn: tuple[Principle, ...]) -> tuple[str, ...]:
    return tuple(principle.id for principle in drawn)


def test_a_new_principle_changes_only_the_draws_that_it_wins():
    before, after = principles("a", "b", "c", "d"), principles("a", "b", "new", "c", "d")
    changed = 0
    for key in KEYS:
        old, new = ids(draw(before, 1, 7, key)), ids(draw(after, 1, 7, key))
        assert new == old or new == ("new",)
        changed += new != old
    assert changed / len(KEYS) == pytest.approx(1 / 5, abs=0.04)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_constitution_a_new_principle_changes_only_the_draws_that_it_wins(seed):
    rng = random.Random(seed)
    tags = ("chat", "code", "risk")

    def some(name: str) -> Principle:
        scope = Scope(tags=tuple(rng.sample(tags, rng.randint(1, 2)))) if rng.random() < 0.4 else None
        weight = rng.choice([0.1, 0.5, 1.0, 1.0, 3.0, 20.0])
        return Principle.model_validate(
            {"id": name, "text": name, "weight": weight, rng.choice(["applies_to", "except"]): scope}
        )

    before = [some(f"p{number}") for number in range(rng.randint(1, 30))]
    after = list(before)
    after.insert(rng.randint(0, len(before)), some("new"))
    count = rng.randint(1, 6)
    for key in range(100):
        asked = Message(role="user", content=f"question {key}")
        prompt = Prompt.of((asked,), tags=tuple(rng.sample(tags, rng.randint(0, 2))))
        old, new = (
            ids(draw([p for p in pool if in_scope(p, prompt)], count, seed, prompt.id))
            for pool in (before, after)
        )
        without = tuple(name for name in new if name != "new")
        assert without == old[: len(without)]  # the others keep their order, and at most the last falls out
        assert new == old or ("new" in new and len(old) - len(without) <= 1)


def test_a_removed_principle_changes_only_the_draws_that_it_won():
    before, after = principles("a", "b", "c", "d"), principles("a", "b", "d")
    for key in KEYS:
        old, new = ids(draw(before, 2, key)), ids(draw(after, 2, key))
        kept = tuple(name for name in old if name != "c")
        assert new[: len(kept)] == kept
        assert new == old or "c" in old


def test_shares_follow_weights():
    pool = principles("a", "b", "c", b=2.0, c=5.0)
    counts = Counter(ids(draw(pool, 1, "seed", key))[0] for key in range(8000))
    expected = {p.id: 8000 * p.weight / 8 for p in pool}
    chi_square = sum((counts[name] - n) ** 2 / n for name, n in expected.items())
    assert chi_square < 13.8  # 0.1 % of samples lie above, at two degrees of freedom


def test_second_draws_follow_the_weights_that_are_left():
    pool = principles("a", "b", "c", b=2.0, c=5.0)
    seconds = Counter(order[1] for key in range(8000) if (order := ids(draw(pool, 2, key)))[0] == "c")
    share, n = seconds["b"] / seconds.total(), seconds.total()
    assert abs(share - 2 / 3) < 4 * math.sqrt(2 / 9 / n)


def test_neither_text_nor_order_matters():
    pool = principles("a", "b", "c", "d", b=3.0)
    reworded = [p.model_copy(update={"text": "Something else.", "hard": True}) for p in reversed(pool)]
    for key in range(200):
        assert ids(draw(pool, 3, "x", key, 1)) == ids(draw(reworded, 3, "x", key, 1))


def test_the_key_decides():
    pool = principles("a", "b", "c", "d")
    assert draw(pool, 2, 0, "p", 1) == draw(pool, 2, 0, "p", 1)
    assert len({ids(draw(pool, 4, 0, "p", round_)) for round_ in range(50)}) > 10


def test_drawing_more_than_there_are_gives_all_without_repetition():
    pool = principles("a", "b", "c")
    assert sorted(ids(draw(pool, 9, "k"))) == ["a", "b", "c"]
    assert draw(pool, 0, "k") == ()
    assert draw([], 3, "k") == ()


def test_fewer_draws_are_the_beginning_of_more():
    pool = principles("a", "b", "c", "d")
    assert all(draw(pool, 2, key) == draw(pool, 4, key)[:2] for key in range(100))


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (None, True),
        (Scope(), True),
        (Scope(tags=("red-team", "other")), True),
        (Scope(tags=("other",)), False),
        (Scope(pattern="(?i)HOW"), True),
        (Scope(pattern="first question"), False),
        (Scope(tags=("red-team",), pattern="how"), True),
        (Scope(tags=("red-team",), pattern="why"), False),
        (Scope(tags=("other",), pattern="how"), False),
    ],
)
def test_scope_is_tags_and_the_last_message(scope, expected):
    turns = (("user", "first question"), ("assistant", "an answer"), ("user", "and how?"))
    messages = tuple(Message(role=role, content=content) for role, content in turns)
    prompt = Prompt.of(messages, tags=("red-team",))
    assert in_scope(Principle(id="a", text="t", applies_to=scope), prompt) is expected


def test_exempt_prompts_are_out_of_scope_although_they_are_in_applies_to():
    principle = Principle.model_validate(
        {"id": "a", "text": "t", "applies_to": {"tags": ["x"]}, "except": {"pattern": "(?i)joke"}}
    )
    assert in_scope(principle, Prompt.of((Message(role="user", content="Tell me."),), tags=("x",)))
    assert not in_scope(principle, Prompt.of((Message(role="user", content="Tell me a joke."),), tags=("x",)))
    assert not in_scope(principle, Prompt.of((Message(role="user", content="Tell me."),), tags=("y",)))
