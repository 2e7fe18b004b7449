"""From values per prompt to metrics: names, pairing, and the account of what is missing."""

from __future__ import annotations

import pytest

from constitution.checks.kinds import MaxWords
from constitution.schema import Constitution, Principle, Scope
from core.errors import DataError
from core.records import Metric
from evaluation.measures import Series
from evaluation.metrics import Evaluation, evaluate_answers, metrics_of
from tests.evaluation.answers import answers_of, prompt_of

SHORT = Principle(id="short", text="Short.", check=MaxWords(kind="max_words", value=3))
CONSTITUTION = Constitution(name="test", principles=(SHORT,))


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    return {metric.name: metric for metric in metrics}


def evaluated(further: list[Series] | None = None) -> Evaluation:
    answers = [
        *answers_of("base", "one two three four", "one two three four five", "one two three four five six"),
        *answers_of("sft", "one", "one two", "one two three four five six"),
    ]
    return evaluate_answers(reversed(answers), CONSTITUTION, further or [], seed=1)


def test_each_variant_has_a_value_and_each_but_base_a_difference():
    found = by_name(evaluated().metrics)
    assert found["base.words"].value == 5
    assert found["sft.words"].value == 3
    assert found["sft.words.delta"].value == -2
    assert "base.words.delta" not in found
    assert {metric.n for metric in found.values()} == {3}


def test_compliance_is_given_by_principle_and_over_all():
    found = by_name(evaluated().metrics)
    for name in ("compliance", "compliance.short"):
        assert found[f"base.{name}"].value == 0
        assert found[f"sft.{name}"].value == pytest.approx(2 / 3)
        assert found[f"sft.{name}.delta"].value == pytest.approx(2 / 3)
        assert found[f"sft.{name}.delta"].unit == "share"


def test_intervals_hold_their_values_and_differences_are_those_of_pairs():
    found = by_name(evaluated().metrics)
    assert all(metric.low <= metric.value <= metric.high for metric in found.values())
    # Per prompt -3, -3 and 0: error 1, and t of 2 degrees is 4.303.
    delta = found["sft.words.delta"]
    assert (delta.low, delta.high) == pytest.approx((-6.303, 2.303), abs=1e-3)
    assert delta.changed == 2


def test_only_prompts_that_all_variants_answered_count_and_the_others_are_counted():
    answers = [
        *answers_of("base", "a", "b", "c", "d"),
        *answers_of("sft", "a", "b", "c", "d e")[1:],
        *answers_of("dpo", "a", "b", "c"),
    ]
    evaluation = evaluate_answers(answers, CONSTITUTION)
    assert evaluation.variants == ("base", "sft", "dpo")
    assert set(evaluation.prompts) == {prompt_of(f"Question {n}?").id for n in (1, 2)}
    assert evaluation.missing == {"sft": 1, "dpo": 1}
    assert by_name(evaluation.metrics)["sft.words"].value == 1  # the two words to the last prompt are out


def test_duplicates_are_looked_for_among_the_prompts_that_count():
    answers = [*answers_of("base", "a", "b", "c"), *answers_of("sft", "x", "y", "x")[:2]]
    assert by_name(evaluate_answers(answers, CONSTITUTION).metrics)["sft.duplicate"].value == 0


def test_measures_from_outside_go_the_same_way():
    ids = [prompt_of(f"Question {n}?").id for n in range(3)]
    kl = Series("sft", "kl", "nats", dict(zip(ids, (0.1, 0.2, 0.3), strict=True)))
    wins = Series("sft", "win_rate", "share", {ids[0]: 1.0, ids[1]: 0.5, "another prompt": 0.0})
    evaluation = evaluated([kl, wins])
    found = by_name(evaluation.metrics)
    assert found["sft.kl"].value == pytest.approx(0.2)
    assert found["sft.kl"].unit == "nats"
    assert "sft.kl.delta" not in found  # base has no such measure
    assert (found["sft.win_rate"].value, found["sft.win_rate"].n) == (0.75, 2)


def test_prompt_without_a_value_of_one_variant_is_left_out_of_that_measure_and_counted():
    series = [
        Series("base", "m", "share", {"p": 0.0, "q": 0.0, "r": 1.0}),
        Series("sft", "m", "share", {"p": 1.0, "q": 1.0}),
        Series("dpo", "m", "share", {"p": 1.0, "r": 1.0}),
        Series("dpo", "none", "share", {}),
    ]
    metrics, without_value = metrics_of(series, ["p", "q", "r"], seed=0)
    assert {metric.n for metric in metrics} == {1}
    assert without_value == {"m": 2}


def test_principle_with_a_scope_counts_its_prompts_only():
    narrow = SHORT.model_copy(update={"applies_to": Scope(pattern="[01]")})
    answers = [*answers_of("base", "a", "b", "c"), *answers_of("sft", "a", "b", "c")]
    evaluation = evaluate_answers(answers, Constitution(name="test", principles=(narrow,)))
    found = by_name(evaluation.metrics)
    assert (found["sft.compliance.short"].n, found["sft.words"].n) == (2, 3)
    assert evaluation.without_value == {}


def test_same_answers_differ_by_nothing():
    texts = ("a b", "c", "d e f g")
    evaluation = evaluate_answers([*answers_of("base", *texts), *answers_of("sft", *texts)], CONSTITUTION)
    deltas = [metric for metric in evaluation.metrics if metric.name.endswith(".delta")]
    assert len(deltas) > 5
    assert all((delta.value, delta.changed) == (0, 0) for delta in deltas)
    # It does not follow that they would differ by nothing on other prompts.
    assert all(delta.low < 0 < delta.high for delta in deltas if delta.unit == "share")


def test_intervals_of_differences_are_corrected_for_their_number():
    texts = ["one two three four", "one"] * 6
    several = [*answers_of("base", *texts), *answers_of("sft", *texts[::-1]), *answers_of("dpo", *texts)]
    found = by_name(evaluate_answers(several, CONSTITUTION).metrics)
    changed = [metric for metric in found.values() if metric.changed]
    assert {metric.name for metric in changed} == {
        "sft.words.delta",
        "sft.compliance.delta",
        "sft.compliance.short.delta",
    }
    words = found["sft.words.delta"]
    # 12 differences of -3 or 3, and Student's quantile at 1 - 0.05 / 6 with 11 degrees, 2.820.
    assert words.simultaneous_high == pytest.approx(2.820 * 3 * (12 / 11) ** 0.5 / 12**0.5, abs=1e-3)
    assert words.high < words.simultaneous_high
    assert found["sft.words"].simultaneous_high is None


def test_difference_of_a_mean_similarity_has_the_interval_of_a_mean():
    # It moves by hundredths: half a prompt that changes by 1 would be wider than all of its values.
    base = {f"p{n}": 0.017 + n / 2000 for n in range(12)}
    more = {prompt: value + (0.008 if n % 2 else 0.006) for n, (prompt, value) in enumerate(base.items())}
    series = [Series(v, "self_similarity", "share", s) for v, s in (("base", base), ("sft", more))]
    found = by_name(metrics_of(series, base, seed=0)[0])
    delta = found["sft.self_similarity.delta"]
    # Twelve differences of 0.006 and 0.008: error 0.001 / sqrt(11), and t of 11 degrees is 2.201.
    assert (delta.low, delta.high) == pytest.approx((0.007 - 0.000664, 0.007 + 0.000664), abs=1e-6)
    assert delta.p_value == pytest.approx(2 / 2**12)
    assert found["sft.self_similarity"].low > 0  # the value's own interval is that of a share


def test_same_answers_in_another_order_give_the_same_metrics():
    answers = [*answers_of("base", "a b", "c", "d e f"), *answers_of("sft", "a", "b c d", "e")]
    assert evaluate_answers(answers, CONSTITUTION) == evaluate_answers(answers[::-1], CONSTITUTION)


def test_answers_without_base_are_refused():
    with pytest.raises(DataError, match="sft"):
        evaluate_answers(answers_of("sft", "a"), CONSTITUTION)
    with pytest.raises(DataError, match="no answers"):
        evaluate_answers([], CONSTITUTION)


def test_variants_without_a_common_prompt_are_refused():
    answers = [answers_of("base", "a", "b")[0], answers_of("sft", "a", "b")[1]]
    with pytest.raises(DataError, match=r"no prompt was answered by all variants \(base, sft\)"):
        evaluate_answers(answers, CONSTITUTION)


def test_two_answers_of_a_variant_to_one_prompt_are_refused():
    with pytest.raises(DataError, match="two answers"):
        evaluate_answers([*answers_of("base", "a"), *answers_of("base", "b")], CONSTITUTION)


def test_value_that_is_not_finite_is_refused():
    with pytest.raises(DataError):
        metrics_of([Series("sft", "kl", "nats", {"p": float("nan")})], ["p"], seed=0)
