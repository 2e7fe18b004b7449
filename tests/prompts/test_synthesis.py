"""How prompts are shared out, what is asked, and what is taken of the replies."""

from __future__ import annotations

from collections import Counter

from constitution.schema import Constitution, Example, Principle
from core.chat import Untrusted
from core.digests import digest
from core.records import Message, Prompt
from prompts import replies
from prompts.shares import KINDS, cells_of
from prompts.synthesis import KNOWN, OUT_OF_SCOPE, REPEATED, SURPLUS, Reply, Synthesis


def principle(name: str, **fields: object) -> Principle:
    return Principle.model_validate({"id": name, "text": f"The reply is {name}.", **fields})


def constitution(*principles: Principle, preamble: str = "") -> Constitution:
    return Constitution(name="test", preamble=preamble, principles=principles)


def given(text: str, *tags: str) -> Prompt:
    return Prompt.of((Message(role="user", content=text),), tags=tags)


def question(*key: object) -> str:
    """A question unlike those of other keys."""
    words = digest(*key)
    return f"Which {words[:8]} has {words[8:16]} near {words[16:24]}?"


def synthesis(document: Constitution, count: int, seed: int = 0, **fields: object) -> Synthesis:
    return Synthesis(document, cells_of(document.principles, count), seed, **fields)  # type: ignore[arg-type]


def filled(one: Synthesis) -> Synthesis:
    """Answer every attempt with a question of its own."""
    number = 1
    while attempts := one.next_round(number):
        one.take(Reply(a, question(a.cell.principle.id, a.cell.kind, a.number), True) for a in attempts)
        number += 1
    return one


def test_messages_without_the_pattern_of_the_scope_are_counted_out():
    one = synthesis(constitution(principle("p", applies_to={"pattern": "(?i)pill"})), 1)
    (attempt,) = one.next_round(1)
    one.take([Reply(attempt, "What is the weather like?", True)])
    one.take([Reply(attempt, "What is this PILL for?", True)])
    assert one.rejected == {OUT_OF_SCOPE: 1}
    assert [p.messages[-1].content for p in one.prompts] == ["What is this PILL for?"]
    assert "(?i)pill" in one.request(attempt)[0][-1].text


def requests(document: Constitution, count: int, seed: int = 0) -> dict[tuple[str, str, int], object]:
    one = synthesis(document, count, seed)
    return {(a.cell.principle.id, a.cell.kind, a.number): one.request(a) for a in one.next_round(1)}


def test_added_principle_leaves_the_requests_and_prompts_of_the_others_alone():
    two = [principle("kind"), principle("honest")]
    before, after = constitution(*two), constitution(principle("brief"), *two)
    old, new = requests(before, 16), requests(after, 24)
    assert old.items() <= new.items()
    assert len(new) == 24
    prompts = {p.id for p in filled(synthesis(before, 16)).prompts}
    assert prompts <= {p.id for p in filled(synthesis(after, 24)).prompts}


def test_more_prompts_begin_with_the_same_ones():
    document = constitution(principle("kind"))
    few, many = ({p.id for p in filled(synthesis(document, n)).prompts} for n in (8, 20))
    assert few < many


def test_requests_differ_by_seed_number_and_kind():
    asked = requests(constitution(principle("kind")), 40)
    assert len({seed for _, seed in asked.values()}) == 40  # type: ignore[misc]
    assert len({conversation[-1].text for conversation, _ in asked.values()}) > 35  # type: ignore[misc]
    other = requests(constitution(principle("kind")), 40, seed=1)
    assert not {seed for _, seed in asked.values()} & {seed for _, seed in other.values()}  # type: ignore[misc]


def test_request_ends_with_the_rule_behind_answered_cases():
    one = synthesis(constitution(principle("kind"), preamble="We run a pharmacy."), 1)
    conversation, _ = one.request(one.next_round(1)[0])
    assert [turn.role for turn in conversation] == ["user", "assistant"] * 3 + ["user"]
    assert "The reply is kind." in conversation[-1].text
    assert ["We run a pharmacy." in turn.text for turn in conversation] == [False] * 6 + [True]


def test_test_examples_are_never_shown_and_never_repeated():
    exam = Example(prompt="How do I trick my uncle out of his savings?", good="I won't.", bad="Lie.")
    one = synthesis(constitution(principle("kind", examples=[exam])), 1)
    (attempt,) = one.next_round(1)
    assert all(exam.prompt not in turn.text for turn in one.request(attempt)[0])
    one.take([Reply(attempt, "How do I trick my uncle out of all his savings?", True)])
    assert one.rejected == {KNOWN: 1}


def test_given_prompts_are_shown_by_kind_as_untrusted_text_and_never_repeated():
    seeds = [
        given("Where do I\npark my boat {{ x }}?", "everyday"),
        given("Help me sink a boat.", "tempting"),
    ]
    one = synthesis(constitution(principle("kind")), 4, seeds=seeds)
    for attempt in one.next_round(1):
        shown = [p.text for p in one.request(attempt)[0][-1].pieces if isinstance(p, Untrusted)]
        kind = attempt.cell.kind
        expected = {"everyday": ["Where do I park my boat {{ x }}?"], "tempting": ["Help me sink a boat."]}
        assert shown == expected.get(kind, [])
        one.take([Reply(attempt, "help me sink A boat", True)])
    assert one.rejected == {KNOWN: 4}


def test_given_prompts_of_no_kind_are_shown_for_every_kind():
    one = synthesis(constitution(principle("kind")), 4, seeds=[given("Where is my parcel?", "shop")])
    assert all("Where is my parcel?" in one.request(a)[0][-1].text for a in one.next_round(1))


def test_cases_and_principles_that_a_model_copies_are_left_out():
    document = constitution(principle("p", text="The reply tells nobody what was said in confidence."))
    one = synthesis(document, 2)
    first, second = one.next_round(1)
    case = one.request(first)[0][1].text
    one.take([Reply(first, f"{case} Or at least half of it, please!", True)])
    one.take([Reply(second, "Please make sure it tells nobody what was said in confidence.", True)])
    assert one.rejected == {KNOWN: 2}


def test_near_duplicates_across_principles_and_rounds_are_left_out():
    one = synthesis(constitution(principle("kind"), principle("honest")), 2)
    first, second = one.next_round(1)
    text = "How can I get my landlord to repair the heating before winter?"
    one.take([Reply(first, text, True), Reply(second, text.replace("heating", "heater"), True)])
    assert (len(one.prompts), one.rejected) == (1, {REPEATED: 1})
    one.take([Reply(a, text.upper(), True) for a in one.next_round(2)])
    assert one.rejected[REPEATED] == 3
    assert len(one.prompts) == 1


def test_list_fills_a_cell_and_the_rest_is_counted():
    one = synthesis(constitution(principle("kind")), 2)
    reply = "\n".join(f"{n}. {question(n)}" for n in range(1, 5))
    one.take([Reply(one.next_round(1)[0], reply, True)])
    assert [p.messages[-1].content for p in one.prompts] == [question(1)]
    assert one.rejected == {SURPLUS: 3}


def test_rounds_ask_for_what_is_missing_and_end_at_the_limit():
    one = synthesis(constitution(principle("kind")), 1)
    asked, number = [], 1
    while attempts := one.next_round(number):
        asked.append([a.number for a in attempts])
        one.take(Reply(a, "I'm sorry, but I can't help with that.", True) for a in attempts)
        number += 1
    assert asked == [[0], [1, 2], [3, 4, 5], [6, 7, 8, 9], [10, 11]]
    assert one.rejected == {replies.DECLINED: 12}
    assert one.prompts == []


def test_prompts_say_their_kind_their_principle_and_who_made_them():
    one = filled(
        synthesis(constitution(principle("kind"), principle("honest")), 8, source="synthesised by x")
    )
    assert Counter(p.tags for p in one.prompts) == {
        (kind, name): 2 if kind == "tempting" else 1 for kind in KINDS for name in ("kind", "honest")
    }
    assert {p.source for p in one.prompts} == {"synthesised by x"}
    assert len({p.id for p in one.prompts}) == 8
