"""Compliance by a judge, corrected by people: worked numbers, refusals, and the family of tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from constitution.schema import Constitution
from core.records import Answer
from core.statistics.intervals import share_difference_interval
from core.statistics.judges.differences import corrected_difference
from core.statistics.judges.rates import corrected_rate
from evaluation.judged.correction import CorrectedCompliance, corrected_compliance
from evaluation.judged.ratings import AnswerRating, judged_series, question_id
from evaluation.metrics import Evaluation, evaluate_answers
from evaluation.presentation import EvaluationMetrics, title_of
from tests.evaluation.answers import answers_of, prompt_of
from tests.evaluation.judged.rated import KIND, rated_rows

PROMPTS, LABELLED = 48, 24
# People find every third answer of base kind and three of four of sft; the judge errs on one of eight.
TRUE = {
    "base": [float(n % 3 == 0) for n in range(PROMPTS)],
    "sft": [float(n % 4 != 0) for n in range(PROMPTS)],
}
JUDGED = {
    name: [0.9 if bool(y) != (n % 8 == shift) else 0.1 for n, y in enumerate(row)]
    for shift, (name, row) in enumerate(TRUE.items(), start=5)
}


def ratings(order: int = 1, **rows: Sequence[float]) -> tuple[AnswerRating, ...]:
    return rated_rows(**(rows or JUDGED))[::order]


def gold(count: int = LABELLED, names: Sequence[str] = ("base", "sft")) -> dict[str, float]:
    """Labels of the first prompts' answers."""
    return {
        question_id(KIND, prompt_of(f"Question {n}?"), f"{name} {n}"): TRUE[name][n]
        for name in names
        for n in range(count)
    }


def by_name(found: tuple[CorrectedCompliance, ...]) -> dict[str, CorrectedCompliance]:
    return {one.name: one for one in found}


def halves(values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The values of the labelled prompts and of the others."""
    return np.array(values[:LABELLED]), np.array(values[LABELLED:])


def test_rate_and_difference_are_those_of_the_labelled_and_the_other_prompts():
    found = by_name(corrected_compliance(ratings(), gold()))
    assert list(found) == ["base.judged.kind.corrected", "sft.judged.kind.corrected"]
    sft = found["sft.judged.kind.corrected"]
    labelled, rest = halves(JUDGED["sft"])
    expected = corrected_rate(np.array(TRUE["sft"][:LABELLED]), labelled, rest)
    assert sft.rate.rate == pytest.approx(expected.rate)
    assert not sft.rate.refused
    # By hand: 18 of 24 labels are yes, and 3 of 24 ratings are wrong.
    assert sft.rate.gold.value == pytest.approx(0.75)
    assert (sft.rate.labels, sft.rate.items) == (24, 48)
    change = np.array(TRUE["sft"]) - np.array(TRUE["base"])
    seen = np.array(JUDGED["sft"]) - np.array(JUDGED["base"])
    wanted = corrected_difference(change[:LABELLED], seen[:LABELLED], seen[LABELLED:])
    difference = sft.difference()
    assert difference is not None
    assert not difference.refused
    assert difference.difference == pytest.approx(wanted.difference)
    # Both halves have the same pattern of 24 prompts, so the estimate is what people say: 18/24 - 8/24.
    assert difference.difference.value == pytest.approx(10 / 24)


def test_order_of_ratings_and_labels_changes_nothing():
    one = corrected_compliance(ratings(), gold())
    two = corrected_compliance(ratings(-1), dict(reversed(gold().items())))
    assert [c.as_json() for c in one] == [c.as_json() for c in two]


def test_judge_without_information_is_refused_and_people_count_alone():
    wrong = {name: [1 - p for p in row] for name, row in JUDGED.items()}
    found = by_name(corrected_compliance(ratings(**wrong), gold()))["sft.judged.kind.corrected"]
    assert "no information" in found.rate.refused
    assert found.rate.rate == found.rate.gold
    assert "people alone 75.0 % (" in found.line()
    assert "cannot be corrected" in found.line()
    rate, difference = (row.metric(1) for row in found.rows())
    assert (rate.value, rate.n, difference.n) == (0.75, 24, 24)
    alone = share_difference_interval(np.array(TRUE["sft"][:LABELLED]) - np.array(TRUE["base"][:LABELLED]))
    assert (difference.value, difference.low, difference.high) == pytest.approx(alone)


def test_few_labels_have_no_metric_and_say_why():
    (one,) = corrected_compliance(ratings(), gold(9, ["sft"]))
    assert list(one.rows()) == []
    assert "9 gold labels are too few" in one.line()
    assert one.as_json()["corrected"] is None


def test_variant_without_labelled_base_has_a_rate_and_no_difference():
    (one,) = corrected_compliance(ratings(), gold(names=["sft"]))
    assert [row.metric(1).name for row in one.rows()] == ["sft.judged.kind.corrected"]


def evaluated(found: tuple[CorrectedCompliance, ...], rated: tuple[AnswerRating, ...]) -> Evaluation:
    answers: list[Answer] = []
    for name in TRUE:
        answers += answers_of(name, *(f"{name} {n}" for n in range(PROMPTS)))
    rows = [row for one in found for row in one.rows()]
    constitution = Constitution(name="small", principles=(KIND,))
    return evaluate_answers(answers, constitution, list(judged_series(rated)), 0, (), rows)


def test_judged_and_corrected_differences_are_tested_with_all_others():
    rated = ratings()
    plain = evaluated((), rated)
    corrected = evaluated(corrected_compliance(rated, gold()), rated)
    names = {metric.name for metric in corrected.metrics}
    assert {"base.judged", "sft.judged.kind", "sft.judged.kind.delta"} <= {m.name for m in plain.metrics}
    assert "sft.judged.kind.corrected.delta" in names
    by = {metric.name: metric for metric in corrected.metrics}
    delta = by["sft.judged.kind.delta"]
    seen = np.array(JUDGED["sft"]) - np.array(JUDGED["base"])
    assert (delta.value, delta.low, delta.high) == pytest.approx(share_difference_interval(seen))
    # One more test: the intervals that hold together are wider than without the corrected difference.
    before = next(m for m in plain.metrics if m.name == delta.name)
    tests = sum(m.p_value is not None and m.changed != 0 for m in corrected.metrics)
    assert tests == 1 + sum(m.p_value is not None and m.changed != 0 for m in plain.metrics)
    together = share_difference_interval(seen, 1 - 0.05 / tests)
    assert (delta.simultaneous_low, delta.simultaneous_high) == pytest.approx(together[1:])
    assert before.simultaneous_low is not None
    assert delta.simultaneous_low is not None
    assert delta.simultaneous_low < before.simultaneous_low
    shown = EvaluationMetrics.of(corrected.metrics)
    assert shown.outcome("sft", "judged.kind") == "better"
    assert shown.outcome("sft", "judged.kind.corrected") == "better"


def test_names_of_the_measures_in_tables():
    assert title_of("judged", "") == "all principles, by the judge"
    assert title_of("judged.kind", "share") == "kind, by the judge, %"
    assert title_of("judged.kind.corrected", "share") == "kind, corrected, %"
    shown = EvaluationMetrics.of(evaluated(corrected_compliance(ratings(), gold()), ratings()).metrics)
    assert shown.measures[:3] == ("judged", "judged.kind", "judged.kind.corrected")
