"""Win rates corrected by people: worked cases, orientation, and what is not counted."""

from __future__ import annotations

import numpy as np
import pytest

from core.records import Candidate, Comparison, Judgment, Prompt
from core.statistics.judges.rates import corrected_rate
from evaluation.gold_wins import corrected_win_rates, judged_comparisons, people_say
from evaluation.win_rate import Win
from labelers.modes.reading import verdict_of


def judgment(of: Comparison, p_a: float, labeler: str = "ai", annotator: str | None = None) -> Judgment:
    name = f"{of.id}{labeler}{annotator}"
    return Judgment(
        id=name,
        comparison_id=of.id,
        labeler=labeler,
        annotator=annotator,
        verdict=verdict_of(p_a),
        p_a=p_a,
    )


def win(number: int, p: float, variant: str = "sft") -> Win:
    prompt = Prompt.of(f"Question {number}?")
    ours, theirs = Candidate(f"ours {number}", variant), Candidate(f"theirs {number}", "base")
    comparison = Comparison.of(prompt, ours, theirs)
    return Win(comparison, variant, p, (judgment(comparison, p),))


def p_a(of: Win, p: float) -> float:
    """Return the probability of `a` of a probability that the variant wins."""
    return p if of.comparison.origin_a == of.variant else 1 - p


def test_rate_is_corrected_towards_what_people_say():
    generator = np.random.default_rng(0)
    truth = (generator.random(400) < 0.5).astype(float)
    judged = np.where(generator.random(400) < 0.3, 1.0, truth)  # the judge favours the variant
    wins = [win(number, float(p)) for number, p in enumerate(judged)]
    people = {one.comparison.id: p_a(one, float(y)) for one, y in zip(wins[:80], truth, strict=False)}
    (found,) = corrected_win_rates(wins, people)
    expected = corrected_rate(truth[:80], judged[:80], judged[80:])
    assert found.rate == expected
    assert found.rate.judged > 0.6
    assert found.rate.rate.low < 0.5 < found.rate.rate.high
    assert found.line().startswith(f"sft: {100 * expected.rate.value:.1f} % (")
    assert "80 of 400 comparisons" in found.line()
    assert found.as_json()["judged_by_people"] == 80


def test_judge_without_information_leaves_people_alone():
    wins = [win(number, 0.9) for number in range(40)]
    people = {one.comparison.id: p_a(one, float(n % 2)) for n, one in enumerate(wins[:20])}
    (found,) = corrected_win_rates(wins, people)
    assert found.rate.rate == found.rate.gold
    assert "the judge's 90.0 % cannot be corrected: the judge carries no information" in found.line()


def test_comparisons_without_a_question_are_not_shown_to_people():
    asked, same = win(0, 0.7), Win(win(1, 0.5).comparison, "sft", 0.5)
    unparsed = Win(win(2, 0.5).comparison, "sft", None, win(2, 0.5).judgments)
    assert list(judged_comparisons([asked, same, unparsed])) == [asked.comparison.id]
    people = {one.comparison.id: 1.0 for one in (asked, same, unparsed)}
    (found,) = corrected_win_rates([asked, same, unparsed], people)
    assert found.rate.items == 1


def test_variants_without_people_have_no_corrected_rate():
    assert corrected_win_rates([win(0, 0.7)], {}) == ()


def test_people_are_averaged_and_machines_ignored():
    one = win(0, 0.5).comparison
    votes = [
        judgment(one, 1.0, "team", "ann"),
        judgment(one, 0.0, "team", "bob"),
        judgment(one, 1.0, "team", "cid"),
        judgment(one, 0.0, "ai"),
    ]
    assert people_say(votes) == {one.id: pytest.approx(2 / 3)}


def test_both_bad_says_nothing_about_which_is_better():
    one = win(0, 0.5).comparison
    bad = judgment(one, 1.0, "team", "ann").model_copy(update={"verdict": "both_bad", "p_a": None})
    assert people_say([bad]) == {}
