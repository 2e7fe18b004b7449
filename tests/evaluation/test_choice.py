"""Choice of a checkpoint within limits, with worked numbers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from constitution.checks.kinds import EndsWithQuestion, MaxWords
from constitution.schema import Constitution, Principle, Scope
from evaluation.choice import Checkpoint, checked_answers, choose_checkpoint, exceeded_limits
from evaluation.config import ChooseConfig
from tests.evaluation.answers import answer_of, prompt_of

BASE = Checkpoint(
    "base", 0, compliance=0.2, graded=0.5, finished=0.9, sameness=0.0, words=80.0, neutral_loss=3.0
)
SFT = replace(BASE, name="sft", trained=1, compliance=0.5, graded=0.7, neutral_loss=3.01)
ONE = replace(SFT, name="dpo.1", trained=2, compliance=0.7, graded=0.8, neutral_loss=3.04)
TWO = replace(SFT, name="dpo.2", trained=3, compliance=0.9, graded=0.95, neutral_loss=3.08)
LIMITS = ChooseConfig()


def chosen(*checkpoints: Checkpoint, base: Checkpoint = BASE, **limits: Any) -> str | None:
    choice = choose_checkpoint(base, checkpoints, ChooseConfig(**limits))
    return None if choice.chosen is None else choice.chosen.name


def test_most_compliant_within_the_limits_is_chosen_and_the_limit_that_bound_is_named():
    choice = choose_checkpoint(BASE, [SFT, ONE, TWO], LIMITS)
    assert choice.chosen == ONE
    assert choice.preferred == TWO
    (bound,) = choice.bound
    assert (bound.limit, bound.value, bound.bound) == ("neutral_loss", pytest.approx(0.08), 0.05)
    assert bound.by == pytest.approx(0.03)
    assert str(bound) == (
        "its loss on neutral text rises by 0.080 nats a token, 0.030 nats a token above the limit "
        "0.050 nats a token (choose.neutral_loss)"
    )


def test_without_a_binding_limit_none_is_named():
    choice = choose_checkpoint(BASE, [SFT, ONE], LIMITS)
    assert (choice.chosen, choice.bound) == (ONE, ())


def test_order_of_the_checkpoints_does_not_matter():
    tied = replace(ONE, name="ppo", trained=4)
    for order in itertools.permutations([SFT, ONE, TWO, tied]):
        assert choose_checkpoint(BASE, order, LIMITS).chosen == ONE


def test_ties_go_to_the_graded_score_then_to_the_lower_loss_then_to_the_earlier_checkpoint():
    graded = replace(ONE, name="graded", graded=0.81, neutral_loss=3.045, trained=5)
    fluent = replace(ONE, name="fluent", neutral_loss=3.02, trained=6)
    assert chosen(ONE, graded, fluent) == "graded"
    assert chosen(ONE, fluent) == "fluent"
    assert chosen(replace(ONE, name="later", trained=9), ONE) == "dpo.1"


def test_base_stays_if_no_checkpoint_is_within_the_limits():
    choice = choose_checkpoint(BASE, [TWO], LIMITS)
    assert choice.chosen is None
    assert [limit.limit for limit in choice.bound] == ["neutral_loss"]


def test_base_stays_if_it_follows_the_constitution_as_well():
    assert chosen(replace(SFT, compliance=0.2, graded=0.5)) is None
    assert chosen(replace(SFT, compliance=0.1, graded=0.9)) is None
    assert chosen(replace(SFT, compliance=0.2, graded=0.51)) == "sft"


def test_without_checks_and_judge_the_last_checkpoint_within_the_limits_is_chosen():
    unknown = [replace(c, compliance=None, graded=None) for c in (BASE, SFT, ONE, TWO)]
    for order in itertools.permutations(unknown[1:]):
        assert chosen(*order, base=unknown[0]) == "dpo.1"


def test_the_base_model_itself_exceeds_no_limit():
    every = ChooseConfig(reference_loss=0.0, neutral_loss=0.0, sameness=0.0, length=(1.0, 1.0))
    base = replace(BASE, reference_loss=2.0, sameness=0.3)
    assert exceeded_limits(base, base, every) == ()


@pytest.mark.parametrize(
    ("change", "limits", "expected"),
    [
        ({"neutral_loss": 3.05}, {}, []),  # 3.05 - 3.0 is above 0.05 by rounding only
        ({"neutral_loss": 3.0501}, {}, ["neutral_loss"]),
        ({"neutral_loss": 3.06}, {"neutral_loss": None}, []),
        ({"neutral_loss": 2.5}, {}, []),
        ({"neutral_loss": float("nan")}, {}, ["neutral_loss"]),
        ({"neutral_loss": None}, {}, []),
        ({"sameness": 0.05}, {}, []),
        ({"sameness": 0.0625}, {}, ["sameness"]),
        ({"finished": 0.9}, {}, []),
        ({"finished": 0.89}, {}, ["finished"]),
        ({"finished": 0.89}, {"finished": 0.8}, []),
        ({"finished": 0.79}, {"finished": 0.8}, ["finished"]),
        ({"finished": 0.0}, {"finished": None}, []),
        ({"words": 7.9}, {}, []),
        ({"words": 7.9}, {"length": (0.1, 3.0)}, ["length"]),
        ({"words": 8.0}, {"length": (0.1, 3.0)}, []),
        ({"words": 241.0}, {"length": (0.1, 3.0)}, ["length"]),
        ({"reference_loss": 9.0}, {}, []),
        ({"reference_loss": 2.2}, {"reference_loss": 0.1}, ["reference_loss"]),
        ({"words": 1.0, "finished": 0.1}, {"length": (0.1, 3.0)}, ["finished", "length"]),
    ],
)
def test_limits(change: dict[str, Any], limits: dict[str, Any], expected: list[str]):
    base = replace(BASE, reference_loss=2.0)
    found = exceeded_limits(replace(base, **change), base, ChooseConfig(**limits))
    assert [limit.limit for limit in found] == expected
    assert all(str(limit).endswith(f"(choose.{limit.limit})") for limit in found)


def test_sameness_of_base_is_accepted_where_it_is_above_the_limit():
    base = replace(BASE, sameness=0.2)
    assert exceeded_limits(replace(base, sameness=0.2), base, LIMITS) == ()
    assert [e.bound for e in exceeded_limits(replace(base, sameness=0.3), base, LIMITS)] == [0.2]


def test_length_is_a_range():
    with pytest.raises(ValidationError, match=r"3 > 0\.1"):
        ChooseConfig(length=(3.0, 0.1))


def test_compliance_is_exact_and_graded_and_an_empty_answer_has_none():
    short = Principle(id="short", text="Short.", weight=3.0, check=MaxWords(kind="max_words", value=2))
    asks = Principle(
        id="asks",
        text="Asks.",
        check=EndsWithQuestion(kind="ends_with_question", value=True),
        applies_to=Scope(tags=("chat",)),
    )
    constitution = Constitution(name="test", principles=(short, asks))
    chat, other = prompt_of("Hello?", tags=("chat",)), prompt_of("Why?")
    # max_words gives 2/4 to four words; the question mark is missing, and counts a quarter of the weights.
    answers = [answer_of("sft", chat, "It rains all day."), answer_of("sft", other, "It rains.")]
    exact, graded = checked_answers(answers, constitution) or (0.0, 0.0)
    assert exact == 0.5
    assert graded == pytest.approx((0.75 * 0.5 + 1.0) / 2)
    assert checked_answers([answer_of("sft", other, " ")], constitution) == (0.0, 0.0)


def test_without_a_check_in_scope_there_is_no_compliance():
    kind = Principle(id="kind", text="Kind.")
    assert (
        checked_answers([answer_of("sft", "Why?", "So.")], Constitution(name="t", principles=(kind,))) is None
    )
