from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from core.records import (
    Comparison,
    CritiqueTrace,
    Generation,
    Judgment,
    Message,
    OrderLogits,
    Preference,
    Prompt,
    Record,
    Revision,
    Sampling,
)


def prompt_of(*contents: str) -> Prompt:
    """A conversation whose turns alternate and end with the user."""
    roles = ["user" if (len(contents) - place) % 2 else "assistant" for place in range(len(contents))]
    return Prompt.of(
        tuple(Message(role=role, content=text) for role, text in zip(roles, contents, strict=True))
    )


def generation_of(text: str) -> Generation:
    return Generation(
        text=text,
        finish_reason="stop",
        prompt_tokens=3,
        completion_tokens=2,
        model="scripted",
        sampling=Sampling(),
    )


def trace_of(*, kept: tuple[bool, ...]) -> CritiqueTrace:
    revisions = tuple(
        Revision(
            round=place,
            principle_id="p",
            critique=generation_of("Too long."),
            kept=keep,
            candidates=(generation_of("empty try"), generation_of(f"revision {place}")),
        )
        for place, keep in enumerate(kept, start=1)
    )
    return CritiqueTrace(
        id="t",
        prompt=prompt_of("Hi"),
        initial=generation_of("draft"),
        revisions=revisions,
        constitution_digest="c",
    )


def preference_of(p_chosen: float) -> Preference:
    return Preference(
        id="p",
        comparison_id="c",
        prompt=(Message(role="user", content="Hi"),),
        prompt_id="q",
        chosen=(Message(role="assistant", content="Yes\u2028"),),
        rejected=(Message(role="assistant", content=""),),
        p_chosen=p_chosen,
        sources={"ai": 2},
        by_principle={"honest": 0.1 + 0.2},
        origin_chosen="a",
        origin_rejected="b",
        constitution_digest="d",
    )


RECORDS: list[Record] = [
    prompt_of("Hello", "Hi", 'Line one\nline two \N{SNOWMAN} \u2028 "quoted"'),
    trace_of(kept=(True, False)),
    Comparison.of(prompt_of("Hi"), ("yes", "draft"), ("no", "revision"), group="g"),
    Judgment(
        id="j",
        comparison_id="c",
        labeler="ai",
        verdict="a",
        p_a=1 / 3,
        principle_id="honest",
        orders=OrderLogits(a_first=-1e-17, b_first=3.5),
        created=datetime(2026, 1, 2, tzinfo=UTC),
    ),
    preference_of(0.5),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_line_holds_the_record_exactly(record: Record):
    line = record.to_line()
    assert line.count("\n") == 1
    assert line.endswith("}\n")
    assert type(record).model_validate_json(line) == record


def test_unset_fields_are_left_out_of_the_line():
    assert set(json.loads(prompt_of("Hi").to_line())) == {
        "schema_version",
        "id",
        "messages",
        "tags",
        "source",
    }


def test_records_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        prompt_of("Hi").source = "elsewhere"  # type: ignore[misc]


def test_unknown_field_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        Message.model_validate({"role": "user", "content": "Hi", "name": "Ann"})


def test_record_of_a_later_schema_is_refused():
    later = {**prompt_of("Hi").model_dump(), "schema_version": 2}
    with pytest.raises(ValidationError, match="schema_version"):
        Prompt.model_validate(later)


def test_prompt_id_depends_on_the_messages_alone():
    messages = (Message(role="user", content="Hi"),)
    assert Prompt.of(messages, tags=("x",), source="a").id == Prompt.of(messages, split="test").id
    assert Prompt.of(messages).id != prompt_of("hi").id


def test_prompt_must_end_with_the_user():
    messages = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))
    with pytest.raises(ValidationError, match="the last message is from the assistant"):
        Prompt.of(messages)


def test_prompt_may_not_end_in_white_space_only():
    with pytest.raises(ValidationError, match="the last message is empty"):
        prompt_of(" \n")


def test_system_message_stands_first_or_not_at_all():
    system, user = Message(role="system", content="Be brief."), Message(role="user", content="Hi")
    assert Prompt.of((system, user)).messages == (system, user)
    with pytest.raises(ValidationError, match="must be the first message"):
        Prompt.of((user, system, user))


def test_comparison_does_not_depend_on_the_order_of_its_answers():
    prompt, draft, revision = prompt_of("Hi"), ("yes", "draft"), ("no", "revision")
    assert Comparison.of(prompt, draft, revision) == Comparison.of(prompt, revision, draft)


def test_comparison_keeps_each_answer_with_its_origin():
    comparison = Comparison.of(prompt_of("Hi"), ("yes", "draft"), ("no", "revision"))
    pairs = {(comparison.response_a, comparison.origin_a), (comparison.response_b, comparison.origin_b)}
    assert pairs == {("yes", "draft"), ("no", "revision")}


def test_side_a_gives_no_hint_of_which_answer_is_newer():
    comparisons = [
        Comparison.of(prompt_of(f"Q{k}"), ("old", "draft"), ("new", "revision")) for k in range(400)
    ]
    as_a = sum(1 for comparison in comparisons if comparison.origin_a == "draft")
    assert 150 < as_a < 250


def test_answers_of_a_trace_are_the_draft_and_the_kept_revisions():
    texts = [answer.text for answer in trace_of(kept=(True, False, True)).answers()]
    assert texts == ["draft", "revision 1", "revision 3"]


def test_preference_below_one_half_is_refused():
    with pytest.raises(ValidationError, match="p_chosen"):
        preference_of(0.49)


def test_preference_says_how_likely_a_is_whichever_answer_it_chose():
    comparison = Comparison.of(prompt_of("Hi"), ("Yes\u2028", "draft"), ("", "revision"))
    chosen_is_a = comparison.response_a == "Yes\u2028"
    assert preference_of(0.75).p_a(comparison) == (0.75 if chosen_is_a else 0.25)
    turned = comparison.model_copy(
        update={"response_a": comparison.response_b, "response_b": comparison.response_a}
    )
    assert preference_of(0.75).p_a(turned) == (0.25 if chosen_is_a else 0.75)
