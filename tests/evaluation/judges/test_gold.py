"""Gold pairs: which judgments make one, and how slices are drawn."""

from __future__ import annotations

from core.records import Comparison, Judgment, Prompt
from evaluation.judges.gold import gold_pairs, sampled, tuning_slice
from tests.evaluation.judges.pairs import gold_pair

ONE = Comparison.of(Prompt.of("Q?"), ("yes", "x"), ("no", "y"))


def vote(verdict: str, who: str, **more: object) -> Judgment:
    fields = {"id": f"{who}{verdict}", "comparison_id": ONE.id, "labeler": "people", "annotator": who}
    return Judgment.model_validate({**fields, "verdict": verdict, **more})


def test_majority_of_annotators_gives_the_label():
    gold = gold_pairs([ONE], [vote("a", "x"), vote("a", "y"), vote("b", "z")])
    assert [pair.better for pair in gold.pairs] == ["a"]
    assert gold.excluded == {}


def test_pairs_without_a_label_are_counted_by_reason():
    assert gold_pairs([ONE], []).excluded == {"no human judgment": 1}
    assert gold_pairs([ONE], [vote("a", "x"), vote("b", "y")]).excluded == {
        "annotators prefer neither answer": 1
    }
    assert gold_pairs([ONE], [vote("both_bad", "x")]).excluded == {"annotators find both answers bad": 1}


def test_judgments_of_machines_are_no_gold():
    machine = vote("a", "x").model_copy(update={"labeler": "ai", "p_a": 0.9})
    assert gold_pairs([ONE], [machine]).excluded == {"no human judgment": 1}


def test_place_of_the_answers_is_kept_if_all_saw_the_same():
    same = gold_pairs([ONE], [vote("a", "x", shown_first="b"), vote("a", "y", shown_first="b")])
    mixed = gold_pairs([ONE], [vote("a", "x", shown_first="b"), vote("a", "y", shown_first="a")])
    assert [same.pairs[0].shown_first, mixed.pairs[0].shown_first] == ["b", None]


def test_slices_share_no_prompt_and_lose_no_pair():
    pairs = [gold_pair(number, prompt=number // 2) for number in range(200)]
    tuning, rest = tuning_slice(pairs, seed=0)
    prompts = [{pair.comparison.prompt.id for pair in part} for part in (tuning, rest)]
    assert len(tuning) + len(rest) == 200
    assert not prompts[0] & prompts[1]
    assert 40 < len(tuning) < 95


def test_sample_does_not_depend_on_the_order_of_the_pairs():
    pairs = [gold_pair(number) for number in range(50)]
    drawn = sampled(pairs, 10, seed=1)
    assert drawn == sampled(pairs[::-1], 10, seed=1)
    assert drawn != sampled(pairs, 10, seed=2)
    assert len(sampled(pairs, None, seed=1)) == 50
