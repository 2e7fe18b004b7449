"""Comparisons: which two answers meet, and why some never do."""

from __future__ import annotations

import asyncio

import pytest

from core.digests import derive_seed
from core.records import Comparison, CritiqueTrace, Generation, Message, Prompt, Revision, Sampling
from critique.comparisons import draft_against_revision, pair_samples, sample
from critique.config import CompareConfig
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine

PROMPT = Prompt.of((Message(role="user", content="What is this pill?"),))


def answer(text: str) -> Generation:
    return Generation(
        text=text,
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        model="scripted",
        sampling=Sampling(),
    )


def trace(draft: str, *revisions: tuple[str, bool]) -> CritiqueTrace:
    """A trace whose revisions are given as text and whether it was kept."""
    rounds = [
        Revision(
            round=number,
            principle_id="kind",
            critique=answer("It is curt."),
            candidates=(answer(text),),
            kept=kept,
        )
        for number, (text, kept) in enumerate(revisions, start=1)
    ]
    return CritiqueTrace(
        id="t1",
        prompt=PROMPT,
        initial=answer(draft),
        revisions=tuple(rounds),
        constitution_digest="d",
    )


def sides(comparison: Comparison | str) -> dict[str, str]:
    """The answers of a comparison by their origin; which one is called `a` is the hash's business."""
    assert isinstance(comparison, Comparison), comparison
    return {
        comparison.origin_a: comparison.response_a,
        comparison.origin_b: comparison.response_b,
    }


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        ([("Second.", True)], {"draft": "Draft.", "revision:1": "Second."}),
        ([("Second.", True), ("Third.", True)], {"draft": "Draft.", "revision:2": "Third."}),
        ([("Second.", True), ("Third.", False)], {"draft": "Draft.", "revision:1": "Second."}),
        ([("Second.", False), ("Third.", True)], {"draft": "Draft.", "revision:2": "Third."}),
    ],
)
def test_draft_meets_the_last_revision_that_was_kept(revisions, expected):
    comparison = draft_against_revision(trace("Draft.", *revisions))
    assert sides(comparison) == expected
    assert comparison.group == "t1"
    assert comparison.prompt == PROMPT


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (trace("Draft."), "no revision was kept"),
        (trace("Draft.", ("Second.", False), ("Third.", False)), "no revision was kept"),
        (trace("", ("Second.", True)), "an answer is empty"),
        (trace("Draft.", ("", True)), "an answer is empty"),
        (trace("Draft.", ("Second.", True), ("Draft.", True)), "the answers are the same"),
    ],
)
def test_trace_that_makes_no_comparison_says_why(one: CritiqueTrace, reason: str):
    assert draft_against_revision(one) == reason


def test_samples_are_asked_for_with_the_bare_prompt_and_seeds_of_their_own():
    engine = ScriptedEngine()
    config = CompareConfig.model_validate({"from": "base", "samples": 6, "sampling": {"temperature": 0.8}})
    samples = asyncio.run(sample(engine, PROMPT, config, seed=5))
    requests = [request for request in engine.history if isinstance(request, GenerationRequest)]
    assert [request.seed for request in requests] == [
        derive_seed(5, PROMPT.id, "sample", k) for k in range(6)
    ]
    assert {request.sampling.temperature for request in requests} == {0.8}
    assert {tuple((t.role, t.text) for t in r.turns) for r in requests} == {(("user", "What is this pill?"),)}
    assert len({generation.text for generation in samples}) == 6


def test_sampling_seeds_do_not_change():
    engine = ScriptedEngine()
    asyncio.run(sample(engine, PROMPT, CompareConfig(source="base", samples=2), seed=0))
    asyncio.run(sample(engine, PROMPT, CompareConfig(source="base", samples=2), seed=1))
    seeds = [request.seed for request in engine.history if isinstance(request, GenerationRequest)]
    assert seeds[:2] == [3107683225115196, 291635991834864]
    assert len(set(seeds)) == 4


def test_more_samples_begin_with_the_same_ones():
    few, many = (
        asyncio.run(sample(ScriptedEngine(), PROMPT, CompareConfig(source="base", samples=n), seed=0))
        for n in (2, 4)
    )
    assert many[:2] == few


def test_samples_come_in_the_order_of_their_numbers():
    engine = ScriptedEngine([f"Answer {k}." for k in range(4)])
    samples = asyncio.run(sample(engine, PROMPT, CompareConfig(source="base"), seed=0))
    assert [generation.text for generation in samples] == [f"Answer {k}." for k in range(4)]


def test_disjoint_pairs_use_each_sample_once():
    samples = [answer(word) for word in ("one", "two", "three", "four")]
    found = list(pair_samples(PROMPT, samples, CompareConfig(source="base", pairs="disjoint")))
    assert [sides(comparison) for comparison in found] == [
        {"sample:0": "one", "sample:1": "two"},
        {"sample:2": "three", "sample:3": "four"},
    ]


def test_all_pairs_are_every_two_samples_once():
    samples = [answer(word) for word in ("one", "two", "three", "four")]
    found = list(pair_samples(PROMPT, samples, CompareConfig(source="base", pairs="all")))
    assert len({frozenset(sides(comparison)) for comparison in found}) == len(found) == 6


def test_comparisons_of_one_prompt_are_one_group():
    samples = [answer(word) for word in ("one", "two", "three", "four")]
    found = pair_samples(PROMPT, samples, CompareConfig(source="base", pairs="all"))
    assert {comparison.group for comparison in found if isinstance(comparison, Comparison)} == {PROMPT.id}


def test_pair_that_makes_no_comparison_says_why_in_its_place():
    samples = [answer(word) for word in ("one", "one", "", "four", "five", "six")]
    found = list(pair_samples(PROMPT, samples, CompareConfig(source="base", samples=6)))
    assert found[:2] == ["the answers are the same", "an answer is empty"]
    assert sides(found[2]) == {"sample:4": "five", "sample:5": "six"}


@pytest.mark.parametrize(
    ("texts", "pairs", "expected"),
    [
        (("one", "two", "two", "one"), "disjoint", [True, "these two answers are already compared"]),
        (
            ("one", "one", "two"),
            "all",
            ["the answers are the same", True, "these two answers are already compared"],
        ),
    ],
)
def test_two_answers_that_are_sampled_again_are_counted_out(texts, pairs, expected):
    config = CompareConfig.model_validate({"from": "base", "samples": 4, "pairs": pairs})
    found = pair_samples(PROMPT, [answer(text) for text in texts], config)
    assert [isinstance(outcome, Comparison) or outcome for outcome in found] == expected


def test_same_two_answers_make_the_same_comparison_in_either_order():
    config = CompareConfig(source="base", samples=2)
    (one,) = pair_samples(PROMPT, [answer("one"), answer("two")], config)
    (two,) = pair_samples(PROMPT, [answer("two"), answer("one")], config)
    assert isinstance(one, Comparison)
    assert isinstance(two, Comparison)
    assert (one.id, one.response_a) == (two.id, two.response_a)


def cut(text: str) -> Generation:
    return answer(text).model_copy(update={"finish_reason": "length"})


def finished(comparison: Comparison | str) -> dict[str, bool]:
    """Whether each answer of a comparison ended by itself, by its text."""
    assert isinstance(comparison, Comparison), comparison
    return {
        comparison.response_a: comparison.finished_a,
        comparison.response_b: comparison.finished_b,
    }


@pytest.mark.parametrize("texts", [("One.", "Two."), ("Two.", "One.")])
def test_comparison_knows_which_sample_was_cut(texts: tuple[str, str]):
    whole, torn = answer(texts[0]), cut(texts[1])
    (comparison,) = pair_samples(PROMPT, [whole, torn], CompareConfig(source="base", samples=2))
    assert finished(comparison) == {texts[0]: True, texts[1]: False}


@pytest.mark.parametrize("kept", [answer("Second."), cut("Second.")])
def test_comparison_knows_whether_draft_and_revision_were_cut(kept: Generation):
    one = trace("Draft.", ("First.", True), ("Second.", True))
    last = one.revisions[1].model_copy(update={"candidates": (kept,)})
    one = one.model_copy(update={"initial": cut("Draft."), "revisions": (one.revisions[0], last)})
    whole = kept.finish_reason == "stop"
    assert finished(draft_against_revision(one)) == {"Draft.": False, "Second.": whole}


def test_id_of_a_comparison_does_not_tell_what_was_cut():
    config = CompareConfig(source="base", samples=2)
    (whole,) = pair_samples(PROMPT, [answer("One."), answer("Two.")], config)
    (torn,) = pair_samples(PROMPT, [cut("One."), cut("Two.")], config)
    assert isinstance(whole, Comparison)
    assert isinstance(torn, Comparison)
    assert whole.id == torn.id
    assert finished(torn) == {"One.": False, "Two.": False}


def test_comparison_that_was_written_without_the_fact_counts_as_finished():
    (comparison,) = pair_samples(
        PROMPT, [answer("One."), answer("Two.")], CompareConfig(source="base", samples=2)
    )
    assert isinstance(comparison, Comparison)
    old = comparison.model_dump(exclude={"finished_a", "finished_b"})
    assert finished(Comparison.model_validate(old)) == {"One.": True, "Two.": True}
