"""The Constitutional AI paper's files: what becomes a principle, what an example, what is counted out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from constitution.importers.anthropic import COMPARISONS, FILES, PAIRS, REQUESTS
from constitution.importers.anthropic_export import to_anthropic
from constitution.schema import Constitution
from tests.constitution.importers.reading import EXAMPLES, counts, read, refusal

FOLDER = EXAMPLES / "anthropic"
PUBLISHED = os.environ.get("PUBLIUS_CAI_PROMPTS", "")


def constitution_of(path: Path) -> Constitution:
    return Constitution.model_validate({"name": "imported", "principles": read(path)[0]})


def test_requests_become_principles_without_what_surrounds_them():
    entries, reading = read(FOLDER / REQUESTS)
    assert [entry["id"] for entry in entries] == ["gentle0", "gentle1", "gentle10"]
    assert entries[1] == {
        "id": "gentle1",
        "text": "Rewrite the answer without blame.  Keep its facts.",
        "critique": "Does the answer blame anybody? Point at the words that do.",
        "revision": "Rewrite the answer without blame.  Keep its facts.",
    }
    assert dict(reading.stripped) == {
        "CritiqueRequest:": 3,
        "Critique:": 3,
        "RevisionRequest:": 3,
        "Revision:": 3,
    }


@pytest.mark.parametrize("opened", ["\n\nRevision Request:", "", "RevisionRequest: "])
def test_a_revision_request_beside_the_critique_is_read_where_its_key_is_empty(tmp_path: Path, opened: str):
    prompts = [
        "\n\nCritique Request: Find blame.\n\nCritique:",
        "Revision request: Blame nobody.\n\nRevision:",
    ]
    (tmp_path / REQUESTS).write_text(json.dumps({"kind": {"prompt": prompts, "edit_request": opened}}))
    entries, reading = read(tmp_path / REQUESTS)
    texts = {"text": "Blame nobody.", "critique": "Find blame.", "revision": "Blame nobody."}
    assert (entries, counts(reading)) == ([{"id": "kind", **texts}], {})


def test_of_two_revision_requests_the_second_is_counted_out_with_its_words(tmp_path: Path):
    prompts = ["CritiqueRequest: Find blame.", "RevisionRequest: Blame nobody.", "What else?"]
    entry = {"prompt": prompts, "edit_request": "RevisionRequest: Be kind.\n\nRevision:"}
    (tmp_path / REQUESTS).write_text(json.dumps({"kind": entry}))
    entries, reading = read(tmp_path / REQUESTS)
    assert entries[0]["revision"] == "Be kind."
    assert counts(reading) == {
        "a second revision request in one entry": 1,
        "a second critique request in one entry": 1,
    }


def test_a_revision_request_without_words_is_refused(tmp_path: Path):
    entry = {"prompt": ["CritiqueRequest: Find blame."], "edit_request": "\n\nRevision Request:"}
    (tmp_path / REQUESTS).write_text(json.dumps({"kind": entry}))
    assert "edit_request is empty" in refusal(tmp_path / REQUESTS)


def test_comparisons_become_principles_with_ids_of_their_words():
    entries, _ = read(FOLDER / COMPARISONS)
    assert entries[0] == {
        "id": "patient-neighbour-would-give",
        "text": "Choose the answer that a patient neighbour would give.",
        "comparison": "Choose the answer that a patient neighbour would give.",
    }


def test_a_transcript_becomes_an_example_of_the_principle_whose_critique_it_asks_for():
    entries, reading = read(FOLDER)
    assert {entry["id"]: len(entry.get("examples", ())) for entry in entries[:3]} == {
        "gentle0": 0,
        "gentle1": 1,
        "gentle10": 0,
    }
    assert entries[1]["examples"][0] == {
        "prompt": "I burnt the soup.",
        "good": "That happens; a pinch of sugar may save it.",
        "bad": "You should have watched the pot.",
        "why": "It blames the cook.",
        "use": "few_shot",
    }
    assert counts(reading) == {
        "a few-shot with several turns; an example has a single prompt": 1,
        "a few-shot whose revision changes nothing; an example has a good and a bad answer": 1,
        "a few-shot whose critique request matches no principle": 1,
        "a few-shot with step-by-step reasoning, which examples have no field for": 1,
    }
    assert reading.stripped["Human:"] == 3


def test_few_shots_of_comparisons_are_shown_with_every_principle_that_compares():
    entries, _ = read(FOLDER)
    compared = [entry for entry in entries if "comparison" in entry]
    assert [[shot["prompt"] for shot in entry["examples"]] for entry in compared] == [
        ["I missed the bus again.", "My drawing is ugly."]
    ] * 2


def test_the_files_come_out_byte_for_byte_as_they_went_in():
    files = to_anthropic(constitution_of(FOLDER)).files
    assert set(files) == {REQUESTS, COMPARISONS, PAIRS}
    assert {name: (FOLDER / name).read_text() for name in files} == files


@pytest.mark.skipif(not PUBLISHED, reason="set PUBLIUS_CAI_PROMPTS to the folder with the paper's files")
def test_the_papers_principles_come_out_byte_for_byte_as_they_went_in():
    folder = Path(PUBLISHED)
    constitution = constitution_of(folder)
    export = to_anthropic(constitution)
    assert len(constitution.principles) == 32
    assert (export.requests, export.comparisons, export.few_shots) == (16, 16, 5)
    assert {name: (folder / name).read_text() for name in export.files} == export.files
    _, reading = read(folder)
    assert sum(counts(reading).values()) == 10  # three, one and six few-shots that no example can hold


def test_an_unusual_surrounding_is_taken_and_told(tmp_path: Path):
    path = tmp_path / COMPARISONS
    path.write_text(json.dumps(["Choose the kinder answer."]))
    entries, reading = read(path)
    assert entries[0]["comparison"] == "Choose the kinder answer."
    assert [found.count for found in reading.notes.values()] == [1]


def test_a_second_critique_in_one_entry_is_counted_out(tmp_path: Path):
    path = tmp_path / REQUESTS
    path.write_text(json.dumps({"a": {"prompt": ["One?", "Two?"], "edit_request": "Better.", "x": 1}}))
    entries, reading = read(path)
    assert entries[0]["critique"] == "One?"
    assert counts(reading) == {"a second critique request in one entry": 1}
    assert list(reading.ignored) == ["x"]


def test_few_shots_alone_are_no_constitution():
    assert refusal(FOLDER / PAIRS) == (
        f"{PAIRS}: there are no principles (skipped: a few-shot with no comparison principle to attach it "
        "to, 2); accepted: the Constitutional AI paper's files, or the folder that holds them"
    )


def test_other_files_in_the_folder_are_named(tmp_path: Path):
    (tmp_path / REQUESTS).write_bytes((FOLDER / REQUESTS).read_bytes())
    (tmp_path / "notes.txt").write_text("x")
    assert list(read(tmp_path)[1].ignored) == ["notes.txt"]


def test_a_folder_without_the_files_is_refused(tmp_path: Path):
    assert refusal(tmp_path).endswith(
        "the folder has none of the Anthropic files; accepted: a file, or a folder with one of: "
        + ", ".join(FILES)
    )


def test_what_the_files_cannot_say_is_told():
    principles = [
        {"id": "bare", "text": "The reply is kind."},
        {"id": "half", "text": "Be kind.", "critique": "Be kind."},
        {"id": "full", "text": "Be kind.", "critique": "Why unkind?", "revision": "Kinder.", "weight": 2.0},
        {
            "id": "tested",
            "text": "Kinder?",
            "comparison": "Kinder?",
            "examples": [
                {"prompt": "p", "good": "g", "bad": "b"},
                {"prompt": "p", "good": "g", "bad": "b", "why": "w", "use": "few_shot"},
            ],
        },
    ]
    export = to_anthropic(Constitution.model_validate({"name": "c", "principles": principles}))
    assert export.skipped == {
        "no requests of its own": ["bare"],
        "only one of critique and revision": ["half"],
        "a text that differs from the requests": ["full"],
        "the key weight": ["full"],
        "an example with use: test": ["tested"],
        "a few-shot with a reason (why), which the files have no field for": ["tested"],
    }
    assert (export.requests, export.comparisons, export.few_shots) == (1, 1, 0)
