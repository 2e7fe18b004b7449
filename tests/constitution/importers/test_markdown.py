"""What becomes a principle of a Markdown document, and what is counted out."""

from __future__ import annotations

from pathlib import Path

import pytest

from constitution.importers.under_keys.prose import NO_RULE, NO_RULE_BESIDE
from constitution.loader import read_constitution
from constitution.passages import MAX_DOCUMENT_BYTES
from publius.authoring.importing import ConstitutionRequest, import_constitution
from tests.constitution.importers.reading import EXAMPLES, counts, form_of, read, refusal


def texts(content: str, folder: Path) -> list[str]:
    (folder / "a.md").write_text(content)
    return [entry["text"] for entry in read(folder / "a.md")[0]]


def left_out(content: str, folder: Path) -> dict[str, int]:
    (folder / "a.md").write_text(content)
    return counts(read(folder / "a.md")[1])


def test_items_and_rules_of_a_document_become_principles_that_point_into_it():
    entries, reading = read(EXAMPLES / "charter.md")
    assert form_of(EXAMPLES / "charter.md") == "markdown"
    assert [(entry["text"], entry["source"]) for entry in entries] == [
        (
            "The helper must never invent a book. It should say which shelf it means.",
            "#a-charter-for-the-helper",
        ),
        ("The reply greets nobody twice.", "#manner"),
        ("The reply is short: at most three sentences, and", "#manner"),
        ("The reply is short: no list where a sentence will do.", "#manner"),
        (
            "The helper must not say who has borrowed a book. It may say when the book is due.",
            "#what-stays-private",
        ),
    ]
    assert reading.sections == ["A charter for the helper", "Manner", "What stays private"]
    assert counts(reading) == {
        NO_RULE_BESIDE: 1,
        "prose beside a list": 1,
        "a list item that introduces others": 1,
        NO_RULE: 1,
        "a table": 1,
    }


def test_the_written_file_shows_the_passage_of_a_principle(tmp_path: Path):
    (tmp_path / "charter.md").write_bytes((EXAMPLES / "charter.md").read_bytes())
    import_constitution(ConstitutionRequest(tmp_path / "charter.md", tmp_path / "c.yaml"))
    assert "\ndocument: charter.md\n" in (tmp_path / "c.yaml").read_text()
    constitution = read_constitution(tmp_path / "c.yaml").constitution
    assert constitution.passage(constitution.principles[1]).startswith("## Manner")


def test_a_document_in_another_folder_is_named_relative_to_the_file(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nPeople wait.\n\n- Be kind.\n")
    import_constitution(ConstitutionRequest(tmp_path / "docs" / "a.md", tmp_path / "c.yaml"))
    assert "\ndocument: docs/a.md\n" in (tmp_path / "c.yaml").read_text()


def test_a_rule_is_told_with_its_own_line(tmp_path: Path):
    (tmp_path / "a.md").write_text("# A\n\nIt is so.\nIt must be so. It\nshould be that, too.\n")
    _, reading = read(tmp_path / "a.md")
    assert [found.where.rpartition(":")[2] for found in reading.principles] == ["4"]
    assert reading.principles[0].texts["text"] == "It must be so. It should be that, too."
    others = reading.skipped[NO_RULE_BESIDE]
    assert [place.rpartition(":")[2] for place in others.places] == ["3"]


@pytest.mark.parametrize(
    "word", ["must", "should", "shall", "ought to", "never", "always", "may not", "MUST"]
)
def test_a_sentence_with_such_a_word_is_a_rule(word: str, tmp_path: Path):
    assert texts(f"It is raining. The reply {word} be kind.\n", tmp_path) == [f"The reply {word} be kind."]


def test_conditional_instruction_in_the_present_tense_is_a_rule(tmp_path: Path):
    content = (
        "# Safety\nIf a bike has broken brakes or a loose wheel, the first sentence tells them to stop "
        "riding. *(new since the accident in May)*\n"
    )
    assert texts(content, tmp_path) == [
        "If a bike has broken brakes or a loose wheel, the first sentence tells them to stop riding."
    ]
    assert left_out(content, tmp_path) == {NO_RULE_BESIDE: 1}


def test_markup_is_taken_off_and_words_stay(tmp_path: Path):
    content = "- The **reply** is [kind](http://x.y), `brief`\n  and *honest*\n- [ ] The reply names 2 < 3.\n"
    assert texts(content, tmp_path) == ["The reply is kind, brief and honest", "The reply names 2 < 3."]


def test_half_sentences_go_on_with_what_introduces_their_list(tmp_path: Path):
    content = "The helper never:\n\n- lies;\n- cheats.\n- It knows this.\n\nOther words.\n\n1. stays alone\n"
    assert texts(content, tmp_path) == [
        "The helper never: lies;",
        "The helper never: cheats.",
        "It knows this.",
        "stays alone",
    ]


def test_an_introduction_ends_with_its_section(tmp_path: Path):
    assert texts("Never:\n\n# B\n\n- lies\n", tmp_path) == ["lies"]


def test_what_holds_no_rule_is_counted(tmp_path: Path):
    content = (
        "---\ntitle: x\n---\n\n- Be kind.\n\n  More about it.\n\n- [A link](#a)\n- # A heading\n\n"
        "> Always quoted.\n\n```\nmust not be read\n```\n\n<p>always</p>\n"
    )
    assert left_out(content, tmp_path) == {
        "the document's front matter": 1,
        "a later paragraph of a list item": 1,
        "a list item that is only a link": 1,
        "a heading within a list or quote": 1,
        "a quote": 1,
        "a block of code": 1,
        "a block of HTML": 1,
    }


def test_a_document_without_headings_has_neither_sections_nor_passages(tmp_path: Path):
    (tmp_path / "a.md").write_text("- Be kind.\n")
    entries, reading = read(tmp_path / "a.md")
    assert (entries, reading.sections) == ([{"id": "be-kind", "text": "Be kind."}], [])


def test_a_heading_may_name_its_passage(tmp_path: Path):
    (tmp_path / "a.md").write_text(
        "# Kindness {#kind}\n\nPeople wait.\n\n- Be kind.\n\n# Kindness\n\nThey read.\n\n- Be brief.\n"
    )
    entries, reading = read(tmp_path / "a.md")
    assert [entry["source"] for entry in entries] == ["#kind", "#kindness"]
    assert reading.sections == ["Kindness"]


def test_a_passage_that_only_lists_the_rules_is_no_source(tmp_path: Path):
    (tmp_path / "a.md").write_text("# Writing guide\n\n1. Be kind.\n2. One link at most.\n")
    entries, reading = read(tmp_path / "a.md")
    assert (len(entries), [entry for entry in entries if "source" in entry]) == (2, [])
    assert (reading.document, reading.sections) == (None, ["Writing guide"])


def test_prose_without_rules_is_no_constitution(tmp_path: Path):
    (tmp_path / "a.md").write_text("# A\n\nOnce upon a time.\n")
    assert refusal(tmp_path / "a.md").startswith(
        f'a.md: there are no principles (skipped: {NO_RULE}, 1; first: line 3 "Once upon a time.")'
    )


def test_a_document_that_is_too_large_is_refused(tmp_path: Path):
    (tmp_path / "a.md").write_text("x " * (MAX_DOCUMENT_BYTES // 2 + 1))
    assert refusal(tmp_path / "a.md").startswith("a.md: the file is too large")


HOUSE_RULES = """# Style

| no | rule | why |
|----|------|-----|
| 1 | Begin with the *answer*. | people read on phones |
| 2 | No more than 70 words. | |
"""


def test_a_table_of_rules_becomes_principles_with_their_reasons(tmp_path: Path):
    (tmp_path / "a.md").write_text(HOUSE_RULES)
    entries, reading = read(tmp_path / "a.md")
    assert entries == [
        {
            "id": "begin",
            "section": "Style",
            "text": "Begin with the answer.",
            "source": "#why-begin",
        },
        {"id": "no-more-than-70-words", "section": "Style", "text": "No more than 70 words."},
    ]
    assert reading.passages == {"why-begin": "people read on phones"}
    assert list(reading.ignored) == ["no"]
    assert [found.where.rpartition(":")[2] for found in reading.principles] == ["5", "6"]
    assert list(reading.notes) == ["the rules of a table are its column 'rule'"]


def test_a_reason_is_shown_with_its_rule(tmp_path: Path):
    (tmp_path / "a.md").write_text(HOUSE_RULES)
    import_constitution(ConstitutionRequest(tmp_path / "a.md", tmp_path / "c.yaml"))
    constitution = read_constitution(tmp_path / "c.yaml").constitution
    shown = [constitution.passage(principle) for principle in constitution.principles]
    assert shown == ["people read on phones", ""]


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("| no | what we want |", "| 1 | Greet the visitor by name. |", ["Greet the visitor by name."]),
        ("| statement | group |", "| Be kind. | manner |", ["Be kind."]),
        ("| shelf | floor |", "| A | 1 |", []),
        ("| rule | rule |", "| Be kind. | Be brief. |", []),
    ],
)
def test_the_column_of_rules_is_found_by_its_name_or_its_sentences(
    header: str, row: str, expected: list[str], tmp_path: Path
):
    assert texts(f"- Be calm.\n\n{header}\n|--|--|\n{row}\n", tmp_path) == ["Be calm.", *expected]


def test_a_section_in_a_table_is_a_section_of_the_constitution(tmp_path: Path):
    (tmp_path / "a.md").write_text(
        "# Style\n\n| rule | group |\n|--|--|\n| Be kind. | manner |\n| Be brief. | |\n"
    )
    entries, reading = read(tmp_path / "a.md")
    assert [entry["section"] for entry in entries] == reading.sections == ["manner", "Style"]
