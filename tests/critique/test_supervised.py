"""Which answer of a trace is learned, which drafts are replayed, and what teaches nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from constitution.schema import Constitution
from core.records import CritiqueTrace, Generation, Message, Prompt, Revision, Sampling
from critique.supervised import SupervisedData, Target, Which, supervised_data, target_of

CUT = "every answer was empty or cut off"
BROKEN = "the draft fails a machine check, and no complete revision scores as well"
UNFINISHED = "every revision was cut off"
BEYOND = "the draft needed no revision; over the limit of sft.benign_replay"


def constitution(*principles: dict[str, object]) -> Constitution:
    plain = {"id": "kind", "text": "The reply is kind."}
    return Constitution.model_validate({"name": "test", "principles": [plain, *principles]})


UNCHECKED = constitution()
BRIEF = constitution(
    {"id": "brief", "text": "At most two words.", "check": {"kind": "max_words", "value": 2}}
)


def answer(text: str) -> Generation:
    """An answer that ended by itself; one in brackets was cut."""
    return Generation(
        text=text.strip("[]"),
        finish_reason="length" if text.startswith("[") else "stop",
        prompt_tokens=1,
        completion_tokens=1,
        model="m",
        sampling=Sampling(),
    )


def trace(draft: str, *revisions: str, question: str = "Why?", dropped: Sequence[int] = ()) -> CritiqueTrace:
    """A trace of texts; the revisions of the numbers in `dropped` were not kept."""
    return CritiqueTrace(
        id=f"trace of {question}",
        prompt=Prompt.of((Message(role="user", content=question),)),
        initial=answer(draft),
        revisions=tuple(
            Revision(
                round=number,
                principle_id="kind",
                critique=answer("It is curt."),
                candidates=(answer("not the last"), answer(text)),
                kept=number not in dropped,
            )
            for number, text in enumerate(revisions, start=1)
        ),
        constitution_digest="d",
    )


def learned(found: Target | str) -> tuple[str, bool] | str:
    return found if isinstance(found, str) else (found.answer.text, found.revised)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (trace("Draft.", "Second."), ("Second.", True)),
        (trace("Draft.", "Second.", "Third."), ("Third.", True)),
        (trace("Draft.", "Second.", "Third.", dropped=[2]), ("Second.", True)),
        (trace("Draft.", "Second.", "[Third]"), ("Second.", True)),
        (trace("Draft.", "Second.", ""), ("Second.", True)),
        (trace("[Draft]", "Second."), ("Second.", True)),
        (trace("Draft."), ("Draft.", False)),
        (trace("Draft.", "Second.", dropped=[1]), ("Draft.", False)),
        (trace("Draft.", "[Second]"), UNFINISHED),
        (trace("Draft.", "[Second]", "[Third]"), UNFINISHED),
        (trace("[Draft]"), CUT),
        (trace(""), CUT),
        (trace("[Draft]", "[Second]", "Third.", dropped=[2]), CUT),
    ],
)
def test_without_checks_the_last_finished_kept_revision_is_learned(
    given: CritiqueTrace, expected: tuple[str, bool] | str
):
    assert learned(target_of(given, UNCHECKED)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (trace("a b c d", "a b"), ("a b", True)),
        (trace("a b c d", "a b", "c d"), ("c d", True)),  # the latest of equals
        (trace("a b c d", "a b", "a b c"), ("a b", True)),  # a later round made it worse
        (trace("a b", "a b c"), ("a b", False)),  # the draft passed, and its revision does not
        (trace("a b", "a b c", "c d"), ("c d", True)),
        (trace("a b c d", "a b c"), ("a b c", True)),  # neither passes; it comes nearer
        (trace("a b c", "a b c d"), BROKEN),
        (trace("a b c d"), BROKEN),
        (trace("a b c d", "[a b]"), BROKEN),
        (trace("a b", "[c d]"), ("a b", False)),  # a check vouches for the draft
        (trace("[a b]", "[c d]"), CUT),
    ],
)
def test_with_checks_the_answer_that_does_best_in_them_is_learned(
    given: CritiqueTrace, expected: tuple[str, bool] | str
):
    assert learned(target_of(given, BRIEF)) == expected


def test_several_checks_count_together():
    both = constitution(
        {"id": "brief", "text": "Brief.", "check": {"kind": "max_words", "value": 2}},
        {"id": "greets", "text": "Greets.", "check": {"kind": "contains", "value": ["hello"]}},
    )
    # Scores of brief and greets: 1/2 + 1, then 1 + 0, then 2/3 + 1.
    assert learned(target_of(trace("hello b c d", "a b", "hello a b"), both)) == ("hello a b", True)
    assert learned(target_of(trace("hello b c d", "a b", "[hello a b]"), both)) == BROKEN


def test_a_check_about_other_prompts_has_no_say():
    scoped = constitution(
        {
            "id": "brief",
            "text": "Brief.",
            "check": {"kind": "max_words", "value": 2},
            "applies_to": {"pattern": "weather"},
        }
    )
    assert learned(target_of(trace("a b c d"), scoped)) == ("a b c d", False)
    assert learned(target_of(trace("a b c d", question="How is the weather?"), scoped)) == BROKEN


def taught(which: Which, given: CritiqueTrace, by: Constitution) -> list[tuple[str, bool]] | str:
    """What a trace teaches, or why nothing, where revisions enough let every good draft be replayed."""
    data = supervised_data([given, *traces(4, 0)], by, 9.0, seed=0, which=which)
    targets = [(t.answer.text, t.revised) for t in data.targets if t.trace.id == given.id]
    reasons = [reason for prompt_id, reason in data.excluded if prompt_id == given.prompt.id]
    assert bool(targets) != bool(reasons)
    return targets or reasons[0]


@pytest.mark.parametrize(
    ("given", "final", "every"),
    [
        (trace("Draft.", "Second."), ["Second."], ["Second."]),
        (trace("Draft.", "Second.", "Third."), ["Third."], ["Second.", "Third."]),
        (trace("Draft.", "Second.", "[Third]"), ["Second."], ["Second."]),
        (trace("Draft.", "[Second]", "Third."), ["Third."], ["Third."]),
        (trace("Draft.", "", "Third."), ["Third."], ["Third."]),
        (trace("[Draft]", "Second.", "Third."), ["Third."], ["Second.", "Third."]),
        (trace("Draft.", "Second.", "Third.", dropped=[2]), ["Second."], ["Second."]),
    ],
)
def test_final_takes_the_last_finished_revision_and_every_takes_all(
    given: CritiqueTrace, final: list[str], every: list[str]
):
    assert taught("final", given, UNCHECKED) == [(text, True) for text in final]
    assert taught("every", given, UNCHECKED) == [(text, True) for text in every]
    assert taught("best", given, UNCHECKED) == [(text, True) for text in final]


def test_final_and_every_do_not_ask_the_checks_about_a_revision():
    worse = trace("a b c d", "a b", "a b c")
    assert taught("best", worse, BRIEF) == [("a b", True)]
    assert taught("final", worse, BRIEF) == [("a b c", True)]
    assert taught("every", worse, BRIEF) == [("a b", True), ("a b c", True)]


@pytest.mark.parametrize("which", ["best", "final", "every"])
def test_draft_that_needed_no_revision_is_replayed_whichever_answers_are_learned(which: Which):
    assert taught(which, trace("Draft."), UNCHECKED) == [("Draft.", False)]
    assert taught(which, trace("a b"), BRIEF) == [("a b", False)]


@pytest.mark.parametrize("which", ["best", "final", "every"])
def test_draft_whose_revisions_were_all_cut_is_not_learned_whichever_answers_are(which: Which):
    assert taught(which, trace("Draft.", "[Second]"), UNCHECKED) == UNFINISHED
    assert taught(which, trace("Draft.", "[Second]", ""), UNCHECKED) == UNFINISHED
    assert taught(which, trace("a b c d", "[a b]"), BRIEF) == BROKEN
    assert taught(which, trace("a b", "[c d]"), BRIEF) == [("a b", False)]  # a check vouches for the draft


@pytest.mark.parametrize("which", ["best", "final", "every"])
def test_trace_without_a_finished_answer_teaches_nothing_whichever_are_learned(which: Which):
    assert taught(which, trace("[Draft]"), UNCHECKED) == CUT
    assert taught(which, trace("[Draft]", "[Second]", ""), UNCHECKED) == CUT


def test_every_revision_counts_where_drafts_are_replayed():
    given = [trace("Draft.", "Second.", "Third.", question=f"twice {i}?") for i in range(4)]
    given += traces(0, 10)
    assert len(questions(supervised_data(given, UNCHECKED, 0.5, 0, "final"), revised=False)) == 2
    assert len(questions(supervised_data(given, UNCHECKED, 0.5, 0, "every"), revised=False)) == 4


def traces(revised: int, drafts: int) -> list[CritiqueTrace]:
    return [
        *(trace("Draft.", "Second.", question=f"revised {i}?") for i in range(revised)),
        *(trace("Draft.", question=f"benign {i}?") for i in range(drafts)),
    ]


def questions(data: SupervisedData, *, revised: bool) -> list[str]:
    return [t.trace.prompt.messages[0].content for t in data.targets if t.revised == revised]


@pytest.mark.parametrize(
    ("revised", "drafts", "replay", "expected"),
    [(4, 10, 0.5, 2), (4, 10, 0.0, 0), (4, 10, 1.0, 4), (4, 10, 9.0, 10), (0, 10, 0.5, 0), (4, 0, 0.5, 0)],
)
def test_so_many_drafts_are_replayed_for_each_revision(
    revised: int, drafts: int, replay: float, expected: int
):
    data = supervised_data(traces(revised, drafts), UNCHECKED, replay, seed=0)
    assert len(questions(data, revised=True)) == revised
    assert len(questions(data, revised=False)) == expected
    assert [reason for _, reason in data.excluded] == [BEYOND] * (drafts - expected)


def test_every_trace_is_a_target_or_left_out_with_a_reason():
    given = [*traces(4, 6), trace("[Draft]", question="cut?"), trace("Draft.", "[Second]", question="half?")]
    data = supervised_data(given, UNCHECKED, 0.5, seed=0)
    taught = [target.trace.prompt.id for target in data.targets]
    out = [prompt_id for prompt_id, _ in data.excluded]
    assert sorted([*taught, *out]) == sorted(t.prompt.id for t in given)
    assert {reason for _, reason in data.excluded} == {BEYOND, CUT, UNFINISHED}


def test_targets_stand_in_the_order_of_the_traces():
    mixed = [t for pair in zip(traces(5, 0), traces(0, 5), strict=True) for t in pair]
    data = supervised_data(mixed, UNCHECKED, 1.0, seed=0)
    assert [target.trace.id for target in data.targets] == [t.id for t in mixed]


def test_the_draw_depends_on_seed_and_prompts_and_not_on_the_order():
    def drawn(given: list[CritiqueTrace], seed: int) -> set[str]:
        return set(questions(supervised_data(given, UNCHECKED, 0.5, seed), revised=False))

    given = traces(8, 20)
    assert drawn(given, 0) == drawn(given[::-1], 0)
    assert len({frozenset(drawn(given, seed)) for seed in range(8)}) > 1
    # A draft more can only take the place of one that was drawn.
    more = [*given, trace("Draft.", question="one more?")]
    assert len(drawn(given, 0) - drawn(more, 0)) <= 1


def test_no_traces_amount_to_nothing():
    data = supervised_data([], UNCHECKED, 0.5, seed=0)
    assert (data.targets, data.excluded) == ([], [])
