"""Measures that two constitutions define differently are named with the reason."""

from __future__ import annotations

from constitution.checks.kinds import ContainsNone, MaxSentences, MaxWords
from constitution.schema import Constitution, Principle
from publius.views.report.comparing.yardsticks import different_yardsticks

SHORT = Principle(id="short", text="At most 70 words.", check=MaxWords(kind="max_words", value=70))
KIND = Principle(id="kind", text="The reply is kind.")
OLD = Constitution(name="old", principles=(SHORT, KIND))


def against(*principles: Principle) -> dict[str, str]:
    return different_yardsticks(OLD, Constitution(name="new", principles=principles), ("A", "B"))


def test_same_rules_are_compared_whatever_their_order_and_weight():
    assert against(KIND.model_copy(update={"weight": 3.0}), SHORT) == {}


def test_another_limit_is_another_yardstick_of_the_rule_and_of_all_checks():
    found = against(SHORT.model_copy(update={"check": MaxWords(kind="max_words", value=25)}), KIND)
    how = "max_words 70 against 25"
    assert found == {
        "compliance.short": f"A and B measure this rule differently ({how}): not compared",
        "compliance": f"A and B do not have the same rules here (short: {how}): not compared",
    }


def test_another_kind_of_check_is_named():
    found = against(SHORT.model_copy(update={"check": MaxSentences(kind="max_sentences", value=3)}), KIND)
    assert "(max_words 70 against max_sentences 3)" in found["compliance.short"]


def test_other_words_with_the_same_check_change_only_what_a_judge_rates():
    found = against(SHORT.model_copy(update={"text": "The reply has at most 70 words."}), KIND)
    assert set(found) == {"judged", "judged.short", "judged.short.corrected"}
    assert "(other words)" in found["judged.short"]


def test_a_check_that_only_one_has_changes_the_mean_of_all_checks():
    more = Principle(
        id="calm", text="No exclamation marks.", check=ContainsNone(kind="contains_none", value=("!",))
    )
    found = against(SHORT, KIND, more)
    assert set(found) == {"compliance", "judged"}
    assert "(only one has calm)" in found["compliance"]
