"""Measures of single answers, and compliance within the scope of each principle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from constitution.checks.kinds import ContainsNone, EndsWithQuestion, MaxWords
from constitution.schema import Constitution, Principle, Scope
from core.errors import DataError
from core.records import Answer, Metric
from evaluation.measures import (
    MEASURES,
    Series,
    answer_series,
    ceiling_sentences,
    cut_off_sentences,
    duplicates,
    empty,
    finished,
    read_series,
    repeated,
    sameness,
    words,
)
from tests.evaluation.answers import answer_of, answers_of, prompt_of

SHORT = Principle(id="short", text="Short.", check=MaxWords(kind="max_words", value=3))
CLEAN = Principle(
    id="clean",
    text="Clean.",
    check=ContainsNone(kind="contains_none", value=("As an AI",)),
    applies_to=Scope(tags=("chat",)),
)
KIND = Principle(id="kind", text="The reply is kind.")
CONSTITUTION = Constitution(name="test", principles=(SHORT, CLEAN, KIND))


def values_of(
    answers: list[Answer], constitution: Constitution = CONSTITUTION
) -> dict[str, dict[str, float]]:
    return {one.measure: dict(one.values) for one in answer_series("sft", answers, constitution)}


def test_words_finished_empty_and_repeated_are_read_off_one_answer():
    answer = answer_of("sft", "Why?", "Because - it rains.")
    assert (words(answer), finished(answer), empty(answer), repeated(answer)) == (3, 1, 0, 0)
    assert finished(answer_of("sft", "Why?", "Because it", cut=True)) == 0
    assert empty(answer_of("sft", "Why?", " \n")) == 1
    assert repeated(answer_of("sft", "Why?", "Because it rains. " * 9)) == 1


def test_same_text_to_another_prompt_is_a_duplicate():
    answers = answers_of("sft", "I cannot help.", "Four.", "I  cannot\nhelp.", "four.")
    assert list(duplicates(answers).values()) == [1, 0, 1, 0]


def test_empty_answers_are_no_duplicates():
    assert list(duplicates(answers_of("sft", "", " ", "Yes.")).values()) == [0, 0, 0]


def test_compliance_has_the_prompts_in_scope_only():
    chat, other = prompt_of("Hello?", tags=("chat",)), prompt_of("Why?")
    found = values_of([answer_of("sft", chat, "As an AI I rejoice."), answer_of("sft", other, "As an AI.")])
    assert found["compliance.short"] == {chat.id: 0, other.id: 1}
    assert found["compliance.clean"] == {chat.id: 0}
    assert found["compliance"] == {chat.id: 0, other.id: 1}
    assert "compliance.kind" not in found


def test_compliance_over_all_checks_is_the_share_of_a_prompts_checks_that_pass():
    chat = prompt_of("Hello?", tags=("chat",))
    assert values_of([answer_of("sft", chat, "As an AI.")])["compliance"] == {chat.id: 0.5}


def test_without_a_check_there_is_no_compliance():
    found = values_of(answers_of("sft", "Yes."), Constitution(name="test", principles=(KIND,)))
    assert set(found) == {*MEASURES, "duplicate", "sameness"}


@pytest.mark.parametrize("measure", [*MEASURES, "duplicate", "sameness", "compliance"])
def test_every_measure_has_a_unit_and_a_value_for_each_answer(measure: str):
    answers = answers_of("sft", "One.", "Two.", "")
    (series,) = [one for one in answer_series("sft", answers, CONSTITUTION) if one.measure == measure]
    assert series.unit == ("words" if measure == "words" else "share")
    assert len(series.values) == 3


def test_nearly_the_same_answers_share_half_of_their_word_4_grams():
    first = "You could try a walk in the park today."
    # 9 words have 6 grams, and the last word is part of one: 5 of 7 different grams are shared.
    second = "you could try a walk in the park tomorrow!"
    # Another word in the middle is part of 4 grams: 2 of 10 are shared with the first.
    third = "You could try a swim in the park today."
    assert list(sameness(answers_of("sft", first, second, "Four.")).values()) == [1, 1, 0]
    assert list(sameness(answers_of("sft", first, third)).values()) == [0, 0]


def test_short_answers_are_the_same_if_all_their_words_are_and_empty_ones_never():
    answers = answers_of("sft", "Yes.", "yes", "Yes, please.", "", " ", "No.")
    assert list(sameness(answers).values()) == [1, 1, 0, 0, 0, 0]


def test_every_duplicate_is_nearly_the_same():
    texts = ("I cannot help.", "I  cannot\nhelp.", "?!", "?!", "Four words are here.", "")
    answers = answers_of("sft", *texts)
    assert all(sameness(answers)[key] >= value for key, value in duplicates(answers).items())


def test_series_are_read_as_they_were_written_and_fields_of_newer_versions_are_ignored(tmp_path: Path):
    series = (Series("dpo", "kl", "nats", {"p1": 0.25}), Series("base", "words", "words", {}))
    file = tmp_path / "series.jsonl"
    file.write_text("".join(json.dumps(one.as_json() | {"newer": 1}) + "\n" for one in series))
    assert read_series(file) == series
    assert read_series(tmp_path / "none.jsonl") == ()


@pytest.mark.parametrize("line", ["{", "[1]", '{"variant": "dpo"}', '{"values": {"p1": "x"}}'])
def test_damaged_line_of_series_is_named(line: str, tmp_path: Path):
    file = tmp_path / "series.jsonl"
    file.write_text(json.dumps(Series("dpo", "kl", "nats", {}).as_json()) + f"\n{line}\n")
    with pytest.raises(DataError) as raised:
        read_series(file)
    assert "series.jsonl:2" in str(raised.value)


def finished_share(variant: str, share: float, n: int = 16) -> Metric:
    return Metric(name=f"{variant}.finished", value=share, n=n, unit="share")


def test_answers_cut_off_name_the_setting_and_the_checks_of_an_end():
    asks = Principle(
        id="asks-back", text="Ask.", check=EndsWithQuestion(kind="ends_with_question", value=True)
    )
    constitution = CONSTITUTION.model_copy(update={"principles": (SHORT, asks)})
    metrics = [finished_share("base", 0.0), finished_share("dpo", 0.5), finished_share("sft", 0.95)]
    assert cut_off_sentences(metrics, constitution, 48) == (
        "16 of 16 answers of base and 8 of 16 answers of dpo are cut off at eval.sampling.max_new_tokens "
        "(48): raise it. asks-back cannot be passed without an answer's end.",
    )
    (said,) = cut_off_sentences([finished_share("base", 0.0, 1)], None, 1024)
    assert said == "1 of 1 answer of base is cut off at eval.sampling.max_new_tokens (1,024): raise it."


def test_rules_that_base_keeps_in_every_answer_cannot_be_seen_to_improve():
    def kept(name: str, value: float, n: int = 6) -> Metric:
        return Metric(name=name, value=value, n=n, unit="share")

    full, partly = kept("base.compliance.direct", 1.0), kept("base.compliance.kind", 0.5)
    other = kept("dpo.compliance.direct", 1.0)
    assert ceiling_sentences([full, partly, other, kept("base.compliance", 0.75)]) == (
        "base keeps direct in 6 of 6 answers: on these prompts, the rule cannot be seen to improve.",
    )
    assert ceiling_sentences([full, partly]) == ()  # nothing is compared with base
    assert ceiling_sentences([partly, other]) == ()


def test_few_answers_cut_off_and_differences_of_the_share_say_nothing():
    delta = Metric(name="dpo.finished.delta", value=-0.5, n=16, unit="share")
    assert cut_off_sentences([finished_share("base", 0.95), delta], CONSTITUTION, 48) == ()
