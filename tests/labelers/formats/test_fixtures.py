"""Every format on its fixture: kept rows, dropped rows with their reasons, and verdicts on the right side."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.labelers.formats.reading import FIXTURES, Imported, imported, rows_of, truth

EMPTY, SAME, DUPLICATE = "is empty", "are the same", "duplicate"
DROPPED = {
    "hh_rlhf.jsonl": {
        6: SAME,
        7: EMPTY,
        8: "differ in more than the last",
        11: "'rejected' is missing",
        12: "must begin with 'Human:'",
        13: "must begin with 'Human:'",
        14: "cannot be read",
        15: DUPLICATE,
    },
    "hhh.jsonl": {
        9: SAME,
        10: "must name exactly one option",
        11: "is not an option letter",
        12: "not two answers to a conversation",
        13: "must have two choices",
        14: "the correct and the incorrect option",
        15: "'text_incorrect' is missing",
        16: "must name exactly one option",
    },
    "trl.jsonl": {
        9: SAME,
        10: "missing or empty",
        11: "differ in more than the last",
        12: "'rejected' is missing",
        14: "must be between 0 and 1",
        15: "there is no prompt",
        17: "does not end with a user message",
        18: DUPLICATE,
    },
    "ultrafeedback.jsonl": {
        2: "fewer than two completions",
        3: "fewer than two completions",
        5: "rating is not a number",
        7: "'response' is missing",
        8: "'instruction' is missing",
        9: "not a list",
    },
    "argilla.json": {
        9: "no responses",
        10: SAME,
        11: EMPTY,
        12: "no prompt",
        13: "verdict is not recognised",
        14: DUPLICATE,
        16: "not submitted",
        17: "needs 2 to 64 answers",
    },
    "argilla_flat.jsonl": {4: "differ in length", 5: "no responses", 7: "fewer than two answers"},
    "label_studio.json": {
        8: "no result",
        9: "the task has no annotations",
        10: SAME,
        11: EMPTY,
        12: "no prompt",
        13: "verdict is not recognised",
        14: DUPLICATE,
        16: "not found in the data",
    },
    "label_studio_min.json": {5: "no result", 6: SAME, 7: "no prompt"},
    "mturk.csv": {
        7: "was rejected",
        8: "was rejected",
        9: "verdict is not recognised",
        10: "has no verdict",
        11: SAME,
        12: EMPTY,
        13: "no prompt",
        14: DUPLICATE,
    },
    "arena.jsonl": {
        8: SAME,
        9: EMPTY,
        10: "winner is not recognised",
        11: "differ in more than the last",
        12: "differ in more than the last",
        13: "parts that are not text",
        14: "'conversation_b' is missing",
        15: DUPLICATE,
        17: "not have exactly one winner",
    },
    "arena_kaggle.csv": {
        4: "a turn is not text",
        5: "not have exactly one winner",
        7: "differ in more than the last",
        8: "not have exactly one winner",
    },
    "helpsteer2.jsonl": {
        5: "no second response",
        6: "no second response",
        7: "correctness is not a number",
        8: SAME,
        9: SAME,
        10: "'prompt' is missing",
        11: "'response' is missing",
    },
    "helpsteer3.jsonl": {
        6: "must be between -3 and 3",
        7: "'response2' is missing",
        8: SAME,
        9: "'overall_preference' is missing",
        10: "does not end with a user message",
    },
    "helpsteer2_preferences.jsonl": {4: "preference is not a number"},
    "pku_saferlhf.jsonl": {
        5: "must be 0 or 1",
        6: SAME,
        7: "'response_1' is missing",
        8: "'prompt' is missing",
        9: "'response_1' is missing",
    },
    "rankings.jsonl": {
        7: "needs 2 to 64 answers",
        8: "differ in length",
        9: "must list each position",
        10: EMPTY,
        11: "ranks is not a number",
        12: "'ranks' is missing",
        13: DUPLICATE,
    },
    "icai.csv": {
        6: "no prompt",
        7: SAME,
        8: "'text_b' is missing",
        9: "preferred_text is not recognised",
        10: "no annotator preferred",
    },
    "icai.json": {
        7: "neither pref nor no_pref_reason",
        8: "the comparison has no annotations",
        9: SAME,
        10: "no prompt",
        12: "'text' is missing",
        13: "not a mapping",
    },
    "columns.csv": {
        6: "verdict is not recognised",
        7: SAME,
        8: EMPTY,
        9: "no prompt",
        10: "'verdict' is missing",
        11: "must be a or b",
        13: DUPLICATE,
    },
    "columns.jsonl": {5: "verdict is not recognised", 6: "rating_a is not a number"},
}
FORMATS = {
    "hh_rlhf.jsonl": "hh-rlhf",
    "hhh.jsonl": "hhh",
    "trl.jsonl": "trl",
    "ultrafeedback.jsonl": "ultrafeedback",
    "argilla.json": "argilla",
    "argilla_flat.jsonl": "argilla",
    "label_studio.json": "label-studio",
    "label_studio_min.json": "label-studio",
    "mturk.csv": "mturk",
    "arena.jsonl": "arena",
    "arena_kaggle.csv": "arena",
    "helpsteer2.jsonl": "helpsteer2",
    "helpsteer3.jsonl": "helpsteer3",
    "helpsteer2_preferences.jsonl": "helpsteer3",
    "pku_saferlhf.jsonl": "pku-saferlhf",
    "rankings.jsonl": "rankings",
    "icai.csv": "icai-csv",
    "icai.json": "icai-json",
    "columns.csv": "columns",
    "columns.jsonl": "columns",
}
CONFLICTS = ("hh_rlhf.jsonl", "trl.jsonl", "argilla.json", "label_studio.json", "arena.jsonl", "columns.csv")
"""Files whose last rows contradict an earlier one by the same annotator."""


@pytest.fixture(params=sorted(DROPPED))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def labels(name: str, tmp_path: Path) -> Imported:
    return imported(rows_of(name), tmp_path)


def test_every_fixture_is_tested():
    assert {path.name for path in FIXTURES.iterdir()} == DROPPED.keys() == FORMATS.keys()


def test_the_format_is_recognised(name: str, labels: Imported):
    assert labels.source.name == FORMATS[name]


def test_each_row_is_kept_or_dropped_for_its_reason(name: str, labels: Imported):
    total = len(rows_of(name))
    for row in range(1, total + 1):
        expected = DROPPED[name].get(row, "")
        found = labels.reason(row)
        assert expected in found, (row, found)
        assert bool(expected) == bool(found), (row, found)
    assert labels.tally.rows == total
    assert labels.tally.kept == total - len(DROPPED[name])


def test_every_drop_is_an_exclusion_with_its_reason(labels: Imported):
    tallied: Counter[str] = Counter()
    for kind in (labels.tally.dropped, labels.tally.skipped):
        tallied.update({reason: found.count for reason, found in kind.items()})
    assert Counter(exclusion.reason for exclusion in labels.exclusions) == tallied
    assert all(exclusion.stage == "import" for exclusion in labels.exclusions)


def test_the_verdict_is_that_of_the_texts(name: str, labels: Imported):
    contrary = 0
    for judgment, comparison in labels.judged():
        expected = truth(comparison, judgment.dimension)
        if judgment.verdict in ("skip", "unparsed") or expected is None:
            assert judgment.p_a is None
            continue
        if judgment.verdict != expected:
            contrary += 1
            continue
        p_a = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": None}[judgment.verdict]
        soft = name in ("trl.jsonl", "columns.jsonl") and judgment.p_a not in (None, 0.0, 0.5, 1.0)
        assert soft or judgment.p_a == p_a
        if soft and judgment.p_a is not None:
            assert (judgment.p_a > 0.5) == (judgment.verdict == "a")
        if judgment.margin is not None:
            sign = {"a": 1, "b": -1, "tie": 0}[judgment.verdict]
            assert (judgment.margin > 0) - (judgment.margin < 0) == sign
    assert contrary == (name in CONFLICTS)
    assert labels.tally.conflicts.count == contrary


def test_the_first_shown_is_the_left_one(labels: Imported):
    for judgment, comparison in labels.judged():
        marked = "(left)" in comparison.response_a + comparison.response_b
        if judgment.shown_first is not None and marked:
            shown = comparison.response_a if judgment.shown_first == "a" else comparison.response_b
            assert "(left)" in shown


def test_both_answers_come_to_be_called_a(labels: Imported):
    # Otherwise the tests above would never see a swap.
    assert {"a", "b"} <= {judgment.verdict for judgment in labels.judgments}


def test_importing_rows_twice_adds_nothing(name: str, labels: Imported, tmp_path: Path):
    again = imported([*rows_of(name), *rows_of(name)], tmp_path / "twice")
    assert again.tally.comparisons == len(labels.comparisons)
    assert {judgment.id for judgment in again.judgments} == {judgment.id for judgment in labels.judgments}


def test_weights_of_a_ranking_sum_to_one(labels: Imported):
    sums: defaultdict[str, float] = defaultdict(float)
    for judgment in labels.judgments:
        if judgment.group is not None:
            sums[judgment.group] += judgment.weight
    assert all(total == pytest.approx(1) for total in sums.values())
