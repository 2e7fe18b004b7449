"""Rows as public data sets and tools export them, each with what training reads from it.

The texts are ours; the columns and their nesting are those of the data sets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from publius.sources.column_names import ColumnNames, parse_columns
from publius.sources.examples import DataSource, TrainingRows, read_answers, read_preferences
from publius.sources.prompts import PromptFile, read_prompt_rows
from training.examples import AnsweredPrompt, PreferencePair

Q, GOOD, BAD = "What is tea?", "A drink of leaves.", "No idea."
ASK, SYSTEM = {"role": "user", "content": Q}, {"role": "system", "content": "Be brief."}
YES, NO = ({"role": "assistant", "content": text} for text in (GOOD, BAD))
BEST = [([Q], GOOD, BAD, 1.0)]
BRIEF = [(["Be brief.", Q], GOOD, BAD, 1.0)]
LATER = [(["Hi", "Hello.", Q], GOOD, BAD, 1.0)]
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, ASK]


def part(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "image_url": None}]


PREFERENCES: dict[str, tuple[dict[str, Any], list[tuple[list[str], str, str, float]]]] = {
    "alignment-handbook": (
        {"prompt": Q, "messages": [ASK, YES], "chosen": [ASK, YES], "rejected": [ASK, NO], "score_chosen": 8}
        | {"score_rejected": 3.0},
        BEST,
    ),
    "alignment-handbook, equal scores": (
        {
            "prompt": Q,
            "chosen": [ASK, YES],
            "rejected": [ASK, NO],
            "score_chosen": "8.5",
            "score_rejected": 8.5,
        },
        [([Q], GOOD, BAD, 0.5)],
    ),
    "argilla mix, equal ratings": (
        {"chosen": [ASK, YES], "rejected": [ASK, NO], "chosen_rating": 4, "rejected_rating": 4.0},
        [([Q], GOOD, BAD, 0.5)],
    ),
    "conversations with a system message beside a text prompt": (
        {"prompt": Q, "chosen": [SYSTEM, ASK, YES], "rejected": [SYSTEM, ASK, NO]},
        BRIEF,
    ),
    "several turns beside the first one": (
        {"prompt": "Hi", "chosen": [*TALK, YES], "rejected": [*TALK, NO]},
        LATER,
    ),
    "several turns beside the last one": (
        {"prompt": Q, "chosen": [*TALK, YES], "rejected": [*TALK, NO]},
        LATER,
    ),
    "orca": ({"system": "Be brief.", "question": Q, "chosen": GOOD, "rejected": BAD}, BRIEF),
    "openrlhf": ({"input": Q, "chosen": GOOD, "rejected": BAD}, BEST),
    "alpaca": (
        {"instruction": "Translate", "input": "Hola", "chosen": "Hello", "rejected": "Bye"},
        [(["Translate\nHola"], "Hello", "Bye", 1.0)],
    ),
    "llama-factory": (
        {"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": Q}]}
        | {"chosen": {"from": "gpt", "value": GOOD}, "rejected": {"from": "gpt", "value": BAD}},
        BRIEF,
    ),
    "axolotl": ({"messages": TALK, "chosen": YES, "rejected": NO}, LATER),
    "ultrainteract": (
        {"trajectory": [{"from": "user", "value": Q}], "chosen": GOOD, "rejected": BAD, "id": "x"},
        BEST,
    ),
    "capybara": (
        {"chosen": [*TALK, YES], "rejected": [*TALK, NO], "rating_chosen": 5, "rating_rejected": 2},
        LATER,
    ),
    "skywork": ({"chosen": [ASK, YES], "rejected": [ASK, NO], "source": "magpie"}, BEST),
    "text parts": (
        {"prompt": [{"role": "user", "content": part(Q)}], "chosen": part(GOOD), "rejected": part(BAD)},
        [],
    ),
    "messages of text parts": (
        {"prompt": [{"role": "user", "content": part(Q)}]}
        | {
            name: [{"role": "assistant", "content": part(t)}]
            for name, t in (("chosen", GOOD), ("rejected", BAD))
        },
        BEST,
    ),
    "messages as JSON in a text": (
        {"chosen": json.dumps([ASK, YES]), "rejected": json.dumps([ASK, NO])},
        BEST,
    ),
    "implicit prompt": (
        {"chosen": f"Q: {Q} A: {GOOD}", "rejected": f"Q: {Q} A: {BAD}"},
        [([f"Q: {Q} A:"], f" {GOOD}", f" {BAD}", 1.0)],
    ),
    "openai preference": (
        {
            "input": {"messages": [SYSTEM, ASK], "tools": []},
            "preferred_output": [YES],
            "non_preferred_output": [NO],
        },
        BRIEF,
    ),
    "rewardbench 2": (
        {"id": "7", "prompt": Q, "chosen": [GOOD], "rejected": [BAD, "Hm.", None], "subset": "Focus"},
        [([Q], GOOD, BAD, 1.0), ([Q], GOOD, "Hm.", 1.0)],
    ),
    "nemo-rl": (
        {
            "context": [ASK],
            "completions": [{"rank": 1, "completion": [NO]}, {"rank": 0, "completion": [YES]}],
        },
        BEST,
    ),
    "nectar": (
        {
            "prompt": Q,
            "answers": [
                {"answer": GOOD, "model": "m", "rank": 1.0},
                {"answer": BAD, "model": "n", "rank": 2.0},
            ],
        },
        BEST,
    ),
    "distilabel": (
        {
            "instruction": Q,
            "generations": [GOOD, None, BAD],
            "ratings": ["5", None, "2.0"],
            "model_names": ["a", "b", "c"],
        },
        BEST,
    ),
    "alpaca_eval": ({"instruction": Q, "output_1": GOOD, "output_2": BAD, "preference": 1.0}, BEST),
    "alpaca_eval, weighted": (
        {"instruction": Q, "output_1": GOOD, "output_2": BAD, "preference": 1.75, "annotator": "weighted"},
        [([Q], BAD, GOOD, 0.75)],
    ),
    "openai summaries": (
        {"info": {"post": Q}, "summaries": [{"text": BAD}, {"text": GOOD}], "choice": 1, "worker": "w"},
        BEST,
    ),
    "webgpt": (
        {
            "question": {"full_text": Q, "dataset": "eli5"},
            "answer_0": GOOD,
            "answer_1": BAD,
            "score_0": 0.5,
            "score_1": -0.5,
        },
        BEST,
    ),
    "shp": (
        {"history": Q, "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0, "score_A": 2, "score_B": 9},
        BEST,
    ),
    "judgebench": ({"question": Q, "response_A": GOOD, "response_B": BAD, "label": "A>B"}, BEST),
    "mt-bench, first turn": (
        {"model_a": "m", "model_b": "n", "winner": "model_b", "turn": 1, "judge": "expert_1"}
        | {"conversation_a": [ASK, NO, ASK, NO], "conversation_b": [ASK, YES, ASK, NO]},
        BEST,
    ),
    "arena 2025": (
        {"model_a": "m", "model_b": "n", "winner": "both_bad"}
        | {"conversation_a": [ASK, YES], "conversation_b": [ASK, NO]},
        [],
    ),
    "label studio ranker": (
        {"data": {"prompt": Q, "items": [{"id": "x", "body": BAD}, {"id": "y", "body": GOOD}]}}
        | {"annotations": [{"result": [{"value": {"ranker": {"rank": ["y", "x"]}}, "type": "ranker"}]}]},
        BEST,
    ),
    "table of votes": (
        {"prompt": Q, "response_a": GOOD, "response_b": BAD, "verdict": "tie"},
        [([Q], GOOD, BAD, 0.5)],
    ),
    "images": ({"prompt": Q, "chosen": GOOD, "rejected": BAD, "images": ["a.png"]}, []),
    "image part": (
        {"prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": Q}]}]}
        | {"chosen": [YES], "rejected": [NO]},
        [],
    ),
    "white space": ({"prompt": Q, "chosen": f"{GOOD} ", "rejected": GOOD}, []),
    "transcript without its leading lines": (
        {
            name: f"Human: Hi\n\nAssistant: Hello.\n\nHuman: {Q}\n\nAssistant: {text}"
            for name, text in (("chosen", GOOD), ("rejected", BAD))
        },
        LATER,
    ),
    "transcript with CRLF": (
        {
            name: f"\r\n\r\nHuman: {Q}\r\n\r\nAssistant: {text}"
            for name, text in (("chosen", GOOD), ("rejected", BAD))
        },
        BEST,
    ),
    "history beside a prompt": (
        {"prompt": Q, "history": [["Hi", "Hello."]], "chosen": GOOD, "rejected": BAD},
        LATER,
    ),
    "margin that is no number": ({"prompt": Q, "chosen": GOOD, "rejected": BAD, "margin": "large"}, BEST),
    "margin that is NaN": ({"prompt": Q, "chosen": GOOD, "rejected": BAD, "margin": float("nan")}, BEST),
    "text that only mentions Human:": (
        {"prompt": "Human: a noun?", "chosen": GOOD, "rejected": BAD},
        [(["Human: a noun?"], GOOD, BAD, 1.0)],
    ),
}
ANSWERS: dict[str, tuple[dict[str, Any], list[tuple[list[str], str]]]] = {
    "every turn": ({"messages": [*TALK, YES]}, [(["Hi"], "Hello."), (["Hi", "Hello.", Q], GOOD)]),
    "ends with the user": ({"messages": TALK}, [(["Hi"], "Hello.")]),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": GOOD}]},
        [([Q], GOOD)],
    ),
    "masked turns": (
        {"messages": [TALK[0], {**TALK[1], "weight": 0}, ASK, {**YES, "weight": 1}]},
        [(["Hi", "Hello.", Q], GOOD)],
    ),
    "masked turns of axolotl": (
        {"messages": [TALK[0], {**TALK[1], "train": 0}, ASK, {**YES, "train": "true"}]},
        [(["Hi", "Hello.", Q], GOOD)],
    ),
    "masked turns, as text": (
        {"messages": [TALK[0], {**TALK[1], "weight": "0.0"}, ASK, {**YES, "weight": "1.0"}]},
        [(["Hi", "Hello.", Q], GOOD)],
    ),
    "turns without a loss": (
        {"messages": [TALK[0], {**TALK[1], "loss": False}, ASK, {**YES, "loss": None}]},
        [(["Hi", "Hello.", Q], GOOD)],
    ),
    "turn with a mark that cannot be read": ({"messages": [ASK, {**YES, "train": "maybe"}]}, []),
    "alpaca": (
        {"instruction": "Translate", "input": "", "output": "Hello", "system": "Be brief."},
        [(["Be brief.", "Translate"], "Hello")],
    ),
    "alpaca with history": (
        {"instruction": Q, "input": "", "output": GOOD, "history": [["Hi", "Hello."]]},
        [(["Hi", "Hello.", Q], GOOD)],
    ),
    "ms-swift": (
        {"query": Q, "response": GOOD, "history": [["Hi", "Hello."]], "system": "Be brief."},
        [(["Be brief.", "Hi", "Hello.", Q], GOOD)],
    ),
    "history of messages": (
        {"question": Q, "answer": GOOD, "history": TALK[:2]},
        [(["Hi", "Hello.", Q], GOOD)],
    ),
    "helpsteer": (
        {"prompt": f"Hi<extra_id_1>Assistant\nHello.<extra_id_1>User\n{Q}", "response": GOOD},
        [(["Hi", "Hello.", Q], GOOD)],
    ),
    "lima": (
        {"conversations": ["Hi", "Hello.", Q, GOOD]},
        [(["Hi"], "Hello."), (["Hi", "Hello.", Q], GOOD)],
    ),
    "columns of messages": (
        {"messages": {"role": ["user", "assistant"], "content": [Q, GOOD]}},
        [([Q], GOOD)],
    ),
    "columns of sharegpt": (
        {"conversations": {"from": ["human", "gpt"], "value": [Q, GOOD]}},
        [([Q], GOOD)],
    ),
    "bedrock": (
        {"system": [{"text": "Be brief."}], "messages": [ASK, {"role": "assistant", "content": part(GOOD)}]},
        [(["Be brief.", Q], GOOD)],
    ),
    "other assistants": (
        {"conversations": [{"from": "user", "text": Q}, {"from": "bing", "text": GOOD}]},
        [([Q], GOOD)],
    ),
    "openorca": (
        {"id": "x", "system_prompt": "Be brief.", "question": Q, "response": GOOD},
        [(["Be brief.", Q], GOOD)],
    ),
    "dolly": ({"instruction": Q, "context": "Leaves.", "response": GOOD}, [([f"{Q}\nLeaves."], GOOD)]),
    "gemini": (
        {
            "contents": [
                {"role": "user", "parts": [{"text": Q}]},
                {"role": "model", "parts": [{"text": GOOD}]},
            ]
        },
        [([Q], GOOD)],
    ),
    "gemini with a system instruction": (
        {
            "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
            "contents": [
                {"role": "user", "parts": [{"text": Q}]},
                {"role": "model", "parts": [{"text": GOOD}]},
            ],
        },
        [(["Be brief.", Q], GOOD)],
    ),
    "cohere": (
        {"messages": [{"role": "User", "content": Q}, {"role": "Chatbot", "content": GOOD}]},
        [([Q], GOOD)],
    ),
    "kto, good": ({"prompt": [ASK], "completion": [YES], "label": True}, [([Q], GOOD)]),
    "kto, bad": ({"prompt": [ASK], "completion": [NO], "label": False}, []),
    "kto, bad, as text": ({"prompt": Q, "completion": BAD, "label": "false"}, []),
    "kto, bad, llama-factory": ({"messages": [ASK, NO], "label": False}, []),
    "system without content": ({"messages": [{"role": "system", "content": None}, ASK, YES]}, [([Q], GOOD)]),
    "tool calls": (
        {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
        [],
    ),
    "image place holder": ({"messages": [ASK, YES], "images": ["a.png"]}, []),
}


def source(folder: Path, *rows: Any) -> DataSource:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSource(str(folder / "rows.jsonl"))


def pairs_of(data: TrainingRows[PreferencePair]) -> list[tuple[list[str], str, str, float]]:
    return [([m.content for m in p.prompt], p.chosen, p.rejected, p.p_chosen) for p in data.rows]


def answers_in(data: TrainingRows[AnsweredPrompt]) -> list[tuple[list[str], str]]:
    return [([m.content for m in row.prompt], row.answer) for row in data.rows]


@pytest.mark.parametrize("name", PREFERENCES)
def test_preferences_of_public_data_sets(name: str, tmp_path: Path):
    row, expected = PREFERENCES[name]
    data = read_preferences(source(tmp_path, row))
    assert pairs_of(data) == expected
    assert data.rows or data.excluded


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_public_data_sets(name: str, tmp_path: Path):
    row, expected = ANSWERS[name]
    data = read_answers(source(tmp_path, row))
    assert answers_in(data) == expected
    assert data.rows or data.excluded


def prompt_in(folder: Path, row: Any) -> list[str] | None:
    data = source(folder, row)
    (found,) = read_prompt_rows(PromptFile(data.path))
    return None if found.parsed is None else [m.content for m in found.parsed.prompt.messages]


@pytest.mark.parametrize("name", [name for name, (_, expected) in PREFERENCES.items() if expected])
def test_prompt_of_a_preference_is_that_of_training(name: str, tmp_path: Path):
    row, expected = PREFERENCES[name]
    assert prompt_in(tmp_path, row) == expected[0][0]


@pytest.mark.parametrize("name", [name for name, (_, expected) in ANSWERS.items() if expected])
def test_prompt_of_an_answer_is_that_of_training(name: str, tmp_path: Path):
    row, expected = ANSWERS[name]
    last = ["Hi", "Hello.", Q] if name == "ends with the user" else expected[-1][0]
    assert prompt_in(tmp_path, row) == last


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("1.0", "0.0"),
        (1, -1),
        ("yes", "no"),
        ("good", "bad"),
        ("chosen", "rejected"),
        ("Thumbs up", "thumbs_down"),
        ("positive", "negative"),
        ("TRUE", "FALSE"),
    ],
)
def test_answers_with_a_bad_label_are_not_learned(good: Any, bad: Any, tmp_path: Path):
    rows = [
        {"prompt": Q, "completion": text, "label": label}
        for text, label in ((GOOD, good), (BAD, bad), ("x", None))
    ]
    data = read_answers(source(tmp_path, *rows))
    assert answers_in(data) == [([Q], GOOD)]
    assert [row.reason for row in data.excluded] == [
        "the label says that the answer is not a good one",
        "the label cannot be read",
    ]
    assert pairs_of(read_preferences(source(tmp_path, *rows))) == BEST


@pytest.mark.parametrize("labels", [(0, 1, 2), ("World", "Sports", "1"), ("positive", "negative", "neutral")])
def test_classes_are_no_labels_of_answers(labels: tuple[Any, ...], tmp_path: Path):
    data = read_answers(source(tmp_path, *({"prompt": Q, "completion": GOOD, "label": la} for la in labels)))
    assert len(data.rows) == 3
    assert data.ignored_columns == ("label",)


def test_word_for_a_bad_answer_is_a_label_beside_any_other_value(tmp_path: Path):
    rows = [{"prompt": Q, "completion": GOOD, "label": label} for label in ("good", "bad", "unsure")]
    data = read_answers(source(tmp_path, *rows))
    assert [row.id for row in data.rows] == ["rows.jsonl:1"]
    assert data.excluded[1].reason == "the label cannot be read"


def test_label_that_comes_late_is_read(tmp_path: Path):
    rows = [{"prompt": Q, "completion": GOOD}] * 30 + [{"prompt": Q, "completion": BAD, "label": False}]
    data = read_answers(source(tmp_path, *rows))
    assert len(data.rows) == 30


def test_learned_rows_that_are_called_unsafe_are_counted(tmp_path: Path):
    rows = [
        {"prompt": Q, "response": GOOD, "is_safe": True, "toxic": False},
        {"prompt": Q, "response": BAD, "is_safe": False, "toxic": True, "feedback": "dislike"},
    ]
    assert read_answers(source(tmp_path, *rows)).notes == (
        "1 row: learned although is_safe is False",
        "1 row: learned although toxic is True",
        "1 row: learned although feedback is 'dislike'",
    )


def test_unreadable_margin_is_counted(tmp_path: Path):
    row = {"prompt": Q, "chosen": GOOD, "rejected": BAD, "margin": "large"}
    assert read_preferences(source(tmp_path, row)).notes == ("1 row: margin is not a number, read as none",)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": Q, "answers": [{"answer": GOOD}]}, "'completion=answers[0].answer'"),
        ({"prompt": Q, "completions": [GOOD, BAD]}, "'completion=completions[0]'"),
    ],
)
def test_suggested_columns_reach_the_text_in_a_list(row: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(DataError, match="found columns") as caught:
        read_answers(source(tmp_path, row))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": Q, "chosen": YES, "rejected": NO, "chosen_rating": 5},
        {"prompt": Q, "chosen": [YES], "rejected": [NO], "total_completions": 3},
        {"question": {"dataset": "x", "full_text": Q}, "answer_0": GOOD},
        {"messages_of": [ASK], "response_model": {"model": "m", "id": "x"}},
    ],
)
def test_columns_that_would_train_on_the_wrong_text_are_not_suggested(row: dict[str, Any], tmp_path: Path):
    with pytest.raises(DataError) as caught:
        read_answers(source(tmp_path, row)).require("rows to train on")
    assert "--columns" not in str(caught.value)


def test_turns_are_numbered_counted_and_held_out_together(tmp_path: Path):
    data = read_answers(source(tmp_path, {"messages": [ASK, YES]}, {"messages": [*TALK, YES]}))
    assert [row.id for row in data.rows] == ["rows.jsonl:1", "rows.jsonl:2.1", "rows.jsonl:2.2"]
    assert data.notes == ("1 conversation with several assistant turns: 2 examples, one for each turn",)
    assert {prompt[0].content for prompt in data.openings.values()} == {"Hi"}


def test_a_good_and_a_bad_answer_to_one_prompt_are_a_pair(tmp_path: Path):
    rows = [{"prompt": Q, "completion": text, "label": text == GOOD} for text in (BAD, GOOD, "More.")]
    data = read_preferences(source(tmp_path, *rows))
    assert pairs_of(data) == BEST
    assert [row.id for row in data.excluded] == ["rows.jsonl:3"]


@pytest.mark.long
def test_labelled_answers_become_the_pairs_that_trl_took_apart(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    rows = [{"prompt": f"Q{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in (1, 2, 2)]
    unpaired = trl.unpair_preference_dataset(datasets.Dataset.from_list(rows))
    data = read_preferences(source(tmp_path, *unpaired, {"prompt": "Q3", "completion": "x", "label": True}))
    assert [(p, c, r) for (p,), c, r, _ in pairs_of(data)] == [tuple(row.values()) for row in rows]
    assert [row.reason for row in data.excluded] == ["no answer with the other label to the same prompt"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("Human: Q?\nAssistant: Good.", "Human: Q?\nAssistant: Bad."),
        ("The sky is blue.", "The sky is green."),
        ("Q: x\nA:\nfoo", "Q: x\nA:\nbar"),
    ],
)
def test_implicit_prompts_are_those_of_trl(chosen: str, rejected: str, tmp_path: Path):
    trl = pytest.importorskip("trl")
    row = {"chosen": chosen, "rejected": rejected}
    expected = trl.extract_prompt(row)
    data = read_preferences(source(tmp_path, row))
    assert pairs_of(data) == [([expected["prompt"]], expected["chosen"], expected["rejected"], 1.0)]
    assert data.notes[0].startswith("1 row: no prompt column")


def test_texts_without_a_common_word_have_no_prompt(tmp_path: Path):
    data = read_preferences(source(tmp_path, {"chosen": "Good.", "rejected": "Great."}))
    assert [row.reason for row in data.excluded] == [
        "there is no prompt, and the answer is text, not a conversation"
    ]


def test_prompt_that_is_not_in_the_conversations_is_refused(tmp_path: Path):
    row = {"prompt": "Another?", "chosen": [SYSTEM, ASK, YES], "rejected": [SYSTEM, ASK, NO]}
    (excluded,) = read_preferences(source(tmp_path, row)).excluded
    assert excluded.reason == "the prompt is not in the conversations of chosen and rejected"


@pytest.mark.parametrize("empty", [None, "", " "])
def test_empty_probability_beside_filled_ones_is_not_certainty(empty: Any, tmp_path: Path):
    rows = [{"prompt": Q, "chosen": GOOD, "rejected": BAD, "p_chosen": p} for p in (empty, "0.75", "high")]
    data = read_preferences(source(tmp_path, *rows))
    assert [pair.p_chosen for pair in data.rows] == [0.75]
    reasons = [row.reason for row in data.excluded]
    assert reasons == ["p_chosen is empty, but not in every row", "p_chosen is not a number from 0 to 1"]
    unfilled = read_preferences(source(tmp_path, rows[0], rows[0] | {"prompt": "Why?"}))
    assert [pair.p_chosen for pair in unfilled.rows] == [1.0, 1.0]


def test_contradicting_and_repeated_pairs_are_counted(tmp_path: Path):
    row = {"prompt": Q, "chosen": GOOD, "rejected": BAD}
    data = read_preferences(source(tmp_path, row, row, row | {"chosen": BAD, "rejected": GOOD}))
    assert len(data.rows) == 3
    assert data.notes == (
        "3 pairs with contradicting preferences on the same two answers, all kept",
        "1 repeated pair, all kept",
    )


def test_columns_are_mapped_by_paths(tmp_path: Path):
    names = ColumnNames(
        parse_columns(["prompt=task.ask, chosen=replies[1].text", "rejected=replies[-2].text"])
    )
    row = {"task": {"ask": Q}, "replies": [{"text": BAD}, {"text": GOOD}], "extra": 1}
    data = read_preferences(source(tmp_path, row, row | {"replies": []}), names)
    assert pairs_of(data) == BEST
    assert [excluded.id for excluded in data.excluded] == ["rows.jsonl:2"]
    assert data.ignored_columns == ("extra",)
    answers = read_answers(
        source(tmp_path, row), ColumnNames({"prompt": "task.ask", "completion": "replies[1].text"})
    )
    assert answers_in(answers) == [([Q], GOOD)]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"promt": "ask"}, "has no column 'promt'"),
        ({"prompt": "aks"}, "no column 'aks'; accepted: one of: ask"),
    ],
)
def test_columns_that_do_not_exist_are_refused(columns: dict[str, str], said: str, tmp_path: Path):
    row = {"ask": Q, "chosen": GOOD, "rejected": BAD}
    with pytest.raises(ValueError, match="column") as caught:
        read_preferences(source(tmp_path, row), ColumnNames(columns))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"ask_text": Q, "good": GOOD, "bad_one": BAD},
            "or --columns prompt=ask_text,chosen=good,rejected=bad_one",
        ),
        (
            {"prompt": Q, "reply_1": GOOD, "reply_2": BAD, "vote": 1},
            "response_a=reply_1,response_b=reply_2,verdict=vote",
        ),
        ({"prompt": Q, "response_a": GOOD, "response_b": BAD}, "nearest format: columns"),
    ],
)
def test_unknown_columns_come_with_the_columns_option_that_would_read_them(
    row: dict[str, Any], said: str, tmp_path: Path
):
    with pytest.raises(DataError, match="found columns") as caught:
        read_preferences(source(tmp_path, row))
    assert said in str(caught.value)


def test_total_failure_shows_the_first_rows_and_the_columns(tmp_path: Path):
    rows = [{"prompt": Q, "chosen": {"speaker": "x"}, "rejected": BAD}] * 5
    with pytest.raises(DataError) as caught:
        read_preferences(source(tmp_path, *rows)).require("rows to train on")
    (line,) = str(caught.value).splitlines()
    assert "there are no rows to train on (5 excluded: chosen is neither" in line
    assert "rows.jsonl:1: chosen is neither text nor a list of messages, {'speaker': 'x'}" in line
    assert "columns: prompt, chosen, rejected" in line
