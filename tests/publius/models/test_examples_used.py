"""How many of its examples a training used, in words."""

from __future__ import annotations

from publius.models.examples_used import UsedExamples

CUT = "the chosen answer was cut before its end"


def test_few_of_many_are_warned_of_with_the_most_frequent_reason():
    used = UsedExamples("dpo", 1, excluded={"a tie": 2, CUT: 5})
    assert used.line == "1 of 8 pairs"
    assert used.warning == f"learned from only 1 of 8 pairs (7 excluded, 5 of them because: {CUT})"


def test_half_is_not_few_and_held_out_examples_are_not_lost():
    assert UsedExamples("dpo", 4, excluded={CUT: 4}).warning is None
    held_out = UsedExamples("reward", 3, held_out=3, excluded={CUT: 4})
    assert (held_out.line, held_out.warning) == ("3 of 10 pairs", None)


def test_all_examples_are_one_number_with_the_word_of_the_method():
    assert UsedExamples("sft", 8).line == "8 answers"
    assert UsedExamples("ppo", 1).line == "1 prompt"
    assert UsedExamples("dpo", 8).warning is None
