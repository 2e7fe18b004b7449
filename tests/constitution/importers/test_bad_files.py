"""Files that cannot be imported: each is refused with the place, what was found and what is accepted."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import pytest

from constitution.importers.markdown import MAX_SIGNS
from constitution.importers.reading import MAX_ENTRIES, MAX_SOURCE_PROBLEMS
from constitution.importers.registry import FORMS, read_source
from constitution.importers.source import MAX_SOURCE_BYTES, MAX_SOURCE_LINES
from core.errors import PubliusError
from core.text.encodings import SAVED_AS_UTF8
from tests.constitution.importers.reading import EXAMPLES, read, refusal

TEXT = "text that is not empty"
ENTRY = "a sentence, an object with one of text, critique, revision, comparison, or --columns text=THEIRS"
CORPUS = [
    ("a.txt", b"", "a.txt: the file is empty; accepted: a file with principles"),
    ("a.txt", b" \n\t\n", "a.txt: the file is empty; accepted: a file with principles"),
    (
        "a.txt",
        b"ok\nb\x81d",
        f"a.txt:2: the byte 0x81 is not UTF-8; accepted: {SAVED_AS_UTF8}",
    ),
    (
        "a.txt",
        "x".encode("utf-16")[:-1],
        f"a.txt: not UTF-16 text: truncated data; accepted: {SAVED_AS_UTF8}",
    ),
    (
        "a.txt",
        b"<html><li>Be brief.</li></html>",
        "a.txt: this file is a web page; accepted: its text saved as .txt, one principle on each line, or as "
        ".md with headings",
    ),
    (
        "a.png",
        b"\x89PNG\n\0",
        f"a.png:2: the file is not text: it contains a zero byte; accepted: {SAVED_AS_UTF8}",
    ),
    (
        "a.txt",
        b"x" * (MAX_SOURCE_BYTES + 1),
        f"a.txt: the file is too large; accepted: at most {MAX_SOURCE_BYTES:,} bytes",
    ),
    (
        "a.txt",
        b"# only a heading\n",
        "a.txt: there are no principles (skipped: a line that begins with #, 1); accepted: plain text, one "
        "principle per line; bullets and numbers are stripped",
    ),
    ("a.json", b'["x",', "a.json:1:6: not valid JSON: expecting value; accepted: JSON"),
    ("a.json", b"7", "a.json: the file is 7; accepted: a list, or an object that contains one"),
    ("a.json", b'{"a": "x", "a": "y"}', "a.json: duplicate key 'a'; accepted: each key once"),
    (
        "a.json",
        b"[" * 40 + b"]" * 40,
        "a.json:1: the JSON is nested too deeply; accepted: at most 32 levels",
    ),
    ("a.json", b"[" * 99999, "a.json:1: the JSON is nested too deeply; accepted: at most 32 levels"),
    ("a.json", b"1" * 9999, "a.json:1: a number has too many digits; accepted: numbers of a reasonable size"),
    ("a.json", b'["ok", null]', f"a.json:[1]: an entry is empty; accepted: {ENTRY}"),
    ("a.json", b'{"rules": [true]}', f"a.json:rules[0]: an entry is true; accepted: {ENTRY}"),
    (
        "a.json",
        b'[{"weight": 2}]',
        f"a.json:[0]: an entry has no text (its keys: 'weight'); accepted: {ENTRY}",
    ),
    ("a.json", b'[{"text": 3}]', "a.json:[0]: text is 3; accepted: text"),
    ("a.json", b'["\\ud83d"]', "a.json:[0]: text contains the character U+D83D; accepted: printable text"),
    ("a.json", b'["a\\u0000"]', "a.json:[0]: text contains the character U+0000; accepted: printable text"),
    ("a.json", b"[]", f"a.json: there are no principles; accepted: {FORMS[-2].summary}"),
    ("a.jsonl", b'"ok"\n\n{"text": []}\n', "a.jsonl:3: text is empty; accepted: text"),
    ("a.jsonl", b'"ok"\n{"text"}\n', "a.jsonl:2:8: not valid JSON: expecting ':' delimiter; accepted: JSON"),
    (
        "a.csv",
        b"owner,day\nAda,1\n",
        "a.csv:1: no column with principles among 'owner', 'day'; accepted: a column with the name text, "
        "critique, revision, comparison, or --columns text=THEIRS",
    ),
    (
        "a.csv",
        b"text,id\nBe kind, always,x\n",
        "a.csv:2: the row has 3 cells, but the header has 2; accepted: as many cells as in the header; "
        "quotes around a cell that contains the separator",
    ),
    ("a.csv", b"text,text\na,b\n", "a.csv:1: duplicate column 'text'; accepted: each column once"),
    (
        "a.csv",
        b'text,id\n"open,x\n',
        "a.csv:2: not a table: unexpected end of data; accepted: doubled quotes within a cell, "
        'as in "a ""quoted"" word"',
    ),
    ("a.csv", b",,\n", f"a.csv: there are no principles; accepted: {FORMS[-3].summary}"),
    (
        "a.yaml",
        b"- [",
        "a.yaml:2:1: not valid YAML: while parsing a flow node, ",
    ),
    ("a.yaml", b"- &a x\n- *a", "a.yaml:1:3: '&a' is YAML syntax that is not supported"),
    (
        "a.yaml",
        b"- Be kind.\n",
        "a.yaml: the file is a constitution already; it needs no import",
    ),
    (
        "a.yaml",
        b"- {critique_request: a, revision_request: b}\n- {critique_request: a}\n",
        "a.yaml:2:3: revision_request is empty; accepted: text",
    ),
    (
        "l.json",
        b'{"x": {"critique_request": "a", "revision_request": ""}}',
        f"l.json:x.revision_request: revision_request is empty; accepted: {TEXT}",
    ),
    (
        "s.json",
        b'{"constitutions": [{"critic": "a", "revision": "b"}, 5]}',
        "s.json:constitutions[1]: an entry is 5; accepted: an object with critic and revision",
    ),
    (
        "s.json",
        b'{"constitutions": [{"critic": "a", "revision": "b"}], "system_chat": [[{"role": "user"}]]}',
        "s.json:system_chat[0]: a chat is incomplete; accepted: at least 6 messages with role and content",
    ),
    (
        "CritiqueRevisionInstructions.json",
        b'{"a": {"prompt": ["\\n\\nCritiqueRequest:\\n\\nCritique:"], "edit_request": 3}, "b": 4}',
        "CritiqueRevisionInstructions.json:a.prompt: prompt is empty; accepted: text that is not empty\n"
        "CritiqueRevisionInstructions.json:a.edit_request: edit_request is 3; accepted: text\n"
        "CritiqueRevisionInstructions.json:b: b is 4; accepted: an object with prompt and edit_request",
    ),
    (
        "RLMadisonInstructions.json",
        b'["\\nPick. Options:", {}]',
        "RLMadisonInstructions.json:[1]: a comparison is empty; accepted: text",
    ),
    (
        "RLMadisonFewShotPrompts.json",
        b'[{"prompt": "\\n\\nHuman: a\\n\\nAssistant:", "corrects": [], "incorrects": ["b"]}]',
        "RLMadisonFewShotPrompts.json:[0]: corrects and incorrects do not have one text each; accepted: "
        "lists of one text",
    ),
    (
        "CritiqueRevisionFewShotPrompts.json",
        b'["\\n\\nHuman: a\\n\\nAssistant: b\\n\\nCritiqueRequest: c\\n\\nCritique: d"]',
        "CritiqueRevisionFewShotPrompts.json:[0]: a transcript is incomplete; accepted: turns that end "
        "with CritiqueRequest, Critique, RevisionRequest, Revision",
    ),
    (
        "n.txt",
        b"```CONSTITUTION\n1. a\n",
        "n.txt: no constitution found; accepted: a line ```CONSTITUTION and",
    ),
]


@pytest.mark.parametrize(("name", "content", "expected"), CORPUS)
def test_a_bad_file_is_refused_with_the_place(name: str, content: bytes, expected: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).startswith(expected)


def test_a_missing_file_is_refused(tmp_path: Path):
    assert refusal(tmp_path / "none.txt") == (
        "none.txt: no such file; accepted: a file, or the folder of the Anthropic files"
    )


def test_an_unknown_format_gets_the_nearest():
    assert refusal(EXAMPLES / "rules.txt", "langchan").endswith("(did you mean 'langchain'?)")


def test_a_column_that_nothing_has_gets_the_nearest():
    assert refusal(EXAMPLES / "rules.csv", text="principal") == (
        "--columns: unknown column 'principal'; accepted: one of: name, principle, critique_request, owner "
        "(did you mean 'principle'?)"
    )
    assert refusal(EXAMPLES / "rules.csv", txt="principle").endswith("(did you mean 'text'?)")
    assert refusal(EXAMPLES / "rules.txt", text="a") == (
        "--columns: the format text has no columns; accepted: --format one of: csv, json"
    )


def test_many_mistakes_are_told_with_the_first_and_their_number(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([3] * 50))
    lines = refusal(tmp_path / "a.json").splitlines()
    assert len(lines) == 21
    assert lines[-1] == "a.json: and 30 more mistakes"


def test_a_list_of_no_reasonable_length_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("".join(f"Rule {number}\n" for number in range(10_001)))
    assert refusal(tmp_path / "a.txt") == "a.txt:10001: too many principles; accepted: at most 10,000"


@pytest.mark.parametrize(
    "path", sorted(path for path in EXAMPLES.rglob("*.*") if path.is_file()), ids=lambda p: p.name
)
def test_mutated_files_are_read_or_refused(path: Path, tmp_path: Path):
    """No mutation of a file ends in anything but principles or an error of ours."""
    content = path.read_bytes()
    rng = random.Random(path.name)
    copy = tmp_path / path.name
    for _ in range(60):
        mutated = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(mutated))
            kind = rng.randrange(4)
            if kind == 0:
                mutated[at] = rng.randrange(256)
            elif kind == 1:
                del mutated[at : at + rng.randint(1, 40)]
                mutated = mutated or bytearray(b"x")
            elif kind == 2:
                mutated[at:at] = rng.choice([b'"', b"{", b"]", b":", b"\\ud800", b"null", b"\n", b"- ", b","])
            else:
                mutated[at:at] = mutated[: rng.randint(1, 60)]
        copy.write_bytes(bytes(mutated))
        for name in ("auto", *(form.name for form in FORMS)):
            with contextlib.suppress(PubliusError):
                imported = read_source(copy, name)
                assert imported.reading.written(imported.form.summary)


def test_the_examples_are_read_whole():
    assert len(read(EXAMPLES / "rules.txt")[0]) == 3


def test_few_shots_of_no_reasonable_number_are_refused(tmp_path: Path):
    pairs = [{"critic": "c", "revision": f"Rewrite {number}."} for number in range(200)]
    texts = ("a", "b", "c", "d", "e", "f")
    chat = [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)]
    content = {"constitutions": pairs, "system_chat": [chat] * 51}
    (tmp_path / "s.json").write_text(json.dumps(content))
    assert refusal(tmp_path / "s.json") == (
        "s.json:system_chat[50]: too many examples; accepted: at most 10,000"
    )


def test_a_file_is_not_read_on_after_a_thousand_mistakes(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([3] * 5000))
    lines = refusal(tmp_path / "a.json").splitlines()
    assert len(lines) == 21
    assert (
        lines[-1]
        == f"a.json: and {MAX_SOURCE_PROBLEMS - 19:,} more mistakes; the rest of the file was not read"
    )


@pytest.mark.parametrize("line", ["- The reply is kind.", "# nothing"])
def test_more_entries_than_a_constitution_has_are_refused(line: str, tmp_path: Path):
    content = "The reply is calm.\n" + f"{line}\n" * MAX_ENTRIES
    (tmp_path / "a.txt").write_text(content)
    assert refusal(tmp_path / "a.txt").endswith(": too many entries; accepted: at most 100,000")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_more_lines_than_a_table_has_are_refused(name: str, tmp_path: Path):
    (tmp_path / name).write_text("\n" + "1\n" * (MAX_SOURCE_LINES + 1))
    assert refusal(tmp_path / name) == f"{name}:100002: too many lines; accepted: at most 100,000"


def test_a_document_of_nothing_but_markup_is_refused(tmp_path: Path):
    (tmp_path / "a.md").write_text("- The reply is kind.\n\n" + "[*_" * MAX_SIGNS)
    assert refusal(tmp_path / "a.md") == (
        "a.md: the document has too many markup characters; accepted: at most 50,000 of [, * and _"
    )
