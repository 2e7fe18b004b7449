"""The line about a file of prompts says what is used, what is skipped, and why it counts as it does."""

from __future__ import annotations

import json
from pathlib import Path

from publius.authoring.given import read_given


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
