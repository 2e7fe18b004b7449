"""The line about a file of prompts says what is used, what is skipped, and why it counts as it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from publius.authoring.given import note_given, read_given
from publius.runs.project import OwnFiles, init_project
from publius.sources.texts.reading import TextReading
from tests.publius.invoking import here


def test_a_text_with_other_tags_is_another_prompt_and_the_line_says_so(tmp_path: Path):
    rows = [("Hi", "a"), ("Hi", "b"), ("Hi", "a"), ("Bye", "a")]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps({"prompt": text, "group": tag}) + "\n" for text, tag in rows))
    skipped = "skipped: duplicate prompt (asked.jsonl:2, asked.jsonl:3)"
    assert read_given(path).line() == f"asked.jsonl: 2 prompts of 4 rows; 2 {skipped}; tags: none"
    assert read_given(path, {"tags": "group"}).line() == (
        "asked.jsonl: 3 prompts of 4 rows; 1 skipped: duplicate prompt (asked.jsonl:3); "
        "1 has the text of an earlier one, with other tags; tags: a 2, b 1"
    )


def test_html_in_given_prompts_is_warned_of_and_a_new_project_reads_it_as_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "asked.jsonl"
    path.write_text('{"prompt": "<p>Hi</p>"}\n')
    note_given(read_given(path))
    assert "1 of 1 prompts has HTML (<p>), which checks and models see as it is" in caplog.text
    caplog.clear()
    note_given(read_given(path, reading=TextReading("keep")))
    given = read_given(path, reading=TextReading("text"))
    note_given(given)
    assert "has HTML" not in caplog.text
    assert given.prompts[0].messages[0].content == "Hi"
    init_project(tmp_path / "desk", own=OwnFiles(prompts=path, html="text"))
    assert 'path: "../asked.jsonl", limit: 24, html: text}' in (tmp_path / "desk" / "run.yaml").read_text()
    assert here("check", "--run", tmp_path / "desk" / "run.yaml").returncode == 0


def test_quoted_mail_in_given_prompts_is_warned_of_and_a_new_project_leaves_it_out(tmp_path: Path):
    (tmp_path / "asked.jsonl").write_text(json.dumps({"prompt": "Hi\n\n-- \nLee"}) + "\n")
    kept = here("init", tmp_path / "one", "--prompts", tmp_path / "asked.jsonl")
    assert '1 of 1 prompts has a signature ("-- "), which checks and models' in " ".join(kept.stderr.split())
    left = here("init", tmp_path / "two", "--prompts", tmp_path / "asked.jsonl", "--quotes", "drop")
    assert left.returncode == 0
    assert "1 row: quoted mail or a signature was left out" in left.stderr
    assert "which checks and models" not in left.stderr
    run_file = tmp_path / "two" / "run.yaml"
    assert "limit: 24, quotes: drop}" in run_file.read_text()
    checked = here("check", "--run", run_file)
    assert (checked.returncode, "1 row: quoted mail or a signature was left out" in checked.stdout) == (
        0,
        True,
    )


def test_a_text_that_is_cut_is_counted_beside_another_note_about_its_row(tmp_path: Path):
    mail, cut = "Hi\n\n-- \nLee", "quoted mail or a signature was left out"
    rows = [{"prompt": [mail, "And now?"]}, {"prompt": f"Bye\n\n{mail}"}]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_given(path, reading=TextReading("keep", "drop"))
    first = "the prompt is a list of user turns, of which the first was taken"
    assert list(found.lines())[1:] == [f"asked.jsonl: 1 row: {how}" for how in (f"{first}, {cut}", cut)]
