"""How many of its examples a training used, in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.records import Message
from publius.models.examples_used import (
    UsedExamples,
    few_examples,
    prompt_key,
    trained_prompts,
    write_trained_prompts,
)
from publius.stages.runner import RunRequest, execute
from tests.publius.projects import Recorder, write_project

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


@pytest.mark.parametrize(
    ("method", "examples", "excluded", "said"),
    [
        ("dpo", 1, {"no revision was kept": 9, "answers are near-duplicates": 1},
         "1 pair only (10 left out: 9 as no revision was kept, 1 as answers are near-duplicates)"),
        ("sft", 4, {CUT: 1}, f"4 answers only (1 left out: {CUT})"),
        ("reward", 2, {}, "2 pairs only"),
        ("dpo", 30, {"a tie": 90}, "30 pairs only (90 left out: a tie)"),
        ("dpo", 30, {"a tie": 89}, None),
        ("dpo", 5, {}, None),
        ("dpo", 0, {"a tie": 9}, None),
    ],
)  # fmt: skip
def test_few_examples_are_said_before_a_training_with_what_became_of_the_others(
    method: str, examples: int, excluded: dict[str, int], said: str | None
):
    assert few_examples(method, examples, excluded) == said


def test_a_prompt_that_was_trained_under_a_system_message_is_also_found_without_it(tmp_path: Path):
    system, asked = Message(role="system", content="Be brief."), Message(role="user", content="Why red?")
    keys = {prompt_key([system, asked]), prompt_key([asked])}
    write_trained_prompts(tmp_path, [(system, asked)])
    assert trained_prompts(tmp_path) == keys
    run_file = write_project(tmp_path / "run", 0)
    row = {"system": system.content, "prompt": asked.content, "split": "train"}
    (tmp_path / "run" / "prompts.jsonl").write_text(json.dumps(row) + "\n")
    folder = execute(RunRequest(run_file, stages=("critique",)), Recorder()).folder
    assert trained_prompts(folder / "dpo") == keys
