"""Data sets of other people, in the columns that TRL takes, read as training examples."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest

from core.errors import DataError
from core.records import Message
from publius.sources.examples import DataSource, TrainingRows, read_answers, read_preferences
from publius.sources.rows import Origin
from training.examples import AnsweredPrompt, PreferencePair

HELLO = (Message(role="user", content="Hello"),)
TALK = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
ASKED = [*TALK, {"role": "user", "content": "How are you?"}]
TURNS = "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: How are you?\n\nAssistant:"
HH_RLHF = Path(os.environ.get("PUBLIUS_HH_RLHF", "hh-rlhf is not here"))
"""The `harmless` test split of hh-rlhf, which is not part of the project."""


@pytest.fixture(autouse=True)
def _own_data_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def said(*texts: str) -> list[dict[str, str]]:
    """A conversation that the user begins."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def messages(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(**message) for message in said(*texts))


def written(folder: Path, *rows: Any, name: str = "pairs.jsonl") -> DataSource:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return DataSource(str(folder / name))


def preferences(folder: Path, *rows: Any) -> TrainingRows[PreferencePair]:
    return read_preferences(written(folder, *rows))


def answers(folder: Path, *rows: Any) -> TrainingRows[AnsweredPrompt]:
    return read_answers(written(folder, *rows))


def the_pair(folder: Path, **columns: Any) -> PreferencePair:
    (pair,) = preferences(folder, {"prompt": "Hello", "chosen": "a", "rejected": "b"} | columns).rows
    return pair


def the_error(source: DataSource) -> str:
    with pytest.raises(DataError) as caught:
        read_preferences(source)
    assert caught.value.problems[0].accepted
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Preferences


@pytest.mark.parametrize(
    ("columns", "prompt"),
    [
        ({"prompt": "Hello", "chosen": "yes", "rejected": "no"}, HELLO),
        ({"prompt": ASKED, "chosen": "yes", "rejected": "no"}, messages("Hello", "Hi.", "How are you?")),
        (
            {"prompt": said("Hello"), "chosen": [said("", "yes")[1]], "rejected": [said("", "no")[1]]},
            HELLO,
        ),
        ({"chosen": said("Hello", "yes"), "rejected": said("Hello", "no")}, HELLO),
        ({"prompt": None, "chosen": said("Hello", "yes"), "rejected": said("Hello", "no")}, HELLO),
        ({"prompt": "Hello", "chosen": said("Hello", "yes"), "rejected": said("Hello", "no")}, HELLO),
        ({"prompt": "Hello", "chosen": "yes", "rejected": said("Hello", "no")}, HELLO),
        (
            {"chosen": f"{TURNS} yes", "rejected": f"{TURNS} no\n"},
            messages("Hello", "Hi.", "How are you?"),
        ),
        (
            {"prompt": TURNS, "chosen": " yes", "rejected": " no"},
            messages("Hello", "Hi.", "How are you?"),
        ),
        (
            {"prompt": TURNS, "chosen": f"{TURNS} yes", "rejected": "no"},
            messages("Hello", "Hi.", "How are you?"),
        ),
        (
            {
                "prompt": [{"role": "system", "content": "Be kind."}, *said("Hello")],
                "chosen": "yes",
                "rejected": "no",
            },
            (Message(role="system", content="Be kind."), *HELLO),
        ),
    ],
)
def test_each_of_trls_forms_is_read(tmp_path: Path, columns: dict[str, Any], prompt: tuple[Message, ...]):
    data = preferences(tmp_path, columns)
    assert data.rows == [PreferencePair("pairs.jsonl:1", prompt, "yes", "no", 1.0)]
    assert data.excluded == []
    assert data.ignored_columns == ()


def test_answers_keep_their_white_space(tmp_path: Path):
    assert the_pair(tmp_path, chosen="    return 1\n").chosen == "    return 1\n"


def test_optional_columns_are_read(tmp_path: Path):
    columns = {"id": "x-1", "p_chosen": 0.75, "weight": 2, "margin": 0.5, "source": "ai", "section": "safety"}
    pair = the_pair(tmp_path, **columns, subset=None, finished_chosen=True, finished_rejected=False)
    assert (pair.id, pair.p_chosen, pair.weight, pair.margin) == ("x-1", 0.75, 2.0, 0.5)
    assert pair.groups == {"source": "ai", "section": "safety"}
    assert (pair.chosen_finished, pair.rejected_finished) == (True, False)


def test_group_that_is_no_text_is_none(tmp_path: Path):
    assert the_pair(tmp_path, source=3, section=["a"], subset=" ").groups == {}


def test_probability_below_one_half_swaps_the_sides(tmp_path: Path):
    pair = the_pair(tmp_path, p_chosen=0.25, margin=1.5, finished_chosen=False)
    assert (pair.chosen, pair.rejected, pair.p_chosen, pair.margin) == ("b", "a", 0.75, -1.5)
    assert (pair.chosen_finished, pair.rejected_finished) == (True, False)


def test_swapped_sides_without_a_margin_have_a_margin_of_plain_zero(tmp_path: Path):
    assert math.copysign(1, the_pair(tmp_path, p_chosen=0).margin) == 1


def test_tie_stays_as_it_is(tmp_path: Path):
    pair = the_pair(tmp_path, p_chosen=0.5)
    assert (pair.chosen, pair.p_chosen) == ("a", 0.5)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"chosen": None}, "chosen is neither text nor a list of messages"),
        ({"rejected": 3}, "rejected is neither text nor a list of messages"),
        ({"chosen": []}, "chosen is neither text nor a list of messages"),
        ({"chosen": ["a", 3]}, "chosen is neither text nor a list of messages"),
        ({"chosen": " \n"}, "an answer is empty"),
        ({"rejected": said("Hello", "")}, "an answer is empty"),
        ({"chosen": "b"}, "chosen and rejected are the same"),
        ({"prompt": 5}, "prompt is neither text nor a list of messages"),
        ({"prompt": " "}, "the prompt is empty"),
        ({"prompt": TALK}, "the prompt does not end with a user message"),
        (
            {"prompt": [*ASKED, {"role": "system", "content": "x"}, *said("y")]},
            "a system message is not the first message",
        ),
        ({"prompt": [{"role": "tool", "content": "x"}]}, "a message has a role other than system, user"),
        ({"prompt": [{"role": ["user"], "content": "x"}]}, "a message has a role other than system, user"),
        ({"prompt": [{"role": "user", "content": None}]}, "a message's content is not text"),
        ({"prompt": [{"role": "user", "content": [{"type": "text"}]}]}, "a message's content is not text"),
        (
            {"chosen": [{"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}]},
            "the conversation contains tool calls",
        ),
        ({"chosen": said("Hello")}, "chosen is neither one assistant message"),
        ({"chosen": said("Something else", "a")}, "chosen is neither one assistant message"),
        ({"chosen": said("Hello", "a", "b", "c")}, "chosen is neither one assistant message"),
        ({"prompt": None}, "there is no prompt, and the answer is text, not a conversation"),
        (
            {"prompt": None, "chosen": said("x", "a"), "rejected": said("y", "b")},
            "chosen and rejected differ in more than the last",
        ),
        (
            {"prompt": None, "chosen": said("x", "a", "y", "b"), "rejected": said("x", "b")},
            "chosen and rejected differ in more than the last",
        ),
        (
            {"prompt": None, "chosen": f"{TURNS} a", "rejected": f"{TURNS} a"},
            "chosen and rejected are the same",
        ),
        (
            {"prompt": None, "chosen": TURNS.replace("Hi.", "Ho.") + " a", "rejected": f"{TURNS} b"},
            "chosen and rejected differ in more than the last",
        ),
        (
            {"prompt": None, "chosen": [said("", "a")[1]], "rejected": [said("", "b")[1]]},
            "there is no prompt",
        ),
        ({"prompt": None, "chosen": TURNS, "rejected": f"{TURNS} b"}, "an answer is empty"),
        ({"p_chosen": 1.5}, "p_chosen is not a number from 0 to 1"),
        ({"p_chosen": -0.1}, "p_chosen is not a number from 0 to 1"),
        ({"p_chosen": float("nan")}, "p_chosen is not a number from 0 to 1"),
        ({"p_chosen": "high"}, "p_chosen is not a number from 0 to 1"),
        ({"p_chosen": True}, "p_chosen is not a number from 0 to 1"),
        ({"weight": -1}, "weight is not 0 or a positive number"),
        ({"weight": float("inf")}, "weight is not 0 or a positive number"),
        ({"finished_chosen": "no"}, "finished_chosen is not true or false"),
        ({"chosen": "\ud800"}, "the text contains an unpaired surrogate"),
        ({"prompt": "\udfff"}, "the text contains an unpaired surrogate"),
    ],
)
def test_row_that_cannot_be_used_is_left_out_with_reason_and_place(
    tmp_path: Path, columns: dict[str, Any], reason: str
):
    fine = {"prompt": "Hello", "chosen": "a", "rejected": "b"}
    data = preferences(tmp_path, fine, fine | columns, fine)
    assert [pair.id for pair in data.rows] == ["pairs.jsonl:1", "pairs.jsonl:3"]
    (row,) = data.excluded
    assert row.id == "pairs.jsonl:2"
    assert row.reason.startswith(reason)
    assert "\n" not in row.detail
    assert data.origin.rows == 3


def test_later_row_that_is_no_object_or_lacks_a_column_is_left_out(tmp_path: Path):
    fine = {"prompt": "Hello", "chosen": "a", "rejected": "b"}
    data = preferences(tmp_path, fine, ["x"], {"prompt": "Hello", "chosen": "a"})
    assert len(data.rows) == 1
    assert [row.id for row in data.excluded] == ["pairs.jsonl:2", "pairs.jsonl:3"]


def test_columns_and_keys_that_nothing_reads_are_told(tmp_path: Path):
    chosen = [{"role": "assistant", "content": "a", "name": "x", "extra": None}]
    row = {"prompt": "Hello", "chosen": chosen, "rejected": "b", "score": 5, "empty": None, "tags": ["x"]}
    ignored = preferences(tmp_path, row, row | {"late": 1}).ignored_columns
    assert ignored == ("chosen[].name", "score", "tags", "late")


def test_very_long_row_passes_through(tmp_path: Path):
    assert len(the_pair(tmp_path, chosen="word " * 200_000).chosen) == 1_000_000


# Answers


@pytest.mark.parametrize(
    ("columns", "prompt"),
    [
        ({"messages": said("Hello", "yes")}, HELLO),
        ({"prompt": "Hello", "completion": "yes"}, HELLO),
        ({"prompt": said("Hello"), "completion": [said("", "yes")[1]]}, HELLO),
        ({"prompt": said("Hello"), "completion": said("Hello", "yes")}, HELLO),
        ({"messages": None, "prompt": "Hello", "completion": "yes"}, HELLO),
    ],
)
def test_answers_are_read_from_messages_or_completions(
    tmp_path: Path, columns: dict[str, Any], prompt: tuple[Message, ...]
):
    assert answers(tmp_path, columns).rows == [AnsweredPrompt("pairs.jsonl:1", prompt, "yes")]


def test_prompt_beside_messages_is_passed_over_and_told(tmp_path: Path):
    data = answers(tmp_path, {"prompt": "Hello", "messages": said("Hello", "yes"), "id": 7})
    assert data.rows == [AnsweredPrompt("7", HELLO, "yes")]
    assert data.ignored_columns == ("prompt",)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"messages": said("Hello")}, "the conversation has no assistant message"),
        ({"messages": said("", "a")[1:]}, "there is no prompt"),
        ({"messages": said("Hello", " ")}, "an answer is empty"),
        ({"messages": "Hello"}, "the conversation has no assistant message"),
        ({"messages": None}, "prompt is neither text nor a list of messages"),
        (
            {"messages": None, "prompt": "Hello", "completion": 3},
            "completion is neither text nor a list of messages",
        ),
    ],
)
def test_conversation_without_an_answer_is_left_out(tmp_path: Path, columns: dict[str, Any], reason: str):
    (row,) = answers(tmp_path, {"messages": TALK}, columns).excluded
    assert (row.id, row.reason) == ("pairs.jsonl:2", reason)


# Files


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path):
    line = json.dumps({"prompt": "Hé", "chosen": "a", "rejected": "b"}, ensure_ascii=False)
    (tmp_path / "pairs.jsonl").write_bytes(b"\xef\xbb\xbf\n" + line.encode() + b"\n \n" + line.encode())
    data = read_preferences(DataSource(str(tmp_path / "pairs.jsonl")))
    assert [pair.id for pair in data.rows] == ["pairs.jsonl:2", "pairs.jsonl:4"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"prompt": ', "not JSON"),
        (b"prompt: Hi", "not JSON"),
        (b'{"prompt": "na\x81ve"}', "not UTF-8"),
        (b"[" * 100_000, "JSON with too many nested levels"),
        (b'{"p_chosen": ' + b"1" * 5000 + b"}", "JSON with too many nested levels"),
    ],
)
def test_line_that_cannot_be_read_is_left_out_with_its_place(tmp_path: Path, line: bytes, what: str):
    source = written(tmp_path, {"prompt": "Hello", "chosen": "a", "rejected": "b"})
    with source.path.open("ab") as file:
        file.write(b"\n" + line + b"\n")
    data = read_preferences(source)
    assert len(data.rows) == 1
    ((place, reason, detail),) = [(row.id, row.reason, row.detail) for row in data.excluded]
    assert (place, reason) == ("pairs.jsonl:3", "the row cannot be read")
    assert detail.startswith(what)
    source.path.write_bytes(b"\n" + line + b"\n")
    assert the_error(source).startswith(f"{source.path}:2: {what}")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"prompt": "x", "completion": "y"},\n' * 2, "the line ends with a comma"),
        ('\x1e{"prompt": "x", "completion": "y"}\n' * 2, "the line begins with a record separator"),
    ],
)
def test_lines_of_other_forms_of_json_are_named(tmp_path: Path, content: str, what: str):
    assert what in the_error(written(tmp_path, content))


def test_document_with_a_row_under_each_name_is_rows(tmp_path: Path):
    rows = {name: {"prompt": f"{name}?", "completion": "a"} for name in ("0", "q")}
    data = read_answers(written(tmp_path, rows, name="rows.json"))
    assert [row.prompt[0].content for row in data.rows] == ["0?", "q?"]


def test_parquet_file_without_rows_is_empty(tmp_path: Path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(arrow.table({"prompt": arrow.array([], arrow.string())}), path)
    assert "the data set is empty" in the_error(DataSource(str(path)))


def test_link_to_nothing_is_no_name_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "rows").symlink_to("nowhere")
    assert "the link leads to no file or folder" in the_error(DataSource("owner/rows"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "the data set is empty"),
        ("\n \n", "the data set is empty"),
        ("[1]", "pairs.jsonl:1 is not an object"),
        ('{"question": "x", "answer": "y"}', "found columns: question, answer"),
        ('{"chosen": "x", "prompt": "y"}', "found columns: chosen, prompt"),
    ],
)
def test_file_of_another_kind_is_an_error_that_names_the_columns(tmp_path: Path, content: str, what: str):
    error = the_error(written(tmp_path, content))
    assert what in error
    assert "columns chosen and rejected" in error


def test_answers_without_their_columns_are_an_error(tmp_path: Path):
    with pytest.raises(
        DataError, match="found columns: text; accepted: a column messages, or columns prompt"
    ):
        answers(tmp_path, {"text": "x"})


def test_json_file_may_hold_one_list_or_lines(tmp_path: Path):
    rows = [{"prompt": "Hello", "chosen": "a", "rejected": b} for b in "bc"]
    listed = written(tmp_path, json.dumps(rows, indent=2), name="list.json")
    assert [pair.id for pair in read_preferences(listed).rows] == ["row 1", "row 2"]
    lines = written(tmp_path, *rows, name="lines.json")
    assert [pair.id for pair in read_preferences(lines).rows] == ["lines.json:1", "lines.json:2"]


def test_mistake_in_a_json_list_is_told_with_its_line(tmp_path: Path):
    source = written(tmp_path, "[", '{"prompt": "Hello",', "}]", name="list.json")
    assert "line 3, column 1" in the_error(source)


def test_compressed_file_is_read(tmp_path: Path):
    source = written(tmp_path, {"prompt": "Hello", "chosen": "a", "rejected": "b"})
    packed = tmp_path / "pairs.jsonl.gz"
    packed.write_bytes(gzip.compress(source.path.read_bytes()))
    assert read_preferences(DataSource(str(packed))).rows[0].id == "pairs.jsonl.gz:1"
    packed.write_bytes(packed.read_bytes()[:-9])
    assert "cannot be read" in the_error(DataSource(str(packed)))


def test_origin_names_the_file_its_rows_and_its_digest(tmp_path: Path):
    source = written(tmp_path, {"prompt": "Hello", "chosen": "a", "rejected": "b"})
    origin = read_preferences(source).origin
    assert str(origin) == "pairs.jsonl (1 row)"
    assert origin.digest == hashlib.sha256(source.path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_table_is_read_with_the_number_of_each_row(tmp_path: Path, kind: str):
    datasets = pytest.importorskip("datasets")
    columns = {
        "prompt": ["Hello"] * 3,
        "chosen": ["None", "a", None],
        "rejected": ["NA", "b", "b"],
        "p_chosen": [0.75, None, 1.0],
    }
    path = tmp_path / f"pairs.{kind}"
    getattr(datasets.Dataset.from_dict(columns), f"to_{kind}")(path)
    data = read_preferences(DataSource(str(path)))
    assert data.rows == [
        PreferencePair("row 1", HELLO, "None", "NA", 0.75),
    ]
    assert [row.id for row in data.excluded] == ["row 2", "row 3"]
    assert data.excluded[0].reason == "p_chosen is empty, but not in every row"
    assert data.origin.digest


@pytest.mark.parametrize(
    ("name", "what"),
    [("bad.parquet", "the data set cannot be loaded ("), ("bad.csv", "2 more cells than columns")],
)
def test_damaged_table_is_an_error_in_one_line(
    tmp_path: Path, name: str, what: str, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / name).write_bytes(b"chosen,rejected\n1,2,3,4\n\x81\x8d")
    assert what in the_error(DataSource(str(tmp_path / name)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.csv", "./missing", "a/b/c", "~/no-such-data"])
def test_missing_path_is_not_looked_for_on_the_hub(name: str):
    assert "no such file or folder" in the_error(DataSource(name))


def test_file_of_no_kind_that_can_be_read_is_named(tmp_path: Path):
    assert "unsupported file type: .txt" in the_error(written(tmp_path, "x", name="pairs.txt"))


@pytest.mark.parametrize("asked", [{"subset": "soft"}, {"split": "test"}])
def test_file_has_no_subsets_and_splits(tmp_path: Path, asked: dict[str, str]):
    source = written(tmp_path, {"prompt": "Hello", "chosen": "a", "rejected": "b"})
    assert "a file has no subsets" in the_error(DataSource(source.name, **asked))


# Folders


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A folder as `publius export` writes it."""
    for subset, p in (("preference", None), ("soft", 0.75)):
        (tmp_path / subset).mkdir()
        for split in ("train", "test"):
            row = {"prompt": said("Hello"), "chosen": [said("", split)[1]], "rejected": [said("", "no")[1]]}
            more = {} if p is None else {"p_chosen": p, "weight": 0.5, "sources": ["ai"]}
            written(tmp_path / subset, row | more, name=f"{split}.jsonl")
    card = "---\nconfigs:\n"
    for subset in ("preference", "soft"):
        files = ", ".join(f"{{split: {s}, path: {subset}/{s}.jsonl}}" for s in ("train", "test"))
        card += f"  - {{config_name: {subset}, data_files: [{files}]}}\n"
    (tmp_path / "README.md").write_text(card + "---\n")
    return tmp_path


def test_exported_folder_is_read_by_subset_and_split(exported: Path):
    data = read_preferences(DataSource(str(exported), "soft", "test"))
    assert data.rows == [PreferencePair("row 1", HELLO, "test", "no", 0.75, 0.5)]
    assert data.ignored_columns == ("sources",)
    assert str(data.origin) == f"{exported.name}, subset soft, split test (1 row)"
    assert data.origin.digest is None


def test_part_of_a_split_may_be_asked_for(exported: Path):
    assert len(read_preferences(DataSource(str(exported), "soft", "train[:1]")).rows) == 1


@pytest.mark.parametrize(
    ("subset", "split", "said"),
    [
        (
            None,
            "train",
            "the data set has several subsets, and none was given; accepted: --subset preference or soft",
        ),
        ("hard", "train", "no subset 'hard'; accepted: --subset preference or soft"),
        ("soft", "dev", "no split 'dev'; accepted: --split train or test"),
        ("soft", "dev[:5]", "no split 'dev[:5]'; accepted: --split train or test"),
        ("soft", "train[:x]", "the data set cannot be loaded (ValueError: Unrecognized instruction"),
    ],
)
def test_missing_subset_or_split_names_those_that_exist(
    exported: Path, subset: str | None, split: str, said: str
):
    assert f"{exported}: {said}" in the_error(DataSource(str(exported), subset, split))


def with_splits(folder: Path, *splits: str) -> Path:
    """A folder whose splits have one row each, which names its split."""
    folder.mkdir()
    for split in splits:
        written(folder, {"prompt": "Hello", "chosen": split, "rejected": "no"}, name=f"{split}.jsonl")
    files = ", ".join(f"{{split: {split}, path: {split}.jsonl}}" for split in splits)
    card = f"---\nconfigs:\n  - {{config_name: default, data_files: [{files}]}}\n---\n"
    (folder / "README.md").write_text(card)
    return folder


@pytest.mark.parametrize(
    ("splits", "purpose", "read"),
    [
        (("test", "train"), "train", "train"),
        (("test",), "train", "test"),
        (("raw",), "train", "raw"),
        (("train", "test", "validation"), "evaluate", "validation"),
        (("train", "test"), "evaluate", "test"),
        (("train", "extra"), "evaluate", "train"),
        (("raw",), "evaluate", "raw"),
    ],
)
def test_where_no_split_is_named_the_fitting_or_the_only_one_is_read(
    tmp_path: Path, splits: tuple[str, ...], purpose: Literal["train", "evaluate"], read: str
):
    data = read_preferences(DataSource(str(with_splits(tmp_path / "set", *splits)), purpose=purpose))
    assert [pair.chosen for pair in data.rows] == [read]
    assert str(data.origin) == f"set, split {read} (1 row)"


@pytest.mark.parametrize(
    ("purpose", "said"),
    [
        ("train", "no split named train; accepted: --split raw or filtered"),
        ("evaluate", "no split named validation or test or train; accepted: --eval-split raw or filtered"),
    ],
)
def test_several_splits_of_which_none_fits_are_named(
    tmp_path: Path, purpose: Literal["train", "evaluate"], said: str
):
    folder = with_splits(tmp_path / "set", "raw", "filtered")
    assert said in the_error(DataSource(str(folder), purpose=purpose))
    assert "no split 'dev'; accepted: --" in the_error(DataSource(str(folder), None, "dev", purpose))
    named = read_preferences(DataSource(str(folder), None, "filtered", purpose))
    assert named.rows[0].chosen == "filtered"


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        ("train", "train", True),
        ("train", "test", False),
        ("train[:1]", "train", True),
        ("train[:1]", "train[1:]", False),
    ],
)
def test_the_same_rows_are_known_again(tmp_path: Path, one: str, other: str, overlaps: bool):
    folder = str(with_splits(tmp_path / "set", "train", "test"))
    origins = [Origin(DataSource(folder, None, split), 1, None) for split in (one, other)]
    assert origins[0].overlaps(origins[1]) == origins[1].overlaps(origins[0]) == overlaps
    elsewhere = Origin(DataSource("another", None, other), 1, None)
    assert not origins[0].overlaps(elsewhere)


def test_copy_of_a_file_is_known_again(tmp_path: Path):
    row = {"prompt": "Hello", "chosen": "a", "rejected": "b"}
    names = ("one.jsonl", "copy.jsonl")
    first, copy = (read_preferences(written(tmp_path, row, name=name)).origin for name in names)
    other = read_preferences(written(tmp_path, row | {"chosen": "c"}, name="other.jsonl")).origin
    assert first.overlaps(copy)
    assert not first.overlaps(other)


def test_folder_without_data_is_an_error(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "any data files" in the_error(DataSource(str(tmp_path / "empty")))


def test_hub_that_cannot_be_reached_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(pytest.importorskip("datasets").config, "HF_HUB_OFFLINE", True)
    assert "no-such/data-set: the data set cannot be loaded" in the_error(DataSource("no-such/data-set"))


@pytest.mark.skipif(not HH_RLHF.exists(), reason="set PUBLIUS_HH_RLHF to hh-rlhf's harmless test split")
def test_real_transcripts_of_hh_rlhf_are_read():
    data = read_preferences(DataSource(str(HH_RLHF)))
    assert len(data.rows) + len(data.excluded) == data.origin.rows == 1800
    assert len(data.rows) > 1780
    assert Counter(pair.prompt[-1].role for pair in data.rows) == {"user": len(data.rows)}
    assert not any("\n\nHuman:" in pair.chosen + pair.rejected for pair in data.rows)


def test_a_text_that_answers_most_prompts_and_an_unused_margin_are_named(tmp_path: Path):
    rows = [
        {"prompt": f"Why {n}?", "chosen": "It depends.", "rejected": f"No {n}.", "margin": "0.5"}
        for n in range(6)
    ]
    data = read_preferences(written(tmp_path, *rows))
    assert data.repeated is not None
    assert "'It depends.' to 6" in data.repeated
    assert data.unused_columns(uses_margin=True) == ()
    assert data.unused_columns(uses_margin=False) == ("margin",)
    without = read_preferences(written(tmp_path, *({**row, "margin": 0} for row in rows[:4])))
    assert (without.repeated, without.unused_columns(uses_margin=False)) == (None, ())


def test_pairs_of_which_all_answers_are_the_same_are_one_error(tmp_path: Path):
    rows = [{"prompt": f"Why {n}?", "chosen": "So.", "rejected": "So." + " " * (n > 2)} for n in range(4)]
    data = read_preferences(written(tmp_path, *rows))
    with pytest.raises(
        DataError, match=r"3 excluded: chosen and rejected are the same; 1 excluded: .* white space"
    ):
        data.require("rows to train on")
