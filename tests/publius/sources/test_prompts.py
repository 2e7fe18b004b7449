"""Prompts are read from files, folders and data sets of any usual form; a bad row is one skipped row."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, DataError, PubliusError
from core.records import Message, Prompt
from publius.authoring.given import read_given
from publius.sources.column_names import parse_columns
from publius.sources.prompt_survey import MappedBy, carried_values, survey
from publius.sources.prompts import PromptFile, PromptRow, digest_of, read_prompt_rows, read_prompts
from publius.sources.rows import SourceRow

Turns = list[tuple[str, str]]


def written(tmp_path: Path, content: str | bytes, name: str = "prompts.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def turns(prompt: Prompt) -> Turns:
    return [(message.role, message.content) for message in prompt.messages]


def only(tmp_path: Path, row: object, **settings: Any) -> PromptRow:
    """Read a file with one row."""
    (found,) = read_prompt_rows(PromptFile(written(tmp_path, lines(row)), **settings))
    return found


ASKED: Turns = [("user", "Hi")]
TALK: Turns = [("user", "Hi"), ("assistant", "Hello."), ("user", "And now?")]
SHAREGPT = [
    {"from": "human", "value": "Hi"},
    {"from": "gpt", "value": "Hello."},
    {"from": "human", "value": "And now?"},
    {"from": "gpt", "value": "Nothing."},
]
CHAT = [{"role": role, "content": text} for role, text in [*TALK, ("assistant", "Nothing.")]]
HH = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: And now?\n\nAssistant: Nothing."


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "Hi", "other": [1]}, ASKED),
        ({"prompt": [{"role": "user", "content": "Hi"}]}, ASKED),
        ({"messages": CHAT[:3]}, TALK),
        ({"messages": CHAT, "prompt": "Hi"}, TALK),
        ({"messages": [{"role": "user", "content": "Hi", "name": "x"}]}, ASKED),
        ({"messages": [*CHAT, {"role": "assistant", "content": None}]}, TALK),
        ({"conversations": SHAREGPT}, TALK),
        ({"conversation": SHAREGPT}, TALK),
        (
            {"conversations": [{"from": "system", "value": "Be kind."}, *SHAREGPT]},
            [("system", "Be kind."), *TALK],
        ),
        ({"question": "Hi"}, ASKED),
        ({"question": "Hi", "answer": "Hello."}, ASKED),
        ({"query": "Hi"}, ASKED),
        ({"text": "Hi", "label": 1}, ASKED),
        ({"instruction": "Hi"}, ASKED),
        ({"instruction": "Sum up.", "input": "", "output": "x"}, [("user", "Sum up.")]),
        ({"instruction": "Sum up.", "input": "A text."}, [("user", "Sum up.\nA text.")]),
        ({"instruction": "And now?", "history": [["Hi", "Hello."]]}, TALK),
        ({"system": "Be kind.", "question": "Hi"}, [("system", "Be kind."), *ASKED]),
        ({"system": "", "question": "Hi"}, ASKED),
        ({"system": None, "prompt": "Hi"}, ASKED),
        ({"chosen": HH, "rejected": HH.replace("Nothing", "Nobody")}, TALK),
        ({"chosen": CHAT, "rejected": [*CHAT[:3], {"role": "assistant", "content": "Go."}]}, TALK),
        ({"prompt": HH}, TALK),
        ({"prompt": HH.strip()}, TALK),
        ({"prompt": HH.removesuffix(" Nothing.")}, TALK),
        ({"prompt": "Hi", "chosen": "Hello.", "rejected": "Go."}, ASKED),
        ({"prompt": None, "question": "Hi"}, ASKED),
        ({" Prompt ": "Hi"}, ASKED),
        ({"Question": "Hi"}, ASKED),
        ({"messages": [{"role": "Human", "content": "Hi"}]}, ASKED),
        ({"prompt": {"text": "Hi"}}, ASKED),
        ({"prompt": {"role": "user", "content": "Hi"}}, ASKED),
        ({"input": {"messages": CHAT[:3]}}, TALK),
        *(({name: "And now?", "history": [["Hi", "Hello."]]}, TALK) for name in ("query", "prompt")),
        ({"question": "And now?", "history": CHAT[:2]}, TALK),
        (
            {"query": "And now?", "history": [["Hi", "Hello."]], "chosen": "Now.", "rejected": "Then."},
            TALK,
        ),
        ({"conversation": [{"input": "Hi", "output": "Hello."}, {"input": "And now?", "output": "x"}]}, TALK),
        ({"conversation": [{"a": 1}], "prompt": "Hi"}, ASKED),
        ({"messages": [{"role": "assistant", "content": "b"}], "prompt": "Hi"}, ASKED),
        ({"prompt": " ", "question": "Hi"}, ASKED),
        ({"prompt": "", "chosen": CHAT, "rejected": [*CHAT[:3], {"role": "gpt", "content": "Go."}]}, TALK),
        ({"text": "Hi", "role": "prompter"}, ASKED),
        ({"prompt": '["Hi", "Ho"]'}, [("user", '["Hi", "Ho"]')]),
        *(
            ({name: system, "prompt": "Hi"}, [("system", "Be kind."), *ASKED])
            for name, system in (
                ("systemInstruction", "Be kind."),
                ("system", [{"text": "Be kind."}]),
                ("systemInstruction", {"role": "system", "parts": [{"text": "Be kind."}]}),
            )
        ),
    ],
)
def test_row_in_a_usual_form_is_a_prompt(tmp_path: Path, row: dict[str, Any], expected: Turns):
    parsed = only(tmp_path, row).parsed
    assert parsed is not None
    assert turns(parsed.prompt) == expected


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ["Hi", "And now?"]},
        {"turns": ["Hi", "And now?"]},
        {"prompt": '["Hi", "And now?"]', "response_a": '["a", "b"]', "response_b": '["c", "d"]'},
        {"prompt": ["Hi", "And now?"], "response_a": ["a", "b"], "response_b": ["c", "d"]},
    ],
)
def test_of_a_list_of_user_turns_the_first_is_the_prompt_and_this_is_said(
    tmp_path: Path, row: dict[str, Any]
):
    path = written(tmp_path, lines(row, {"prompt": ["Again"]}))
    assert [turns(prompt) for prompt in read_prompts(path)] == [ASKED, [("user", "Again")]]
    said = "the prompt is a list of user turns, of which the first was taken"
    assert survey(PromptFile(path)).notes == {said: 1}


class Picture:
    """A cell whose text names its place in memory."""

    def __init__(self, content: bytes) -> None:
        self.tobytes = lambda: content


def test_digest_of_rows_depends_on_their_content_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def digest_with(*values: Any) -> str:
        rows = (SourceRow(f"row {n}", {"prompt": "Hi", "x": value}) for n, value in enumerate(values))
        monkeypatch.setattr("publius.sources.prompts.read_rows", lambda _: rows)
        monkeypatch.setattr("publius.sources.prompts.with_split", lambda source: source)
        return digest_of(PromptFile(tmp_path))

    assert digest_with(Picture(b"a")) == digest_with(Picture(b"a")) != digest_with(Picture(b"b"))
    assert digest_with(object()) == digest_with(object())
    assert digest_with({1: "a", "b": 2}) == digest_with({"b": 2, 1: "a"})
    plain = json.dumps({"prompt": "Hi", "x": [1]}, sort_keys=True).encode() + b"\n"
    assert digest_with([1]) == hashlib.sha256(plain).hexdigest()  # as recorded by older runs


def test_conversation_is_kept_whole_with_tags_source_and_split(tmp_path: Path):
    messages = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    row = {"messages": messages, "tags": ["a", "b"], "source": "hand", "split": "test"}
    (found,) = read_prompts(written(tmp_path, lines(row)))
    assert [message.model_dump() for message in found.messages] == messages
    assert (found.tags, found.source, found.split) == (("a", "b"), "hand", "test")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", lines({"prompt": "Hi"}, {"prompt": "Héllo"})),
        ("p.json", json.dumps([{"prompt": "Hi"}, {"prompt": "Héllo"}])),
        ("p.json", json.dumps({"data": [{"prompt": "Hi"}, {"prompt": "Héllo"}]})),
        ("p.jsonl", json.dumps([{"prompt": "Hi"}, {"prompt": "Héllo"}], indent=1)),
        ("p.csv", "id,prompt\n1,Hi\n2,Héllo\n"),
        ("p.csv", "\ufeffQuestion;id\r\nHi;1\r\nHéllo;2\r\n"),
        ("p.tsv", "text\tid\nHi\t1\nHéllo\t2\n"),
        ("p.txt", "Hi\n\n  Héllo  \r\n"),
        ("p.txt", "\ufeffHi\nHéllo"),
        ("p.txt", "Hi\nHéllo\n".encode("utf-16")),
        ("p.jsonl", lines({"prompt": "Hi"}, {"prompt": "Héllo"}).encode("utf-16")),
        ("p.jsonl.gz", gzip.compress(lines({"prompt": "Hi"}, {"prompt": "Héllo"}).encode(), mtime=0)),
        ("p.csv.gz", gzip.compress("prompt\nHi\nHéllo\n".encode(), mtime=0)),
        ("p.txt.gz", gzip.compress("Hi\nHéllo\n".encode(), mtime=0)),
    ],
)
def test_file_of_each_kind_gives_the_same_prompts(tmp_path: Path, name: str, content: str | bytes):
    found = list(read_prompts(written(tmp_path, content, name)))
    assert [turns(prompt) for prompt in found] == [[("user", "Hi")], [("user", "Héllo")]]
    assert {prompt.source for prompt in found} == {"p"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("1. Why?\n2. How?\n\n3) When?\n", ["Why?", "How?", "When?"]),
        ("- Why?\n* How?\n", ["Why?", "How?"]),
        ("1. FC Cologne or Bayern?\nHow?\n", ["1. FC Cologne or Bayern?", "How?"]),
        ("2. Why?\n3. How?\n", ["2. Why?", "3. How?"]),
        ("- Why?\n", ["- Why?"]),
    ],
)
def test_marks_of_a_list_are_no_part_of_its_prompts(tmp_path: Path, content: str, expected: list[str]):
    prompts = read_prompts(written(tmp_path, content, "a.txt"))
    assert [prompt.messages[0].content for prompt in prompts] == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_text_with_tabs_in_each_line_is_a_table(tmp_path: Path, encoding: str):
    table = "no\tquestion\n1\tWhy?\n2\tHow?\n".encode(encoding)
    prompts = read_prompts(written(tmp_path, table, "sheet.txt"))
    assert [prompt.messages[0].content for prompt in prompts] == ["Why?", "How?"]


def test_parquet_files_folders_and_subsets_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"question": "Hi", "n": 1}, {"question": "Again", "n": 2}]
    data = datasets.Dataset.from_list(rows)
    data.to_parquet(str(tmp_path / "p.parquet"))
    data.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(str(tmp_path / "splits"))
    folder = tmp_path / "subsets"
    folder.mkdir()
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: one.jsonl\n- config_name: two\n  data_files:\n"
        "  - {split: train, path: one.jsonl}\n  - {split: test, path: two.jsonl}\n---\n"
    )
    (folder / "one.jsonl").write_text(lines(*rows))
    (folder / "two.jsonl").write_text(lines({"question": "Test"}))

    def texts(name: str, **settings: Any) -> list[str]:
        found = read_prompts(PromptFile(tmp_path / name, **settings))
        return [prompt.messages[-1].content for prompt in found]

    assert texts("p.parquet") == texts("saved") == texts("splits") == ["Hi", "Again"]
    assert texts("splits", split="test") == ["Hi"]
    assert texts("splits", split="train[1:]") == ["Again"]
    assert texts("subsets", subset="one") == ["Hi", "Again"]
    assert texts("subsets", subset="two", split="test") == ["Test"]
    with pytest.raises(DataError, match="one or two"):
        texts("subsets")
    # A data set's rows identify it, not its name.
    assert digest_of(PromptFile(tmp_path / "saved")) == digest_of(PromptFile(tmp_path / "splits"))
    assert digest_of(PromptFile(tmp_path / "saved")) != digest_of(
        PromptFile(tmp_path / "splits", split="test")
    )


# Mapped columns, tags


@pytest.mark.parametrize(
    ("columns", "row", "expected", "tags"),
    [
        ({"prompt": "frage"}, {"frage": "Hi", "prompt": "no"}, ASKED, ()),
        ({"prompt": "frage", "tags": "art"}, {"frage": "Hi", "art": "x"}, ASKED, ("x",)),
        ({"prompt": "data.q"}, {"data": {"q": "Hi"}}, ASKED, ()),
        ({"prompt": "a.b"}, {"a.b": "Hi", "a": {"b": "no"}}, ASKED, ()),
        ({"messages": "talk"}, {"talk": SHAREGPT, "prompt": "no"}, TALK, ()),
        (
            {"prompt": "frage", "system": "rolle"},
            {"frage": "Hi", "rolle": "Be."},
            [("system", "Be."), *ASKED],
            (),
        ),
        ({"tags": "art"}, {"prompt": "Hi", "art": 7}, ASKED, ("7",)),
    ],
)
def test_mapped_columns_are_read_in_place_of_ours(
    tmp_path: Path, columns: dict[str, str], row: dict[str, Any], expected: Turns, tags: tuple[str, ...]
):
    parsed = only(tmp_path, row, columns=columns).parsed
    assert parsed is not None
    assert (turns(parsed.prompt), parsed.prompt.tags) == (expected, tags)


def test_a_column_with_a_meaning_of_the_users_has_none_by_its_name(tmp_path: Path):
    row = {"input": "Hi", "question": "billing", "Text": "a reply"}
    found = only(tmp_path, row, columns={"tags": "question"}).parsed
    assert found is not None
    assert (turns(found.prompt), found.prompt.tags) == (ASKED, ("billing",))
    del row["input"], row["question"]
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    (apart,) = read_prompt_rows(PromptFile(tmp_path / "p.jsonl"), ["Text"])
    assert (apart.parsed, apart.values) == (None, row)


def test_row_without_the_mapped_column_is_skipped_and_not_read_by_another(tmp_path: Path):
    found = only(tmp_path, {"prompt": "no", "text": "no"}, columns={"prompt": "frage"})
    assert (found.parsed, found.reason) == (None, "the row has no column 'frage'")


@pytest.mark.parametrize(
    ("name", "given", "tags"),
    [
        ("p.jsonl", "calm", ("calm",)),
        ("p.jsonl", "calm, red", ("calm, red",)),
        ("p.jsonl", ["calm", None, 5, "calm"], ("calm", "5")),
        ("p.jsonl", 5, ("5",)),
        ("p.csv", "calm, red;blue", ("calm", "red", "blue")),
        ("p.csv", '"[""calm"", ""a, b""]"', ("calm", "a, b")),
        ("p.csv", "", ()),
    ],
)
def test_tags_are_read_from_lists_and_from_cells(
    tmp_path: Path, name: str, given: Any, tags: tuple[str, ...]
):
    cell = given if str(given).startswith('"') or not isinstance(given, str) else f'"{given}"'
    content = f"prompt,tags\nHi,{cell}\n" if name == "p.csv" else lines({"prompt": "Hi", "tags": given})
    (prompt,) = read_prompts(written(tmp_path, content, name))
    assert prompt.tags == tags


def test_optional_column_that_cannot_be_read_loses_the_column_only(tmp_path: Path):
    row = {"prompt": "Hi", "tags": {"a": 1}, "source": True}
    found = survey(PromptFile(written(tmp_path, lines(row))))
    assert (found.usable, dict(found.lost)) == (1, {"tags": 1, "source": 1})


def test_an_object_named_as_a_column_of_ours_is_another_field_unless_it_is_mapped(tmp_path: Path):
    row = {"source": {"type": "email", "body": "Hi"}, "split": ["a"], "tags": "mine"}
    path = written(tmp_path, lines(row))
    found = survey(PromptFile(path, columns={"prompt": "source.body"}))
    assert (found.usable, dict(found.lost)) == (1, {})
    assert next(read_prompts(PromptFile(path, columns={"prompt": "source.body"}))).source == "prompts"
    mapped = survey(PromptFile(path, columns={"prompt": "source.body", "source": "source"}))
    assert dict(mapped.lost) == {"source": 1}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "test") for name in ("validation", "test_prefs", "dev", "held-out", "train_eval")),
        *((name, "train") for name in ("Train", "train_sft")),
        *((name, None) for name in ("", "latest", "challenge")),
    ],
)
def test_usual_names_of_splits_are_known(tmp_path: Path, name: str, split: str | None):
    (prompt,) = read_prompts(written(tmp_path, lines({"prompt": "Hi", "split": name})))
    assert prompt.split == split


def test_unknown_split_is_lost_unless_the_user_mapped_it(tmp_path: Path):
    path = written(tmp_path, lines({"prompt": "Hi", "split": "challenge", "part": "train"}))
    assert survey(PromptFile(path)).lost == {"split": 1}
    assert "split is not" in str(the_error(PromptFile(path, columns={"split": "split"})))


# HTML


def test_html_in_prompts_is_counted_and_read_as_text_if_asked_for(tmp_path: Path):
    rows = [
        {"prompt": "<p>Hi</p>", "system": "<p>"},
        {"prompt": "Hi &amp; bye", "note": "<b>"},
        {"prompt": "a < b"},
    ]
    path = written(tmp_path, lines(*rows))
    found = survey(PromptFile(path))
    assert found.texts.html.in_words("prompts") == "2 of 3 prompts have HTML (<p>, &amp;)"
    as_text = PromptFile(path, html="text")
    assert [turns(prompt)[-1][1] for prompt in read_prompts(as_text)] == ["Hi", "Hi & bye", "a < b"]
    assert next(read_prompts(as_text)).messages[0].content == "<p>"
    found = survey(as_text)
    assert (found.texts.html.found, found.notes) == (0, {"HTML was read as text": 2})
    assert [row.values for row in read_prompt_rows(as_text)] == rows


def test_quoted_mail_in_prompts_is_counted_and_left_out_if_asked_for(tmp_path: Path):
    path = written(tmp_path, lines({"prompt": "<b>Hi</b>\n\n-- \nLee"}, {"prompt": "Hi"}))
    assert survey(PromptFile(path)).texts.quotes.found == 1
    own = PromptFile(path, html="text", quotes="drop")
    assert [turns(prompt)[-1][1] for prompt in read_prompts(own)] == ["Hi", "Hi"]
    found = survey(own)
    note = "HTML was read as text, quoted mail or a signature was left out"
    assert (found.texts.quotes.found, found.notes) == (0, {note: 1})


# Rows that are not prompts


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": "Hi"', "not JSON"),
        ("prompt: Hi", "not JSON"),
        ('["Hi"]', "not an object"),
        ("3", "not an object"),
        ("{}", "no column holds a prompt"),
        ('{"answer": "Hi"}', "no column holds a prompt"),
        ('{"prompt": 3}', "neither text nor a list"),
        ('{"prompt": null}', "the prompt is empty"),
        ('{"prompt": ""}', "the prompt is empty"),
        ('{"prompt": " \\n "}', "the prompt is empty"),
        ('{"messages": []}', "the prompt is empty"),
        ('{"messages": ["Hi"]}', "neither text nor a list of messages"),
        ('{"messages": [{"role": "bishop", "content": "Hi"}]}', "role other than"),
        ('{"messages": [{"role": "user"}]}', "content is not text"),
        ('{"messages": [{"role": "assistant", "content": "b"}]}', "no user message"),
        ('{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}', "system"),
        ('{"text": "Hello.", "role": "assistant"}', "not a message of the user"),
        ('{"messages": [{"role": "user", "content": [{"type": "image"}]}], "prompt": "Hi"}', "not text"),
        ('{"prompt": "\\ud800"}', "surrogate"),
        ('{"chosen": "Hello.", "rejected": "Go."}', "the answer is text"),
        ('{"instruction": "Sum up.", "input": [1]}', "input is not text"),
        ('{"instruction": "Sum up.", "history": "Hi"}', "history is not"),
        ('{"prompt": "Hi", "system": 4}', "system is not text"),
        (
            '{"system": "a", "messages": [{"role": "system", "content": "b"}, '
            '{"role": "user", "content": "c"}]}',
            "different",
        ),
        ("[" * 100_000 + "]" * 100_000, "nested"),
        ('{"prompt": ' + "[" * 400 + "]" * 400 + "}", "neither text nor a list"),
    ],
)
def test_bad_row_is_one_skipped_row_with_place_and_reason(tmp_path: Path, line: str, reason: str):
    path = written(tmp_path, f'{{"prompt": "fine"}}\n\n{line}\n{{"prompt": "also"}}\n')
    first, bad, last = read_prompt_rows(PromptFile(path))
    assert first.parsed is not None
    assert last.parsed is not None
    assert bad.parsed is None
    assert bad.place == "prompts.jsonl:3"
    assert reason in f"{bad.reason} {bad.detail}"
    with pytest.raises(DataError, match=r"prompts\.jsonl:3"):
        list(read_prompts(path))


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_line_in_another_encoding_is_one_skipped_row(tmp_path: Path, name: str):
    content = b'{"prompt": "fine"}\n' * 2000 + b'{"prompt": "na\x81ve"}\n'
    found = survey(PromptFile(written(tmp_path, content, name)))
    assert (found.rows, found.usable) == (2001, 2000)
    assert found.first[0].place.endswith(f"{name}:2001")
    assert "not UTF-8" in found.first[0].reason
    assert "byte 15 of the line" in found.first[0].detail


# Data sets that cannot be used


def the_error(source: PromptFile) -> PubliusError:
    with pytest.raises((DataError, ConfigError)) as caught:
        survey(source)
    assert "\n" not in str(caught.value)
    assert caught.value.problems[0].accepted or caught.value.problems[0].run
    return caught.value


def test_file_without_a_known_column_names_columns_rows_and_the_mapping(tmp_path: Path):
    rows = [{"ticket": f"T{n}", "body": f"My tea is late, order {n}.", "lang": "en"} for n in range(5)]
    error = the_error(PromptFile(written(tmp_path, lines(*rows))))
    assert (
        "none of the 5 rows is a prompt: prompts.jsonl:1 and 4 more: no column holds a prompt; columns:"
        in str(error)
    )
    assert "columns: ticket, body, lang" in str(error)
    assert error.problems[0].run == "the same command with --set prompts.columns.prompt=body"


def test_a_column_of_objects_is_suggested_by_the_path_to_its_text(tmp_path: Path):
    rows = [{"no": n, "ask": {"lang": "en", "body": {"text": f"Where is order {n}?"}}} for n in range(3)]
    error = the_error(PromptFile(written(tmp_path, lines(*rows))))
    assert error.problems[0].run == "the same command with --set prompts.columns.prompt=ask.body.text"


@pytest.mark.parametrize(
    ("mapped_by", "column", "advice"),
    [
        ("--set", "1: body", """the same command with --set 'prompts.columns.prompt='"'"'1: body'"'"''"""),
        ("--columns", "my mail", "the same command with --columns 'prompt=my mail'"),
        ("--columns", "mail, in full", "the column 'mail, in full' renamed to prompt"),
        ("run file", "body", "prompts.columns: {prompt: body} in the run file"),
        ("file", "body", "the column 'body' renamed to prompt"),
    ],
)
def test_the_advice_is_how_the_command_takes_columns(
    tmp_path: Path, mapped_by: MappedBy, column: str, advice: str
):
    with pytest.raises(DataError) as caught:
        survey(PromptFile(written(tmp_path, lines({column: "My tea is late."}))), mapped_by)
    assert str(caught.value).endswith(advice)


def test_a_column_without_a_name_is_not_suggested(tmp_path: Path):
    path = tmp_path / "inbox.csv"
    path.write_text("MailDesk export,\nT-1,When does the desk open on Sundays?\n")
    with pytest.raises(DataError, match="has no name: delete lines above the row of column names") as caught:
        survey(PromptFile(path), "--columns")
    assert caught.value.problems[0].run is None


def test_mapped_or_kept_column_that_no_row_has_is_refused(tmp_path: Path):
    path = written(tmp_path, lines({"question": "Hi", "ticket": 1}))
    mapped = the_error(PromptFile(path, columns={"tags": "tickets"}))
    assert (mapped.problems[0].where, "did you mean 'ticket'" in str(mapped)) == (
        "prompts.columns.tags",
        True,
    )
    nested = the_error(PromptFile(path, keep=["ticket.id"]))
    assert "no column 'ticket.id'" in str(nested)
    kept = the_error(PromptFile(path, keep=["tickte"]))
    assert (kept.problems[0].where, "did you mean 'ticket'" in str(kept)) == ("prompts.keep", True)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", ""), ("a.txt", "\n\n  \n"), ("a.jsonl", ""), ("a.jsonl", "\n\n  \n"), ("a.csv", "prompt\n")],
)
def test_file_without_rows_is_refused(tmp_path: Path, name: str, content: str):
    assert "no prompts" in str(the_error(PromptFile(written(tmp_path, content, name))))


@pytest.mark.parametrize("name", ["missing.jsonl", "missing", "data/missing.csv", "nowhere.txt", "a/b/c"])
def test_missing_file_is_named_and_never_looked_up_on_a_hub(tmp_path: Path, name: str):
    assert "no such file" in str(the_error(PromptFile(Path(name))))
    assert "no such file" in str(the_error(PromptFile(tmp_path / name)))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "p.jsonl",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n",
            "Git LFS pointer",
        ),
        ("p.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "Git LFS pointer"),
        ("p.xlsx", b"PK\x03\x04", "unsupported file type"),
        ("p.csv", b"PK\x03\x04", "Excel"),
        ("p.jsonl.gz", b"\x1f\x8b\x08\x00broken", "cannot be read"),
        ("p", b"Hi", "unsupported file type"),
    ],
)
def test_file_that_holds_something_else_is_one_line(tmp_path: Path, name: str, content: bytes, said: str):
    assert said in str(the_error(PromptFile(written(tmp_path, content, name))))


def test_a_kept_column_is_not_misspelt(tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    row = {"prompt": "Hi", "conversation_id": "c-1", "tag": "x"}
    path.write_text(json.dumps(row) + "\n")
    assert survey(PromptFile(path)).misspelt() == {"conversation_id": "conversation", "tag": "tags"}
    assert survey(PromptFile(path, keep=("conversation_id",))).misspelt() == {"tag": "tags"}


def test_misspelt_and_unread_columns_are_known(tmp_path: Path):
    rows = [{"prompt": "Hi", "tag": "x", "prompt_id": n, "body": ["long"] * 200} for n in range(2)]
    found = survey(PromptFile(written(tmp_path, lines(*rows))))
    assert found.misspelt() == {"tag": "tags"}
    assert found.carried(None) == {"tag": "string", "prompt_id": "int64"}
    assert found.unread(found.carried(None)) == ["body"]


def test_paths_into_nested_columns_are_kept_as_columns_of_their_names(tmp_path: Path):
    rows = [
        {"prompt": "Hi", "meta": {"topic": "hay fever", "seen": 2, "note": "x"}, "id": 1},
        {"prompt": "Hello", "meta": '{"topic": "ants", "seen": null}', "id": 2},
        {"prompt": "Hey", "meta": None, "id": 3},
    ]
    found = survey(PromptFile(written(tmp_path, lines(*rows)), keep=["id", "meta.topic", "meta.seen"]))
    carried = found.carried(["id", "meta.topic", "meta.seen"])
    assert carried == {"id": "int64", "meta.topic": "string", "meta.seen": "int64"}
    assert [carried_values(row, carried) for row in rows] == [
        {"id": 1, "meta.topic": "hay fever", "meta.seen": 2},
        {"id": 2, "meta.topic": "ants", "meta.seen": None},
        {"id": 3, "meta.topic": None, "meta.seen": None},
    ]
    assert found.unread(carried) == []


def test_rows_with_keys_of_their_own_do_not_fill_the_memory(tmp_path: Path):
    rows = [{"prompt": f"{n}", f"key {n}": n} for n in range(300)]
    assert len(survey(PromptFile(written(tmp_path, lines(*rows)))).columns) <= 100


def test_prompts_before_a_mistake_have_been_read(tmp_path: Path):
    prompts = read_prompts(written(tmp_path, '{"prompt": "one"}\nbroken'))
    assert next(prompts).messages == (Message(role="user", content="one"),)
    with pytest.raises(DataError, match="not JSON"):
        next(prompts)


HH_RLHF = Path(os.environ.get("PUBLIUS_HH_RLHF", "missing"))


@pytest.mark.skipif(not HH_RLHF.is_file(), reason="set PUBLIUS_HH_RLHF to a file of hh-rlhf")
def test_every_transcript_of_hh_rlhf_is_a_prompt_with_every_turn():
    with gzip.open(HH_RLHF, "rt", encoding="utf-8") as file:
        expected = [json.loads(line)["chosen"] for line in file]
    found = list(read_prompt_rows(PromptFile(HH_RLHF)))
    assert len(found) == len(expected) > 0
    names = {"user": "Human", "assistant": "Assistant"}
    for row, transcript in zip(found, expected, strict=True):
        assert row.parsed is not None, row
        said = "".join(f"\n\n{names[role]}: {text}" for role, text in turns(row.parsed.prompt))
        last = transcript.rindex("\n\nHuman:")
        assert said.split() == transcript[: transcript.index("\n\nAssistant:", last)].split()


CONSENT = (
    {"prompt": "One", "consent": True, "market": "DE", "meta": {"n": 1}},
    {"prompt": "Two", "consent": False, "market": "DE"},
    {"prompt": "Three", "consent": True, "market": "FR", "meta": {"n": 3}},
    {"consent": "no prompt"},
)


def test_rows_that_do_not_meet_the_conditions_are_left_out_with_the_reason(tmp_path: Path):
    path = written(tmp_path, lines(*CONSENT))
    source = PromptFile(path, where={"consent": True, "market": ("DE", "UK")})
    found = list(read_prompt_rows(source))
    refused = "left out by prompts.where consent = true"
    assert [row.reason for row in found] == [
        "",
        refused,
        "left out by prompts.where market = DE or UK",
        refused,
    ]
    surveyed = survey(source)
    assert (surveyed.usable, surveyed.reasons[refused]) == (1, 2)
    assert surveyed.unread({}) == ["meta"]  # those of the conditions are read
    assert survey(PromptFile(path, where={"meta.n": [2, 3]})).usable == 1
    others = PromptFile(path, where={"market!": ("FR", "IT"), "consent!": False})
    assert [row.reason for row in read_prompt_rows(others)] == [
        "",
        "left out by prompts.where consent != false",
        "left out by prompts.where market != FR or IT",
        "no column holds a prompt",
    ]
    assert digest_of(source) == digest_of(PromptFile(path))


def test_cells_of_a_table_equal_the_values_that_they_spell(tmp_path: Path):
    path = written(tmp_path, "prompt,consent,number,code\nOne,True,7,007\nTwo,no,,7\n", "prompts.csv")
    for where in ({"consent": True}, {"number": 7}, {"number": "7"}, {"code": "007"}):
        reasons = [row.reason for row in read_prompt_rows(PromptFile(path, where=where))]
        assert [not reason for reason in reasons] == [True, False], where
    assert survey(PromptFile(path, where={"number": None})).usable == 1
    assert survey(PromptFile(path, where={"code": 7})).usable == 2


def test_conditions_that_no_row_can_meet_are_refused_with_what_there_is(tmp_path: Path):
    path = written(tmp_path, lines(*CONSENT))
    with pytest.raises(ConfigError, match=r"no column 'konsent'.*consent"):
        survey(PromptFile(path, where={"konsent": True}))
    with pytest.raises(ConfigError, match=r"no row has market = UK.*market: DE, FR"):
        survey(PromptFile(path, where={"market": "UK"}))


def test_column_of_truth_values_is_the_tag_of_its_name(tmp_path: Path):
    rows = lines(
        {"prompt": "One?", "risky": True},
        {"prompt": "Two?", "risky": False},
        {"prompt": "Three?", "risky": "x"},
    )
    columns = {"tags": "risky"}
    found = read_prompts(PromptFile(written(tmp_path, rows), columns=columns))
    assert [prompt.tags for prompt in found] == [("risky",), (), ("x",)]
    table = written(tmp_path, "prompt,risky\nOne?,True\nTwo?,false\nThree?,\n", "p.csv")
    found = read_prompts(PromptFile(table, columns=columns))
    assert [prompt.tags for prompt in found] == [("risky",), (), ()]


def test_tags_may_stand_in_several_columns(tmp_path: Path):
    (tmp_path / "p.csv").write_text("prompt,type,label,risky\nWhy?,puns;wit,safe,true\nHow?,,unsafe,false\n")
    columns = parse_columns(["tags=type,tags=label", "tags=risky"])
    assert columns == {"tags": "type+label+risky"}
    given = read_given(tmp_path / "p.csv", columns)
    assert [prompt.tags for prompt in given.prompts] == [("puns", "wit", "safe", "risky"), ("unsafe",)]
    assert given.columns["carried"] == []
    with pytest.raises(ConfigError, match="no column 'lable'"):
        read_given(tmp_path / "p.csv", {"tags": "type+lable"})


def test_a_column_with_a_plus_in_its_name_is_one_column(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "Why?", "type+label": ["a+b"], "type": "no"}\n')
    (prompt,) = read_given(tmp_path / "p.jsonl", {"tags": "type+label"}).prompts
    assert prompt.tags == ("a+b",)
