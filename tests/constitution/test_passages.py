"""Passages of a Markdown document: anchors as GitHub makes them, and where a passage ends."""

from __future__ import annotations

import pytest

from constitution.loader import read_constitution
from constitution.passages import MAX_LINES, passages_of, read_passages
from core.errors import ConfigError


def anchors(text: str) -> list[tuple[str, ...]]:
    return [passage.anchors for passage in passages_of(text)]


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Avoiding harm", "avoiding-harm"),
        ("What's new, in 2.0?", "whats-new-in-20"),
        ("Snake_case and-hyphens", "snake_case-and-hyphens"),
        ("A  —  B", "a----b"),
        ("*Never* `lie` to [people](http://x.test)", "never-lie-to-people"),
        ("Über Ärger", "über-ärger"),
        ("伤害", "伤害"),
        ("Rock &amp; roll", "rock--roll"),
        ("Closed ##", "closed"),
        ("a \\* b", "a--b"),
    ],
)
def test_anchors_are_those_of_github(heading, anchor):
    assert anchors(f"# {heading}\n") == [(anchor,)]


def test_repeats_are_numbered_and_numbers_that_are_taken_passed_over():
    assert anchors("# A\n# A\n# A 1\n# A\n") == [("a",), ("a-1",), ("a-1-1",), ("a-2",)]


def test_an_author_names_passages():
    text = "Title {#top}\n=====\n\n<a id=\"one\"></a><a name='two'></a>\n\n"
    text += '## First <a id="three"></a>\n\nText.\n'
    top, first = passages_of(text)
    assert (top.anchors, top.line) == (("top",), 1)
    assert (first.anchors, first.line) == (("first", "one", "two", "three"), 6)
    assert first.text == "## First\n\nText."


def test_a_given_name_is_left_to_its_heading():
    assert anchors("# Safety\n\n## Other {#safety}\n") == [("safety-1",), ("safety",)]


def test_a_passage_ends_at_the_next_heading_of_its_level_or_above():
    text = "# A\na\n## B\nb\n### C\nc\n<a id='d0'></a>\n## D\nd\n# E\n"
    assert [p.text for p in passages_of(text)] == [
        "# A\na\n## B\nb\n### C\nc\n<a id='d0'></a>\n## D\nd",
        "## B\nb\n### C\nc",
        "### C\nc",
        "## D\nd",
        "# E",
    ]


def test_what_only_looks_like_a_heading_is_text():
    text = "# A\n```\n# code\n```\n\n    # indented\n\n> # quoted\n\n- # in a list\n\n#no-space\n"
    (passage,) = passages_of(text)
    assert passage.anchors == ("a",)
    assert passage.text.endswith("#no-space")


def test_front_matter_and_line_ends_keep_the_line_numbers():
    (passage,) = passages_of("---\r\ntitle: x\r\n---\r\n\r\n# A\r\ntext\r\n")
    assert (passage.line, passage.text) == (5, "# A\ntext")


def test_a_heading_without_letters_is_no_passage():
    assert anchors("# ***\n\n#\n\n# B\n") == [("b",)]


def test_nothing_is_no_passage():
    assert anchors("") == []
    assert anchors("Only text.") == []


@pytest.mark.parametrize(
    "text", [">" * 99_999, "- " * 50_000, "# " + "[" * 99_999, "# " + " " * 400_000 + "x"]
)
def test_nasty_documents_are_read(text):
    assert len(list(passages_of(text))) <= 1


def test_a_document_of_very_many_lines_is_refused(tmp_path):
    (tmp_path / "a.md").write_text("# a\n" * (MAX_LINES + 7))
    with pytest.raises(
        ConfigError, match=r"a.md:10001:1: the document has too many lines; accepted: at most 10,000"
    ):
        read_passages(tmp_path / "a.md")


def test_an_anchor_without_quotes_is_a_comment_and_told(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(
        "name: x\npassages: {refunds: Money.}\nprinciples:\n- id: a\n  source: #refunds\n  text: t\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_constitution(path)
    (problem,) = caught.value.problems
    assert problem.where == f"{path}:5:3"
    assert problem.what == "source is empty"
    path.write_text(path.read_text().replace("#refunds", "null"))
    assert read_constitution(path).constitution.principles[0].source is None
