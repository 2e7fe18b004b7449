"""Scores of published evaluations against values computed by hand."""

from __future__ import annotations

import math

import pytest

from core.errors import DataError
from evaluation.published.formats import items_of
from evaluation.published.scoring import ScoredItem, benchmark_metrics, ties_score


def values(name: str, rows: list[dict], scores: list[tuple[float, ...]]) -> dict[str, float]:
    items = items_of(name, ((f"row {n}", row) for n, row in enumerate(rows)))
    scored = [ScoredItem(item, given) for item, given in zip(items, scores, strict=True)]
    return {metric.name: metric.value for metric in benchmark_metrics(name, scored)}


def option(*corrects: str, of: str = "AB") -> dict:
    wrong = [f" ({letter})" for letter in of if f" ({letter})" not in corrects]
    return {
        "prompt": "\n\nWhich?\n (A) ...\n (B) ...\nThe answer is:",
        "corrects": [*corrects],
        "incorrects": wrong,
    }


def test_options_are_right_if_the_likeliest_is():
    # Right, wrong, and a right one of two right ones of three.
    rows = [
        option(" (A)") | {"prompt": "1"},
        option(" (B)") | {"prompt": "2"},
        option(" (A)", " (C)", of="ABC"),
    ]
    found = values("kind-of-harm", rows, [(-1.0, -2.0), (-2.0, -1.0), (-3.0, -1.0, -2.0)])
    assert found == {
        "accuracy": pytest.approx(2 / 3),
        "chance": pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3),
        "answered.A": pytest.approx(2 / 3),
        "answered.B": 0,
        "answered.C": pytest.approx(1 / 3),
    }


def test_rewardbench_weights_subsets_into_sections():
    def pair(number: int, subset: str) -> dict:
        return {"prompt": f"p{number}", "chosen": "good", "rejected": "bad", "subset": subset}

    rows = [
        pair(0, "alpacaeval-easy"),
        pair(1, "mt-bench-med"),
        pair(2, "donotanswer"),
        pair(3, "donotanswer"),
    ]
    found = values("rewardbench", rows, [(2.0, 1.0), (1.0, 2.0), (1.0, 0.0), (1.0, 1.0)])
    # Chat: 100 examples right, 40 wrong. Safety: one right and a tie.
    assert found["score.Chat"] == pytest.approx(100 / 140)
    assert found["score.Safety"] == pytest.approx(0.75)
    assert found["score"] == pytest.approx((100 / 140 + 0.75) / 2)
    assert found["accuracy.mt-bench-med"] == 0


def test_rewardbench_2_shares_credit_among_the_best():
    def row(name: str, subset: str, chosen: int, rejected: int) -> dict:
        return {
            "id": name,
            "prompt": name,
            "subset": subset,
            "chosen": ["good"] * chosen,
            "rejected": ["bad"] * rejected,
        }

    rows = [
        row("1", "Math", 1, 3),
        row("2", "Math", 1, 3),
        row("3", "Focus", 1, 3),
        row("ref:0", "Ties", 1, 2),
        row("tied:0", "Ties", 2, 1),
    ]
    scores = [
        (3.0, 1.0, 0.0, 0.0),
        (2.0, 2.0, 1.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
        (5.0, 1.0, 2.0),
        (5.0, 4.0, 2.0),
    ]
    found = values("rewardbench-2", rows, scores)
    assert found["accuracy.Math"] == pytest.approx(0.75)  # 1, and one half
    assert found["accuracy.Focus"] == 0
    # Reference: 5 - 2 = 3. Tied: right ones 1 apart, 4 - 2 = 2 above the wrong one. All parts are met.
    ties = 0.3 + 0.3 + 0.2 + 0.2 + 0.01 * math.tanh(2 / 1 - 1)
    assert found["score.Ties"] == pytest.approx(ties)
    assert found["score"] == pytest.approx((0.75 + 0 + ties) / 3)


def test_ties_of_right_replies_that_differ_more_than_right_from_wrong():
    def scored(name: str, right: int, *scores: float) -> ScoredItem:
        row = {
            "id": name,
            "prompt": name,
            "subset": "Ties",
            "chosen": ["good"] * right,
            "rejected": ["bad"] * (len(scores) - right),
        }
        return ScoredItem(items_of("rewardbench-2", [("row", row)])[0], scores)

    # Tied: right ones 4 apart, 1 above the wrong one. Its reference is wrong by 1.
    found = ties_score([scored("tied:7", 2, 6.0, 2.0, 1.0), scored("ref:7", 1, 0.0, 1.0)])
    assert found == pytest.approx(0.3 + 0.01 * math.tanh(-1 / 4 - 1))
    # Right ones that score the same: their distance is 0, and the last part counts its sign.
    assert ties_score([scored("tied:1", 2, 3.0, 3.0, 1.0), scored("ref:1", 1, 2.0, 0.0)]) == pytest.approx(
        1.01
    )


def test_judgebench_is_read_with_its_label_and_group():
    row = {
        "pair_id": "x",
        "source": "livebench-math",
        "question": "q",
        "response_A": "a",
        "response_B": "b",
        "label": "B>A",
    }
    (item,) = items_of("judgebench", [("row", row)])
    assert (item.candidates, item.subset, item.right) == (("b", "a"), "math", 1)


@pytest.mark.parametrize(
    ("name", "row", "what"),
    [
        ("hhh", {"prompt": "p", "corrects": [" (A)"]}, "no column 'incorrects'"),
        ("hhh", {"prompt": "p", "corrects": ["A"], "incorrects": [" (B)"]}, "are not options"),
        ("rewardbench", {"prompt": "p", "chosen": ["a"], "rejected": "b", "subset": "s"}, "is not a text"),
        ("rewardbench-2", {"prompt": "p", "chosen": "a", "rejected": ["b"], "subset": "s"}, "is not a list"),
        (
            "rewardbench-2",
            {"id": "9", "prompt": "p", "chosen": ["a"], "rejected": ["b"], "subset": "Ties"},
            "ref:N",
        ),
        ("judgebench", {"question": "q", "response_A": "a", "response_B": "b", "label": "A"}, "neither A>B"),
        ("judgebench", "text", "no columns"),
    ],
)
def test_row_of_another_form_is_refused_with_its_place(name: str, row: object, what: str):
    with pytest.raises(DataError, match=what) as caught:
        items_of(name, [("file.jsonl:3", row)])
    assert caught.value.problems[0].where == "file.jsonl:3"
