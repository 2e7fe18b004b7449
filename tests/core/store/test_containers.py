"""Files of rows in every wrapping that people have, and files that are something else."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from core.store.containers import file_rows
from core.store.jsonl import Unreadable
from core.text.literals import parsed_literal

ROWS = [
    {"prompt": "Qué?", "chosen": "Sí.", "rejected": "No."},
    {"prompt": "B", "chosen": "c", "rejected": "d"},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TABLE = "prompt,chosen,rejected\r\nQué?,Sí.,No.\r\nB,c,d\r\n"
TALK = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "It's good."}]


def read(path: Path, content: str | bytes) -> list[Any]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [row.value for row in file_rows(path, "a file of rows")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", LINES), ("a.csv", TABLE), ("a.json", json.dumps(ROWS))]
)
def test_unicode_encodings_are_recognised(name: str, content: str, encoding: str, tmp_path: Path):
    assert read(tmp_path / name, content.encode(encoding)) == ROWS


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.JSONL"])
@pytest.mark.parametrize(
    "content",
    [
        LINES,
        "\n" + LINES,
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
    ],
    ids=["lines", "blank line", "array", "indented array", "indented objects"],
)
def test_arrays_and_lines_are_read_under_either_name(name: str, content: str, tmp_path: Path):
    assert read(tmp_path / name, content) == ROWS


@pytest.mark.parametrize(
    "document",
    [
        {"data": ROWS},
        {"version": 1, "rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)]},
        {name: {str(i): row[name] for i, row in enumerate(ROWS)} for name in ROWS[0]},
    ],
    ids=["under a key", "data set server", "pandas columns"],
)
def test_wrapped_rows_of_a_json_document_are_found(document: Any, tmp_path: Path):
    assert read(tmp_path / "a.json", json.dumps(document)) == ROWS


def test_one_row_with_messages_stays_one_row(tmp_path: Path):
    row = {"id": 1, "data": TALK, "items": ["x"]}
    assert read(tmp_path / "a.json", json.dumps(row)) == [row]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "sep={mark}\r\n"])
def test_tables_with_other_separators_are_read(mark: str, start: str, tmp_path: Path):
    content = start.format(mark=mark) + TABLE.replace(",", mark)
    assert read(tmp_path / "a.csv", content) == ROWS


DESK = 'Ticket;Sender;Message\n1;A. Novak;"Hello,\nwhere; and when?"\n2;;Bye\n'


@pytest.mark.parametrize(
    "titles",
    [
        'MailDesk export;;\n"Lindenhof, 12.11.2026";;\n',
        "MailDesk export\n\n",
        "Export of 1, 2 and 3\n",
        "sep=;\nMailDesk export;;\n",
        "\n",
        "",
    ],
)
def test_lines_above_the_header_of_a_table_are_left_out(titles: str, tmp_path: Path):
    found = read(tmp_path / "desk.csv", "\ufeff" + titles + DESK)
    assert [row["Ticket"] for row in found] == ["1", "2"]
    assert found[0]["Message"] == "Hello,\nwhere; and when?"


def test_lines_that_are_left_out_are_named(caplog: pytest.LogCaptureFixture, tmp_path: Path):
    with caplog.at_level("INFO"):
        read(tmp_path / "desk.csv", "MailDesk export;;\n" + DESK)
    assert "1 line above the header left out: 'MailDesk export'" in caplog.text


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (",prompt,answer\na,Hello,Hi\n", ["", "prompt", "answer"]),  # an index without a name
        ("prompt;\nHello;you\nBye;me\n", ["prompt", ""]),
        ("Frage\nHallo; du; da\nUnd; tschüss; dann\n", ["Frage"]),  # one column
        ("A title;;\nx;y;z\n1;2\n", ["A title", ""]),  # rows of other lengths
        ("A title;;\nx;y;z\n", ["A title", ""]),  # nothing below
        ("Name;Note;\nAnna;long;x\n", ["Name", "Note", ""]),  # more than half
    ],
)
def test_the_first_line_is_the_header_where_that_is_in_doubt(content: str, names: list[str], tmp_path: Path):
    assert list(read(tmp_path / "a.csv", content)[0]) == names


def test_text_with_separators_does_not_change_the_separator(tmp_path: Path):
    content = 'prompt,chosen,rejected\n"a; b; c",d;e,f\n'
    assert read(tmp_path / "a.csv", content) == [{"prompt": "a; b; c", "chosen": "d;e", "rejected": "f"}]


def test_compression_is_recognised_by_content(tmp_path: Path):
    packed = gzip.compress(LINES.encode())
    assert read(tmp_path / "a.jsonl.gz", packed) == read(tmp_path / "b.jsonl", packed) == ROWS
    assert read(tmp_path / "c.jsonl.gz", LINES) == ROWS
    assert read(tmp_path / "d.csv.gz", gzip.compress(TABLE.encode("utf-16"))) == ROWS


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps(TALK),
        repr(TALK),
        "[{'role': 'user', 'content': 'Q?'}\n {'role': 'assistant', 'content': \"It's good.\"}]",
    ],
    ids=["JSON", "Python", "numpy"],
)
def test_messages_in_a_cell_are_messages(cell: str, tmp_path: Path):
    quoted = cell.replace('"', '""')
    assert read(tmp_path / "a.csv", f'chosen,n\n"{quoted}",\n') == [{"chosen": TALK, "n": None}]


@pytest.mark.parametrize("cell", ["[1] is the answer", "[1, 2]", "{'a': 1}", "[{'x': 1}]", "[", "{}{"])
def test_other_cells_stay_text(cell: str, tmp_path: Path):
    assert read(tmp_path / "a.csv", f'chosen\n"{cell}"\n') == [{"chosen": cell}]


def test_literals_are_data_and_never_code():
    assert parsed_literal("[__import__('os').getcwd()]") == "[__import__('os').getcwd()]"
    assert parsed_literal("['a', None]") == ["a", None]
    assert parsed_literal("[" * 100_000) == "[" * 100_000


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.jsonl.gz", "a.json"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 12345\n",
            r"Git LFS.*12,345 bytes.*git lfs",
        ),
        (b"../../.git/annex/objects/x/y", "git-annex"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"PAR1rest", "a Parquet file"),
        (b"\x28\xb5\x2f\xfdrest", "zstd"),
    ],
)
def test_files_of_another_kind_are_named(name: str, content: bytes, said: str, tmp_path: Path):
    with pytest.raises(DataError, match=said) as caught:
        read(tmp_path / name, content)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_utf_8_spoil_one_row(tmp_path: Path):
    first, second = read(tmp_path / "a.csv", b"chosen\nS\x81\nyes\n")
    assert isinstance(first, Unreadable)
    assert second == {"chosen": "yes"}


def zipped(entry: str, text: str = "") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(entry, text)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "said", "accepted"),
    [
        (zipped("word/document.xml"), "a Word document", "its text saved as .txt"),
        (zipped("xl/workbook.xml"), "an Excel workbook", "CSV UTF-8"),
        (zipped("ppt/slides/slide1.xml"), "a PowerPoint presentation", "its text"),
        (
            zipped("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
            "an OpenDocument sheet",
            "CSV",
        ),
        (zipped("META-INF/manifest.xml"), "an OpenDocument text", "its text"),
        (b"%PDF-1.7 ...", "a PDF", "its text"),
        (b"{\\rtf1 ...}", "Rich Text Format", "its text"),
        (b"\xd0\xcf\x11\xe0rest", "an Excel workbook", "CSV UTF-8"),
    ],
    ids=[
        "docx",
        "xlsx",
        "pptx",
        "ods",
        "odt",
        "pdf",
        "rtf",
        "xls",
    ],  # an archive holds the time of its making
)
def test_documents_are_named_with_what_to_save_them_as(
    content: bytes, said: str, accepted: str, tmp_path: Path
):
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.csv", content)
    assert said in str(caught.value)
    assert accepted in str(caught.value)


EXPORT = {"exported": "2026-11-12", "page": {"size": 2, "items": ROWS}}


@pytest.mark.parametrize("document", [EXPORT, {"tickets": ROWS, "next": None}, {"a": {"b": {"c": ROWS}}}])
def test_the_only_list_of_rows_in_an_export_is_read(document: Any, tmp_path: Path):
    assert read(tmp_path / "a.json", json.dumps(document)) == ROWS


TICKETS = [{"id": n, "type": "conversation", "source": {"body": f"Hi {n}"}} for n in range(2)]
MAILS = [{"from": f"{name}@example.org", "subject": "Hi", "body": "Is it open?"} for name in ("a", "b")]


@pytest.mark.parametrize("name", ["conversations", "messages", "tickets", "data"])
@pytest.mark.parametrize("rows", [TICKETS, MAILS])
def test_the_list_of_rows_is_read_whatever_it_is_called(name: str, rows: list[Any], tmp_path: Path):
    document = {"type": "list", "pages": {"page": 1}, name: rows}
    assert read(tmp_path / "a.json", json.dumps(document, indent=1)) == rows


@pytest.mark.parametrize(
    "conversation",
    [
        [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
        [{"from": "Ann", "text": "Hi"}, {"from": "Ben", "text": "Hello"}],
        [{"author": "customer", "body": "Hi"}, {"author": "agent", "body": None}],
        [{"input": "Hi", "output": "Hello"}],
        ["Hi", "Hello"],
        [],
    ],
)
@pytest.mark.parametrize("name", ["conversations", "messages"])
def test_a_conversation_in_a_document_is_its_only_row(name: str, conversation: list[Any], tmp_path: Path):
    document = {"id": 1, name: conversation}
    assert read(tmp_path / "a.json", json.dumps(document)) == [document]


def test_several_lists_of_rows_in_an_export_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"several lists of rows: open, page\.items"):
        read(tmp_path / "a.json", json.dumps({"open": ROWS, **EXPORT}))


@pytest.mark.parametrize("row", [{"x": [{"role": "user", "content": "Hi"}] * 2}, {"x": [{"y": 1}]}, {"x": 1}])
def test_document_without_a_list_of_rows_is_a_row(row: Any, tmp_path: Path):
    assert read(tmp_path / "a.json", json.dumps(row)) == [row]


def test_torn_utf_16_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="not utf-16 text"):
        read(tmp_path / "a.jsonl", LINES.encode("utf-16")[:-1])


def test_first_row_longer_than_the_head_is_a_row_like_any_other(tmp_path: Path):
    long = {"prompt": "x" * 100_000, "items": [{"a": 1}, {"a": 2}]}
    path = tmp_path / "long.jsonl"
    for encoding in ("utf-8", "utf-16"):
        path.write_text(json.dumps(long) + "\n" + LINES, encoding=encoding)
        rows = list(file_rows(path, "a file of rows"))
        assert [row.value for row in rows] == [long, *ROWS]
        assert all(row.is_line for row in rows)


def test_row_with_a_list_of_objects_is_not_taken_for_a_wrapping(tmp_path: Path):
    row = {"prompt": "q", "items": [{"a": 1}]}
    assert read(tmp_path / "a.json", json.dumps(row)) == [row]


def test_document_with_several_lists_of_rows_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="the document holds several lists of rows: train, test"):
        read(tmp_path / "a.json", json.dumps({"train": ROWS, "test": ROWS}))


def test_document_of_columns_is_read_by_rows(tmp_path: Path):
    document = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    assert read(tmp_path / "a.json", json.dumps(document)) == ROWS


def test_lines_under_the_other_name_with_a_damaged_first_one_lose_that_one(tmp_path: Path):
    first, *rest = read(tmp_path / "a.json", '{"prompt": "q" broken\n' + LINES)
    assert isinstance(first, Unreadable)
    assert rest == ROWS


def test_table_with_a_column_twice_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="the table has the column 'prompt' twice"):
        read(tmp_path / "a.csv", "prompt,prompt\nA,B\n")
