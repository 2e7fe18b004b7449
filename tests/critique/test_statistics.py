"""Statistics of the loop: worked counts by round and by principle, and the lines that show them."""

from __future__ import annotations

from constitution.schema import Constitution
from core.records import CritiqueTrace, Generation, Prompt, Revision, Sampling
from critique.statistics import LoopStatistics, attribution_rows, loop_lines

DOCUMENT = Constitution.model_validate(
    {
        "name": "test",
        "principles": [
            {"id": "kind", "text": "Kind."},
            {"id": "brief", "text": "Short.", "check": {"kind": "max_words", "value": 3}},
        ],
    }
)


def answer(text: str) -> Generation:
    return Generation(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, model="m", sampling=Sampling()
    )


def revision(
    number: int, principle: str, text: str, critique: str = "Be short.", **fields: object
) -> Revision:
    given = {"kept": True, **fields}
    return Revision(
        round=number, principle_id=principle, critique=answer(critique), candidates=(answer(text),), **given
    )


def trace(name: str, draft: str, *revisions: Revision) -> CritiqueTrace:
    return CritiqueTrace(
        id=name, prompt=Prompt.of(name), initial=answer(draft), revisions=revisions, constitution_digest=""
    )


def statistics(*traces: CritiqueTrace) -> dict:
    found = LoopStatistics(DOCUMENT, last_round=2)
    for one in traces:
        found.add(one)
    return found.as_json()


TRACES = (
    # Fails, is shortened, and would grow again: the guard discards that.
    trace(
        "one",
        "One two three four.",
        revision(1, "brief", "One two."),
        revision(
            2,
            "kind",
            "One two three four five.",
            kept=False,
            dropped="guard",
            broken=("brief",),
            flags=("evasive",),
        ),
    ),
    # Passes; the critique of the second round finds nothing wrong.
    trace(
        "two",
        "One two three.",
        revision(1, "kind", "One.", flags=("refused",)),
        revision(2, "kind", "One.", "No fault.", kept=False, flags=("no_fault",)),
    ),
    # Fails, and its revision is dropped for a flag, in a record that does not say why.
    trace("three", "One two three four.", revision(1, "brief", "", kept=False, flags=("empty",))),
)


def test_counts_of_rounds_and_principles():
    found = statistics(*TRACES)
    assert (found["prompts"], found["checked"], found["compliant"]) == (3, 3, [1, 2, 2])
    first, second = found["rounds"]["1"], found["rounds"]["2"]
    assert (first["revisions"], first["kept"], first["dropped"]) == (3, 2, {"flags": 1})
    assert (first["flags"], first["better"], first["worse"]) == ({"empty": 1, "refused": 1}, 2, 0)
    assert (first["words_before"], first["words_after"]) == (3.7, 2.3)
    assert (second["revisions"], second["kept"], second["no_fault"]) == (1, 0, 1)
    assert (first["skipped"], second["skipped"]) == (0, 1)
    assert (second["words_before"], second["words_after"]) == (2.0, 2.0)
    assert (second["dropped"], second["flags"], second["worse"]) == ({"guard": 1}, {"evasive": 1}, 1)
    assert found["principles"] == {
        "kind": {"drawn": 3, "faults": 2, "kept": 1, "better": 0, "worse": 1, "broken": 0},
        "brief": {"drawn": 2, "faults": 2, "kept": 1, "better": 2, "worse": 0, "broken": 1},
    }


def test_lines_name_what_happened():
    lines = loop_lines(statistics(*TRACES))
    assert lines[0].startswith(
        "round 1: 2 of 3 revisions kept; 1 dropped by flags; checks better in 2 and worse"
    )
    assert lines[0].endswith("words 3.7 to 2.3; flags: empty 1, refused 1")
    assert lines[1].startswith(
        "round 2: 0 of 1 revision kept; 1 dropped by guard; 1 critique without a fault; 1 prompt skipped"
    )
    assert lines[2].endswith("33.3 % -> 66.7 % -> 66.7 % of 3 prompts")
    assert [line.split(":")[0] for line in lines[3:]] == ["dropped by guard", "dropped by flags"]
    assert attribution_rows(statistics(*TRACES))[1] == ("brief", "2", "2", "1", "2", "0", "1")


def test_round_under_several_principles_counts_for_each():
    found = statistics(trace("one", "One two three four.", revision(1, "kind", "One.", others=("brief",))))
    assert {name: counts["drawn"] for name, counts in found["principles"].items()} == {"kind": 1, "brief": 1}


def test_round_that_every_prompt_skips_has_no_words():
    lines = loop_lines(statistics(trace("one", "One.")))
    assert lines[0] == "round 1: 0 of 0 revisions kept; 1 prompt skipped"


def test_no_traces_have_no_lines():
    assert loop_lines({}) == attribution_rows({}) == []
    assert loop_lines(statistics()) == []
