"""Prompts are read line by line, mistakes are told by file and line, and no prompt is in two splits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from core.records import Message, Prompt, Split
from prompts.sources import assign_split, normalised, read_prompts

SHARES: dict[Split, float] = {"train": 0.45, "preference": 0.5, "test": 0.05}


def prompt(text: str, **fields: Any) -> Prompt:
    return Prompt.of((Message(role="user", content=text),), **fields)


def written(tmp_path: Path, content: str | bytes, name: str = "prompts.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def the_error(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        list(read_prompts(path))
    assert caught.value.problems[0].accepted
    assert "\n" not in str(caught.value)
    return caught.value


def test_prompt_column_is_one_message_of_the_user(tmp_path: Path):
    path = written(tmp_path, '{"prompt": "Hi", "other": [1]}\n')
    assert list(read_prompts(path)) == [prompt("Hi", source="prompts")]


def test_conversation_is_kept_whole_with_tags_source_and_split(tmp_path: Path):
    messages = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    row = {"messages": messages, "tags": ["a", "b"], "source": "hand", "split": "test"}
    (found,) = read_prompts(written(tmp_path, json.dumps(row)))
    assert [message.model_dump() for message in found.messages] == messages
    assert (found.tags, found.source, found.split) == (("a", "b"), "hand", "test")


def test_prompt_column_may_hold_messages_as_in_other_data_sets(tmp_path: Path):
    row = {"prompt": [{"role": "user", "content": "Hi"}]}
    assert next(read_prompts(written(tmp_path, json.dumps(row)))).messages == prompt("Hi").messages


def test_one_tag_may_stand_without_a_list(tmp_path: Path):
    assert next(read_prompts(written(tmp_path, '{"prompt": "Hi", "tags": "calm"}'))).tags == ("calm",)


def test_text_file_has_one_prompt_a_line(tmp_path: Path):
    path = written(tmp_path, 'One\n\n  {"two": 2}  \r\nThr\u2028ee', "few.txt")
    texts = [found.messages[0].content for found in read_prompts(path)]
    assert texts == ["One", '{"two": 2}', "Thr\u2028ee"]
    assert {found.source for found in read_prompts(path)} == {"few"}


@pytest.mark.parametrize(("name", "line"), [("a.txt", "Hé"), ("a.jsonl", '{"prompt": "Hé"}')])
def test_byte_order_mark_is_no_part_of_the_first_prompt(tmp_path: Path, name: str, line: str):
    path = written(tmp_path, b"\xef\xbb\xbf" + line.encode(), name)
    assert [found.messages[0].content for found in read_prompts(path)] == ["Hé"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "Hi"', "not JSON"),
        ("prompt: Hi", "not JSON"),
        ('["Hi"]', "found"),
        ('"Hi"', "found"),
        ("3", "found"),
        ('{"text": "Hi"}', "found"),
        ('{"prompt": 3}', "found"),
        ('{"prompt": null}', "found"),
        ('{"prompt": ""}', "the last message is empty"),
        ('{"prompt": " \\n "}', "the last message is empty"),
        ('{"messages": []}', "messages"),
        ('{"messages": ["Hi"]}', "messages.0"),
        ('{"messages": [{"role": "bot", "content": "Hi"}]}', "messages.0.role"),
        ('{"messages": [{"role": "user"}]}', "messages.0.content"),
        ('{"messages": [{"role": "user", "content": "Hi", "name": "x"}]}', "messages.0.name"),
        (
            '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
            "assistant",
        ),
        ('{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}', "system"),
        ('{"prompt": "Hi", "split": "training"}', "split"),
        ('{"prompt": "Hi", "tags": 5}', "tags is 5"),
        ('{"prompt": "Hi", "tags": [5]}', "tags.0"),
        ('{"prompt": "Hi", "source": 5}', "source"),
        ('{"prompt": "\\ud800"}', "surrogate"),
        ('{"prompt": "Hi", "tags": ["\\udfff"]}', "surrogate"),
    ],
)
def test_mistake_is_told_with_file_and_line(tmp_path: Path, line: str, said: str):
    path = written(tmp_path, f'{{"prompt": "fine"}}\n\n{line}\n{{"prompt": "fine"}}\n')
    error = the_error(path)
    assert error.problems[0].where == f"{path}:3"
    assert said in error.problems[0].what


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_text_in_another_encoding_is_told_with_file_and_line(tmp_path: Path, name: str):
    lines = b'{"prompt": "fine"}\n' * 2000
    path = written(tmp_path, lines + '{"prompt": "na\xefve"}\n'.encode("latin-1"), name)
    error = the_error(path)
    assert error.problems[0].where == f"{path}:2001"
    assert "not UTF-8" in error.problems[0].what
    assert "byte 15 of the line" in error.problems[0].what


@pytest.mark.parametrize("content", ["", "\n\n  \n"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_file_without_prompts_is_refused(tmp_path: Path, name: str, content: str):
    path = written(tmp_path, content, name)
    error = the_error(path)
    assert error.problems[0].where == str(path)
    assert "no prompts" in error.problems[0].what


def test_missing_file_is_named(tmp_path: Path):
    error = the_error(tmp_path / "missing.jsonl")
    assert str(tmp_path / "missing.jsonl") in str(error)


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path):
    (tmp_path / "folder.jsonl").mkdir()
    assert "cannot be read" in str(the_error(tmp_path / "folder.jsonl"))


@pytest.mark.parametrize("name", ["prompts.csv", "prompts", "prompts.json"])
def test_file_of_another_kind_is_refused(tmp_path: Path, name: str):
    error = the_error(written(tmp_path, '{"prompt": "Hi"}', name))
    assert ".jsonl" in (error.problems[0].accepted or "")


def test_prompts_before_the_mistake_have_been_read(tmp_path: Path):
    prompts = read_prompts(written(tmp_path, '{"prompt": "one"}\nbroken'))
    assert next(prompts).messages[0].content == "one"
    with pytest.raises(DataError, match="not JSON"):
        next(prompts)


# Splits


def test_shares_are_followed():
    found = Counter(assign_split(prompt(f"Question number {i}?"), SHARES).split for i in range(5000))
    for split, share in SHARES.items():
        # Three standard deviations of a binomial share.
        assert found[split] / 5000 == pytest.approx(share, abs=3 * (share * (1 - share) / 5000) ** 0.5)


def test_split_depends_on_the_prompt_alone():
    texts = [f"Question {i}" for i in range(50)]
    forward = {text: assign_split(prompt(text), SHARES).split for text in texts}
    backward = {text: assign_split(prompt(text, tags=("x",)), SHARES).split for text in reversed(texts)}
    assert forward == backward


def test_splits_are_the_same_in_every_version():
    # Were these to change, prompts would move from a user's test split into training.
    found = [assign_split(prompt(f"Question {i}"), SHARES).split for i in range(8)]
    assert found == ["train", "train", "test", "preference", "train", "train", "preference", "preference"]


@pytest.mark.parametrize(
    "variant",
    ["how do i boil an egg", "How  do I boil\nan egg?", "HOW DO I BOIL AN EGG!!", "«How do I boil an egg…»"],
)
def test_prompts_that_differ_in_case_spacing_or_punctuation_share_a_split(variant: str):
    for i in range(40):
        one, two = prompt(f"How do I boil an egg? {i}"), prompt(f"{variant} {i}")
        assert assign_split(one, SHARES).split == assign_split(two, SHARES).split


def test_normalised_text_keeps_the_words_of_all_messages():
    messages = (
        Message(role="system", content="Be  brief."),
        Message(role="user", content="STRASSE, naïve_1!"),
    )
    assert normalised(messages) == "be brief strasse naïve_1"
    assert normalised(prompt("Straße").messages) == normalised(prompt("STRASSE").messages)


def test_split_that_the_prompt_names_stands():
    assert all(assign_split(prompt(f"{i}", split="test"), {"train": 1.0}).split == "test" for i in range(20))


def test_split_without_a_share_gets_nothing():
    found = {assign_split(prompt(f"{i}"), {"train": 0.5, "test": 0.5}).split for i in range(200)}
    assert found == {"train", "test"}


def test_shares_that_fall_short_of_one_by_rounding_lose_no_prompt():
    shares: dict[Split, float] = {"train": 0.0, "preference": 1e-9, "test": 0.0}
    assert assign_split(prompt("any"), shares).split == "preference"
