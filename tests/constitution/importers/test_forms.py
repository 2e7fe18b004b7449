"""Other people's forms of constitutions: what is read from each, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.constitution.importers.reading import EXAMPLES, counts, form_of, read


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("anthropic", "anthropic"),
        ("anthropic/RLMadisonInstructions.json", "anthropic"),
        ("llm-swarm.json", "llm-swarm"),
        ("langchain.json", "langchain"),
        ("nemo-aligner.txt", "nemo-aligner"),
        ("charter.md", "markdown"),
        ("rules.txt", "text"),
        ("rules.csv", "csv"),
        ("rules.json", "json"),
    ],
)
def test_a_form_is_recognised(name: str, form: str):
    assert form_of(EXAMPLES / name) == form


def test_the_papers_forms_are_recognised_under_other_names(tmp_path: Path):
    for file in sorted((EXAMPLES / "anthropic").glob("*Instructions.json")):
        (tmp_path / "renamed.json").write_bytes(file.read_bytes())
        assert form_of(tmp_path / "renamed.json") == "anthropic"


def test_lines_lose_bullets_and_numbers_and_join_what_is_indented_below():
    entries, reading = read(EXAMPLES / "rules.txt")
    assert [entry["text"] for entry in entries] == [
        "The reply names its sources.",
        "The reply is at most as long as a postcard.",
        "The reply says so when it does not know.",
    ]
    assert counts(reading) == {
        "a line that begins with #": 1,
        "the same words as an earlier principle": 1,
        "a line without a bullet or number, where most lines have one": 1,
    }
    assert reading.skipped["the same words as an earlier principle"].places[0].endswith("rules.txt:6")
    assert reading.stripped["bullets and numbers"] == 4


def test_lines_of_a_table_are_no_rules(tmp_path: Path):
    (tmp_path / "a.txt").write_text("Be kind.\n\n| no | rule |\n|----|------|\n| 1 | Be brief. |\n")
    entries, reading = read(tmp_path / "a.txt")
    assert [entry["text"] for entry in entries] == ["Be kind."]
    assert counts(reading) == {"a line of a table; --format markdown reads tables": 3}


@pytest.mark.parametrize("mark", ["- ", "* ", "• ", "1. ", "12) ", "(3) ", "a. ", "– "])
def test_a_mark_is_stripped(mark: str, tmp_path: Path):
    (tmp_path / "a.txt").write_text(f"{mark}Be kind.\n")
    assert read(tmp_path / "a.txt")[0][0]["text"] == "Be kind."


@pytest.mark.parametrize(
    "line", ["-5 degrees are cold.", "3.5 sentences are enough.", "e.g. nothing", "A reply."]
)
def test_what_only_looks_like_a_mark_is_kept(line: str, tmp_path: Path):
    (tmp_path / "a.txt").write_text(line)
    assert read(tmp_path / "a.txt")[0][0]["text"] == line


def test_a_table_is_read_by_its_header():
    entries, reading = read(EXAMPLES / "rules.csv")
    assert entries == [
        {
            "id": "sources",
            "text": "The reply names its sources.",
            "critique": "Which claims have no source, and why?",
        },
        {"id": "length", "text": "The reply fits on a postcard."},
    ]
    assert list(reading.ignored) == ["owner"]
    assert reading.renamed == {"sources": "Sources", "length": "Length"}


def test_columns_say_what_a_table_calls_them(tmp_path: Path):
    (tmp_path / "a.csv").write_text("regel;nummer\nSei nett, immer.;7\n")
    entries, _ = read(tmp_path / "a.csv", text="regel", id="nummer")
    assert entries == [{"id": "7", "text": "Sei nett, immer."}]


@pytest.mark.parametrize("titles", ["Rules of the house;;\n", "Rules of the house\nMarch, 2026\n"])
def test_lines_above_the_header_of_a_table_are_no_rules(titles: str, tmp_path: Path):
    path = tmp_path / "rules.csv"
    path.write_text(titles + "rule;name;note\nDo not lie.;honest;x\nBe kind, always.;kind;y\n")
    principles, _ = read(path)
    assert [one["id"] for one in principles] == ["honest", "kind"]


def test_a_table_of_one_column_needs_no_header(tmp_path: Path):
    (tmp_path / "a.csv").write_text('Be kind.\n"Be brief, always."\n')
    assert [entry["text"] for entry in read(tmp_path / "a.csv")[0]] == ["Be kind.", "Be brief, always."]


def test_a_cell_of_several_lines_is_told_by_its_first(tmp_path: Path):
    (tmp_path / "a.csv").write_text('text,id\n"one\ntwo",x\n"one\ntwo",y\n')
    _, reading = read(tmp_path / "a.csv")
    assert [Path(place).name for place in next(iter(reading.skipped.values())).places] == ["a.csv:4"]


def test_a_list_may_mix_sentences_and_objects():
    entries, reading = read(EXAMPLES / "rules.json")
    assert reading.name == "house-rules"
    assert entries[1] == {
        "id": "length",
        "text": "The reply fits on a postcard.",
        "antithesis": "The reply is as long as a book.",
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"kind": "Be kind.", "brief": {"text": "Be brief."}}'),
        ("a.json", '[{"id": "kind", "text": "Be kind."}, {"id": "brief", "rule": "Be brief."}]'),
        ("a.jsonl", '{"id": "kind", "text": "Be kind."}\n\n{"id": "brief", "text": "Be brief."}\n'),
        ("a", '[{"title": "kind", "principle": "Be kind."}, {"title": "brief", "principle": "Be brief."}]'),
    ],
)
def test_objects_are_named_by_their_key_or_id(name: str, content: str, tmp_path: Path):
    (tmp_path / name).write_text(content)
    entries, _ = read(tmp_path / name)
    assert [(entry["id"], entry["text"]) for entry in entries] == [
        ("kind", "Be kind."),
        ("brief", "Be brief."),
    ]


def test_an_object_that_is_one_principle_is_one(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"principle": "Be kind.", "critique": "Where is it unkind?"}')
    (entry,) = read(tmp_path / "a.json")[0]
    assert (entry["text"], entry["critique"]) == ("Be kind.", "Where is it unkind?")


def test_equal_names_of_different_principles_are_numbered(tmp_path: Path):
    (tmp_path / "a.json").write_text('[{"id": "x", "text": "Be kind."}, {"id": "x", "text": "Be brief."}]')
    entries, reading = read(tmp_path / "a.json")
    assert [entry["id"] for entry in entries] == ["x", "x-2"]
    assert reading.renamed == {"x-2": "x"}


def test_langchain_principles_keep_their_names():
    entries, reading = read(EXAMPLES / "langchain.json")
    assert [entry["id"] for entry in entries] == ["no-blame", "plain-words"]
    assert entries[0]["text"] == entries[0]["revision"] == "Please rewrite the answer without blame."
    assert reading.renamed == {"plain-words": "Plain Words"}


def test_langchain_principles_may_be_yaml(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("- {name: n, critique_request: Where?, revision_request: Better.}\n")
    assert read(tmp_path / "a.yaml")[0] == [
        {"id": "n", "text": "Better.", "critique": "Where?", "revision": "Better."}
    ]


def test_llm_swarm_chats_become_examples():
    entries, reading = read(EXAMPLES / "llm-swarm.json")
    assert [len(entry.get("examples", ())) for entry in entries] == [1, 0]
    assert entries[0]["examples"][0]["why"] == "It blames the cook."
    assert counts(reading) == {"a few-shot with several turns; an example has a single prompt": 1}


def test_nemo_aligners_list_is_read_from_between_the_fences():
    entries, reading = read(EXAMPLES / "nemo-aligner.txt")
    assert [entry["comparison"] for entry in entries] == [
        "Choose the answer that a patient neighbour would give.",
        "Choose the answer that blames nobody.",
    ]
    assert counts(reading) == {
        "a line without a number between the fences": 2,
        "instructions around the constitution": 1,
    }
